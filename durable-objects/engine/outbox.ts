/**
 * The outbox: finished jobs on their way to the history. A row stays until the history has it, until its counts
 * stand in the rollups, and until the request ids of its jobs are five minutes old; the newest stays for good,
 * because it holds the high-water mark of ids. Rows leave from the oldest on, without gaps: what the outbox says last
 * of a job is then the last word on it, whatever was deleted.
 *
 * @module
 */
import { type HistoryBatch, type JobRecord, type Rollup, recordOf } from "../../client/wire.ts";
import {
  CHUNK_BYTES,
  FLUSH_AT_MOST_MS,
  FLUSH_JOBS,
  FLUSH_MS,
  REQUEST_MEMORY_MS,
  RESULT_MEMORY_MS,
  ROLLUP_ENDS_MIN,
  ROLLUP_MS,
  STRIP_BYTES,
} from "./limits.ts";
import type { Row, Tx } from "./ports.ts";
import { mergeRollup } from "./rollup.ts";

/** Takes the next outbox id, for a row of so many jobs, and notes that they wait to be flushed. */
export function noteOutboxRow(tx: Tx, jobs: number): number {
  const { outbox } = tx.books;
  outbox.unflushed += jobs;
  outbox.oldestAt ??= tx.now;
  const id = tx.books.nextOutboxId;
  tx.books.nextOutboxId += 1;
  return id;
}

/** When finished jobs are due in the history: two seconds after the first of them, and not before `retryAt`. */
export function flushDueAt({ books: { outbox } }: Tx): number {
  if (outbox.unflushed === 0 || outbox.oldestAt === null) return Number.POSITIVE_INFINITY;
  return Math.max(outbox.oldestAt + FLUSH_MS, outbox.retryAt);
}

/**
 * A flush begins: until it is over, or for longer than it can take, no other is due. So one that begins at once costs
 * no alarm of its own. Answers `rolledUpto` if known.
 */
export function beginFlush({ now, books: { outbox } }: Tx): number | null {
  outbox.retryAt = now + FLUSH_AT_MOST_MS;
  return outbox.rolledUpto;
}

/** Asks the history to forget a job, whatever it has of it up to `fence`. */
export function appendDelete(tx: Tx, seq: number, fence: number, requests: string | null): void {
  appendDeletes(tx, [[seq, fence]], requests);
}

/** The same for many at once. */
export function appendDeletes(tx: Tx, gone: [seq: number, fence: number][], requests: string | null): void {
  const seqs = gone.map(([seq]) => seq);
  tx.sql.exec(
    `INSERT INTO outbox (id, kind, count, min_seq, max_seq, high_water, created_at, body, rollup, requests)
     VALUES (?, 'delete', 0, ?, ?, ?, ?, ?, '{}', ?)`,
    noteOutboxRow(tx, 1),
    Math.min(...seqs),
    Math.max(...seqs),
    tx.books.nextSeq - 1,
    tx.now,
    JSON.stringify(gone),
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
  if (upto === undefined) {
    tx.books.outbox.retryAt = 0;
    return null;
  }
  const rows = tx.sql.exec("SELECT kind, body FROM outbox WHERE id > ? AND id <= ? ORDER BY id", flushedUpto, upto);
  const records: string[] = [];
  const deletes: [number, number][] = [];
  for (const { kind, body } of rows) {
    if (kind === "history") records.push(String(body));
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
  strip(tx, outbox.flushedUpto, upto);
  outbox.flushedUpto = Math.max(outbox.flushedUpto, upto);
  outbox.rolledUpto = Math.max(outbox.rolledUpto ?? 0, rolledUpto);
  const [left] = tx.sql.exec(
    "SELECT sum(max(count, 1)) AS jobs, min(created_at) AS oldest FROM outbox WHERE id > ?",
    outbox.flushedUpto,
  );
  outbox.unflushed = Number(left?.jobs ?? 0);
  outbox.oldestAt = left?.oldest == null ? null : Number(left.oldest);
  outbox.retryAt = 0;
  trimOutbox(tx);
}

/** The history has these bodies now; small ones stay, because keeping one costs less than writing its row again. */
function strip(tx: Tx, after: number, upto: number): void {
  tx.sql.exec(
    "UPDATE outbox SET kind = 'sent', body = NULL WHERE id > ? AND id <= ? AND kind = 'history' AND octet_length(body) > ?",
    after,
    upto,
    STRIP_BYTES,
  );
}

/** Deletes what nothing needs any more, up to the first row that something does. */
export function trimOutbox(tx: Tx): void {
  const { outbox, nextOutboxId } = tx.books;
  const done = Math.min(outbox.flushedUpto, outbox.rolledUpto ?? 0, nextOutboxId - 2);
  const [needed] = tx.sql.exec(
    `SELECT id FROM outbox WHERE id <= ?1 AND CASE WHEN kind = 'result' THEN created_at > ?3
       ELSE requests IS NOT NULL AND created_at > ?2 END ORDER BY id LIMIT 1`,
    done,
    tx.now - REQUEST_MEMORY_MS,
    tx.now - RESULT_MEMORY_MS,
  );
  tx.sql.exec("DELETE FROM outbox WHERE id < ?", needed ? Number(needed.id) : done + 1);
}

/** Whether an outbox row still answers for its jobs: a result does for ten minutes, a stripped one not at all. */
export function isAnswered(tx: Tx, { kind, created_at }: Row): boolean {
  return kind === "result" ? Number(created_at) > tx.now - RESULT_MEMORY_MS : kind !== "sent";
}

/**
 * The latest word of the outbox on a job; null: it has none, or the history has to be asked. What stands before a
 * stripped row has been sent as well, and that row may hold a later form.
 */
export function findInOutbox(tx: Tx, seq: number): JobRecord | "deleted" | null {
  const [row] = tx.sql.exec(
    `SELECT o.kind AS kind, o.created_at AS created_at, e.value AS entry
     FROM outbox AS o LEFT JOIN json_each(o.body) AS e ON e.value ->> 0 = ?1
     WHERE o.min_seq <= ?1 AND o.max_seq >= ?1 AND (o.kind = 'sent' OR e.value IS NOT NULL)
     ORDER BY o.id DESC LIMIT 1`,
    seq,
  );
  if (!row || !isAnswered(tx, row)) return null;
  return row.kind === "delete" ? "deleted" : recordOf(JSON.parse(String(row.entry)));
}

/** The same for many jobs, in one walk through the outbox; those of which it has no word are left out. */
export function findManyInOutbox(tx: Tx, seqs: number[]): Map<number, JobRecord | "deleted"> {
  if (seqs.length === 0) return new Map();
  const rows = tx.sql.exec(
    `SELECT o.id AS id, o.kind AS kind, o.created_at AS created_at, e.value ->> 0 AS seq, e.value AS entry
     FROM outbox AS o, json_each(o.body) AS e
     WHERE o.max_seq >= ?2 AND o.min_seq <= ?3 AND e.value ->> 0 IN (SELECT value FROM json_each(?1)) ORDER BY o.id`,
    JSON.stringify(seqs),
    Math.min(...seqs),
    Math.max(...seqs),
  );
  const sent = sentRanges(tx);
  const found = new Map<number, JobRecord | "deleted">();
  for (const row of rows) {
    const [id, seq] = [Number(row.id), Number(row.seq)];
    const past = sent.some((range) => range.id > id && range.minSeq <= seq && seq <= range.maxSeq);
    if (past || !isAnswered(tx, row)) found.delete(seq);
    else found.set(seq, row.kind === "delete" ? "deleted" : recordOf(JSON.parse(String(row.entry))));
  }
  return found;
}

/**
 * Whether a job that the object did not have when the next outbox id was `since`, and has not now, may have been live
 * in between: then what the history said in between may be old.
 */
export function mayHaveMoved(tx: Tx, since: number): (seq: number) => boolean {
  const [left] = tx.sql.exec("SELECT count(*) AS rows FROM outbox WHERE id >= ?", since);
  if (Number(left?.rows) < tx.books.nextOutboxId - since) return () => true;
  const sent = sentRanges(tx).filter(({ id }) => id >= since);
  return (seq) => sent.some(({ minSeq, maxSeq }) => minSeq <= seq && seq <= maxSeq);
}

/** Rows whose bodies the history has, by id: what stands before one and within its range is the history's to answer. */
export function sentRanges(tx: Tx): { id: number; minSeq: number; maxSeq: number }[] {
  const rows = tx.sql.exec("SELECT id, min_seq, max_seq FROM outbox WHERE kind = 'sent'");
  return rows.map((row) => ({ id: Number(row.id), minSeq: Number(row.min_seq), maxSeq: Number(row.max_seq) }));
}
