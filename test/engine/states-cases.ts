import { expect } from "vitest";
import { cancel, retry } from "../../durable-objects/engine/operate.ts";
import { assertEdge, EDGES, type Verb } from "../../durable-objects/engine/states.ts";
import { type Case, ERROR, type TestQueue, thrown } from "./queue.ts";

type Edge = [verb: Verb, from: string, to: string];

const cancelled = (queue: TestQueue, seq: number): unknown => queue.write((tx) => cancel(tx, seq));

/** For each edge how to take it: what is done to job 1, which is in the first state of the edge. */
const WAYS: [edge: Edge, take: (queue: TestQueue) => void][] = [
  [["enqueue", "null", "scheduled"], (queue) => void queue.add({ delayMs: 5 })],
  [["enqueue", "null", "ready"], (queue) => void queue.add()],
  [["promote", "scheduled", "ready"], (queue) => queue.pass(60_000)],
  [["claim", "ready", "running"], (queue) => void queue.claim("s")],
  [["complete", "running", "completed"], (queue) => settle(queue, { outcome: "completed" })],
  [["fail", "running", "scheduled"], (queue) => settle(queue, { outcome: "failed", error: ERROR })],
  [["fail", "running", "dead"], (queue) => exhaust(queue)],
  [["fail", "running", "cancelled"], (queue) => settle(queue, { outcome: "failed", error: ERROR }, true)],
  [["dead", "running", "dead"], (queue) => settle(queue, { outcome: "dead", error: ERROR })],
  [["dead", "running", "cancelled"], (queue) => settle(queue, { outcome: "dead", error: ERROR }, true)],
  [["snooze", "running", "scheduled"], (queue) => settle(queue, { outcome: "snoozed", forMs: 5 })],
  [["snooze", "running", "cancelled"], (queue) => settle(queue, { outcome: "snoozed", forMs: 5 }, true)],
  [["release", "running", "ready"], (queue) => settle(queue, { outcome: "released" })],
  [["release", "running", "cancelled"], (queue) => settle(queue, { outcome: "released" }, true)],
  [["decline", "running", "scheduled"], (queue) => settle(queue, { outcome: "declined", code: "x" })],
  [["decline", "running", "dead"], (queue) => declineForADay(queue)],
  [["decline", "running", "cancelled"], (queue) => settle(queue, { outcome: "declined", code: "x" }, true)],
  [["stop", "running", "cancelled"], (queue) => settle(queue, { outcome: "cancelled" })],
  [["lapse", "running", "ready"], (queue) => queue.pass(30_000)],
  [["lapse", "running", "scheduled"], (queue) => lapse(queue, 2)],
  [["lapse", "running", "dead"], (queue) => lapse(queue, 5)],
  [["lapse", "running", "cancelled"], (queue) => [cancelled(queue, 1), queue.pass(30_000)]],
  [["cancel", "scheduled", "cancelled"], (queue) => cancelled(queue, 1)],
  [["cancel", "ready", "cancelled"], (queue) => cancelled(queue, 1)],
  [["expire", "scheduled", "cancelled"], (queue) => queue.pass(900)],
  [["expire", "ready", "cancelled"], (queue) => queue.pass(900)],
  [["hasten", "scheduled", "ready"], (queue) => queue.write((tx) => retry(tx, 1))],
  [["reopen", "completed", "ready"], (queue) => queue.write((tx) => retry(tx, 1))],
  [["reopen", "dead", "ready"], (queue) => queue.write((tx) => retry(tx, 1))],
  [["reopen", "cancelled", "ready"], (queue) => queue.write((tx) => retry(tx, 1))],
];

/** Edges that nothing in the core leads to: no job is blocked yet. */
const NOT_YET = ["cancel blocked cancelled", "expire blocked cancelled"];

function settle(queue: TestQueue, outcome: Parameters<TestQueue["run"]>[0], cancel = false): void {
  if (cancel) cancelled(queue, 1);
  queue.turn("s", { settle: [{ seq: 1, fence: queue.job(1).fence, ...outcome }] });
}

function again(queue: TestQueue): void {
  queue.pass(6 * 3_600_000);
  queue.claim("s");
}

function exhaust(queue: TestQueue): void {
  for (let failures = 1; failures <= 3; failures++) {
    settle(queue, { outcome: "failed", error: ERROR });
    if (failures < 3) again(queue);
  }
}

function declineForADay(queue: TestQueue): void {
  for (let i = 0; i <= 4; i++) {
    settle(queue, { outcome: "declined", code: "x" });
    if (i < 4) again(queue);
  }
}

function lapse(queue: TestQueue, times: number): void {
  for (let lapses = 1; lapses <= times; lapses++) {
    queue.pass(30_000);
    if (lapses < times) again(queue);
  }
}

/** Job 1 in a state. */
function arrange(queue: TestQueue, verb: Verb, state: string): void {
  if (state === "null") return;
  const expiresInMs = verb === "expire" ? 900 : null;
  queue.add({ delayMs: state === "scheduled" ? 1_000 : 0, expiresInMs });
  if (state === "scheduled" || state === "ready") return;
  if (state === "cancelled") return void cancelled(queue, 1);
  queue.claim("s");
  if (state === "completed") settle(queue, { outcome: "completed" });
  if (state === "dead") settle(queue, { outcome: "dead", error: ERROR });
  expect(queue.job(1).state).toBe(state);
}

export const STATES: Case[] = [
  ...WAYS.map(
    ([[verb, from, to], take]): Case => ({
      name: `${verb}: ${from} → ${to}`,
      run(queue) {
        arrange(queue, verb, from);
        take(queue);
        expect(queue.job(1).state).toBe(to);
        expect(thrown(() => assertEdge(verb, from === "null" ? null : (from as "ready"), to as "ready"))).toBe(
          "nothing was thrown",
        );
      },
    }),
  ),
  {
    name: "every edge of the table is one of these, and the other way round",
    run() {
      const table = Object.entries(EDGES).flatMap(([verb, { from, to }]) =>
        from.flatMap((state) => to.map((next) => `${verb} ${state} ${next}`)),
      );
      const taken = WAYS.map(([edge]) => edge.join(" "));
      expect([...taken, ...NOT_YET].sort()).toEqual(table.sort());
    },
  },
];
