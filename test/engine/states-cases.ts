import { expect } from "vitest";
import { cancel, reschedule, retry } from "../../durable-objects/engine/operate.ts";
import { assertEdge, EDGES, type Verb } from "../../durable-objects/engine/states.ts";
import { type Case, ERROR, type TestQueue, thrown } from "./queue.ts";

type Edge = [verb: Verb, from: string, to: string];

const cancelled = (queue: TestQueue, seq: number): unknown => queue.write((tx) => cancel(tx, seq));

const cancelOne = (queue: TestQueue, seq: number): void => void cancelled(queue, seq);
const retryOne = (queue: TestQueue, seq: number): void => void queue.write((tx) => retry(tx, seq));

const rescheduled = (queue: TestQueue, seq: number, inMs: number): void =>
  void queue.write((tx) => reschedule(tx, seq, queue.now + inMs));

/** For each edge how to take it: what is done to job `seq`, which is in the first state of the edge. */
const WAYS: [edge: Edge, take: (queue: TestQueue, seq: number) => void][] = [
  [["enqueue", "null", "scheduled"], (queue) => void queue.add({ delayMs: 5 })],
  [["enqueue", "null", "ready"], (queue) => void queue.add()],
  [["enqueue", "null", "blocked"], (queue) => void queue.add({ orderingKey: "k" }, 2)],
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
  [["cancel", "scheduled", "cancelled"], cancelOne],
  [["cancel", "blocked", "cancelled"], cancelOne],
  [["cancel", "ready", "cancelled"], cancelOne],
  [["expire", "scheduled", "cancelled"], (queue) => queue.pass(900)],
  [["expire", "blocked", "cancelled"], (queue) => queue.pass(900)],
  [["expire", "ready", "cancelled"], (queue) => queue.pass(900)],
  [["reschedule", "scheduled", "scheduled"], (queue, seq) => rescheduled(queue, seq, 5_000)],
  [["reschedule", "scheduled", "ready"], (queue, seq) => rescheduled(queue, seq, -5_000)],
  [["reschedule", "ready", "scheduled"], (queue, seq) => rescheduled(queue, seq, 5_000)],
  [["reschedule", "ready", "ready"], (queue, seq) => rescheduled(queue, seq, 0)],
  [["unblock", "blocked", "scheduled"], (queue, seq) => [rescheduled(queue, seq, 5_000), cancelled(queue, 1)]],
  [["unblock", "blocked", "ready"], (queue) => cancelOne(queue, 1)],
  ...(["scheduled", "blocked", "ready"] as const).flatMap((from): typeof WAYS => [
    [["replace", from, "scheduled"], (queue) => replace(queue, { delayMs: 7_000 })],
    [["replace", from, "blocked"], (queue) => [queue.add({ orderingKey: "l" }), replace(queue, { orderingKey: "l" })]],
    [["replace", from, "ready"], (queue) => replace(queue, {})],
  ]),
  [["hasten", "scheduled", "ready"], retryOne],
  ...(["completed", "dead", "cancelled"] as const).flatMap((from): typeof WAYS => [
    [["reopen", from, "blocked"], (queue, seq) => [queue.add({ orderingKey: "k" }), retryOne(queue, seq)]],
    [["reopen", from, "ready"], retryOne],
  ]),
];

const UNIQUE = { key: "u", states: ["waiting" as const], ttlMs: null, waitMs: null, maxWaitMs: null };

/** Another request takes the place of the one that waits. */
function replace(queue: TestQueue, options: Parameters<TestQueue["add"]>[0]): void {
  queue.add({ ...options, unique: { ...UNIQUE, onConflict: "replace" } });
}

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

/** A job in a state; answers which. Blocked ones have job 1 before them. */
function arrange(queue: TestQueue, [verb, state, to]: Edge): number {
  if (state === "null") return to === "blocked" ? 2 : 1;
  const options: Parameters<TestQueue["add"]>[0] = { expiresInMs: verb === "expire" ? 900 : null };
  if (verb === "replace") options.unique = { ...UNIQUE, onConflict: "return" };
  if (state === "blocked" || verb === "reopen") options.orderingKey = "k";
  if (state === "blocked") queue.add({ orderingKey: "k" });
  const [seq] = queue.add({ ...options, delayMs: state === "scheduled" ? 1_000 : 0 }) as [number];
  if (state === "cancelled") cancelled(queue, seq);
  if (state !== "running" && state !== "completed" && state !== "dead") return seq;
  queue.claim("s");
  if (state === "completed") settle(queue, { outcome: "completed" });
  if (state === "dead") settle(queue, { outcome: "dead", error: ERROR });
  return seq;
}

export const STATES: Case[] = [
  ...WAYS.map(
    ([edge, take]): Case => ({
      name: edge
        .join(" ")
        .replace(/ (?=\w+$)/, " → ")
        .replace(" ", ": "),
      run(queue) {
        const [verb, from, to] = edge;
        const seq = arrange(queue, edge);
        if (from !== "null") expect(queue.job(seq).state).toBe(from);
        take(queue, seq);
        expect(queue.job(seq).state).toBe(to);
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
      expect(taken.sort()).toEqual(table.sort());
    },
  },
];
