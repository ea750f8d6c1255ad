/**
 * Lanes: the jobs that are alike to the scheduler. In the core a lane is a task, its channel, and whether its jobs
 * have lapsed. Lanes are few and are interned to integers once.
 *
 * @module
 */
import type { Channel, StoredOptions } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { type Lane, type LaneSpec, laneKey } from "./books.ts";
import { LONG_TIMEOUT_MS } from "./limits.ts";
import type { Tx } from "./ports.ts";

export function channelOf(timeoutMs: number): Channel {
  return timeoutMs > LONG_TIMEOUT_MS ? "long" : "short";
}

/** The lane of jobs of a task with these options. */
export function laneSpecOf(task: string, options: StoredOptions): LaneSpec {
  const { keys, cost, fairKey, timeoutMs } = options;
  return { task, channel: channelOf(timeoutMs), suspect: false, keys: sorted(keys), cost: sorted(cost), fairKey };
}

/** Kinds in order, so that equal keys are one lane; nothing for none. */
function sorted<Value>(of: { [kind: string]: Value } | null): { [kind: string]: Value } | null {
  const entries = Object.entries(of ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? null : Object.fromEntries(entries);
}

/** The lane of these properties, made if it is new. */
export function internLane(tx: Tx, spec: LaneSpec): number {
  const key = laneKey(spec);
  const known = tx.books.laneIds.get(key);
  if (known !== undefined) return known;
  const id = tx.books.lanes.size + 1;
  const { task, channel, suspect, keys, cost, fairKey } = spec;
  tx.sql.exec(
    "INSERT INTO lanes (id, task, channel, suspect, keys, cost, fair_key) VALUES (?, ?, ?, ?, ?, ?, ?)",
    id,
    task,
    channel,
    suspect ? 1 : 0,
    keys && JSON.stringify(keys),
    cost && JSON.stringify(cost),
    fairKey,
  );
  tx.books.lanes.set(id, { ...spec, id, ready: 0 });
  tx.books.laneIds.set(key, id);
  return id;
}

export function laneOf(tx: Tx, id: number): Lane {
  const lane = tx.books.lanes.get(id);
  assert(lane, `lane ${id} is interned`);
  return lane;
}

/** The lane for jobs like those of `id` that have lapsed. */
export function suspectLane(tx: Tx, id: number): number {
  const { task, channel, keys, cost, fairKey } = laneOf(tx, id);
  return internLane(tx, { task, channel, suspect: true, keys, cost, fairKey });
}
