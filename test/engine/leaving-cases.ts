import { expect } from "vitest";
import type { JobTemplate, UniqueTemplate, WireOutcome } from "../../client/wire.ts";
import { cancel, remove } from "../../durable-objects/engine/operate.ts";
import { type Case, ERROR, type TestQueue } from "./queue.ts";

const MINUTE = 60_000;

const settled = (queue: TestQueue, outcome: Omit<WireOutcome, "seq" | "fence">): void => {
  const [[seq, fence]] = queue.claim("s", 1) as [[number, number]];
  queue.turn("s", { settle: [{ seq, fence, ...outcome }] });
};

const WAITING: UniqueTemplate = {
  ...{ key: "u", states: ["waiting"], ttlMs: null },
  ...{ onConflict: "return", waitMs: null, maxWaitMs: null },
};

/** Every way in which job 1, the first of its key, leaves the table. */
const WAYS: [way: string, options: Partial<JobTemplate>, leave: (queue: TestQueue) => void][] = [
  ["it is completed", {}, (queue) => settled(queue, { outcome: "completed" })],
  ["it is dead", {}, (queue) => settled(queue, { outcome: "dead", error: ERROR })],
  ["it is out of tries", { maxAttempts: 1 }, (queue) => settled(queue, { outcome: "failed", error: ERROR })],
  ["its handler cancels it", {}, (queue) => settled(queue, { outcome: "cancelled" })],
  ["it is cancelled while ready", {}, (queue) => void queue.write((tx) => cancel(tx, 1))],
  ["it is cancelled while scheduled", { delayMs: MINUTE }, (queue) => void queue.write((tx) => cancel(tx, 1))],
  [
    "it is cancelled while it runs",
    {},
    (queue) => {
      queue.claim("s");
      queue.write((tx) => cancel(tx, 1));
      queue.turn("s", { settle: [{ seq: 1, fence: 1, outcome: "failed", error: ERROR }] });
    },
  ],
  ["it expires while ready", { expiresInMs: 5 }, (queue) => queue.pass(5)],
  ["it expires while scheduled", { delayMs: MINUTE, expiresInMs: 5 }, (queue) => queue.pass(5)],
  ["its deadline is over", { deadlineMs: MINUTE }, (queue) => queue.pass(MINUTE)],
  ["it is deleted", {}, (queue) => void queue.write((tx) => remove(tx, 1, null))],
  [
    "it lapses too often",
    {},
    (queue) => {
      for (let lapses = 1; lapses <= 5; lapses++) {
        queue.pass(30 * MINUTE);
        queue.claim(`lapse${lapses}`, 1);
        queue.pass(30_000);
      }
    },
  ],
  [
    "another has its unique key",
    { unique: WAITING },
    (queue) => {
      queue.claim("s");
      queue.add({
        delayMs: MINUTE,
        unique: WAITING,
      });
      queue.turn("s", { settle: [{ seq: 1, fence: 1, outcome: "released" }] });
      expect(queue.job(1)).toMatchObject({ state: "cancelled", reason: "superseded" });
    },
  ],
];

/** The first of an ordering key leaves, and the next goes on. */
export const LEAVING: Case[] = WAYS.map(([way, options, leave]) => ({
  name: `the next goes on when ${way}`,
  run(queue) {
    queue.add({ ...options, orderingKey: "k" });
    queue.add({ orderingKey: "k" }, 2);
    expect([2, 3].map((seq) => queue.job(seq).state)).toEqual(["blocked", "blocked"]);
    leave(queue);
    expect([2, 3].map((seq) => queue.job(seq).state)).toEqual(["ready", "blocked"]);
    expect(queue.job(2).reason).toBeNull();
    expect(queue.claim("next").map(([seq]) => seq)).toEqual([2]);
  },
}));
