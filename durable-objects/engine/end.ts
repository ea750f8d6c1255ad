/**
 * Ends jobs: their rows go into the outbox, for the history, and leave the table, in one transaction. The record is
 * put together inside SQL, because handing rows to JavaScript and back costs more than all the rest.
 *
 * @module
 */
import type { FinalState, Reason, UnfinishedState } from "../../client/types.ts";
import { mergeBuckets, type Rollup, type RollupCell } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { setting } from "./books.ts";
import { chunks } from "./chunks.ts";
import { laneOf } from "./lanes.ts";
import { loadLeaving, passOn } from "./leave.ts";
import { CHUNK_BYTES, FLUSH_JOBS } from "./limits.ts";
import { appendAttempt } from "./move.ts";
import { noteOutboxRow } from "./outbox.ts";
import type { Tx } from "./ports.ts";
import { chunkBytes, fittingLogs } from "./record-size.ts";
import { addEnd, cellOf, minuteOf } from "./rollup.ts";
import { assertEdge, type Verb } from "./states.ts";
import { tally } from "./tally.ts";
import { touch } from "./watch.ts";

export interface End {
  seq: number;
  fence: number;
  lane: number;
  wasRetrying: boolean;
  to: FinalState;
  reason: Reason | null;
  /** Null keeps what the row has. */
  failures: number | null;
  lapses: number | null;
  /** JSON text. */
  result: string | null;
  error: string | null;
  /** How the attempt that ends here is noted; null: no attempt ends. */
  outcome: string | null;
  attemptError: { name: string; message: string } | null;
  /** What its logs become; null keeps them. */
  logs: string | null;
  /** About how large the record is, at least. */
  bytes: number;
  runMs: number | null;
  waitMs: number | null;
}

const NOW = "CAST(?7 AS INTEGER)";

/** What of a record comes from the ends, as SQL over `e.value`. */
interface Columns {
  state: string;
  reason: string;
  failures: string;
  lapses: string;
  result: string;
  error: string;
  attempts: string;
  logs: string;
}

const intoOutbox = (c: Columns): string => `
INSERT INTO outbox (id, kind, count, min_seq, max_seq, high_water, created_at, body, rollup, requests)
SELECT ?4, ?5, count(*), min(jobs.seq), max(jobs.seq), ?6, ?7,
  json_group_array(json_array(jobs.seq, jobs.fence + 1, lanes.task, ${c.state}, jobs.created_at, ${NOW}, '' ||
    json_array(${c.reason}, jobs.priority, ${c.failures}, ${c.lapses}, jobs.payload, jobs.encoding, ${c.result},
      ${c.error}, jobs.progress, ${c.attempts}, jobs.options, jobs.run_at, jobs.started_at, jobs.cancel_requested_at),
    ${c.logs})),
  ?9,
  nullif(json_group_array(json_array(jobs.seq, jobs.created_at, jobs.request)) FILTER (WHERE jobs.request IS NOT NULL), '[]')
FROM json_each(?1) AS e
CROSS JOIN jobs ON jobs.seq = e.value ->> 0 AND jobs.fence = e.value ->> 1 AND +jobs.state = ?2 AND jobs.session IS ?3
CROSS JOIN lanes ON lanes.id = jobs.lane
HAVING count(*) > 0
RETURNING count`;

const INTO_OUTBOX = intoOutbox({
  state: "e.value ->> 2",
  reason: "e.value ->> 3",
  failures: "coalesce(e.value ->> 4, jobs.failures)",
  lapses: "coalesce(e.value ->> 5, jobs.lapses)",
  result: "e.value ->> 6",
  error: "coalesce(e.value ->> 7, jobs.error)",
  attempts: appendAttempt(NOW, "?8", "(e.value ->> 8)", "(e.value -> 9)"),
  logs: "coalesce(e.value ->> 10, jobs.logs)",
});

/** The common case with little to read: plain completions. */
const COMPLETED_INTO_OUTBOX = intoOutbox({
  state: "'completed'",
  reason: "NULL",
  failures: "jobs.failures",
  lapses: "jobs.lapses",
  result: "e.value ->> 2",
  error: "jobs.error",
  attempts: appendAttempt(NOW, "?8", "'completed'", "'null'"),
  logs: "coalesce(e.value ->> 3, jobs.logs)",
});

/** The plus: see MOVE. */
const DELETE = `
DELETE FROM jobs WHERE seq IN (SELECT value ->> 0 FROM json_each(?1)) AND +state = ?2 AND session IS ?3`;

/** Ends jobs that all stand in `from` and are all held by `session` (null: by none). */
export function endJobs(
  tx: Tx,
  verb: Verb,
  from: UnfinishedState,
  held: { session: string; worker: string } | null,
  ends: End[],
): void {
  for (const end of ends) {
    assertEdge(verb, from, end.to);
    if (chunkBytes(end.bytes) > CHUNK_BYTES) end.logs = fittingLogs(tx, end);
  }
  const unkept = unkeptOf(tx, ends);
  for (const [kind, group] of [
    ["result", ends.filter(({ seq }) => unkept.has(seq))],
    ["history", ends.filter(({ seq }) => !unkept.has(seq))],
  ] as const) {
    for (const chunk of chunks(group, (end) => chunkBytes(end.bytes), FLUSH_JOBS))
      endChunk(tx, kind, from, held, chunk);
  }
}

/**
 * Completions that the history is not to have. That of a job that had ended before is kept: else the history would show
 * its old end, now or when a batch that was sent before comes late.
 */
function unkeptOf(tx: Tx, ends: End[]): Set<number> {
  const completed = ends.filter(({ to }) => to === "completed").map(({ seq }) => seq);
  if (completed.length === 0 || setting(tx.books, "historyCompleted") !== "none") return new Set();
  const rows = tx.sql.exec(
    "SELECT jobs.seq FROM json_each(?) AS e CROSS JOIN jobs ON jobs.seq = e.value WHERE jobs.reopened_fence = 0",
    JSON.stringify(completed),
  );
  return new Set(rows.map(({ seq }) => Number(seq)));
}

function endChunk(
  tx: Tx,
  kind: "history" | "result",
  from: UnfinishedState,
  held: { session: string; worker: string } | null,
  ends: End[],
): void {
  const plain = ends.every((end) => end.to === "completed" && end.reason === null);
  const json = JSON.stringify(ends.map(plain ? plainRow : fullRow));
  const rollup = JSON.stringify(countEnds(tx, ends));
  const session = held?.session ?? null;
  const worker = held?.worker ?? null;
  const highWater = tx.books.nextSeq - 1;
  const id = noteOutboxRow(tx, ends.length);
  const [row] = tx.sql.exec(
    plain ? COMPLETED_INTO_OUTBOX : INTO_OUTBOX,
    json,
    from,
    session,
    id,
    kind,
    highWater,
    tx.now,
    worker,
    rollup,
  );
  assert(row?.count === ends.length, `${row?.count ?? 0} of ${ends.length} jobs were as the books say`);
  touch(tx, ends);
  const leaving = loadLeaving(tx, json);
  tx.sql.exec(DELETE, json, from, session);
  for (const end of ends) tally(tx, { state: from, lane: end.lane, retrying: end.wasRetrying }, null);
  if (leaving.length === 0) return;
  const states = new Map(ends.map(({ seq, to }) => [seq, to]));
  passOn(tx, leaving, (seq) => states.get(seq)!);
}

const plainRow = ({ seq, fence, result, logs }: End): unknown[] =>
  logs === null ? [seq, fence, result] : [seq, fence, result, logs];

const fullRow = (e: End): unknown[] => [
  e.seq,
  e.fence,
  e.to,
  e.reason,
  e.failures,
  e.lapses,
  e.result,
  e.error,
  e.outcome,
  e.attemptError,
  e.logs,
];

/** The counts of these ends; those of the object's life grow by them. */
function countEnds(tx: Tx, ends: End[]): Rollup {
  const rollup: Rollup = {};
  const minute = minuteOf(tx.now);
  let cell: RollupCell | null = null;
  let last: End | null = null;
  for (const end of ends) {
    // Most ends of a settle are alike: their cell is looked up once.
    if (!cell || last?.lane !== end.lane || last.to !== end.to) {
      cell = cellOf(rollup, minute, laneOf(tx, end.lane).task, end.to);
    }
    addEnd(cell, end);
    last = end;
  }
  const { metrics } = tx.books;
  for (const states of Object.values(rollup[minute] ?? {})) {
    for (const [state, { count, run, wait }] of Object.entries(states)) {
      metrics.endsByOutcome[state] = (metrics.endsByOutcome[state] ?? 0) + count;
      mergeBuckets(metrics.run, run);
      mergeBuckets(metrics.wait, wait);
    }
  }
  return rollup;
}
