import { expect } from "vitest";
import type { WireOutcome } from "../../client/wire.ts";
import { declineDelayMs, retryDelayMs } from "../../durable-objects/engine/backoff.ts";
import { cancel } from "../../durable-objects/engine/operate.ts";
import { type Case, ERROR } from "./queue.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export const SETTLE: Case[] = [
  {
    name: "completed: the row leaves the table, the outbox has all of it",
    run(queue) {
      const [seq] = queue.add({ tags: ["t"] });
      queue.now += 5;
      queue.run({ outcome: "completed", result: '{"sent":"ü"}' }, "s");
      expect(queue.rows("SELECT * FROM jobs")).toEqual([]);
      expect(queue.rows("SELECT * FROM sessions")).toEqual([]);
      const record = queue.outbox()[0]!;
      expect(record).toEqual(queue.job(seq!));
      expect(record).toMatchObject({
        state: "completed",
        reason: null,
        fence: 2,
        result: '{"sent":"ü"}',
        payload: '{"to":"ü€😀"}',
        startedAt: queue.now,
        finishedAt: queue.now,
      });
      expect(JSON.parse(record.attempts!)).toEqual([[1, 1, queue.now, queue.now, "completed", "worker of s", null]]);
    },
  },
  {
    name: "failed: scheduled by the policy, then dead when tries are out, with every attempt noted",
    run(queue) {
      const [seq] = queue.add();
      for (const failures of [1, 2]) {
        queue.run({ outcome: "failed", error: ERROR });
        expect(queue.job(seq!)).toMatchObject({
          state: "scheduled",
          reason: "retrying",
          failures,
          runAt: queue.now + MINUTE,
        });
        queue.pass(MINUTE);
        expect(queue.job(seq!).state).toBe("ready");
      }
      queue.run({ outcome: "failed", error: ERROR });
      const job = queue.job(seq!);
      expect(job).toMatchObject({ state: "dead", reason: "exhausted", failures: 3, fence: 4 });
      expect(JSON.parse(job.error!)).toEqual({ ...ERROR, fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) });
      expect(JSON.parse(job.attempts!).map((attempt: unknown[]) => [attempt[0], attempt[1], attempt[4]])).toEqual([
        [1, 1, "failed"],
        [2, 2, "failed"],
        [3, 3, "failed"],
      ]);
    },
  },
  {
    name: "failed with a delay of its own: it goes before the policy, and is bounded",
    run(queue) {
      const [seq] = queue.add();
      queue.run({ outcome: "failed", error: ERROR, retryInMs: 1_234.4 });
      expect(queue.job(seq!).runAt).toBe(queue.now + 1_234);
      queue.pass(1_234);
      queue.run({ outcome: "failed", error: ERROR, retryInMs: Number.MAX_VALUE });
      expect(queue.job(seq!).runAt).toBe(queue.now + 366 * 24 * HOUR);
    },
  },
  {
    name: "dead, cancelled: over at once",
    run(queue) {
      queue.add({}, 2);
      const dead = queue.run({ outcome: "dead", error: ERROR });
      expect(queue.job(dead.seq)).toMatchObject({ state: "dead", reason: "non_retryable", failures: 1 });
      const cancelled = queue.run({ outcome: "cancelled", reason: "not wanted" });
      const job = queue.job(cancelled.seq);
      expect(job).toMatchObject({ state: "cancelled", reason: "cancelled_by_user", failures: 0 });
      expect(JSON.parse(job.error!)).toMatchObject({ message: "not wanted" });
    },
  },
  {
    name: "snoozed, released: no failure; a released job keeps its place",
    run(queue) {
      const [first] = queue.add();
      queue.now += 10;
      const [second] = queue.add();
      queue.run({ outcome: "released" });
      expect(queue.job(first!)).toMatchObject({ state: "ready", reason: "released", failures: 0, fence: 1 });
      expect(queue.claim("next", 1)).toEqual([[first, 2]]);
      queue.run({ outcome: "snoozed", forMs: 7_000 });
      expect(queue.job(second!)).toMatchObject({ state: "scheduled", reason: "snoozed", runAt: queue.now + 7_000 });
      expect(queue.job(second!).failures).toBe(0);
    },
  },
  {
    name: "declined: waits from a minute to an hour, and is dead after a day without a taker",
    run(queue) {
      const [seq] = queue.add();
      const waits: number[] = [];
      const start = queue.now;
      while (queue.job(seq!).state !== "dead") {
        queue.run({ outcome: "declined", code: "unknown_task" });
        const job = queue.job(seq!);
        if (job.state === "dead") break;
        expect(job).toMatchObject({ state: "scheduled", reason: "declined", failures: 0 });
        waits.push((job.runAt - queue.now) / MINUTE);
        queue.pass(job.runAt - queue.now);
      }
      expect(waits.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
      expect(queue.now - start).toBeGreaterThanOrEqual(24 * HOUR);
      expect(queue.job(seq!)).toMatchObject({ state: "dead", reason: "unknown_task" });
      expect(JSON.parse(queue.job(seq!).attempts!)).toHaveLength(20);
    },
  },
  {
    name: "cancelled while it runs: told at the next exchange, and never tried again unless it completes",
    run(queue) {
      const outcomes: Omit<WireOutcome, "seq" | "fence">[] = [
        { outcome: "failed", error: ERROR },
        { outcome: "snoozed", forMs: 1 },
        { outcome: "released" },
        { outcome: "declined", code: "x" },
        { outcome: "dead", error: ERROR },
        { outcome: "cancelled" },
        { outcome: "completed" },
      ];
      queue.add({}, outcomes.length);
      const held = queue.claim("s");
      for (const [seq] of held) queue.write((tx) => cancel(tx, seq));
      queue.restart();
      const { cancel: told } = queue.turn("s", { holding: held });
      expect(told).toEqual(held.map(([seq]) => seq));
      queue.turn("s", { settle: held.map(([seq, fence], index) => ({ seq, fence, ...outcomes[index]! })) });
      const states = held.map(([seq]) => queue.job(seq).state);
      expect(states).toEqual([...Array(6).fill("cancelled"), "completed"]);
    },
  },
  {
    name: "a result that is too large is dropped, and the job says so",
    run(queue) {
      const [seq] = queue.add();
      queue.run({ outcome: "completed", result: JSON.stringify("€".repeat(400_000)) });
      expect(queue.job(seq!)).toMatchObject({ state: "completed", reason: "result_too_large", result: null });
    },
  },
  {
    name: "a thousand failures with long stacks at once stay within what a value may hold",
    run(queue) {
      queue.add({}, 500);
      const held = queue.claim("s");
      const error = { name: "E".repeat(1_000), message: "m€".repeat(9_000), stack: "at x\n".repeat(9_000) };
      const settle = held.map(
        ([seq, fence]): WireOutcome => ({ seq, fence, outcome: seq % 2 ? "failed" : "dead", error }),
      );
      expect(queue.turn("s", { settle }).refused).toEqual([]);
      const kept = JSON.parse(queue.job(1).error!);
      expect([kept.name.length, kept.message.length, kept.stack.length]).toEqual([256, 4_096, 16_384]);
      const [largest] = queue.rows("SELECT max(octet_length(body)) AS bytes FROM outbox");
      expect(Number(largest!.bytes)).toBeLessThan(1_900_000);
    },
  },
  {
    name: "records that are all quotes and backslashes stay within what a value may hold",
    run(queue) {
      const quotes = (count: number) => JSON.stringify('"'.repeat(count / 2 - 1));
      queue.add({}, 8, { jobs: Array.from({ length: 8 }, () => [0, quotes(128 * 1024)]) });
      const done = queue.claim("s").map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const }));
      queue.turn("s", { settle: done });
      queue.add({}, 500);
      const error = { name: "E", message: '"'.repeat(500), stack: null };
      const dead = queue.claim("s").map(([seq, fence]) => ({ seq, fence, outcome: "dead" as const, error }));
      queue.turn("s", { settle: dead });
      const [small, large] = queue.add({}, 2);
      queue.run({ outcome: "completed", result: quotes(400 * 1024) });
      queue.run({ outcome: "completed", result: quotes(500 * 1024) });
      expect([queue.job(small!).reason, queue.job(large!).reason]).toEqual([null, "result_too_large"]);
      const [largest] = queue.rows("SELECT max(octet_length(body)) AS bytes FROM outbox");
      expect(Number(largest!.bytes)).toBeLessThan(1_900_000);
    },
  },
  {
    name: "the table of delays: default, exponential with a bound, fixed, and jitter that only adds",
    run() {
      const delays = (policy: Parameters<typeof retryDelayMs>[0], random: number) =>
        [1, 2, 3, 12, 2_000].map((failures) => retryDelayMs(policy, failures, () => random));
      expect(delays(null, 0)).toEqual([MINUTE, 2 * MINUTE, 4 * MINUTE, 6 * HOUR, 6 * HOUR]);
      expect(delays(null, 1)).toEqual([66_000, 132_000, 264_000, 6.6 * HOUR, 6.6 * HOUR]);
      const exponential = { type: "exponential", base: "10s", max: "1m", jitter: 0 } as const;
      expect(delays(exponential, 1)).toEqual([10_000, 20_000, 40_000, MINUTE, MINUTE]);
      expect(delays({ type: "fixed", delay: "7s", jitter: 1 }, 0.5)).toEqual(Array(5).fill(10_500));
      expect([1, 2, 6, 7, 99].map(declineDelayMs)).toEqual([MINUTE, 2 * MINUTE, 32 * MINUTE, HOUR, HOUR]);
    },
  },
];
