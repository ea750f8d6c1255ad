/**
 * Which instants of a schedule have had their job: each has one, once, whatever made it.
 *
 * @module
 */
import type { EnqueueAnswer } from "../../client/wire.ts";
import { DAY, STEP_ROWS } from "./limits.ts";
import type { Tx } from "./ports.ts";

/** What a schedule made by itself is noted for so long; what was made by a backfill, as long as the schedule lives. */
const KEPT_MS = 90 * DAY;
/** Where the unfinished jobs of a schedule are looked for: among so many of the latest that it made. */
const LATEST_RUNS = 100;

/** Whether an instant has its job by what an enqueue came to: not where an older one has its unique key. */
export function isMade({ outcome }: EnqueueAnswer): boolean {
  return outcome !== "returned" && outcome !== "throttled";
}

/** Of these instants those that have had their job, with its number. */
export function runsAt(tx: Tx, name: string, instants: readonly number[]): Map<number, number> {
  if (instants.length === 0) return new Map();
  const rows = tx.sql.exec(
    `SELECT r.instant, r.seq FROM json_each(?) AS i
     CROSS JOIN schedule_runs AS r ON r.name = ? AND r.instant = i.value`,
    JSON.stringify(instants),
    name,
  );
  return new Map(rows.map((row) => [Number(row.instant), Number(row.seq)]));
}

/** Notes jobs that were made. Fails where an instant has had one. */
export function noteRuns(tx: Tx, name: string, runs: readonly [instant: number, seq: number][], backfilled: 0 | 1) {
  tx.sql.exec(
    `INSERT INTO schedule_runs (name, instant, seq, backfilled)
     SELECT ?, value ->> 0, value ->> 1, CAST(? AS INTEGER) FROM json_each(?)`,
    name,
    backfilled,
    JSON.stringify(runs),
  );
}

/**
 * The jobs that a schedule made by itself, or that were asked for now, and that have not ended; newest first. Not those
 * of others that stand for one of its own, by a unique key.
 */
export function unfinishedRuns(tx: Tx, name: string): number[] {
  return tx.sql
    .exec(
      `SELECT r.seq FROM (
         SELECT instant, seq FROM schedule_runs WHERE name = ?1 AND backfilled = 0 ORDER BY instant DESC LIMIT ${LATEST_RUNS}
       ) AS r CROSS JOIN jobs ON jobs.seq = r.seq AND jobs.options ->> '$.schedule.name' = ?1 ORDER BY r.instant DESC`,
      name,
    )
    .map((row) => Number(row.seq));
}

/**
 * From when to when nobody knows any more which instants had their job, `from` included: what a schedule made by
 * itself is forgotten after 90 days, but for the first. Null: all is known.
 */
export function forgottenRuns(tx: Tx, name: string): { from: number; to: number } | null {
  const [row] = tx.sql.exec(
    "SELECT instant FROM schedule_runs WHERE name = ? AND backfilled = 0 ORDER BY instant LIMIT 1",
    name,
  );
  const to = tx.now - KEPT_MS;
  return row && Number(row.instant) < to ? { from: Number(row.instant), to } : null;
}

/** Forgets old runs of these schedules, and all old ones of schedules that are gone. A step of it. */
export function trimRuns(tx: Tx, names: readonly string[]): void {
  const before = tx.now - KEPT_MS;
  tx.sql.exec(
    `DELETE FROM schedule_runs WHERE (name, instant) IN (
       SELECT r.name, r.instant FROM json_each(?1) AS n
       CROSS JOIN schedule_runs AS r ON r.name = n.value AND r.instant < ?2 AND r.backfilled = 0
       WHERE r.instant > (SELECT min(instant) FROM schedule_runs WHERE name = r.name AND backfilled = 0)
       LIMIT ${STEP_ROWS})`,
    JSON.stringify(names),
    before,
  );
  tx.sql.exec(
    `WITH RECURSIVE noted (name) AS (
       SELECT min(name) FROM schedule_runs
       UNION ALL SELECT (SELECT min(name) FROM schedule_runs WHERE name > noted.name) FROM noted WHERE name IS NOT NULL)
     DELETE FROM schedule_runs WHERE (name, instant) IN (
       SELECT r.name, r.instant FROM noted CROSS JOIN schedule_runs AS r ON r.name = noted.name AND r.instant < ?2
       WHERE noted.name NOT IN (SELECT value FROM json_each(?1)) LIMIT ${STEP_ROWS})`,
    JSON.stringify(names),
    before,
  );
}
