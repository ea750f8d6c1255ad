import { expect } from "vitest";
import type { JobTemplate, WireOutcome } from "../../client/wire.ts";
import { readOptions } from "../../client/wire.ts";
import { cancel, retry } from "../../durable-objects/engine/operate.ts";
import { type Case, ERROR, type TestQueue } from "./queue.ts";
import { sameBooks } from "./same-books.ts";

const MINUTE = 60_000;

/** Job 1, with a deadline in ten minutes. */
function add(queue: TestQueue, options: Partial<JobTemplate> = {}): number {
  queue.add({ deadlineMs: 10 * MINUTE, timeoutMs: 30 * MINUTE, maxAttempts: 9, ...options });
  return queue.now + 10 * MINUTE;
}

/** Job 1 runs under session `s`, which keeps its lease until `at`. */
function runUntil(queue: TestQueue, at: number): void {
  queue.claim("s");
  while (at - queue.now > 20_000) {
    queue.pass(20_000);
    queue.turn("s", { holding: [[1, queue.job(1).fence]] });
  }
  queue.now = at;
}

function settle(queue: TestQueue, outcome: Omit<WireOutcome, "seq" | "fence">): void {
  const { refused } = queue.turn("s", { settle: [{ seq: 1, fence: queue.job(1).fence, ...outcome }] });
  expect(refused).toEqual([]);
}

const EXPIRED = { state: "cancelled", reason: "expired" };

/** Every end of an attempt that is not a completion, and what is counted of it. */
const OUTCOMES: [outcome: Omit<WireOutcome, "seq" | "fence">, failures: number][] = [
  [{ outcome: "failed", error: ERROR }, 1],
  [{ outcome: "dead", error: ERROR }, 1],
  [{ outcome: "snoozed", forMs: 0 }, 0],
  [{ outcome: "released" }, 0],
  [{ outcome: "declined", code: "x" }, 0],
];

/** Ends of an attempt after which the next would begin a minute later. */
const LATER = OUTCOMES.filter(([{ outcome }]) => outcome !== "dead" && outcome !== "released").map(
  ([outcome, failures]): (typeof OUTCOMES)[number] => [
    outcome.outcome === "snoozed" ? { ...outcome, forMs: MINUTE } : outcome,
    failures,
  ],
);

const CASES: Case[] = [
  {
    name: "a deadline is an instant from acceptance on, and stands with the job",
    run(queue) {
      const deadlineAt = add(queue);
      expect(readOptions(queue.job(1).options).deadlineAt).toBe(deadlineAt);
      const [seq] = queue.add({ deadlineAt: queue.now + 5 });
      expect(readOptions(queue.job(seq!).options).deadlineAt).toBe(queue.now + 5);
      expect(queue.effects.wakeAt).toBe(queue.now + 5);
    },
  },
  ...(["scheduled", "ready", "blocked"] as const).map(
    (state): Case => ({
      name: `at its deadline a job that is ${state} ends`,
      run(queue) {
        if (state === "blocked") queue.add({ orderingKey: "k" });
        const seq = state === "blocked" ? 2 : 1;
        const deadlineAt = add(queue, { delayMs: state === "scheduled" ? 60 * MINUTE : 0, orderingKey: "k" });
        expect(queue.job(seq).state).toBe(state);
        queue.pass(deadlineAt - queue.now - 1);
        expect(queue.job(seq).state).toBe(state);
        queue.pass(1);
        expect(queue.job(seq)).toMatchObject({ ...EXPIRED, finishedAt: deadlineAt });
        expect(queue.claim("s").map(([claimed]) => claimed)).toEqual(state === "blocked" ? [1] : []);
      },
    }),
  ),
  {
    name: "of a deadline and an end of waiting the earlier counts, and the end of waiting only until the first start",
    run(queue) {
      add(queue, { expiresInMs: 20 * MINUTE });
      queue.add({ deadlineMs: 10 * MINUTE, expiresInMs: MINUTE });
      queue.claim("s", 1);
      queue.pass(MINUTE);
      expect(queue.job(2)).toMatchObject(EXPIRED);
      queue.pass(9 * MINUTE);
      expect(queue.job(1)).toMatchObject(EXPIRED);
      queue.add({ expiresInMs: 5 });
      queue.run({ outcome: "released" });
      queue.pass(MINUTE);
      expect(queue.job(3).state).toBe("ready");
    },
  },
  {
    name: "an end of waiting counts on where no handler was called",
    run(queue) {
      const unstarted: Omit<WireOutcome, "seq" | "fence">[] = [
        { outcome: "released", started: false },
        { outcome: "declined", code: "unknown_task" },
      ];
      add(queue, { expiresInMs: MINUTE });
      runUntil(queue, queue.now + MINUTE);
      settle(queue, { outcome: "released", started: false });
      expect(queue.job(1)).toMatchObject(EXPIRED);
      for (const outcome of unstarted) {
        const [seq] = queue.add({ expiresInMs: 5 * MINUTE }) as [number];
        queue.run(outcome);
        expect(queue.job(seq)).toMatchObject({ reason: outcome.outcome });
        queue.pass(4 * MINUTE);
        queue.restart();
        queue.pass(MINUTE);
        expect(queue.job(seq)).toMatchObject(EXPIRED);
      }
    },
  },
  {
    name: "a deadline holds for jobs that an earlier release had running, which kept no end of their waiting",
    run(queue) {
      const deadlineAt = add(queue);
      queue.claim("s");
      queue.rows("UPDATE jobs SET expires_at = NULL");
      settle(queue, { outcome: "declined", code: "unknown_task" });
      queue.pass(deadlineAt - queue.now);
      expect(queue.job(1)).toMatchObject(EXPIRED);
    },
  },
  {
    name: "a job waits for its next try until its deadline, and no longer",
    run(queue) {
      const deadlineAt = add(queue);
      queue.claim("s");
      settle(queue, { outcome: "failed", error: ERROR, retryInMs: 8 * MINUTE });
      expect(queue.job(1)).toMatchObject({ state: "scheduled", reason: "retrying" });
      queue.pass(8 * MINUTE);
      expect(queue.job(1).state).toBe("ready");
      queue.restart();
      queue.pass(deadlineAt - queue.now);
      expect(queue.job(1)).toMatchObject({ ...EXPIRED, failures: 1 });
    },
  },
  ...LATER.map(
    ([outcome, failures]): Case => ({
      name: `one that is ${outcome.outcome} ends at once where the next try would begin at the deadline or later`,
      run(queue) {
        const deadlineAt = add(queue);
        runUntil(queue, deadlineAt - MINUTE);
        settle(queue, outcome);
        expect(queue.job(1)).toMatchObject({ ...EXPIRED, failures, finishedAt: queue.now });
        if (failures > 0) expect(JSON.parse(queue.job(1).error!)).toMatchObject(ERROR);
      },
    }),
  ),
  {
    name: "one that is given back just before its deadline waits until then",
    run(queue) {
      const deadlineAt = add(queue);
      runUntil(queue, deadlineAt - MINUTE - 1);
      settle(queue, { outcome: "snoozed", forMs: MINUTE });
      expect(queue.job(1)).toMatchObject({ state: "scheduled", runAt: deadlineAt - 1 });
      queue.pass(MINUTE);
      queue.claim("s");
      settle(queue, { outcome: "released" });
      expect(queue.job(1).state).toBe("ready");
      queue.pass(1);
      expect(queue.job(1)).toMatchObject(EXPIRED);
    },
  },
  ...OUTCOMES.map(
    ([outcome, failures]): Case => ({
      name: `a job past its deadline ends when its attempt is ${outcome.outcome}`,
      run(queue) {
        runUntil(queue, add(queue));
        settle(queue, outcome);
        expect(queue.job(1)).toMatchObject({ ...EXPIRED, failures });
        const [attempt] = JSON.parse(queue.job(1).attempts!);
        expect(attempt[4]).toBe(outcome.outcome);
      },
    }),
  ),
  {
    name: "a job past its deadline is completed if its attempt is; one that people or its handler cancelled says so",
    run(queue) {
      const deadlineAt = add(queue);
      runUntil(queue, deadlineAt + 1);
      settle(queue, { outcome: "completed", result: "1" });
      expect(queue.job(1)).toMatchObject({ state: "completed", reason: null, result: "1" });
      for (const [seq, byPeople] of [
        [2, true],
        [3, false],
      ] as const) {
        queue.add({ deadlineMs: 5 });
        queue.claim("t", 1);
        queue.now += 5;
        if (byPeople) queue.write((tx) => cancel(tx, seq));
        queue.turn("t", {
          settle: [{ seq, fence: 1, ...(byPeople ? { outcome: "released" } : { outcome: "cancelled" }) }],
        });
        expect(queue.job(seq)).toMatchObject({ state: "cancelled", reason: "cancelled_by_user" });
      }
    },
  },
  {
    name: "an attempt is over one lease after the deadline, whatever its timeout and its session say",
    run(queue) {
      const deadlineAt = add(queue);
      const [, plain] = [
        queue.add({ timeoutMs: 30 * MINUTE }),
        queue.add({ expiresInMs: MINUTE, timeoutMs: 30 * MINUTE }),
      ];
      queue.claim("s");
      const until = (seq: number) => queue.read((tx) => tx.books.sessions.get("s")!.held.get(seq)!.until);
      expect([1, 2, plain[0]!].map(until)).toEqual([
        deadlineAt + 30_000,
        queue.now + 30 * MINUTE + 30_000,
        queue.now + 30 * MINUTE + 30_000,
      ]);
      const holding = [1, 2, 3].map((seq): [number, number] => [seq, 1]);
      while (queue.now < deadlineAt + 29_000) {
        queue.pass(1_000);
        queue.turn("s", { holding });
      }
      expect(queue.job(1).state).toBe("running");
      queue.pass(1_000);
      expect(queue.job(1)).toMatchObject({ ...EXPIRED, lapses: 1 });
      expect(queue.turn("s", { holding }).lost).toEqual([[1, 1]]);
    },
  },
  {
    name: "a job that lapses before its deadline is ready until then",
    run(queue) {
      const deadlineAt = add(queue);
      queue.claim("s");
      queue.pass(30_000);
      expect(queue.job(1)).toMatchObject({ state: "ready", lapses: 1 });
      queue.pass(deadlineAt - queue.now);
      expect(queue.job(1)).toMatchObject(EXPIRED);
    },
  },
  {
    name: "a job whose deadline is over cannot be retried; one whose deadline is not has it again",
    run(queue) {
      const deadlineAt = queue.now + 1_000;
      queue.add({ deadlineAt, maxAttempts: 1 });
      queue.run({ outcome: "failed", error: ERROR });
      expect(queue.job(1).state).toBe("dead");
      // Nothing that is there is due any more.
      queue.add({ delayMs: 500 });
      queue.pass(500);
      expect(queue.write((tx) => retry(tx, 1))).toMatchObject({ ok: true, job: { state: "ready" } });
      // Earlier than a ticket or a flush would be looked at again.
      expect(queue.effects.wakeAt).toBe(deadlineAt);
      queue.pass(500);
      expect(queue.job(1)).toMatchObject(EXPIRED);
      const before = queue.everything();
      const reply = queue.write((tx) => retry(tx, 1));
      expect(reply).toMatchObject({
        ok: false,
        code: "conflict",
        detail: /its deadline, 2026-06-01T00:00:01.000Z, is over/,
      });
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "a deadline that has passed when the job is accepted ends it unstarted",
    run(queue) {
      queue.add({ deadlineAt: queue.now - 5 });
      queue.add({ deadlineAt: queue.now - 5, delayMs: MINUTE });
      expect(queue.claim("s")).toEqual([]);
      queue.pass(0);
      for (const seq of [1, 2]) expect(queue.job(seq)).toMatchObject(EXPIRED);
    },
  },
];

export const DEADLINE: Case[] = CASES.map(({ name, run }) => ({
  name,
  run(queue) {
    run(queue);
    sameBooks(queue);
  },
}));
