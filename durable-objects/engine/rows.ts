/**
 * From a waiting row of `jobs` to what `moveJobs` and `endJobs` take.
 *
 * @module
 */
import type { Reason } from "../../client/types.ts";
import type { End } from "./end.ts";
import type { Move } from "./move.ts";
import type { Row } from "./ports.ts";

/** About what a record holds besides the texts that are counted. */
export const RECORD_BYTES = 300;

/** SQL for the bytes of the texts of a row of `jobs`. */
export const TEXT_BYTES = `(octet_length(options) + coalesce(octet_length(payload), 0)
  + coalesce(octet_length(error), 0) + coalesce(octet_length(attempts), 0) + coalesce(octet_length(progress), 0)
  + coalesce(octet_length(request), 0) + coalesce(octet_length(logs), 0))`;

/** Columns that these need. */
export const WAITING_COLUMNS = `seq, fence, lane, state, run_at, expires_at, failures, lapses, declines, declined_since,
  cancel_requested_at, created_at, request, session, ${TEXT_BYTES} AS bytes`;

const standing = (row: Row) => ({
  seq: Number(row.seq),
  fence: Number(row.fence),
  wasRetrying: Number(row.failures) + Number(row.lapses) > 0,
  error: null,
  outcome: null,
  attemptError: null,
  logs: null,
});

/** A waiting job becomes ready; its place in line is that of `rank`. */
export function readyMove(row: Row, rank: number, runAt: number | null): Move {
  const expiresAt = row.expires_at === null ? null : Number(row.expires_at);
  return {
    ...standing(row),
    fromLane: Number(row.lane),
    lane: Number(row.lane),
    to: "ready",
    reason: null,
    rank,
    wakeAt: expiresAt,
    expiresAt,
    runAt,
    failures: Number(row.failures),
    lapses: Number(row.lapses),
    declines: Number(row.declines),
    declinedSince: row.declined_since === null ? null : Number(row.declined_since),
  };
}

/** A waiting job gets the place that it has by its time: ready where that has come, else scheduled. */
export function placedMove(row: Row, runAt: number, now: number): Move {
  const move = readyMove(row, runAt, runAt);
  if (runAt <= now) return move;
  return { ...move, to: "scheduled", wakeAt: Math.min(runAt, move.wakeAt ?? runAt) };
}

/** A waiting job ends cancelled. */
export function cancelledEnd(row: Row, reason: Reason): End {
  return {
    ...standing(row),
    lane: Number(row.lane),
    to: "cancelled",
    reason,
    failures: null,
    lapses: null,
    result: null,
    bytes: Number(row.bytes) + RECORD_BYTES,
    runMs: null,
    waitMs: null,
  };
}
