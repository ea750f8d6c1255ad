/**
 * Lists finished jobs over all queues, newest finished first.
 *
 * What did not complete has an index by finish time, so those lists are exact and reach back to the oldest. Completed
 * jobs have none, by design: it would double what each job costs. They are looked for among the latest accepted of
 * every queue, 20,000 rows in all; a job that finished after waiting longer than that, and all older ones, show only
 * in the list of their queue.
 *
 * @module
 */
import type { JobRecord } from "../../client/wire.ts";
import { type HistoryRow, SELECT_ROW, toRecord } from "./columns.ts";
import { filterValues, type HistoryFilter, matches, SCAN_ROWS } from "./read.ts";

/** Rows looked at for completed jobs, shared by the queues, but at least `QUEUE_ROWS` of each of at most `QUEUES`. */
const RECENT_ROWS = 20_000;
const QUEUE_ROWS = 20;
const QUEUES = 1_000;

/** A place in the list: the last job that was looked at. */
export type FinishedCursor = [finishedAt: number, queue: string, partition: number, seq: number];

export interface FinishedJob {
  queue: string;
  partition: number;
  record: JobRecord;
}

export interface FinishedPage {
  items: FinishedJob[];
  /** Where the next page begins; null: this is the last. */
  nextCursor: FinishedCursor | null;
}

export interface FinishedListInput extends HistoryFilter {
  cursor: FinishedCursor | null;
  limit: number;
}

/** Finished jobs of all queues, newest finished first; ties by queue, partition and seq, descending. */
export async function listFinished(db: D1Database, input: FinishedListInput): Promise<FinishedPage> {
  const scans: Promise<FinishedPage>[] = [];
  if (input.states === null || input.states.includes("completed")) scans.push(scanCompleted(db, input));
  if (input.states === null || input.states.some((state) => state !== "completed")) scans.push(scanOthers(db, input));
  return merge(await Promise.all(scans), input.limit);
}

const SELECT = `SELECT queue, partition, ${SELECT_ROW}`;
const ORDER = "ORDER BY finished_at DESC, queue DESC, partition DESC, seq DESC";
const BEYOND = "(?1 IS NULL OR (finished_at, queue, partition, seq) < (?1, ?2, ?3, ?4))";

/** The jobs that did not complete, beyond the cursor ?1 to ?4, from ?5 to ?6: bounds that hold for the index. */
const OTHERS = `FROM history INDEXED BY history_not_completed
  WHERE state <> 'completed' AND finished_at <= coalesce(?1, 9e15) AND ${BEYOND} AND finished_at >= coalesce(?5, 0)
  AND finished_at < coalesce(?6, 9e15) ${ORDER}`;

async function scanOthers(db: D1Database, input: FinishedListInput): Promise<FinishedPage> {
  const bounds = [...cursorValues(input.cursor), input.from, input.to];
  const [page, edge] = await db.batch<Row>([
    db
      .prepare(
        `${SELECT} FROM (SELECT * ${OTHERS} LIMIT ${SCAN_ROWS}) WHERE ${matches("finished_at", 7)} ${ORDER} LIMIT ?13`,
      )
      .bind(...bounds, ...filterValues(input), input.limit),
    db.prepare(`SELECT queue, partition, ${SELECT_ROW} ${OTHERS} LIMIT 1 OFFSET ${SCAN_ROWS - 1}`).bind(...bounds),
  ]);
  const items = page!.results.map(toFinished);
  if (items.length === input.limit) return { items, nextCursor: cursorOf(items.at(-1)!) };
  return { items, nextCursor: edge!.results[0] ? cursorOf(toFinished(edge!.results[0])) : null };
}

/** In each queue, from the seq on that has so many newer ones. */
const COMPLETED = `FROM (SELECT name, partition AS part FROM queues
    ORDER BY coalesce(poked_at, created_at) DESC LIMIT ${QUEUES}) AS q
  CROSS JOIN history AS h ON h.queue = q.name AND h.partition = q.part AND h.seq >= coalesce(
    (SELECT seq FROM history WHERE queue = q.name AND partition = q.part ORDER BY seq DESC
     LIMIT 1 OFFSET (SELECT max(${QUEUE_ROWS}, ${RECENT_ROWS} / count(*)) - 1 FROM queues)), 0)
  WHERE state = 'completed' AND ${BEYOND} AND ${matches("finished_at", 5)}`;

async function scanCompleted(db: D1Database, input: FinishedListInput): Promise<FinishedPage> {
  const page = await db
    .prepare(`${SELECT} ${COMPLETED} ${ORDER} LIMIT ?11`)
    .bind(...cursorValues(input.cursor), ...filterValues(input), input.limit)
    .all<Row>();
  const items = page.results.map(toFinished);
  return { items, nextCursor: items.length === input.limit ? cursorOf(items.at(-1)!) : null };
}

/** Puts lists of the same order together. Beyond where one of them stopped looking nothing can be shown yet. */
function merge(pages: FinishedPage[], limit: number): FinishedPage {
  const edges = pages.flatMap((page) => (page.nextCursor ? [page.nextCursor] : [])).sort(newestFirst);
  const edge = edges[0] ?? null;
  const items = pages
    .flatMap((page) => page.items)
    .filter((item) => edge === null || newestFirst(cursorOf(item), edge) <= 0)
    .sort((a, b) => newestFirst(cursorOf(a), cursorOf(b)));
  if (items.length <= limit) return { items, nextCursor: edge };
  return { items: items.slice(0, limit), nextCursor: cursorOf(items[limit - 1]!) };
}

function newestFirst(a: FinishedCursor, b: FinishedCursor): number {
  const index = a.findIndex((value, at) => value !== b[at]);
  if (index < 0) return 0;
  return a[index]! < b[index]! ? 1 : -1;
}

type Row = HistoryRow & { queue: string; partition: number };

function toFinished({ queue, partition, ...row }: Row): FinishedJob {
  return { queue, partition, record: toRecord(row) };
}

function cursorOf({ queue, partition, record }: FinishedJob): FinishedCursor {
  return [record.finishedAt!, queue, partition, record.seq];
}

function cursorValues(cursor: FinishedCursor | null): unknown[] {
  return cursor ?? [null, null, null, null];
}
