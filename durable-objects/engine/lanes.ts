/**
 * Lanes: the jobs that are alike to the scheduler, because they have the same task, channel, keys, costs and fair key,
 * and have all lapsed or not. Lanes are interned to integers.
 *
 * @module
 */
import type { Channel, StoredOptions } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { type Books, laneKey } from "./books.ts";
import { gateOf, keyGateKey, taskGateKey } from "./gates.ts";
import { LONG_TIMEOUT_MS } from "./limits.ts";
import { newLine } from "./line.ts";
import type { Tx } from "./ports.ts";
import type { Group, Lane, LaneSpec } from "./scheduler.ts";

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
  const { books } = tx;
  const known = books.laneIds.get(laneKey(spec));
  if (known !== undefined) return known;
  const id = books.nextLaneId;
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
  addLane(books, id, spec);
  return id;
}

/** Enters a lane of the table into the books. */
export function addLane(books: Books, id: number, spec: LaneSpec): Lane {
  const gates = Object.entries(spec.keys ?? {}).map(([kind, value]) => gateOf(books, keyGateKey(kind, value)));
  for (const gate of gates) gate.lanes += 1;
  const group = groupOf(books, spec);
  const lane: Lane = { ...spec, id, ready: 0, group, gates, line: null, via: null, flow: null, next: [], stamp: 0 };
  books.lanes.set(id, lane);
  books.laneIds.set(laneKey(spec), id);
  books.nextLaneId = Math.max(books.nextLaneId, id + 1);
  return lane;
}

function groupOf(books: Books, { task, channel, suspect }: LaneSpec): Group {
  const key = laneKey({ task, channel, suspect, keys: null, cost: null, fairKey: null });
  let group = books.groups.get(key);
  if (!group) {
    const gate = gateOf(books, taskGateKey(task));
    group = { task, channel, suspect, gate, open: newLine(null, books.served), ready: 0, openReady: 0 };
    books.groups.set(key, group);
  }
  return group;
}

/** Lanes that may stay although nothing is in them: looking for them reads all jobs. */
const IDLE_LANES_KEPT = 1_000;

/**
 * Forgets lanes with keys that no job is in, when there may be many. Called after a verb, when every new lane has its jobs; how
 * many there may be grows with those that were found in use, so that the reading stays a small part of the work.
 */
export function sweepLanes(tx: Tx): void {
  const { books } = tx;
  if (books.lanes.size < books.lanesSwept + IDLE_LANES_KEPT) return;
  const rows = tx.sql.exec(
    `DELETE FROM lanes WHERE (keys IS NOT NULL OR fair_key IS NOT NULL) AND id NOT IN (SELECT lane FROM jobs) RETURNING id`,
  );
  for (const { id } of rows) dropLane(books, books.lanes.get(Number(id))!);
  books.lanesSwept = 2 * books.lanes.size;
}

function dropLane(books: Books, lane: Lane): void {
  books.lanes.delete(lane.id);
  books.laneIds.delete(laneKey(lane));
  for (const gate of lane.gates) {
    gate.lanes -= 1;
    if (gate.lanes === 0) books.gates.delete(gate.key);
  }
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
