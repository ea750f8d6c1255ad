import { expect } from "vitest";
import type { SettingsPatch } from "../../client/wire.ts";
import { pauseKey } from "../../durable-objects/engine/keys.ts";
import { claimed, iso, names, only, opens, why } from "./explain-queue.ts";
import { type Case, done, set } from "./queue.ts";

/** Gates of limits, keys and workers. */
export const EXPLAIN_LIMITS: Case[] = [
  ...(
    [
      ["the queue", { concurrency: 2 }],
      ['task "mail"', { tasks: { mail: { concurrency: 2 } } }],
      ['key tenant "a"', { limits: { tenant: { concurrency: 2 } } }],
    ] as [string, SettingsPatch][]
  ).map(
    ([owner, patch]): Case => ({
      name: `concurrency of ${owner}: how many run, and it opens when one ends`,
      run(queue) {
        set(queue, patch);
        const [, , seq] = queue.add({ keys: { tenant: "a" } }, 3);
        const [held] = queue.claim("s", 1);
        expect(why(queue, seq!)).toMatchObject({ runnable: true, position: 1 });
        queue.now += 10;
        queue.claim("t", 1);
        const gate = only(queue, seq!);
        expect(gate).toMatchObject({ gate: "concurrency", since: queue.now, until: null });
        expect(gate.detail).toBe(`2 jobs of ${owner} run, and its concurrency is 2: one has to end first.`);
        queue.turn("s", { settle: [done(held!)] });
        expect(why(queue, seq!)).toMatchObject({ runnable: true, position: 0 });
        expect(claimed(queue)).toEqual([seq]);
      },
    }),
  ),
  ...(
    [
      ["The queue", { rateLimit: { limit: 2, perMs: 10_000, burst: 2 } }],
      ['Task "mail"', { tasks: { mail: { rateLimit: { limit: 2, perMs: 10_000, burst: 2 } } } }],
      ['Key tenant "a"', { limits: { tenant: { rateLimit: { limit: 2, perMs: 10_000, burst: 2 } } } }],
    ] as [string, SettingsPatch][]
  ).map(
    ([owner, patch]): Case => ({
      name: `rate of ${owner}: what is left, and given at the instant that it names`,
      run(queue) {
        set(queue, patch);
        const [, , seq] = queue.add({ keys: { tenant: "a" } }, 3);
        expect(claimed(queue)).toHaveLength(2);
        const until = queue.now + 5_000;
        const gate = opens(queue, seq!);
        expect(gate).toMatchObject({ gate: "rate", until });
        expect(gate.detail).toBe(
          `${owner} may start 2 in 10 s, with a burst of 2: 0 are left, and this job takes 1. The next can start at ${iso(until)}.`,
        );
      },
    }),
  ),
  {
    name: "rate: tokens that are kept for a dearer job keep the cheap ones out too, and it says so",
    run(queue) {
      set(queue, { limits: { vendor: { rateLimit: { limit: 1, perMs: 1_000, burst: 4 } } } });
      const vendor = { keys: { vendor: "x" } };
      queue.add(vendor, 2);
      claimed(queue);
      const [dear] = queue.add({ ...vendor, cost: { vendor: 4 } });
      const [cheap] = queue.add(vendor);
      expect(claimed(queue)).toEqual([]);
      const gate = only(queue, cheap!);
      expect(gate).toMatchObject({ gate: "rate", until: queue.now + 2_000 });
      expect(gate.detail).toContain("2 are left, and this job takes 1. What is left is kept for a job before it");
      expect(why(queue, cheap!).etaMs).toBe(3_000);
      expect(opens(queue, dear!).detail).toContain("2 are left, and this job takes 4. The next can start");
      expect(opens(queue, cheap!).until).toBe(queue.now);
    },
  },
  {
    name: "rate: with jobs before it, the estimate is when their tokens and its own have come",
    run(queue) {
      set(queue, { rateLimit: { limit: 1, perMs: 1_000, burst: 3 } });
      const jobs = queue.add({}, 20);
      expect(why(queue, jobs[9]!)).toMatchObject({ runnable: true, position: 9, etaMs: null });
      claimed(queue, 1);
      const start = queue.now;
      const told = new Map(jobs.slice(1).map((seq) => [seq, start + why(queue, seq).etaMs!]));
      while (told.size > 0) {
        for (const seq of claimed(queue)) {
          expect(Math.abs(queue.now - told.get(seq)!)).toBeLessThanOrEqual(1_000);
          told.delete(seq);
        }
        queue.now += 250;
      }
    },
  },
  {
    name: "key_paused: why, since when, until when, and given then",
    run(queue) {
      const [seq] = queue.add({ keys: { vendor: "x" } });
      const [other] = queue.add({ keys: { vendor: "y" } });
      const since = queue.now;
      queue.write((tx) => pauseKey(tx, "vendor", "x", 60_000, "their API is down"));
      queue.now += 100;
      expect(why(queue, other!)).toMatchObject({ runnable: true, position: 0 });
      expect(opens(queue, seq!)).toEqual({
        gate: "key_paused",
        detail: `Key vendor "x" is closed until ${iso(since + 60_000)}: their API is down.`,
        since,
        until: since + 60_000,
      });
      const [slow] = queue.add({ keys: { vendor: "z" } });
      queue.claim("s");
      const told = { outcome: "snoozed" as const, forMs: 9_000, rateLimited: { kind: "vendor", forMs: 9_000 } };
      queue.turn("s", { settle: [{ seq: slow!, fence: 1, ...told }] });
      const details = why(queue, slow!).gates.map(({ detail }) => detail);
      expect(details).toContain(
        `Key vendor "z" is closed until ${iso(queue.now + 9_000)}: a handler called ctx.rateLimited.`,
      );
    },
  },
  {
    name: "sessions: no further one may come, and none that is here has room",
    run(queue) {
      set(queue, { maxSessions: 2, slots: 2 });
      const jobs = queue.add({}, 5);
      const a = queue.claim("a", 2);
      queue.claim("b", 1);
      expect(why(queue, jobs[4]!)).toMatchObject({ runnable: true, position: 1 });
      queue.claim("b", 1, { holding: [[jobs[2]!, 1]] });
      const gate = only(queue, jobs[4]!);
      expect(gate).toMatchObject({ gate: "sessions", since: null, until: null });
      expect(gate.detail).toContain("2 sessions are open, the queue may have 2 (maxSessions)");
      expect(queue.claim("a", 1, { settle: [done(a[0]!)], holding: [a[1]!] })).toEqual([[jobs[4], 1]]);
    },
  },
  {
    name: "suspect: each open session has one already, and the next may have it",
    run(queue) {
      const jobs = queue.add({}, 2);
      queue.claim("gone");
      queue.pass(30_000);
      expect(why(queue, jobs[1]!)).toMatchObject({ runnable: true, gates: [], position: 1 });
      expect(queue.claim("a")).toEqual([[jobs[0], 2]]);
      const { runnable, gates, etaMs } = why(queue, jobs[1]!);
      expect([runnable, gates.map(({ gate }) => gate), etaMs]).toEqual([false, ["suspect"], null]);
      expect(queue.claim("a", 9, { holding: [[jobs[0]!, 2]] })).toEqual([]);
      queue.turn("a", { settle: [{ seq: jobs[0]!, fence: 2, outcome: "completed" }] });
      expect(why(queue, jobs[1]!).runnable).toBe(true);
      expect(claimed(queue)).toEqual([jobs[1]]);
    },
  },
  {
    name: "no_worker: tickets that nobody follows; one that comes and knows the task opens it, another does not",
    run(queue) {
      const [seq] = queue.add();
      const since = queue.now;
      queue.pass(5_000);
      queue.pass(24_999);
      expect(why(queue, seq!).runnable).toBe(true);
      queue.pass(1);
      const { gates, etaMs } = why(queue, seq!);
      expect(gates).toMatchObject([{ gate: "no_worker", since, until: null }]);
      expect(etaMs).toBeNull();
      expect(gates[0]!.detail).toContain('No worker comes that could run task "mail"; none was here lately.');
      expect(gates[0]!.detail).toMatch(new RegExp(`[2-9] tickets were sent for short work since ${iso(since)}`));
      const worker = (...tasks: string[]) => ({ worker: { name: "w", runtime: "test", tasks } });
      expect(queue.claim("other", 9, worker("report"))).toEqual([]);
      expect(names(queue, seq!)).toEqual(["no_worker"]);
      queue.turn("able", worker("mail"));
      expect(why(queue, seq!).runnable).toBe(true);
      const seenAt = queue.now;
      queue.now += 30_000;
      expect(why(queue, seq!).gates[0]!.detail).toContain(`the last one was here at ${iso(seenAt)}`);
      expect(queue.claim("back", 9, worker("mail"))).toHaveLength(1);
      expect(names(queue, queue.add()[0]!)).toEqual([]);
    },
  },
  {
    name: "no_worker: the two kinds of tickets are told apart, and a session that follows one answers all of its kind",
    run(queue) {
      const [short] = queue.add();
      const [long] = queue.add({ task: "video", timeoutMs: 60_000 });
      queue.pass(30_000);
      expect(names(queue, long!)).toEqual(["no_worker"]);
      queue.turn("s", { channel: "short" });
      const since = queue.now;
      expect(names(queue, short!)).toEqual([]);
      expect(names(queue, long!)).toEqual(["no_worker"]);
      queue.turn("l", { channel: "long" });
      expect(names(queue, long!)).toEqual([]);
      queue.pass(30_000);
      expect(why(queue, short!).gates).toMatchObject([{ gate: "no_worker", since }]);
    },
  },
];
