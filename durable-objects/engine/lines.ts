/**
 * Where lanes with ready jobs stand: in the open line of their group, or parked in the line of the gate that their
 * first job met closed. A job of a closed key so costs nobody anything until its gate opens.
 *
 * All of it is memory, and only a matter of speed: after an eviction every lane stands in the open line again, and is
 * parked when a claim meets its closed gate.
 *
 * A gate that opens sends one lane, the best of its line that could start, to the open line. When that lane has been
 * dealt with, or another may be better, the next follows while the gate is open: so the best of a line always stands
 * for it, and a gate that frees one slot does not wake ten thousand lanes.
 *
 * @module
 */
import type { Books } from "./books.ts";
import { enterFlow, leaveFlow } from "./flows.ts";
import { type Closed, closedBy, closedGateOf, costAt } from "./gates.ts";
import { readHeads } from "./heads.ts";
import { enterLine, firstOf, newLine, precedes } from "./line.ts";
import type { Tx } from "./ports.ts";
import type { Entry, Gate, Group, Head, Lane, Line } from "./scheduler.ts";

/** Puts a lane into a line, or (null) into none. Its first job is not known then, and is read before it matters. */
export function moveLane(books: Books, lane: Lane, to: Line | null): void {
  const from = lane.line;
  if (from !== to) {
    if (from) leaveLine(books, lane, from, to);
    lane.line = to;
    if (to?.gate === null) lane.group.openReady += lane.ready;
  }
  touchLane(books, lane);
}

function leaveLine({ opened }: Books, lane: Lane, from: Line, to: Line | null): void {
  from.dirty.delete(lane);
  leaveFlow(lane);
  if (from.gate === null) lane.group.openReady -= lane.ready;
  else if (to === null) {
    // Tokens may have been saved up for it.
    from.gate.savingUntil = 0;
    opened.add(from.gate);
  }
}

/** The next jobs of a lane may be others now. */
export function touchLane({ opened }: Books, lane: Lane): void {
  lane.stamp += 1;
  if (lane.next.length > 0) lane.next = [];
  lane.line?.dirty.add(lane);
  // Whichever lane stands for those behind the gate, another may be better now.
  if (lane.via) opened.add(lane.via);
  lane.via = null;
  if (!lane.line?.gate) return;
  lane.line.envoy = null;
  opened.add(lane.line.gate);
}

/** A lane has `count` ready jobs more, or less, any of them. */
export function countReady(books: Books, lane: Lane, count: number): void {
  countJobs(books, lane, count);
  if (lane.line) touchLane(books, lane);
  else if (lane.ready > 0) moveLane(books, lane, lane.group.open);
}

/** A lane has a ready job less: one that was taken when the lane was given its present place. */
export function countClaimed(books: Books, lane: Lane): void {
  countJobs(books, lane, -1);
}

function countJobs(books: Books, lane: Lane, count: number): void {
  lane.ready += count;
  lane.group.ready += count;
  for (const gate of lane.gates) gate.waiters += count;
  if (lane.line?.gate === null) lane.group.openReady += count;
  if (lane.ready === 0) moveLane(books, lane, null);
}

/** Parks a lane whose first job met a closed gate. */
export function park(tx: Tx, { lane, head }: Entry, closed: Closed): void {
  const { gate } = closed;
  let line = gate.lines.get(lane.group);
  if (!line) {
    line = newLine(gate, tx.books.served);
    gate.lines.set(lane.group, line);
  }
  if (lane.via === gate) lane.via = null;
  moveLane(tx.books, lane, line);
  enqueueLane(tx, lane, head);
  waitFor(tx.books, closed);
}

/** A gate that opens by itself is looked at then. */
function waitFor({ timed }: Books, { gate, why, until }: Closed): void {
  // What is dear would never start if what is cheap took each token as it came.
  if (why === "rate") gate.savingUntil = until!;
  if (until === null || until >= gate.looksAt) return;
  gate.looksAt = until;
  timed.push({ gate, at: until });
}

/** Reads the next jobs of lanes of which they are not known, all at once, up to `most` of each. */
export function refresh(tx: Tx, lines: Iterable<Line>, most: number): void {
  const dirty = [...lines].flatMap((line) => [...line.dirty]);
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
  enterLine(lane.line!, lane, head, enterFlow(tx, lane, head));
}

/** Lets the gates that have opened send their next lanes. */
export function openGates(tx: Tx): void {
  const { opened, timed } = tx.books;
  for (let first = timed.peek(); first && first.at <= tx.now; first = timed.peek()) {
    timed.pop();
    if (first.gate.looksAt !== first.at) continue;
    first.gate.looksAt = Number.POSITIVE_INFINITY;
    opened.add(first.gate);
  }
  while (opened.size > 0) {
    const gates = [...opened].filter((gate) => isAwaited(gate) && isOpen(tx, gate));
    opened.clear();
    const lines = gates.flatMap((gate) => [...gate.lines.values()]);
    refresh(tx, lines, 1);
    for (const gate of gates) for (const [group, line] of [...gate.lines]) sendNext(tx, gate, group, line);
  }
}

/** Whether a lane waits for this gate. */
function isAwaited({ lines }: Gate): boolean {
  for (const [group, line] of lines) if (line.dirty.size === 0 && !firstOf(line)) lines.delete(group);
  return lines.size > 0;
}

/** Whether a gate lets anything start; if not, it is looked at when it may. */
function isOpen(tx: Tx, gate: Gate): boolean {
  const closed = closedBy(tx, gate, 1);
  if (closed) waitFor(tx.books, closed);
  return !closed;
}

/**
 * Sends the best lane of a gate's line that could start to the open line, unless a better one is there already. Those
 * before it wait for other gates. Answers with the lane; null: none is sent.
 */
function sendNext(tx: Tx, gate: Gate, group: Group, line: Line): Lane | null {
  if (line.dirty.size > 0) refresh(tx, [line], 1);
  for (let entry = firstOf(line); entry; entry = firstOf(line)) {
    const { lane, head } = entry;
    if (line.envoy?.lane.via === gate && isBetter(line.envoy, entry)) {
      noteStanding(line, line.envoy);
      return null;
    }
    const closed = closedBy(tx, gate, costAt(gate, lane));
    if (closed) {
      waitFor(tx.books, closed);
      return null;
    }
    const other = closedGateOf(tx, lane);
    if (other) {
      park(tx, entry, other);
      continue;
    }
    moveLane(tx.books, lane, group.open);
    enqueueLane(tx, lane, head);
    lane.via = gate;
    line.envoy = entry;
    noteStanding(line, entry);
    return lane;
  }
  gate.lines.delete(group);
  return null;
}

/** Whether a lane that was sent comes before this one still. */
function isBetter({ lane, head }: Entry, entry: Entry): boolean {
  return !precedes(entry, { lane, head, share: lane.flow!.share });
}

/** When the flow of a lane that stands for others is served, one of them may be better. */
function noteStanding({ gate, byFlow }: Line, { lane: { flow } }: Entry): void {
  if (byFlow.size === 1 && byFlow.has(flow!)) return;
  flow!.standsFor ??= new Set();
  flow!.standsFor.add(gate!);
}

/** A lane that a gate sent has been dealt with: the next may follow. Answers with that. */
export function followUp(tx: Tx, lane: Lane): Lane | null {
  const gate = lane.via;
  if (!gate) return null;
  lane.via = null;
  const line = gate.lines.get(lane.group);
  return line ? sendNext(tx, gate, lane.group, line) : null;
}

/** Puts every lane into the open line again, its jobs to be read anew: the rules have changed. */
export function unparkAll(books: Books): void {
  for (const lane of books.lanes.values()) {
    if (lane.line) moveLane(books, lane, lane.group.open);
  }
}
