/**
 * Counts of ended jobs in mergeable logarithmic buckets (see `Buckets` in client/wire.ts for the scale and its source).
 *
 * @module
 */
import type { Buckets, Rollup, RollupCell } from "../../client/wire.ts";

const LOG_GROWTH = Math.log(1.2);

/** The bucket of a time in ms: 0 holds up to 1 ms, i holds (1.2^(i-1), 1.2^i]. */
export function bucketOf(ms: number): number {
  return ms <= 1 ? 0 : Math.ceil(Math.log(ms) / LOG_GROWTH);
}

export function observe(buckets: Buckets, ms: number, count = 1): void {
  const bucket = bucketOf(ms);
  buckets[bucket] = (buckets[bucket] ?? 0) + count;
}

/** Counts one end. A job that never ran has no run time, and its wait says nothing about workers. */
export function addEnd(
  rollup: Rollup,
  now: number,
  task: string,
  end: { to: string; runMs: number | null; waitMs: number | null },
): void {
  const cell = cellOf(rollup, String(Math.floor(now / 60_000)), task, end.to);
  cell.count += 1;
  if (end.runMs !== null) {
    observe(cell.run, end.runMs);
    cell.runMaxMs = Math.max(cell.runMaxMs, end.runMs);
  }
  if (end.waitMs !== null) {
    observe(cell.wait, end.waitMs);
    cell.waitMaxMs = Math.max(cell.waitMaxMs, end.waitMs);
  }
}

function cellOf(rollup: Rollup, minute: string, task: string, state: string): RollupCell {
  const tasks = own(rollup, minute, () => ({}) as Rollup[string]);
  const states = own(tasks, task, () => ({}) as Rollup[string][string]);
  return own(states, state, () => ({ count: 0, runMaxMs: 0, waitMaxMs: 0, run: {}, wait: {} }));
}

/** A task may be called `constructor`: only own properties count. */
function own<Value>(of: { [key: string]: Value }, key: string, make: () => Value): Value {
  if (!Object.hasOwn(of, key)) of[key] = make();
  return of[key] as Value;
}

/** Adds the counts of `from` to `into`. */
export function mergeRollup(into: Rollup, from: Rollup): void {
  for (const [minute, tasks] of Object.entries(from)) {
    for (const [task, states] of Object.entries(tasks)) {
      for (const [state, cell] of Object.entries(states)) {
        const sum = cellOf(into, minute, task, state);
        sum.count += cell.count;
        sum.runMaxMs = Math.max(sum.runMaxMs, cell.runMaxMs);
        sum.waitMaxMs = Math.max(sum.waitMaxMs, cell.waitMaxMs);
        for (const [bucket, count] of Object.entries(cell.run)) sum.run[bucket] = (sum.run[bucket] ?? 0) + count;
        for (const [bucket, count] of Object.entries(cell.wait)) sum.wait[bucket] = (sum.wait[bucket] ?? 0) + count;
      }
    }
  }
}
