import type { QueueKey } from "./registry.ts";
import { addRollup, emptyRollup, spanOf } from "./rollups.ts";

const MINUTE_MS = 60_000;
const HOUR_MINUTES = 60;
const MINUTES_KEPT = 48 * HOUR_MINUTES;
const KEPT_MINUTES = 90 * 24 * HOUR_MINUTES;
/** Hours merged in one call. */
const HOURS = 6;
/** Rows merged into one at a time. */
const ROWS = 500;
/** In UTF-16 units, so that D1's 2 MB hold it in any script. Minutes that take more run together at once. */
const MAX_BODY_LENGTH = 600_000;

/** Forgets counts older than 90 days, but never a queue's newest row. */
export async function dropRollups(db: D1Database, { queue, partition }: QueueKey, now: number): Promise<void> {
  await db
    .prepare(
      `DELETE FROM rollups WHERE queue = ?1 AND partition = ?2 AND to_minute < ?3
       AND upto < (SELECT max(upto) FROM rollups WHERE queue = ?1 AND partition = ?2)`,
    )
    .bind(queue, partition, minuteOf(now) - KEPT_MINUTES)
    .run();
}

/** Merges the rows of each hour that ended over an hour ago, at most six of them a call. */
export async function compactRollups(db: D1Database, key: QueueKey, now: number): Promise<{ more: boolean }> {
  const thisHour = Math.floor(minuteOf(now) / HOUR_MINUTES);
  const coarseHour = Math.floor((minuteOf(now) - MINUTES_KEPT) / HOUR_MINUTES);
  const { results } = await db
    .prepare(
      `SELECT to_minute / ${HOUR_MINUTES} AS hour, count(*) AS rows, min(grain_minutes) AS grain FROM rollups
       WHERE queue = ?1 AND partition = ?2 AND to_minute < ?3
       GROUP BY hour HAVING rows > 1 OR (grain = 1 AND hour < ?4) ORDER BY hour LIMIT ${HOURS}`,
    )
    .bind(key.queue, key.partition, (thisHour - 1) * HOUR_MINUTES, coarseHour)
    .all<{ hour: number; rows: number }>();
  let more = results.length === HOURS;
  for (const { hour, rows } of results) {
    await mergeHour(db, key, hour, hour < coarseHour ? HOUR_MINUTES : 1);
    more ||= rows > ROWS;
  }
  return { more };
}

interface Row {
  upto: number;
  grain: number;
  body: string;
}

async function mergeHour(db: D1Database, key: QueueKey, hour: number, grainMinutes: number): Promise<void> {
  const { results: rows } = await db
    .prepare(
      `SELECT upto, grain_minutes AS grain, body FROM rollups WHERE queue = ?1 AND partition = ?2
       AND to_minute >= ?3 AND to_minute < ?4 ORDER BY upto LIMIT ${ROWS}`,
    )
    .bind(key.queue, key.partition, hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES)
    .all<Row>();
  if (rows.length === 0) return;
  const merged = mergeRows(rows, Math.max(grainMinutes, ...rows.map((row) => row.grain)));
  const { upto, others, from, to, body } = merged;
  await db.batch([
    db.prepare(REPLACE).bind(key.queue, key.partition, upto, from, to, merged.grainMinutes, body),
    db.prepare(DELETE_MERGED).bind(key.queue, key.partition, JSON.stringify(others)),
  ]);
}

/**
 * An update, never an insert: a merge takes an hour's lowest rows and new ones come above, so where another run got
 * ahead, either the newest row is gone and all the others with it, or it holds what is written here.
 */
const REPLACE = `
UPDATE rollups SET from_minute = ?4, to_minute = ?5, grain_minutes = ?6, body = ?7
WHERE queue = ?1 AND partition = ?2 AND upto = ?3`;

const DELETE_MERGED = `
DELETE FROM rollups WHERE queue = ?1 AND partition = ?2 AND upto IN (SELECT value FROM json_each(?3))`;

interface Merged {
  upto: number;
  others: number[];
  from: number;
  to: number;
  grainMinutes: number;
  body: string;
}

/** One row for all, or, where even hours take too much room, for the first of them. */
function mergeRows(rows: Row[], grainMinutes: number): Merged {
  const rollup = emptyRollup();
  for (const row of rows) addRollup(rollup, JSON.parse(row.body), grainMinutes);
  const body = JSON.stringify(rollup);
  if (body.length > MAX_BODY_LENGTH && grainMinutes < HOUR_MINUTES) return mergeRows(rows, HOUR_MINUTES);
  if (body.length > MAX_BODY_LENGTH && rows.length > 1) return mergeRows(rows.slice(0, rows.length / 2), grainMinutes);
  const others = rows.slice(0, -1).map((row) => row.upto);
  return { upto: rows.at(-1)!.upto, others, ...spanOf(rollup), grainMinutes, body };
}

function minuteOf(instant: number): number {
  return Math.floor(instant / MINUTE_MS);
}
