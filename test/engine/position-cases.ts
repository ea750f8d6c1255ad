import { expect } from "vitest";
import type { JobTemplate } from "../../client/wire.ts";
import { pauseKey } from "../../durable-objects/engine/keys.ts";
import { Random } from "../sim/random.ts";
import { why } from "./explain-queue.ts";
import { type Case, done, set, type TestQueue } from "./queue.ts";

const MINUTE = 60_000;
const TENANTS = ["a", "b", "c", "constructor"];

/** Jobs of every kind, accepted one after the other. */
function mix(queue: TestQueue, random: Random, fair: boolean): number[] {
  return Array.from({ length: 60 }, () => {
    queue.now += random.pick([0, 0, 1, 400]);
    const tenant = random.pick(TENANTS);
    const options: Partial<JobTemplate> = {
      task: random.pick(["mail", "report", "__proto__"]),
      priority: random.pick([0, 0, 0, 3, -2]),
      keys: random.chance(0.5) ? { tenant } : null,
      fairKey: fair && random.chance(0.8) ? tenant : null,
    };
    return queue.add(options)[0]!;
  });
}

/** What is said of each job's place is the place that it gets. */
function placesHold(queue: TestQueue, jobs: number[]): void {
  const said = new Map(jobs.map((seq) => [seq, why(queue, seq)]));
  const order = queue.claim("s").map(([seq]) => seq);
  const open = jobs.filter((seq) => said.get(seq)!.runnable);
  expect([...order].sort((a, b) => a - b)).toEqual(open);
  expect(order.map((seq) => said.get(seq)!.position)).toEqual(order.map((_, index) => index));
}

/** Puts jobs into the tables that nobody has to enqueue, and loads the queue again. */
function flood(queue: TestQueue, like: number, count: number): void {
  queue.rows(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < CAST(?2 AS INTEGER))
     INSERT INTO jobs (seq, lane, state, priority, rank, fence, failures, lapses, created_at, run_at, timeout_ms, encoding, options)
     SELECT j.seq + i, lane, 'ready', priority, rank + i / 100, 0, 0, 0, created_at, run_at, timeout_ms, 'json', options
     FROM n, jobs AS j WHERE j.seq = ?1`,
    like,
    count,
  );
  queue.restart();
}

/** A queue at work: four slots that are always full, and attempts of one to three seconds. */
function work(queue: TestQueue, random: Random, ms: number, started: (seq: number) => void): void {
  const until = queue.now + ms;
  let held: { job: [number, number]; endsAt: number }[] = [];
  while (queue.now < until) {
    const over = held.filter(({ endsAt }) => endsAt <= queue.now);
    held = held.filter(({ endsAt }) => endsAt > queue.now);
    const settle = over.map(({ job }) => done(job));
    for (const job of queue.claim("worker", 4 - held.length, { settle, holding: held.map(({ job }) => job) })) {
      held.push({ job, endsAt: queue.now + random.int(1_000, 3_000) });
      started(job[0]);
    }
    queue.now = Math.min(...held.map(({ endsAt }) => endsAt), until);
  }
}

export const POSITION: Case[] = [
  ...[false, true].flatMap((ageing) =>
    [1, 2, 3, 4].map(
      (seed): Case => ({
        name: `the position is the place in the next claim, by priority and age (${seed}${ageing ? ", with ageing" : ""})`,
        run(queue) {
          if (ageing) set(queue, { ageing: { perMs: 1_000, priority: 1 + (seed % 2) } });
          placesHold(queue, mix(queue, new Random(seed), false));
        },
      }),
    ),
  ),
  ...[11, 12, 13, 14].map(
    (seed): Case => ({
      name: `and by the shares of fair keys, with weights (${seed})`,
      run(queue) {
        const random = new Random(seed);
        set(queue, { weights: { a: 2, b: 0.5 } });
        const first = mix(queue, random, true);
        for (const job of queue.claim("before", 13)) queue.turn("before", { settle: [done(job)] });
        placesHold(
          queue,
          [...first, ...mix(queue, random, true)].filter((seq) => !finished(queue, seq)),
        );
      },
    }),
  ),
  {
    name: "what waits for a gate that the job does not wait for is not before it; what waits for the same is",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 2 } } });
      const a = queue.add({ keys: { tenant: "a" } }, 10);
      const b = queue.add({ keys: { tenant: "b" } }, 10);
      const [free] = queue.add();
      queue.write((tx) => pauseKey(tx, "tenant", "b", MINUTE, null));
      expect(why(queue, free!)).toMatchObject({ runnable: true, position: 2 });
      expect(queue.claim("s").map(([seq]) => seq)).toEqual([a[0], a[1], free]);
      expect(why(queue, a[9]!)).toMatchObject({ runnable: false, position: 7 });
      expect(why(queue, b[9]!)).toMatchObject({ runnable: false, position: 9 });
    },
  },
  {
    name: "a job that is due and has not been promoted has its place",
    run(queue) {
      queue.add({}, 3);
      const [due] = queue.add({ delayMs: 10 });
      queue.now += 20;
      queue.add({}, 3);
      expect(why(queue, due!)).toMatchObject({ runnable: true, position: 3 });
      expect(queue.claim("s")[3]![0]).toBe(due);
    },
  },
  {
    name: "in a very long line: exact near both ends, a lower bound and no estimate between",
    run(queue) {
      const [first] = queue.add();
      flood(queue, first!, 150_000);
      queue.now += 2_000;
      const [last] = queue.add();
      expect(why(queue, first! + 20_000).position).toBe(20_000);
      expect(why(queue, last!).position).toBe(150_001);
      expect(why(queue, first! + 149_000).position).toBe(149_000);
      const { position, etaMs } = why(queue, first! + 75_000);
      expect(position).toBeGreaterThanOrEqual(30_000);
      expect(position).toBeLessThanOrEqual(75_000);
      expect(etaMs).toBeNull();
    },
  },
  {
    name: "at steady load nine estimates in ten are within a factor of two",
    run(queue) {
      const random = new Random(7);
      set(queue, { concurrency: 4 });
      queue.add({}, 1_000);
      expect(why(queue, 100).etaMs).toBeNull();
      work(queue, random, 2 * MINUTE, () => {});
      const asked = new Map<number, { at: number; etaMs: number }>();
      for (let seq = 260; seq <= 900; seq += 10) asked.set(seq, { at: queue.now, etaMs: why(queue, seq).etaMs! });
      const ratios: number[] = [];
      work(queue, random, 8 * MINUTE, (seq) => {
        const told = asked.get(seq);
        if (told) ratios.push((queue.now - told.at) / told.etaMs);
      });
      expect(ratios.length).toBeGreaterThan(50);
      const near = ratios.filter((ratio) => ratio > 0.5 && ratio < 2);
      expect(near.length / ratios.length).toBeGreaterThanOrEqual(0.9);
    },
  },
  {
    name: "a slow key's jobs are told its own pace, not that of the queue",
    run(queue) {
      set(queue, { limits: { tenant: { values: { slow: { concurrency: 1 } } } } });
      const slow = queue.add({ keys: { tenant: "slow" } }, 30);
      const start = queue.now;
      let held = queue.claim("slow", 1);
      while (queue.now < start + 4 * MINUTE) {
        queue.add({}, 10);
        for (const job of queue.claim("fast")) queue.turn("fast", { settle: [done(job)] });
        queue.now += 20_000;
        held = queue.claim("slow", 1, { settle: [done(held[0]!)] });
      }
      const { position, etaMs, gates } = why(queue, slow[22]!);
      expect(gates.map(({ gate }) => gate)).toEqual(["concurrency"]);
      expect(position).toBe(9);
      expect(etaMs! / (10 * 20_000)).toBeGreaterThan(0.8);
      expect(etaMs! / (10 * 20_000)).toBeLessThan(1.25);
    },
  },
  {
    name: "until its own gate opens the others before it have gone: the pace of the queue does not count",
    run(queue) {
      queue.add({}, 10);
      for (let i = 0; i < 3; i++) {
        queue.turn("s", { settle: [done(queue.claim("s", 1)[0]!)] });
        queue.now += 10_000;
      }
      const [seq] = queue.add({ keys: { tenant: "a" } });
      expect(why(queue, seq!)).toMatchObject({ position: 7, etaMs: 105_000 });
      queue.write((tx) => pauseKey(tx, "tenant", "a", MINUTE, null));
      expect(why(queue, seq!)).toMatchObject({ position: 7, etaMs: MINUTE });
    },
  },
  {
    name: "what started more than five minutes ago says nothing any more",
    run(queue) {
      set(queue, { concurrency: 2 });
      const jobs = queue.add({}, 14);
      for (let i = 0; i < 3; i++) {
        queue.turn("s", { settle: queue.claim("s", 2).map(done) });
        queue.now += 10_000;
      }
      const held = queue.claim("s", 2);
      expect(why(queue, jobs[13]!)).toMatchObject({ position: 5, etaMs: 30_000 });
      queue.now += 5 * MINUTE;
      expect(queue.turn("s", { holding: held }).lost).toEqual([]);
      expect(why(queue, jobs[13]!).etaMs).toBeNull();
    },
  },
];

function finished(queue: TestQueue, seq: number): boolean {
  return queue.job(seq).finishedAt !== null;
}
