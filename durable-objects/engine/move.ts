/**
 * Takes unfinished jobs from one state to another, a set at a time. The guard stands in the statement: a row that
 * is not in the state, at the fence and with the session that the caller believes in is not touched.
 *
 * @module
 */
import type { UnfinishedState } from "../../client/types.ts";
import { assert } from "./assert.ts";
import { chunks } from "./chunks.ts";
import { ATTEMPTS_KEPT } from "./limits.ts";
import type { Tx } from "./ports.ts";
import { assertEdge, type Verb } from "./states.ts";
import { tally } from "./tally.ts";
import { touch } from "./watch.ts";

export interface Move {
  seq: number;
  fence: number;
  fromLane: number;
  lane: number;
  wasRetrying: boolean;
  to: UnfinishedState;
  reason: string | null;
  /** Null keeps the place in line. */
  rank: number | null;
  wakeAt: number | null;
  /** The end of waiting; null: none. */
  expiresAt: number | null;
  /** The next start as people see it; null keeps it. */
  runAt: number | null;
  failures: number;
  lapses: number;
  declines: number;
  declinedSince: number | null;
  /** JSON text of a JobError; null keeps the latest. */
  error: string | null;
  /** How the attempt that ends here is noted; null: no attempt ends. */
  outcome: string | null;
  /** JSON of `{ name, message }` for that note. */
  attemptError: { name: string; message: string } | null;
  /** What its logs become; null keeps them. */
  logs: string | null;
}

/** SQL that appends one attempt, keeping the latest ones; `null` for the outcome appends nothing. */
export function appendAttempt(now: string, worker: string, outcome: string, error: string): string {
  const attempt = `json_array(jobs.failures + 1, jobs.fence, jobs.started_at, ${now}, ${outcome}, ${worker}, json(${error}))`;
  return `CASE WHEN ${outcome} IS NULL THEN jobs.attempts
    WHEN jobs.attempts IS NULL THEN '' || json_array(${attempt})
    ELSE '' || json_insert(CASE WHEN json_array_length(jobs.attempts) >= ${ATTEMPTS_KEPT}
      THEN json_remove(jobs.attempts, '$[0]') ELSE jobs.attempts END, '$[#]', ${attempt}) END`;
}

/** About what a move takes without its error. */
const MOVE_BYTES = 200;

/**
 * The plus keeps the planner from looking at the bound state for the sake of the partial indexes: a statement whose
 * plan hangs on a value is prepared anew at each call (measured on SQLite 3.53: 400 µs instead of 6).
 */
const MOVE = `
UPDATE jobs SET lane = v.lane, state = v.state, reason = v.reason, rank = coalesce(v.rank, jobs.rank),
  wake_at = v.wake_at, expires_at = v.expires_at, run_at = coalesce(v.run_at, jobs.run_at), failures = v.failures,
  lapses = v.lapses, declines = v.declines, declined_since = v.declined_since, error = coalesce(v.error, jobs.error),
  attempts = ${appendAttempt("CAST(?4 AS INTEGER)", "?5", "v.outcome", "v.attempt_error")}, session = NULL,
  logs = coalesce(v.logs, jobs.logs)
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS fence, value ->> 2 AS lane, value ->> 3 AS state,
  value ->> 4 AS reason, value ->> 5 AS rank, value ->> 6 AS wake_at, value ->> 7 AS run_at, value ->> 8 AS failures,
  value ->> 9 AS lapses, value ->> 10 AS declines, value ->> 11 AS declined_since, value ->> 12 AS error,
  value ->> 13 AS outcome, value -> 14 AS attempt_error, value ->> 15 AS expires_at, value ->> 16 AS logs FROM json_each(?1)) AS v
WHERE jobs.seq = v.seq AND jobs.fence = v.fence AND +jobs.state = ?2 AND jobs.session IS ?3
RETURNING jobs.seq`;

/** Moves jobs that all stand in `from` and are all held by `session` (null: by none). */
export function moveJobs(
  tx: Tx,
  verb: Verb,
  from: UnfinishedState,
  held: { session: string; worker: string } | null,
  moves: Move[],
): void {
  for (const chunk of chunks(moves, bytesOf)) moveChunk(tx, verb, from, held, chunk);
}

/** Errors with their stacks, and logs, are what makes a move large. */
function bytesOf({ error, attemptError, logs }: Move): number {
  return MOVE_BYTES + (error?.length ?? 0) + (attemptError?.message.length ?? 0) + (logs?.length ?? 0);
}

function moveChunk(
  tx: Tx,
  verb: Verb,
  from: UnfinishedState,
  held: { session: string; worker: string } | null,
  moves: Move[],
): void {
  for (const move of moves) assertEdge(verb, from, move.to);
  const rows = moves.map((m) => [
    m.seq,
    m.fence,
    m.lane,
    m.to,
    m.reason,
    m.rank,
    m.wakeAt,
    m.runAt,
    m.failures,
    m.lapses,
    m.declines,
    m.declinedSince,
    m.error,
    m.outcome,
    m.attemptError,
    m.expiresAt,
    m.logs,
  ]);
  const moved = tx.sql.exec(MOVE, JSON.stringify(rows), from, held?.session ?? null, tx.now, held?.worker ?? null);
  assert(moved.length === moves.length, `${verb} moved ${moved.length} of ${moves.length} jobs`);
  touch(tx, moves);
  for (const move of moves) {
    const retrying = move.failures + move.lapses > 0;
    tally(
      tx,
      { state: from, lane: move.fromLane, retrying: move.wasRetrying },
      { state: move.to, lane: move.lane, retrying },
    );
    if (move.wakeAt === null) continue;
    tx.books.wakeAt = Math.min(tx.books.wakeAt, move.wakeAt);
    tx.due(move.wakeAt);
  }
}
