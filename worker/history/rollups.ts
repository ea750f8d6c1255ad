/**
 * Adds rollups up, and lets minutes run together into hours or days.
 *
 * @module
 */
import { mergeBuckets, type Rollup, type RollupCell } from "../../client/wire.ts";

/** Adds the counts of `from` to `into`, under the first minute of each `grainMinutes` (in UTC). */
export function addRollup(into: Rollup, from: Rollup, grainMinutes: number): void {
  for (const [minute, tasks] of Object.entries(from)) {
    const start = Number(minute) - (Number(minute) % grainMinutes);
    for (const [task, states] of Object.entries(tasks)) {
      for (const [state, cell] of Object.entries(states)) addCell(cellOf(into, start, task, state), cell);
    }
  }
}

/** Keys come from outside ("constructor" is a fine name of a task), so nothing is inherited. */
export function emptyRollup(): Rollup {
  return Object.create(null) as Rollup;
}

/** The first and the last minute; both 0 where there is none: prune takes such a row for very old. */
export function spanOf(rollup: Rollup): { from: number; to: number } {
  const minutes = Object.keys(rollup).map(Number);
  return minutes.length > 0 ? { from: Math.min(...minutes), to: Math.max(...minutes) } : { from: 0, to: 0 };
}

function cellOf(rollup: Rollup, minute: number, task: string, state: string): RollupCell {
  rollup[minute] ??= Object.create(null) as Rollup[string];
  rollup[minute]![task] ??= Object.create(null) as Rollup[string][string];
  rollup[minute]![task]![state] ??= { count: 0, runMaxMs: 0, waitMaxMs: 0, run: {}, wait: {} };
  return rollup[minute]![task]![state]!;
}

function addCell(into: RollupCell, from: RollupCell): void {
  into.count += from.count;
  into.runMaxMs = Math.max(into.runMaxMs, from.runMaxMs);
  into.waitMaxMs = Math.max(into.waitMaxMs, from.waitMaxMs);
  mergeBuckets(into.run, from.run);
  mergeBuckets(into.wait, from.wait);
}
