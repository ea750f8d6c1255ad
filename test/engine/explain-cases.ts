import { expect } from "vitest";
import type { WireOutcome } from "../../client/wire.ts";
import { explain } from "../../durable-objects/engine/explain.ts";
import { pauseKey } from "../../durable-objects/engine/keys.ts";
import { cancel, pause, resume, retry } from "../../durable-objects/engine/operate.ts";
import { EXPLAIN_LIMITS } from "./explain-limit-cases.ts";
import { claimed, iso, names, only, opens, why } from "./explain-queue.ts";
import { type Case, done, ERROR, set } from "./queue.ts";

/** How an attempt ends after which the job waits for its time. */
const RETRIES: [name: string, outcome: Omit<WireOutcome, "seq" | "fence">, waitMs: number, detail: string][] = [
  ["failed", { outcome: "failed", error: ERROR }, 60_000, "It failed once. It is due again"],
  ["snoozed", { outcome: "snoozed", forMs: 5_000 }, 5_000, "Its handler put it off."],
  ["declined", { outcome: "declined", code: "unknown_task" }, 60_000, "The worker that got it does not know its task."],
];

export const EXPLAIN: Case[] = [
  {
    name: "a job that it does not have: nothing; one that has ended: final, until somebody retries it",
    run(queue) {
      queue.add({}, 2);
      expect(queue.read((tx) => explain(tx, 99))).toBeNull();
      queue.now += 5;
      const { seq } = queue.run({ outcome: "dead", error: ERROR });
      queue.now += 5;
      expect(why(queue, seq)).toEqual({
        runnable: false,
        gates: [
          {
            gate: "final",
            detail: "The job is dead (non_retryable): it starts again only when somebody retries it.",
            since: queue.now - 5,
            until: null,
          },
        ],
        position: null,
        etaMs: null,
      });
      queue.write((tx) => retry(tx, seq));
      expect(why(queue, seq)).toMatchObject({ runnable: true, position: 1 });
    },
  },
  {
    name: "running: which attempt, where, since when, whether it is asked to stop, and when nobody hears of it",
    run(queue) {
      const [seq] = queue.add();
      queue.claim("s");
      const { gates, ...rest } = why(queue, seq!);
      expect(rest).toEqual({ runnable: false, position: null, etaMs: null });
      expect(gates).toMatchObject([{ gate: "running", since: queue.now, until: null }]);
      expect(gates[0]!.detail).toBe(
        `Attempt 1 runs since ${iso(queue.now)} at worker "worker of s", in session s, which is alive until ${iso(queue.now + 30_000)}.`,
      );
      queue.write((tx) => cancel(tx, seq!));
      expect(why(queue, seq!).gates[0]!.detail).toContain("asked to stop");
      queue.now += 30_000;
      expect(why(queue, seq!).gates[0]!.detail).toContain("has been silent, and loses the job");
    },
  },
  {
    name: "schedule: due at an instant, and given then",
    run(queue) {
      const [seq] = queue.add({ delayMs: 90_000 });
      expect(why(queue, seq!).position).toBeNull();
      const since = queue.now;
      expect(opens(queue, seq!)).toMatchObject({ gate: "schedule", since, until: since + 90_000 });
    },
  },
  {
    name: "schedule: it says that the job ends before, and then nobody knows when it starts",
    run(queue) {
      const [seq] = queue.add({ delayMs: 90_000, expiresInMs: 60_000 });
      expect(only(queue, seq!).detail).toContain(`It ends cancelled at ${iso(queue.now + 60_000)}`);
      expect(why(queue, seq!).etaMs).toBeNull();
    },
  },
  ...RETRIES.map(
    ([name, outcome, waitMs, detail]): Case => ({
      name: `retry: ${name}, due again at an instant, and given then`,
      run(queue) {
        queue.add();
        queue.now += 1_000;
        const { seq } = queue.run(outcome);
        const since = queue.now;
        queue.now += 100;
        const gate = opens(queue, seq);
        expect(gate).toMatchObject({ gate: "retry", since, until: since + waitMs });
        expect(gate.detail).toContain(detail);
      },
    }),
  ),
  {
    name: "retry: workers that went silent are counted apart",
    run(queue) {
      const [seq] = queue.add();
      for (const session of ["a", "b"]) {
        expect(queue.claim(session)).toHaveLength(1);
        queue.pass(30_000);
      }
      const gate = opens(queue, seq!);
      expect(gate.gate).toBe("retry");
      expect(gate.detail).toContain("It was held 2 times by a worker that went silent.");
    },
  },
  {
    name: "ordering: how many are before it, and what the first of them does",
    run(queue) {
      const [first, second, third] = queue.add({ orderingKey: "k" }, 3);
      queue.claim("s", 1);
      const gate = only(queue, third!);
      expect(gate).toMatchObject({ gate: "ordering", since: queue.now, until: null });
      expect(gate.detail).toBe(
        `2 jobs of ordering key "k" must end first; the first is job ${first}, which is running.`,
      );
      expect(why(queue, third!)).toMatchObject({ position: null, etaMs: null });
      expect(queue.read((tx) => explain(tx, second!, (seq) => `mail:0:${seq}`))!.gates[0]!.detail).toBe(
        `One job of ordering key "k" must end first; the first is mail:0:${first}, which is running.`,
      );
      const failed = { seq: first!, fence: 1, outcome: "failed" as const, error: ERROR };
      queue.turn("s", { settle: [failed] });
      expect(why(queue, second!).gates[0]!.detail).toContain(`which is scheduled for ${iso(queue.now + 60_000)}`);
      queue.write((tx) => cancel(tx, first!));
      expect(why(queue, second!).runnable).toBe(true);
      expect(claimed(queue)).toEqual([second]);
    },
  },
  {
    name: "paused: why, since when, and nobody knows until when",
    run(queue) {
      const [seq] = queue.add();
      const [later] = queue.add({ delayMs: 1_000 });
      queue.write((tx) => pause(tx, "maintenance"));
      expect(only(queue, seq!)).toEqual({
        gate: "paused",
        detail: "The queue is paused: maintenance. Resuming it opens it.",
        since: queue.now,
        until: null,
      });
      expect(why(queue, seq!)).toMatchObject({ position: 0, etaMs: null });
      expect(names(queue, later!)).toEqual(["schedule", "paused"]);
      expect(why(queue, later!).etaMs).toBeNull();
      queue.write(resume);
      expect(why(queue, seq!).runnable).toBe(true);
    },
  },
  ...EXPLAIN_LIMITS,
  {
    name: "deadline: once it is over the job only waits to be ended",
    run(queue) {
      const [expiring] = queue.add({ expiresInMs: 1_000 });
      const [bound] = queue.add({ delayMs: 500, deadlineMs: 1_000 });
      expect(names(queue, expiring!)).toEqual([]);
      queue.now += 1_000;
      for (const seq of [expiring!, bound!]) {
        expect(why(queue, seq)).toMatchObject({ runnable: false, gates: [{ gate: "deadline", since: queue.now }] });
      }
      expect(claimed(queue)).toEqual([]);
      expect(why(queue, expiring!).gates[0]!.detail).toContain("The job is cancelled (expired)");
    },
  },
  {
    name: "all gates at once, each with its own words",
    run(queue) {
      const limit = { concurrency: 1, rateLimit: { limit: 1, perMs: 60_000, burst: 1 } };
      set(queue, {
        ...limit,
        tasks: { mail: limit },
        limits: { tenant: limit, vendor: limit },
        maxSessions: 1,
        slots: 1,
      });
      const keys = { tenant: "a", vendor: "x" };
      const [held, seq] = queue.add({ keys }, 2);
      queue.claim("s", 1);
      queue.write((tx) => pauseKey(tx, "vendor", "x", 90_000, null));
      queue.write((tx) => pause(tx, null));
      const both = ["concurrency", "rate"];
      const limits = [...both, ...both, ...both, "key_paused", ...both];
      expect(names(queue, seq!)).toEqual(["paused", ...limits, "sessions"]);
      expect(new Set(why(queue, seq!).gates.map(({ detail }) => detail)).size).toBe(11);
      queue.write(resume);
      queue.turn("s", { settle: [done([held!, 1])] });
      expect(names(queue, seq!)).toEqual(["rate", "rate", "rate", "key_paused", "rate"]);
      expect(why(queue, seq!).etaMs).toBe(90_000);
      queue.now += 60_000;
      expect(names(queue, seq!)).toEqual(["key_paused"]);
      expect(opens(queue, seq!).until).toBe(queue.now);
    },
  },
];
