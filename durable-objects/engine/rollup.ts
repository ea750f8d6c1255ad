/**
 * Counts of ended jobs in mergeable logarithmic buckets (see `Buckets` in client/wire.ts for the scale and its source).
 *
 * @module
 */
import { type Buckets, mergeBuckets, type Rollup, type RollupCell } from "../../client/wire.ts";

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
export function addEnd(cell: RollupCell, { runMs, waitMs }: { runMs: number | null; waitMs: number | null }): void {
  cell.count += 1;
  if (runMs !== null) {
    observe(cell.run, runMs);
    cell.runMaxMs = Math.max(cell.runMaxMs, runMs);
  }
  if (waitMs !== null) {
    observe(cell.wait, waitMs);
    cell.waitMaxMs = Math.max(cell.waitMaxMs, waitMs);
  }
}

/** The cell of an instant, a task and a final state, made if it is new. */
export function cellOf(rollup: Rollup, minute: string, task: string, state: string): RollupCell {
  const tasks = own(rollup, minute, () => ({}) as Rollup[string]);
  const states = own(tasks, task, () => ({}) as Rollup[string][string]);
  return own(states, state, () => ({ count: 0, runMaxMs: 0, waitMaxMs: 0, run: {}, wait: {} }));
}

/** A task may be called `constructor`: only own properties count. */
function own<Value>(of: { [key: string]: Value }, key: string, make: () => Value): Value {
  if (!Object.hasOwn(of, key)) of[key] = make();
  return of[key] as Value;
}

export function minuteOf(instant: number): string {
  return String(Math.floor(instant / 60_000));
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
        mergeBuckets(sum.run, cell.run);
        mergeBuckets(sum.wait, cell.wait);
      }
    }
  }
}
