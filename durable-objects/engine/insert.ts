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
import type { Tx } from "./ports.ts";
import { assertEdge } from "./states.ts";
import { tally } from "./tally.ts";

/** What jobs of one template have in common, once the clock has been read. */
export interface Stored {
  lane: number;
  state: "scheduled" | "ready";
  priority: number;
  rank: number;
  wakeAt: number | null;
  expiresAt: number | null;
  runAt: number;
  timeoutMs: number;
  options: string;
}

/** A job to insert: which template, and its payload as JSON text. */
export type NewRow = [template: number, payload: string | null];

const INSERT = `
WITH t AS MATERIALIZED (
  SELECT value ->> 0 AS k, value ->> 1 AS lane, value ->> 2 AS state, value ->> 3 AS priority, value ->> 4 AS rank,
    value ->> 5 AS wake_at, value ->> 6 AS expires_at, value ->> 7 AS run_at, value ->> 8 AS timeout_ms,
    value ->> 9 AS options
  FROM json_each(?2)
)
INSERT INTO jobs (seq, lane, state, priority, rank, wake_at, expires_at, fence, failures, lapses, created_at, run_at,
  timeout_ms, payload, encoding, options, request)
SELECT ?1 + j.key, t.lane, t.state, t.priority, t.rank, t.wake_at, t.expires_at, 0, 0, 0, ?4, t.run_at,
  t.timeout_ms, j.value ->> 1, 'json', t.options, CASE WHEN j.key = 0 THEN ?5 END
FROM json_each(?3) AS j CROSS JOIN t ON t.k = j.value ->> 0`;

/** Inserts jobs under consecutive ids and returns the first. `request` is noted on the first of them. */
export function insertJobs(tx: Tx, templates: Stored[], jobs: NewRow[], request: string | null): number {
  for (const template of templates) assertEdge("enqueue", null, template.state);
  const firstSeq = tx.books.nextSeq;
  const tuples = templates.map((t, index) => tupleOf(t, index));
  // Templates that do not fit one value together go with the jobs that use them.
  const together = templates.reduce((bytes, t) => bytes + t.options.length, 0) <= CHUNK_BYTES;
  const all = together ? JSON.stringify(tuples) : null;
  const bytesOf = ([template, payload]: NewRow) =>
    (payload?.length ?? 4) + 8 + (together ? 0 : templates[template]!.options.length);
  let seq = firstSeq;
  for (const chunk of chunks(jobs, bytesOf)) {
    const used = all ?? JSON.stringify([...new Set(chunk.map(([template]) => template))].map((index) => tuples[index]));
    const note = seq === firstSeq ? request : null;
    tx.sql.exec(INSERT, seq, used, JSON.stringify(chunk), tx.now, note);
    seq += chunk.length;
  }
  assert(seq === firstSeq + jobs.length, "every job got an id");
  tx.books.nextSeq = seq;
  countNew(tx, templates, jobs);
  return firstSeq;
}

function tupleOf(t: Stored, index: number) {
  return [index, t.lane, t.state, t.priority, t.rank, t.wakeAt, t.expiresAt, t.runAt, t.timeoutMs, t.options];
}

function countNew(tx: Tx, templates: Stored[], jobs: NewRow[]): void {
  const perTemplate = new Array<number>(templates.length).fill(0);
  for (const [template] of jobs) perTemplate[template]! += 1;
  for (const [index, template] of templates.entries()) {
    if (perTemplate[index] === 0) continue;
    tally(tx, null, { state: template.state, lane: template.lane, retrying: false }, perTemplate[index]);
    if (template.wakeAt !== null) {
      tx.books.wakeAt = Math.min(tx.books.wakeAt, template.wakeAt);
      tx.due(template.wakeAt);
    }
  }
}

const REOPEN = `
INSERT INTO jobs (seq, lane, state, priority, rank, fence, failures, lapses, created_at, run_at, timeout_ms,
  reopened_fence, payload, encoding, options, error, attempts)
VALUES (?, ?, 'ready', ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;

/** Puts a finished job back in line: ready now, failures 0, fence one higher than any before. */
export function reopenJob(tx: Tx, record: JobRecord): void {
  assertEdge("reopen", record.state, "ready");
  assert(record.seq < tx.books.nextSeq, `job ${record.seq} has been accepted here`);
  const options = readOptions(record.options);
  const lane = internLane(tx, laneSpecOf(record.task, options));
  const fence = record.fence + 1;
  tx.sql.exec(
    REOPEN,
    record.seq,
    lane,
    record.priority,
    tx.now,
    fence,
    record.createdAt,
    tx.now,
    options.timeoutMs,
    fence,
    record.payload,
    record.encoding,
    record.options,
    record.error,
    record.attempts,
  );
  tally(tx, null, { state: "ready", lane, retrying: false });
}
