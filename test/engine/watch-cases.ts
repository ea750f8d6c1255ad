import { expect } from "vitest";
import type { QueueEvent } from "../../client/types.ts";
import { bulkHere } from "../../durable-objects/engine/bulk.ts";
import * as operate from "../../durable-objects/engine/operate.ts";
import { nextDue } from "../../durable-objects/engine/wake.ts";
import { type Case, ERROR, type TestQueue } from "./queue.ts";

/** Watches jobs, and answers with what is told of each after a change. */
function watch(queue: TestQueue, ...seqs: number[]) {
  for (const seq of seqs) queue.watched.jobs.set(seq, 1);
  return (seq: number) => queue.effects.changes?.jobs.get(seq);
}

/** What those who watch the queue are told after a change, in short. */
function told(queue: TestQueue): string[] {
  return (queue.effects.changes?.queue ?? []).map(({ event }) => inShort(event));
}

function inShort(event: QueueEvent): string {
  if (event.event === "counts") return `counts${event.paused ? " paused" : ""}`;
  if (event.event === "gap") return `gap ${event.reason}`;
  const seq = event.id.split(":")[2];
  if (event.event === "state" || event.event === "result") return `${seq} ${event.event} ${event.state}`;
  return event.event === "log" ? `${seq} log ${event.n}` : `${seq} progress ${event.percent}`;
}

const lines = (count: number) => Array(count).fill([1, "info", "line", null]);

export const WATCH: Case[] = [
  {
    name: "nobody is told where nobody watches, and nothing is asked for it",
    run(queue) {
      const life = (): string[] =>
        queue.statements(() => {
          queue.add({}, 2);
          queue.run({ outcome: "completed" });
          queue.run({ outcome: "failed", error: ERROR });
          expect(queue.effects.changes).toBeNull();
        });
      life();
      const unwatched = life();
      watch(queue, 999);
      expect(life()).toEqual(unwatched);
    },
  },
  {
    name: "a watched job is told of at every transition, and others are not",
    run(queue) {
      const [seq] = queue.add({ delayMs: 1_000, maxAttempts: 9 }, 2) as [number];
      const of = watch(queue, seq);
      const states: unknown[] = [];
      const see = (): void => void states.push(of(seq) && `${of(seq)!.state} ${of(seq)!.fence} ${of(seq)!.attempt}`);
      queue.pass(1_000);
      see();
      queue.claim("s", 2);
      see();
      queue.turn("s", {
        holding: [
          [seq, 1],
          [seq + 1, 1],
        ],
        progress: [{ seq, fence: 1, progress: { percent: 5, note: null } }],
      });
      expect(of(seq)).toMatchObject({ progress: '{"percent":5,"note":null}', state: "running" });
      queue.turn("s", {
        holding: [
          [seq, 1],
          [seq + 1, 1],
        ],
        logs: [{ seq, fence: 1, lines: lines(2) }],
      });
      expect(of(seq)!.logs).toMatch(/^\[2,/);
      queue.turn("s", {
        holding: [[seq + 1, 1]],
        settle: [{ seq, fence: 1, outcome: "failed", error: ERROR, retryInMs: 60_000 }],
      });
      see();
      queue.write((tx) => operate.retry(tx, seq));
      see();
      queue.claim("s", 2, { holding: [[seq + 1, 1]] });
      queue.turn("s", { holding: [[seq + 1, 1]], settle: [{ seq, fence: 2, outcome: "completed", result: "7" }] });
      see();
      expect(of(seq)).toMatchObject({ result: "7" });
      queue.write((tx) => operate.retry(tx, seq));
      see();
      queue.write((tx) => operate.cancel(tx, seq));
      see();
      queue.write((tx) => operate.retry(tx, seq));
      queue.write((tx) => operate.remove(tx, seq, null));
      expect(of(seq)).toBeNull();
      expect(states).toEqual([
        ...["ready 0 1", "running 1 1", "scheduled 1 2", "ready 1 2", "completed 3 2", "ready 4 1"],
        ...["cancelled 5 1"],
      ]);
      queue.turn("s", { settle: [{ seq: seq + 1, fence: 1, outcome: "completed" }] });
      expect(queue.effects.changes).toBeNull();
    },
  },
  {
    name: "jobs that lapse, expire, are let go on, replaced, or go many at once are told of",
    run(queue) {
      const [a] = queue.add({ orderingKey: "k" }) as [number];
      const [b] = queue.add({ orderingKey: "k", expiresInMs: 300_000 }) as [number];
      const unique = { key: "u", states: ["waiting" as const], ttlMs: null, waitMs: null, maxWaitMs: null };
      const replaced = { priority: -9, unique: { ...unique, onConflict: "replace" as const } };
      const [c] = queue.add(replaced) as [number];
      const of = watch(queue, a, b, c);
      queue.add({ ...replaced, delayMs: 5_000 });
      expect(of(c)).toMatchObject({ state: "scheduled" });
      queue.claim("s", 1);
      queue.pass(30_000);
      expect(of(a)).toMatchObject({ state: "ready", reason: "retrying", attempt: 1 });
      queue.claim("t", 1);
      queue.turn("t", { settle: [{ seq: a, fence: 2, outcome: "completed" }] });
      expect(of(b)).toMatchObject({ state: "ready" });
      queue.pass(400_000);
      expect(of(b)).toMatchObject({ state: "cancelled", reason: "expired" });
      const all = { jobs: [[c, 0] as [number, number]], states: null, runAt: null, priority: null };
      queue.write((tx) => bulkHere(tx, { ...all, action: "delete" }));
      expect(of(c)).toBeNull();
    },
  },
  {
    name: "a queue's stream tells of all its jobs, in events of that transaction alone",
    run(queue) {
      queue.watched.queue = 1;
      queue.add({}, 2);
      expect(told(queue)).toEqual(["1 state ready", "2 state ready", "counts"]);
      queue.now += 1_000;
      const holding = queue.claim("s", 2);
      expect(told(queue)).toEqual(["1 state running", "2 state running", "counts"]);
      queue.turn("s", { holding, logs: [{ seq: 1, fence: 1, lines: lines(2) }] });
      queue.turn("s", {
        holding,
        logs: [{ seq: 1, fence: 1, lines: lines(1) }],
        progress: [{ seq: 2, fence: 1, progress: { percent: 9, note: null } }],
      });
      expect(told(queue)).toEqual(["1 log 3", "2 progress 9"]);
      queue.turn("s", { settle: holding.map(([seq, fence]) => ({ seq, fence, outcome: "completed" })) });
      expect(told(queue)).toEqual([
        "1 state completed",
        "1 result completed",
        "2 state completed",
        "2 result completed",
      ]);
    },
  },
  {
    name: "counts are told once a second at most, and the last ones by an alarm",
    run(queue) {
      queue.watched.queue = 1;
      queue.add();
      const first = queue.now;
      queue.now += 400;
      queue.write((tx) => operate.pause(tx, null));
      expect(told(queue)).toEqual([]);
      expect(queue.effects.wakeAt).toBeLessThanOrEqual(first + 1_000);
      expect(queue.read(nextDue)).toBe(first + 1_000);
      queue.pass(600);
      expect(told(queue)).toEqual(["counts paused"]);
      queue.pass(5_000);
      expect(queue.effects.changes).toBeNull();
      queue.restart();
      expect(queue.read(nextDue)).toBe(Number.POSITIVE_INFINITY);
    },
  },
  {
    name: "counts that are owed wake nobody once the last who watches the queue has gone",
    run(queue) {
      queue.watched.queue = 1;
      queue.add();
      queue.now += 400;
      queue.write((tx) => operate.pause(tx, null));
      queue.watched.queue = 0;
      expect(queue.read(nextDue)).toBe(Number.POSITIVE_INFINITY);
      queue.pass(600);
      expect(queue.effects.wakeAt).toBeNull();
      watch(queue, 1);
      queue.pass(5_000);
      expect(queue.effects.wakeAt).toBeNull();
    },
  },
  {
    name: "more than a hundred jobs at once, a thousand events or 256 KiB a second, are a gap",
    run(queue) {
      queue.watched.queue = 1;
      queue.add({}, 500);
      expect([told(queue).length, told(queue).at(-2)]).toEqual([102, "gap overflow"]);
      for (let n = 0; n < 20; n++) queue.add({}, 100);
      expect(queue.effects.changes).toBeNull();
      queue.now += 1_000;
      queue.add({}, 3);
      expect(told(queue)).toHaveLength(4);
      queue.now += 1_000;
      const held = queue.claim("s", 3);
      const result = JSON.stringify("x".repeat(100_000));
      queue.turn("s", { settle: held.map(([seq, fence]) => ({ seq, fence, outcome: "completed", result })) });
      expect(told(queue)).toEqual([
        ...["1 state completed", "1 result completed", "2 state completed", "2 result completed", "gap overflow"],
      ]);
    },
  },
  {
    name: "with many who watch, each is told less: what is sent in a second is bounded",
    run(queue) {
      const states = (): number => told(queue).filter((event) => event.includes("state")).length;
      for (const [watchers, most] of [
        [10, 100],
        [40, 100],
        [1_000, 8],
        [30_000, 0],
      ] as const) {
        queue.now += 1_000;
        queue.watched.queue = watchers;
        queue.add({}, 200);
        expect([watchers, states(), told(queue).includes("gap overflow")]).toEqual([watchers, most, true]);
      }
    },
  },
  {
    name: "a transaction that fails tells nobody",
    run(queue) {
      watch(queue, 1);
      queue.watched.queue = 1;
      queue.add();
      expect(() =>
        queue.write((tx) => {
          operate.cancel(tx, 1);
          throw new Error("on purpose");
        }),
      ).toThrow("on purpose");
      queue.now += 1_000;
      queue.write(() => {});
      expect(queue.effects.changes).toBeNull();
      expect(queue.job(1).state).toBe("ready");
    },
  },
];
