/**
 * Reads finished jobs of one queue: one by its id, or many, newest accepted first.
 *
 * @module
 */
import { and, eq, getTableColumns } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { FinalState } from "../../client/types.ts";
import type { JobRecord } from "../../client/wire.ts";
import { FINGERPRINT, type HistoryRow, placeOf, SELECT_ROW, toRecord } from "./columns.ts";
import { history } from "./schema.ts";

/** Most rows that one page looks at. A page may be short, or empty, and still not be the last. */
export const SCAN_ROWS = 10_000;
/** Up to so many jobs that did not complete, in all queues, they are sorted instead of searching among the completed. */
const SORT_ROWS = 50_000;
/** Acceptance follows the ids but for a clock that stepped back while the object was away. */
const CLOCK_SLACK_MS = 3_600_000;

/** Which jobs to list. All are optional (null), and all must hold. */
export interface HistoryFilter {
  states: FinalState[] | null;
  task: string | null;
  tag: string | null;
  /** Inclusive. On `createdAt` in one queue, on `finishedAt` over all. */
  from: number | null;
  /** Exclusive. */
  to: number | null;
  /** Of the error (see `FINGERPRINT`); absent: any. */
  fingerprint?: string | null;
}

export interface QueueListInput extends HistoryFilter {
  queue: string;
  partition: number;
  /** Only jobs below this one; null: from the newest. */
  beforeSeq: number | null;
  limit: number;
}

/** One finished job in its latest form; null when the history does not hold it. */
export async function readJob(
  db: D1Database,
  queue: string,
  partition: number,
  seq: number,
): Promise<JobRecord | null> {
  const { queue: _queue, partition: _partition, ...fields } = getTableColumns(history);
  const rows = await drizzle(db)
    .select(fields)
    .from(history)
    .where(and(eq(history.queue, queue), eq(history.partition, partition), eq(history.seq, seq)));
  return rows[0] ? toRecord(rows[0]) : null;
}

/** Those of the jobs that the history holds, in their latest form. */
export async function readJobs(db: D1Database, queue: string, partition: number, seqs: number[]): Promise<JobRecord[]> {
  const { results } = await db
    .prepare(
      `SELECT ${SELECT_ROW}, logs FROM json_each(?3) AS e CROSS JOIN history AS h
       ON h.queue = ?1 AND h.partition = ?2 AND h.seq = e.value`,
    )
    .bind(queue, partition, JSON.stringify(seqs))
    .all<HistoryRow>();
  return results.map(toRecord);
}

/**
 * Finished jobs of one partition, newest accepted first.
 *
 * A page looks at 10,000 rows at most, so where few match a filter it may be short or empty: go on at `scannedTo`
 * until that is null. `to` far in the past walks there from the newest job, in such pages.
 */
export async function listQueueHistory(
  db: D1Database,
  input: QueueListInput,
): Promise<{ items: JobRecord[]; scannedTo: number | null }> {
  const sorted = await fewNotCompleted(db, input.states);
  const window = sorted ? notCompletedOfQueue : windowOfQueue;
  const [page, edge] = await db.batch<HistoryRow>([
    db.prepare(pageOf(window)).bind(...bindingsOf(input)),
    db.prepare(edgeOf(window)).bind(input.queue, input.partition, input.beforeSeq),
  ]);
  const items = page!.results.map(toRecord);
  if (items.length === input.limit) return { items, scannedTo: items.at(-1)!.seq };
  const last = edge!.results[0];
  const tooOld = input.from !== null && last !== undefined && last.createdAt < input.from - CLOCK_SLACK_MS;
  return { items, scannedTo: last === undefined || tooOld ? null : last.seq };
}

/** The rows that a page looks at. ?1 queue, ?2 partition, ?3 below this seq. */
const windowOfQueue = `
  FROM history WHERE queue = ?1 AND partition = ?2 AND seq < coalesce(?3, 9e15) ORDER BY seq DESC`;
const notCompletedOfQueue = `
  FROM history INDEXED BY history_not_completed
  WHERE state <> 'completed' AND queue = ?1 AND partition = ?2 AND seq < coalesce(?3, 9e15) ORDER BY seq DESC`;

const pageOf = (window: string) => `
SELECT ${SELECT_ROW} FROM (SELECT * ${window} LIMIT ${SCAN_ROWS})
WHERE ${matches("created_at", 4)} ORDER BY seq DESC LIMIT ?10`;

/** The last row looked at, when there may be more beyond it. */
const edgeOf = (window: string) => `SELECT seq, created_at AS "createdAt" ${window} LIMIT 1 OFFSET ${SCAN_ROWS - 1}`;

function bindingsOf(input: QueueListInput): unknown[] {
  return [input.queue, input.partition, input.beforeSeq, ...filterValues(input), input.limit];
}

/** SQL that holds for rows that match a `HistoryFilter`, whose `filterValues` are bound from `?first` on. */
export function matches(instant: "created_at" | "finished_at", first: number): string {
  const [states, task, tag, from, to, fingerprint] = [0, 1, 2, 3, 4, 5].map((index) => `?${first + index}`);
  return `(${states} IS NULL OR state IN (SELECT value FROM json_each(${states})))
  AND (${task} IS NULL OR task = ${task})
  AND (${tag} IS NULL OR EXISTS (SELECT 1 FROM json_each(body ->> ${placeOf("options")}, '$.tags') WHERE value = ${tag}))
  AND (${from} IS NULL OR ${instant} >= ${from})
  AND (${to} IS NULL OR ${instant} < ${to})
  AND (${fingerprint} IS NULL OR ${FINGERPRINT} = ${fingerprint})`;
}

export function filterValues(filter: HistoryFilter): unknown[] {
  const states = filter.states === null ? null : JSON.stringify(filter.states);
  return [states, filter.task, filter.tag, filter.from, filter.to, filter.fingerprint ?? null];
}

/** Whether to look the asked-for jobs up in the index of what did not complete: it is not in the order of the list. */
async function fewNotCompleted(db: D1Database, states: FinalState[] | null): Promise<boolean> {
  if (states === null || states.includes("completed")) return false;
  const row = await db
    .prepare(
      `SELECT count(*) AS rows FROM (SELECT 1 FROM history INDEXED BY history_not_completed
       WHERE state <> 'completed' LIMIT ${SORT_ROWS + 1})`,
    )
    .first<{ rows: number }>();
  return row!.rows <= SORT_ROWS;
}
