/**
 * How many jobs started lately: for the queue, each task and each key, which is what estimates go by. Memory only, in
 * a ring of half minutes: after an eviction nothing is known until jobs start again.
 *
 * @module
 */
import type { Gate } from "./scheduler.ts";

const SLOT_MS = 30_000;
/** Five minutes. */
const SLOTS = 10;
/** What began a moment ago says little of what a minute brings. */
const SPAN_MS_MIN = 1_000;

/** Starts since `since`; those at that very instant, `first`, are counted apart: the pace is that of what followed. */
export interface Pace {
  since: number;
  first: number;
  /** The half minute of the latest start. */
  slot: number;
  /** By half minute, around the ring. */
  starts: number[];
}

/** A job starts that goes through this gate. */
export function noteStart(gate: Gate, now: number): void {
  const slot = Math.floor(now / SLOT_MS);
  const { pace } = gate;
  if (!pace || slot - pace.slot >= SLOTS) {
    gate.pace = { since: now, first: 1, slot, starts: new Array<number>(SLOTS).fill(0) };
    return;
  }
  if (now === pace.since) {
    pace.first += 1;
    return;
  }
  while (pace.slot < slot) {
    pace.slot += 1;
    pace.starts[pace.slot % SLOTS] = 0;
  }
  pace.starts[slot % SLOTS]! += 1;
}

/** Starts per ms through this gate in the last five minutes, or since they began; null: there were none. */
export function startsPerMs({ pace }: Gate, now: number): number | null {
  if (!pace) return null;
  const oldest = Math.floor(now / SLOT_MS) - SLOTS + 1;
  let followed = 0;
  for (let slot = Math.max(oldest, pace.slot - SLOTS + 1); slot <= pace.slot; slot++) {
    followed += pace.starts[slot % SLOTS]!;
  }
  const from = Math.max(pace.since, oldest * SLOT_MS);
  const starts = followed === 0 && pace.since === from ? pace.first : followed;
  return starts === 0 ? null : starts / Math.max(SPAN_MS_MIN, now - from);
}
