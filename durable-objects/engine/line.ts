/**
 * A line of lanes, in order: the more urgent first, then the fair key that has had less, then who became ready
 * earlier, then who was accepted earlier.
 *
 * Lanes of one flow (a fair key at a level of urgency) stand together in a strand, and strands stand in the line. So
 * that a flow was served moves one strand, however many lanes it has. Both are heaps whose entries are checked when
 * they come to the front: what has got worse goes back to its place then, what has got better is entered anew.
 *
 * @module
 */

import { Heap } from "./heap.ts";
import type { Entry, Flow, Gate, Head, Lane, LaneEntry, Line, Strand, StrandEntry } from "./scheduler.ts";

/** Whether `a` goes before `b`, wherever they stand. */
export function precedes(a: Entry, b: Entry): boolean {
  if (a.head.level !== b.head.level) return a.head.level > b.head.level;
  if (a.share !== b.share) return a.share < b.share;
  return becameReadyBefore(a, b);
}

function becameReadyBefore({ head: a }: { head: Head }, { head: b }: { head: Head }): boolean {
  return a.rank !== b.rank ? a.rank < b.rank : a.seq < b.seq;
}

/** The line of a gate, or (null) an open one. `served`: of the books. */
export function newLine(gate: Gate | null, served: Line["served"]): Line {
  const line: Line = {
    gate,
    served,
    strands: new Heap<StrandEntry>(precedes, (entry) => stands(line, entry)),
    byFlow: new Map(),
    dirty: new Set(),
    envoy: null,
  };
  return line;
}

/** Enters a lane by its first job. What was entered of it before does not count any more. */
export function enterLine(line: Line, lane: Lane, head: Head, flow: Flow): void {
  lane.stamp += 1;
  line.dirty.delete(lane);
  const strand = strandOf(line, flow);
  const entry = { lane, head, stamp: lane.stamp };
  strand.lanes.push(entry);
  if (firstIn(line, strand) === entry) place(line, strand, entry);
}

function strandOf(line: Line, flow: Flow): Strand {
  let strand = line.byFlow.get(flow);
  if (!strand) {
    const lanes = new Heap<LaneEntry>(becameReadyBefore, (entry) => isPlace(line, entry));
    strand = { flow, lanes, version: 0 };
    line.byFlow.set(flow, strand);
  }
  return strand;
}

/** Gives a strand its place in the line, by its first lane. */
function place(line: Line, strand: Strand, { lane, head }: LaneEntry): void {
  strand.version += 1;
  line.strands.push({ strand, version: strand.version, lane, head, share: shareIn(line, strand, head) });
}

/** What a flow has had. One that stands open nowhere begins at the present when its gate opens, and is ordered so. */
function shareIn({ gate, served }: Line, { flow }: Strand, { level }: Head): number {
  return gate === null || flow.open > 0 ? flow.share : Math.max(flow.share, served.get(level) ?? 0);
}

/** Whether this is a lane's present place. */
function isPlace(line: Line, { lane, stamp }: LaneEntry): boolean {
  return stamp === lane.stamp && lane.line === line;
}

function firstIn(line: Line, { lanes }: Strand): LaneEntry | null {
  for (;;) {
    const first = lanes.peek();
    if (!first) return null;
    if (isPlace(line, first)) return first;
    lanes.pop();
  }
}

/** Whether this is the latest entry of a strand in which somebody stands; a strand in which nobody does is forgotten. */
function stands(line: Line, { strand, version }: StrandEntry): boolean {
  if (version !== strand.version) return false;
  if (firstIn(line, strand)) return true;
  line.byFlow.delete(strand.flow);
  return false;
}

/** The first of a line, which stays there. Dirty lanes are not looked at. */
export function firstOf(line: Line): Entry | null {
  for (;;) {
    const entry = line.strands.peek();
    if (!entry) return null;
    const { strand } = entry;
    const first = stands(line, entry) ? firstIn(line, strand)! : null;
    if (
      first &&
      first.lane === entry.lane &&
      first.head === entry.head &&
      entry.share === shareIn(line, strand, first.head)
    ) {
      return entry;
    }
    line.strands.pop();
    if (first) place(line, strand, first);
  }
}

/** Every lane of a line; null: they are more than `most`, or too much stands there that does not count any more. */
export function lanesOf(line: Line, most: number): Set<Lane> | null {
  const lanes = new Set(line.dirty);
  let looked = lanes.size;
  for (const strand of line.byFlow.values()) {
    looked += 1 + strand.lanes.size;
    if (looked > 4 * most) return null;
    for (const entry of strand.lanes.some(strand.lanes.size)) if (isPlace(line, entry)) lanes.add(entry.lane);
  }
  return lanes.size > most ? null : lanes;
}

/** Some lanes of a line that are likely to come soon; some may have left it. */
export function* likelyLanes(line: Line, most: number): Generator<Lane> {
  for (const { strand } of line.strands.some(most)) for (const { lane } of strand.lanes.some(most)) yield lane;
}
