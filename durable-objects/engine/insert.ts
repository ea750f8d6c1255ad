/**
 * Puts jobs into the table: many of a request with one statement, or a finished one again.
 *
 * @module
 */
import { type JobRecord, readOptions } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { chunks } from "./chunks.ts";
import { internLane, laneSpecOf } from "./lanes.ts";
import { CHUNK_BYTES } from "./limits.ts";
import { joinLine, loadLines } from "./ordering.ts";
import type { Tx } from "./ports.ts";
import { assertEdge } from "./states.ts";
import { tally } from "./tally.ts";
import { touch, touchNew } from "./watch.ts";

/** What jobs of one template have in common, once the clock has been read. */
export interface Stored {
  lane: number;
  state: "scheduled" | "blocked" | "ready";
  priority: number;
  rank: number;
  wakeAt: number | null;
  expiresAt: number | null;
  runAt: number;
  timeoutMs: number;
  options: string;
  ordering: string | null;
  uniqueKey: string | null;
}

/** A job to insert: which template, its payload as JSON text, and with an ordering key its place in the line. */
export type NewRow = [template: number, payload: string | null, orderingRank?: number];

const INSERT = `
WITH t AS MATERIALIZED (
  SELECT value ->> 0 AS k, value ->> 1 AS lane, value ->> 2 AS state, value ->> 3 AS priority, value ->> 4 AS rank,
    value ->> 5 AS wake_at, value ->> 6 AS expires_at, value ->> 7 AS run_at, value ->> 8 AS timeout_ms,
    value ->> 9 AS options, value ->> 10 AS ordering, value ->> 11 AS unique_key
  FROM json_each(?2)
)
INSERT INTO jobs (seq, lane, state, reason, priority, rank, wake_at, expires_at, fence, failures, lapses, created_at,
  run_at, timeout_ms, payload, encoding, options, request, ordering, ordering_rank, unique_key)
SELECT ?1 + j.key, t.lane, t.state, CASE WHEN t.state = 'blocked' THEN 'ordering' END, t.priority, t.rank, t.wake_at,
  t.expires_at, 0, 0, 0, ?4, t.run_at, t.timeout_ms, j.value ->> 1, 'json', t.options,
  CASE WHEN j.key = 0 THEN ?5 END, t.ordering, CASE WHEN t.ordering IS NOT NULL THEN j.value ->> 2 END, t.unique_key
FROM json_each(?3) AS j CROSS JOIN t ON t.k = j.value ->> 0`;

/** Inserts jobs under consecutive ids and returns the first. `request` is noted on the first of them. */
export function insertJobs(tx: Tx, templates: Stored[], jobs: NewRow[], request: string | null): number {
  for (const template of templates) assertEdge("enqueue", null, template.state);
  const firstSeq = tx.books.nextSeq;
  const tuples = templates.map((t, index) => tupleOf(t, index));
  // Templates that do not fit one value together go with the jobs that use them.
  const together = templates.reduce((bytes, t) => bytes + sizeOf(t), 0) <= CHUNK_BYTES;
  const all = together ? JSON.stringify(tuples) : null;
  const bytesOf = ([template, payload]: NewRow) =>
    (payload?.length ?? 4) + 8 + (together ? 0 : sizeOf(templates[template]!));
  let seq = firstSeq;
  for (const chunk of chunks(jobs, bytesOf)) {
    const used = all ?? JSON.stringify([...new Set(chunk.map(([template]) => template))].map((index) => tuples[index]));
    const note = seq === firstSeq ? request : null;
    tx.sql.exec(INSERT, seq, used, JSON.stringify(chunk), tx.now, note);
    seq += chunk.length;
  }
  assert(seq === firstSeq + jobs.length, "every job got an id");
  tx.books.nextSeq = seq;
  touchNew(tx, firstSeq, jobs.length);
  countNew(tx, templates, jobs);
  return firstSeq;
}

/** Keys stand in the options and beside them. */
function sizeOf({ options, ordering, uniqueKey }: Stored): number {
  return options.length + (ordering?.length ?? 0) + (uniqueKey?.length ?? 0);
}

function tupleOf(t: Stored, index: number) {
  const { lane, state, priority, rank, wakeAt, expiresAt, runAt, timeoutMs, options, ordering, uniqueKey } = t;
  return [
    ...[index, lane, state, priority, rank, wakeAt, expiresAt, runAt, timeoutMs, options],
    ...(ordering === null && uniqueKey === null ? [] : [ordering, uniqueKey]),
  ];
}

function countNew(tx: Tx, templates: Stored[], jobs: NewRow[]): void {
  const perTemplate = new Array<number>(templates.length).fill(0);
  for (const [template] of jobs) {
    assert(Number.isInteger(template) && template in templates, "a job names one of the templates");
    perTemplate[template]! += 1;
  }
  for (const [index, template] of templates.entries()) {
    if (perTemplate[index] === 0) continue;
    tally(tx, null, { state: template.state, lane: template.lane, retrying: false }, perTemplate[index]);
    if (template.ordering !== null) tx.books.ordered += perTemplate[index]!;
    if (template.wakeAt !== null) {
      tx.books.wakeAt = Math.min(tx.books.wakeAt, template.wakeAt);
      tx.due(template.wakeAt);
    }
  }
}

const REOPEN = `
INSERT INTO jobs (seq, lane, state, reason, priority, rank, wake_at, expires_at, fence, failures, lapses, created_at,
  run_at, timeout_ms, reopened_fence, payload, encoding, options, error, attempts, ordering, ordering_rank, unique_key,
  logs)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, 0, 0, ?9, ?6, ?10, ?8, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)`;

/**
 * Puts a finished job back in line: ready now, failures 0, fence one higher than any before. In the line of its
 * ordering key it is the last.
 */
export function reopenJob(tx: Tx, record: JobRecord): void {
  assert(record.seq < tx.books.nextSeq, `job ${record.seq} has been accepted here`);
  const options = readOptions(record.options);
  const { orderingKey: ordering, deadlineAt, unique } = options;
  const lane = internLane(tx, laneSpecOf(record.task, options));
  const place = ordering === null ? null : joinLine(loadLines(tx, [ordering]), ordering, tx.books.nextSeq);
  const state = place?.blocked ? "blocked" : "ready";
  assertEdge("reopen", record.state, state);
  tx.sql.exec(
    REOPEN,
    ...[record.seq, lane, state, place?.blocked ? "ordering" : null, record.priority, tx.now, deadlineAt],
    ...[record.fence + 1, record.createdAt, options.timeoutMs, record.payload, record.encoding, record.options],
    ...[record.error, record.attempts, ordering, place?.rank ?? null, unique?.key ?? null, record.logs ?? null],
  );
  touch(tx, [record]);
  if (place) tx.books.ordered += 1;
  tally(tx, null, { state, lane, retrying: false });
  if (deadlineAt === null) return;
  tx.books.wakeAt = Math.min(tx.books.wakeAt, deadlineAt);
  tx.due(deadlineAt);
}
