/**
 * Where lanes with ready jobs stand: in the open line of their group, or parked in the line of the gate that their
 * first job met closed. A job of a closed key so costs nobody anything until its gate opens.
 *
 * All of it is memory, and only a matter of speed: after an eviction every lane stands in the open line again, and is
 * parked when a claim meets its closed gate.
 *
 * A gate that opens sends one lane, the best of its line, to the open line. When that lane has been dealt with, the
 * next follows while the gate is open: so the best of a line always stands for it, and a gate that frees one slot
 * does not wake ten thousand lanes.
 *
 * @module
 */
import type { Books } from "./books.ts";
import { enterFlow, flowOf, leaveFlow } from "./flows.ts";
import { type Closed, closedBy, costAt } from "./gates.ts";
import { readHeads } from "./heads.ts";
import { enterLine, firstOf, newLine } from "./line.ts";
import type { Tx } from "./ports.ts";
import type { Entry, Gate, Group, Head, Lane, Line } from "./scheduler.ts";

/** Puts a lane into a line, or (null) into none. Its first job is not known then, and is read before it matters. */
export function moveLane(books: Books, lane: Lane, to: Line | null): void {
  const from = lane.line;
  if (from === to) {
    touchLane(lane);
    return;
  }
  if (from) {
    from.dirty.delete(lane);
    if (from.gate === null) {
      lane.group.openReady -= lane.ready;
      leaveFlow(lane);
    } else if (to === null) from.gate.savingUntil = 0;
  }
  // The gate that sent it may have another to send.
  if (lane.via) books.opened.add(lane.via);
  lane.via = null;
  lane.line = to;
  if (to?.gate === null) lane.group.openReady += lane.ready;
  touchLane(lane);
}

/** The next jobs of a lane may be others now. */
export function touchLane(lane: Lane): void {
  lane.stamp += 1;
  if (lane.next.length > 0) lane.next = [];
  lane.line?.dirty.add(lane);
}

/** A lane has `count` ready jobs more, or less, any of them. */
export function countReady(books: Books, lane: Lane, count: number): void {
  countJobs(books, lane, count);
  if (lane.line) touchLane(lane);
  else if (lane.ready > 0) moveLane(books, lane, lane.group.open);
}

/** A lane has a ready job less: one that was taken when the lane was given its present place. */
export function countClaimed(books: Books, lane: Lane): void {
  countJobs(books, lane, -1);
}

function countJobs(books: Books, lane: Lane, count: number): void {
  lane.ready += count;
  lane.group.ready += count;
  if (lane.line?.gate === null) lane.group.openReady += count;
  if (lane.ready === 0) moveLane(books, lane, null);
}

/** Parks a lane whose first job met a closed gate. */
export function park(tx: Tx, { lane, head }: Entry, { gate, why, until }: Closed): void {
  let line = gate.lines.get(lane.group);
  if (!line) {
    line = newLine(gate);
    gate.lines.set(lane.group, line);
  }
  if (lane.via === gate) lane.via = null;
  moveLane(tx.books, lane, line);
  enqueueLane(tx, lane, head);
  // What is dear would never start if what is cheap took each token as it came.
  if (why === "rate") gate.savingUntil = Math.max(gate.savingUntil, until!);
  watch(tx.books, gate, until);
}

/** A gate that opens by itself is looked at then. */
function watch(books: Books, gate: Gate, at: number | null): void {
  if (at !== null) books.timed.push({ gate, at });
}

/** Reads the next jobs of lanes of which they are not known, all at once, up to `most` of each. */
export function refresh(tx: Tx, lines: Iterable<Line>, most: number): void {
  const dirty: Lane[] = [];
  for (const line of lines) dirty.push(...line.dirty);
  const heads = readHeads(tx, dirty, most);
  for (const lane of dirty) {
    const [first, ...next] = heads.get(lane) ?? [];
    lane.line!.dirty.delete(lane);
    if (!first) continue;
    lane.next = next;
    enqueueLane(tx, lane, first);
  }
}

/** Gives a lane its place in its line, by its first job. */
export function enqueueLane(tx: Tx, lane: Lane, head: Head): void {
  const line = lane.line!;
  const flow = line.gate === null ? enterFlow(tx, lane, head) : flowOf(tx.books, lane, head.level);
  enterLine(line, lane, head, flow);
}

/** Lets the gates that have opened send their next lanes. */
export function openGates(tx: Tx): void {
  const { opened, timed } = tx.books;
  for (let first = timed.peek(); first && first.at <= tx.now; first = timed.peek()) {
    timed.pop();
    opened.add(first.gate);
  }
  if (opened.size === 0) return;
  const gates = [...opened].filter((gate) => gate.lines.size > 0);
  opened.clear();
  refresh(
    tx,
    gates.flatMap((gate) => [...gate.lines.values()]),
    1,
  );
  for (const gate of gates) for (const [group, line] of [...gate.lines]) sendNext(tx, gate, group, line);
}

/** Sends the best lane of a gate's line to the open line, unless one is there already. */
export function sendNext(tx: Tx, gate: Gate, group: Group, line: Line): void {
  if (line.envoy?.via === gate && line.envoy.line === group.open) return;
  if (line.dirty.size > 0) refresh(tx, [line], 1);
  const entry = firstOf(line);
  if (!entry) {
    gate.lines.delete(group);
    return;
  }
  const { lane, head } = entry;
  const closed = closedBy(tx, gate, costAt(gate, lane));
  if (closed) {
    if (closed.why === "rate") gate.savingUntil = closed.until!;
    watch(tx.books, gate, closed.until);
    return;
  }
  moveLane(tx.books, lane, group.open);
  enqueueLane(tx, lane, head);
  lane.via = gate;
  line.envoy = lane;
}

/** A lane that a gate sent has been dealt with: the next may follow. */
export function followUp(tx: Tx, lane: Lane): void {
  const gate = lane.via;
  if (!gate) return;
  lane.via = null;
  const line = gate.lines.get(lane.group);
  if (line) sendNext(tx, gate, lane.group, line);
}

/** Puts every lane into the open line again, its jobs to be read anew: the rules have changed. */
export function unparkAll(books: Books): void {
  for (const lane of books.lanes.values()) {
    if (lane.line) moveLane(books, lane, lane.group.open);
  }
}
