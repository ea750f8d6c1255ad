/**
 * Lanes: the jobs that are alike to the scheduler. In the core a lane is a task, its channel, and whether its jobs
 * have lapsed. Lanes are few and are interned to integers once.
 *
 * @module
 */
import type { Channel } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { type Lane, laneKey } from "./books.ts";
import { LONG_TIMEOUT_MS } from "./limits.ts";
import type { Tx } from "./ports.ts";

export function channelOf(timeoutMs: number): Channel {
  return timeoutMs > LONG_TIMEOUT_MS ? "long" : "short";
}

/** The lane of these properties, made if it is new. */
export function internLane(tx: Tx, lane: { task: string; channel: Channel; suspect: boolean }): number {
  const known = tx.books.laneIds.get(laneKey(lane));
  if (known !== undefined) return known;
  const id = tx.books.lanes.size + 1;
  tx.sql.exec(
    "INSERT INTO lanes (id, task, channel, suspect) VALUES (?, ?, ?, ?)",
    id,
    lane.task,
    lane.channel,
    lane.suspect ? 1 : 0,
  );
  tx.books.lanes.set(id, { id, task: lane.task, channel: lane.channel, suspect: lane.suspect, ready: 0 });
  tx.books.laneIds.set(laneKey(lane), id);
  return id;
}

export function laneOf(tx: Tx, id: number): Lane {
  const lane = tx.books.lanes.get(id);
  assert(lane, `lane ${id} is interned`);
  return lane;
}

/** The lane for jobs like those of `id` that have lapsed. */
export function suspectLane(tx: Tx, id: number): number {
  const { task, channel } = laneOf(tx, id);
  return internLane(tx, { task, channel, suspect: true });
}
