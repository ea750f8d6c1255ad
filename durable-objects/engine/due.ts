/**
 * Moves on what has come due: scheduled jobs whose time has come, and jobs that were not started in time.
 *
 * @module
 */
import { endJobs } from "./end.ts";
import { STEP_ROWS } from "./limits.ts";
import { moveJobs } from "./move.ts";
import type { Row, Tx } from "./ports.ts";
import { cancelledEnd, readyMove, WAITING_COLUMNS } from "./rows.ts";

/** Promotes and expires up to a step of jobs. Returns true when more are due. */
export function promoteDue(tx: Tx): boolean {
  if (tx.books.wakeAt > tx.now) return false;
  const rows = tx.sql.exec(
    `SELECT ${WAITING_COLUMNS} FROM jobs WHERE wake_at <= ? ORDER BY wake_at, seq LIMIT ?`,
    tx.now,
    STEP_ROWS,
  );
  const isExpired = (row: Row): boolean => row.expires_at !== null && Number(row.expires_at) <= tx.now;
  // The blocked ones first: none of them is then let go on by the end of another.
  for (const state of ["blocked", "scheduled", "ready"] as const) {
    const expired = rows.filter((row) => row.state === state && isExpired(row));
    endJobs(
      tx,
      "expire",
      state,
      null,
      expired.map((row) => cancelledEnd(row, "expired")),
    );
  }
  moveJobs(
    tx,
    "promote",
    "scheduled",
    null,
    rows
      .filter((row) => row.state === "scheduled" && !isExpired(row))
      .map((row) => readyMove(row, Number(row.run_at), null)),
  );
  const [next] = tx.sql.exec("SELECT wake_at FROM jobs WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1");
  tx.books.wakeAt = next ? Number(next.wake_at) : Number.POSITIVE_INFINITY;
  tx.due(tx.books.wakeAt);
  return tx.books.wakeAt <= tx.now;
}
