/**
 * The outbox: finished jobs on their way to the history. A row stays until the history has it, until its counts
 * stand in the rollups, and until the request ids of its jobs are five minutes old; the newest stays for good,
 * because it holds the high-water mark of ids.
 *
 * @module
 */
import { type HistoryBatch, type JobRecord, RECORD_FIELDS, type Rollup } from "../../client/wire.ts";
import {
  CHUNK_BYTES,
  FLUSH_JOBS,
  FLUSH_MS,
  REQUEST_MEMORY_MS,
  RESULT_MEMORY_MS,
  ROLLUP_ENDS_MIN,
  ROLLUP_MS,
  STRIP_BYTES,
} from "./limits.ts";
import type { Tx } from "./ports.ts";
import { mergeRollup } from "./rollup.ts";

/** Takes the next outbox id, for a row of so many jobs, and notes that they wait to be flushed. */
export function noteOutboxRow(tx: Tx, jobs: number): number {
  const { outbox } = tx.books;
  outbox.unflushed += jobs;
  outbox.oldestAt ??= tx.now;
  tx.due(Math.max(tx.now + FLUSH_MS, outbox.retryAt));
  const id = tx.books.nextOutboxId;
  tx.books.nextOutboxId += 1;
  return id;
}

/** Asks the history to forget a job, whatever it has of it up to `fence`. */
export function appendDelete(tx: Tx, seq: number, fence: number, requests: string | null): void {
  tx.sql.exec(
    `INSERT INTO outbox (id, kind, count, min_seq, max_seq, high_water, created_at, body, rollup, requests)
     VALUES (?, 'delete', 0, ?2, ?2, ?, ?, ?, '{}', ?)`,
    noteOutboxRow(tx, 1),
    seq,
    tx.books.nextSeq - 1,
    tx.now,
    JSON.stringify([[seq, fence]]),
    requests,
  );
}

/** The next rows to send, and the id of the last of them; null when all have been. `rolledUpto` must be known. */
export function nextFlush(
  tx: Tx,
): (Pick<HistoryBatch, "records" | "deletes" | "rollup"> & { upto: number; ids: number[] }) | null {
  const { flushedUpto } = tx.books.outbox;
  const sizes = tx.sql.exec(
    "SELECT id, count, octet_length(body) AS bytes FROM outbox WHERE id > ? ORDER BY id LIMIT 50",
    flushedUpto,
  );
  const ids: number[] = [];
  let bytes = 0;
  let jobs = 0;
  for (const row of sizes) {
    if (ids.length > 0 && (bytes + Number(row.bytes ?? 0) > CHUNK_BYTES || jobs >= 2 * FLUSH_JOBS)) break;
    ids.push(Number(row.id));
    bytes += Number(row.bytes ?? 0);
    jobs += Number(row.count);
  }
  const upto = ids.at(-1);
  if (upto === undefined) return null;
  const rows = tx.sql.exec("SELECT kind, body FROM outbox WHERE id > ? AND id <= ? ORDER BY id", flushedUpto, upto);
  const records: string[] = [];
  const deletes: [number, number][] = [];
  for (const { kind, body } of rows) {
    if (kind === "history" && body !== null) records.push(String(body));
    if (kind === "delete") deletes.push(...(JSON.parse(String(body)) as [number, number][]));
  }
  return { upto, ids, records, deletes, rollup: nextRollup(tx, upto) };
}

/** A lone end waits for company: its counts would cost as much as its history. */
function nextRollup(tx: Tx, upto: number): HistoryBatch["rollup"] {
  const after = tx.books.outbox.rolledUpto ?? 0;
  const [waiting] = tx.sql.exec(
    "SELECT sum(count) AS ends, min(created_at) AS oldest FROM outbox WHERE id > ? AND id <= ?",
    after,
    upto,
  );
  const ends = Number(waiting?.ends ?? 0);
  const waited = tx.now - Number(waiting?.oldest ?? tx.now);
  if (ends === 0 || (ends < ROLLUP_ENDS_MIN && waited < ROLLUP_MS)) return null;
  return { after, upto, body: rollupBetween(tx, after, upto) };
}

/** Counts of the outbox rows `after < id <= upto`. */
export function rollupBetween(tx: Tx, after: number, upto: number): Rollup {
  const body: Rollup = {};
  for (const row of tx.sql.exec("SELECT rollup FROM outbox WHERE id > ? AND id <= ?", after, upto)) {
    mergeRollup(body, JSON.parse(String(row.rollup)) as Rollup);
  }
  return body;
}

/** The history has all rows up to `upto`, and the rollups those up to `rolledUpto`. */
export function confirmFlush(tx: Tx, upto: number, rolledUpto: number): void {
  const { outbox } = tx.books;
  outbox.flushedUpto = Math.max(outbox.flushedUpto, upto);
  outbox.rolledUpto = Math.max(outbox.rolledUpto ?? 0, rolledUpto);
  const [left] = tx.sql.exec(
    "SELECT sum(max(count, 1)) AS jobs, min(created_at) AS oldest FROM outbox WHERE id > ?",
    outbox.flushedUpto,
  );
  outbox.unflushed = Number(left?.jobs ?? 0);
  outbox.oldestAt = left?.oldest == null ? null : Number(left.oldest);
  trimOutbox(tx);
}

/** Deletes what nothing needs any more, and drops large bodies that the history has. */
export function trimOutbox(tx: Tx): void {
  const { outbox, nextOutboxId } = tx.books;
  const done = Math.min(outbox.flushedUpto, outbox.rolledUpto ?? 0);
  tx.sql.exec(
    `DELETE FROM outbox WHERE id <= ?1 AND id < ?2 AND CASE kind
       WHEN 'result' THEN created_at <= ?4 ELSE requests IS NULL OR created_at <= ?3 END`,
    done,
    nextOutboxId - 1,
    tx.now - REQUEST_MEMORY_MS,
    tx.now - RESULT_MEMORY_MS,
  );
  tx.sql.exec(
    "UPDATE outbox SET body = NULL WHERE id <= ? AND kind = 'history' AND octet_length(body) > ?",
    outbox.flushedUpto,
    STRIP_BYTES,
  );
}

export function recordFromTuple(tuple: unknown[]): JobRecord {
  return Object.fromEntries(RECORD_FIELDS.map((field, index) => [field, tuple[index]])) as unknown as JobRecord;
}

/** The latest word of the outbox on a job. */
export function findInOutbox(tx: Tx, seq: number): JobRecord | "deleted" | null {
  const [row] = tx.sql.exec(
    `SELECT o.kind AS kind, e.value AS record FROM outbox AS o, json_each(o.body) AS e
     WHERE o.min_seq <= ?1 AND o.max_seq >= ?1 AND o.body IS NOT NULL AND e.value ->> 0 = ?1
       AND (o.kind <> 'result' OR o.created_at > ?2)
     ORDER BY o.id DESC LIMIT 1`,
    seq,
    tx.now - RESULT_MEMORY_MS,
  );
  if (!row) return null;
  return row.kind === "delete" ? "deleted" : recordFromTuple(JSON.parse(String(row.record)));
}
