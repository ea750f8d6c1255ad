import { expect } from "vitest";
import type { WireOutcome } from "../../client/wire.ts";
import { cancel, retry } from "../../durable-objects/engine/operate.ts";
import { type Case, ERROR } from "./queue.ts";
import { ALL, MINUTE, one, settle, unique } from "./unique-calls.ts";

/** What may become of an attempt of job 1, other than its end. */
const BACK: [outcome: Omit<WireOutcome, "seq" | "fence">, failures: number][] = [
  [{ outcome: "failed", error: ERROR }, 1],
  [{ outcome: "snoozed", forMs: 5 }, 0],
  [{ outcome: "released" }, 0],
  [{ outcome: "declined", code: "x" }, 0],
];

const WAITING = unique("return", { states: ["waiting"] });

/** Jobs that come back to waiting. */
export const RETURNS: Case[] = [
  ...BACK.map(
    ([outcome, failures]): Case => ({
      name: `a job that would wait again after it was ${outcome.outcome} ends, superseded, where another has its key`,
      run(queue) {
        queue.add({ unique: WAITING });
        queue.claim("s");
        queue.add({ unique: WAITING });
        settle(queue, 1, outcome);
        expect(queue.job(1)).toMatchObject({ state: "cancelled", reason: "superseded", failures });
        if (failures > 0) expect(JSON.parse(queue.job(1).error!)).toMatchObject(ERROR);
        expect(one(queue, { unique: WAITING })).toEqual([2, "returned", "ready"]);
      },
    }),
  ),
  {
    name: "a job that lapses does too",
    run(queue) {
      queue.add({ unique: WAITING });
      queue.claim("s");
      queue.add({ unique: WAITING });
      queue.pass(30_000);
      expect(queue.job(1)).toMatchObject({ state: "cancelled", reason: "superseded", lapses: 1 });
    },
  },
  {
    name: "a job that waits again has its key again, where nobody took it, or who took it holds it no more",
    run(queue) {
      queue.add({ unique: WAITING });
      queue.claim("s");
      settle(queue, 1, { outcome: "released" });
      expect(one(queue, { unique: WAITING })).toEqual([1, "returned", "ready"]);
      queue.claim("s");
      queue.add({ unique: WAITING });
      queue.claim("t");
      // Both run. Who comes back first waits; the other has lost the key to it.
      settle(queue, 1, { outcome: "released" });
      expect(one(queue, { unique: WAITING })).toEqual([1, "returned", "ready"]);
      queue.turn("t", { settle: [{ seq: 2, fence: 1, outcome: "released" }] });
      expect(queue.job(2)).toMatchObject({ state: "cancelled", reason: "superseded" });
      // One that took the key and is gone.
      queue.claim("s");
      queue.add({ unique: WAITING });
      queue.write((tx) => cancel(tx, 3));
      expect(queue.rows("SELECT * FROM uniques")).toEqual([]);
      settle(queue, 1, { outcome: "released" });
      expect(one(queue, { unique: WAITING })).toEqual([1, "returned", "ready"]);
    },
  },
  {
    name: "of two that come back in one exchange the first waits",
    run(queue) {
      queue.add({ unique: WAITING });
      queue.claim("s");
      queue.add({ unique: WAITING });
      queue.claim("s", 1, { holding: [[1, 1]] });
      const settles = [1, 2].map((seq) => ({ seq, fence: 1, outcome: "released" as const }));
      queue.turn("s", { settle: settles });
      expect([1, 2].map((seq) => queue.job(seq).state)).toEqual(["ready", "cancelled"]);
      expect(one(queue, { unique: WAITING })).toEqual([1, "returned", "ready"]);
    },
  },
  {
    name: "a job cannot be retried while another has its key; then it has it again",
    run(queue) {
      queue.add({ unique: unique() });
      queue.run({ outcome: "dead", error: ERROR });
      queue.add({ unique: unique() });
      const before = queue.everything();
      const reply = queue.write((tx) => retry(tx, 1));
      expect(reply).toMatchObject({ ok: false, code: "conflict" });
      expect(reply).toMatchObject({ detail: /its unique key "u" is held by job \S+:2, which is ready$/ });
      expect(queue.everything()).toBe(before);
      queue.run({ outcome: "completed" });
      expect(queue.write((tx) => retry(tx, 1))).toMatchObject({ ok: true, job: { state: "ready" } });
      expect(one(queue, { unique: unique() })).toEqual([1, "returned", "ready"]);
    },
  },
  {
    name: "a job that is finished and holds its key may be retried, and holds it on",
    run(queue) {
      const held = unique("return", { states: ALL, ttlMs: MINUTE });
      queue.add({ unique: held });
      queue.run({ outcome: "dead", error: ERROR });
      expect(queue.write((tx) => retry(tx, 1))).toMatchObject({ ok: true });
      expect(queue.rows("SELECT seq, ended, until FROM uniques")).toEqual([
        { seq: 1, ended: null, until: queue.now + MINUTE },
      ]);
      expect(one(queue, { unique: held })).toEqual([1, "returned", "ready"]);
    },
  },
  {
    name: "a job that is retried after its ttl neither takes the key nor minds who has it",
    run(queue) {
      const brief = unique("return", { ttlMs: MINUTE });
      queue.add({ unique: brief });
      queue.run({ outcome: "dead", error: ERROR });
      queue.pass(MINUTE);
      expect(one(queue, { unique: brief })).toEqual([2, "created", "ready"]);
      expect(queue.write((tx) => retry(tx, 1))).toMatchObject({ ok: true });
      expect(one(queue, { unique: brief })).toEqual([2, "returned", "ready"]);
    },
  },
];
