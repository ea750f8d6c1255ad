/**
 * What the API reads of the history and the registry, as a port: the app itself does not know D1.
 *
 * @module
 */
import type { ErrorGroup, Page, QueueSummary } from "../client/types.ts";
import type { JobRecord } from "../client/wire.ts";
import { type AuditStore, auditIn } from "./history/audit.ts";
import { type ErrorsInput, groupErrors } from "./history/errors.ts";
import { forgetJobs, forgetRollups } from "./history/forget.ts";
import { checkHistory, type HistoryHealth } from "./history/health.ts";
import { type Operations, operationsIn } from "./history/operations.ts";
import { listQueueHistory, type QueueListInput, readJob } from "./history/read.ts";
import { type FinishedListInput, type FinishedPage, listFinished } from "./history/recent.ts";
import { getQueue, listQueues, markPaused } from "./history/registry.ts";
import { type LiveRollup, type SummaryInput, type SummaryItem, summarise } from "./history/summary.ts";
import { type TokenStore, tokensIn } from "./history/tokens.ts";
import { createHistory } from "./history/write.ts";

/** A queue as the registry last heard of it. */
export interface RegisteredQueue {
  name: string;
  paused: boolean;
  /** False: it had nothing to do for ten minutes and means to do nothing: asking it would wake it. */
  awake: boolean;
}

/** Every method but `check` rejects with the database's error when that fails. */
export interface HistoryReads {
  job(queue: string, partition: number, seq: number): Promise<JobRecord | null>;
  jobsOfQueue(input: QueueListInput): Promise<{ items: JobRecord[]; scannedTo: number | null }>;
  finishedJobs(input: FinishedListInput): Promise<FinishedPage>;
  queues(page: { cursor: string | null; limit: number }): Promise<Page<QueueSummary>>;
  queue(name: string): Promise<QueueSummary | null>;
  markPaused(queue: string, paused: boolean, now: number): Promise<void>;
  rollupUpto(queue: string, partition: number): Promise<number>;
  summary(input: SummaryInput, live: LiveRollup[]): Promise<{ items: SummaryItem[]; complete: boolean }>;
  registered(now: number): Promise<RegisteredQueue[]>;
  errors(input: ErrorsInput): Promise<{ items: ErrorGroup[]; complete: boolean }>;
  operations: Operations;
  tokens: TokenStore;
  audit: AuditStore;
  forgetJobs(queue: string, partition: number, upto: number): Promise<number>;
  forgetRollups(queue: string, partition: number): Promise<void>;
  check(): Promise<HistoryHealth>;
}

/** The port on D1. */
export function historyReads(db: D1Database): HistoryReads {
  return {
    job: (queue, partition, seq) => readJob(db, queue, partition, seq),
    jobsOfQueue: (input) => jobsOfQueue(db, input),
    finishedJobs: (input) => finishedJobs(db, input),
    queues: (page) => listQueues(db, page),
    queue: (name) => getQueue(db, name),
    markPaused: (queue, paused, now) => markPaused(db, queue, paused, now),
    rollupUpto: (queue, partition) => createHistory(db).rollupUpto(queue, partition),
    summary: (input, live) => summarise(db, input, live),
    registered: (now) => registered(db, now),
    errors: (input) => groupErrors(db, input),
    operations: operationsIn(db),
    tokens: tokensIn(db),
    audit: auditIn(db),
    forgetJobs: (queue, partition, upto) => forgetJobs(db, { queue, partition }, upto),
    forgetRollups: (queue, partition) => forgetRollups(db, { queue, partition }),
    check: () => checkHistory(db),
  };
}

/** A page is read in steps and ends at so many characters: payloads and results may be large. */
const STEP_JOBS = 50;
const PAGE_CHARS = 4 * 1024 * 1024;

async function jobsOfQueue(
  db: D1Database,
  input: QueueListInput,
): Promise<{ items: JobRecord[]; scannedTo: number | null }> {
  const items: JobRecord[] = [];
  for (let beforeSeq = input.beforeSeq; ; ) {
    const limit = Math.min(STEP_JOBS, input.limit - items.length);
    const page = await listQueueHistory(db, { ...input, beforeSeq, limit });
    items.push(...page.items);
    beforeSeq = page.scannedTo;
    const goesOn = beforeSeq !== null && page.items.length === limit;
    if (!goesOn || items.length === input.limit || charsOf(items) > PAGE_CHARS) return { items, scannedTo: beforeSeq };
  }
}

async function finishedJobs(db: D1Database, input: FinishedListInput): Promise<FinishedPage> {
  const items: FinishedPage["items"] = [];
  for (let cursor = input.cursor; ; ) {
    const limit = Math.min(STEP_JOBS, input.limit - items.length);
    const page = await listFinished(db, { ...input, cursor, limit });
    items.push(...page.items);
    cursor = page.nextCursor;
    const goesOn = cursor !== null && page.items.length === limit;
    const chars = charsOf(items.map(({ record }) => record));
    if (!goesOn || items.length === input.limit || chars > PAGE_CHARS) return { items, nextCursor: cursor };
  }
}

function charsOf(records: JobRecord[]): number {
  return records.reduce((sum, { payload, result }) => sum + (payload?.length ?? 0) + (result?.length ?? 0), 0);
}

const AWAKE_MS = 10 * 60_000;
const MINUTE_MS = 60_000;
const MAX_QUEUES = 1_000;

/** Awake: it means to wake, was made or changed lately, or had jobs that ended lately. */
async function registered(db: D1Database, now: number): Promise<RegisteredQueue[]> {
  const { results } = await db
    .prepare(
      `SELECT name, paused, next_wake_at IS NOT NULL OR updated_at > ?1 OR coalesce((
         SELECT to_minute FROM rollups WHERE queue = q.name AND partition = q.partition ORDER BY upto DESC LIMIT 1
       ), 0) > ?2 AS awake
       FROM queues AS q WHERE partition = 0 ORDER BY name LIMIT ${MAX_QUEUES}`,
    )
    .bind(now - AWAKE_MS, Math.floor((now - AWAKE_MS) / MINUTE_MS))
    .all<{ name: string; paused: number; awake: number }>();
  return results.map(({ name, paused, awake }) => ({ name, paused: paused !== 0, awake: awake !== 0 }));
}
