/// <reference types="@cloudflare/vitest-plugin/types" />
import { applyD1Migrations, type D1Migration, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach } from "vitest";
import { entryOf, type JobRecord, type Rollup, type RollupCell } from "../../../client/wire.ts";
import { createHistory } from "../../../worker/history/write.ts";

const bindings = env as unknown as { DB: D1Database; MIGRATIONS: D1Migration[] };
export const db: D1Database = bindings.DB;

/** 2026-11-22T05:00:00Z, the beginning of an hour. */
export const NOW = 1_795_323_600_000;
export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const DAY = 86_400_000;

/** Each test of the file begins with an empty, migrated D1. */
export function freshDatabase(): void {
  beforeEach(() => applyD1Migrations(db, bindings.MIGRATIONS));
  afterEach(() => reset());
}

export function record(fields: Partial<JobRecord> & { seq: number }, tags: string[] = []): JobRecord {
  const options = { maxAttempts: 8, backoff: null, ownBackoff: false, timeoutMs: 300_000, expiresAt: null, tags };
  return {
    fence: 2,
    task: "greet",
    state: "completed",
    reason: null,
    priority: 0,
    failures: 0,
    lapses: 0,
    payload: '{"name":"Ada"}',
    encoding: "json",
    result: "true",
    error: null,
    progress: null,
    attempts: null,
    options: JSON.stringify({ ...options, meta: null, actor: null, version: null, traceparent: null }),
    createdAt: NOW,
    runAt: NOW,
    startedAt: NOW + 10,
    finishedAt: NOW + 20,
    cancelRequestedAt: null,
    ...fields,
  };
}

/** An outbox body. */
export function bodyOf(records: JobRecord[]): string {
  return JSON.stringify(records.map(entryOf));
}

export async function store(queue: string, records: JobRecord[]): Promise<void> {
  for (let at = 0; at < records.length; at += 1_000) {
    const body = bodyOf(records.slice(at, at + 1_000));
    await createHistory(db).write({ queue, partition: 0, records: [body], deletes: [], rollup: null });
  }
}

export async function storeRollup(queue: string, after: number, upto: number, body: Rollup): Promise<void> {
  await createHistory(db).write({ queue, partition: 0, records: [], deletes: [], rollup: { after, upto, body } });
}

export function cell(count: number, fields: Partial<RollupCell> = {}): RollupCell {
  return { count, runMaxMs: 0, waitMaxMs: 0, run: {}, wait: {}, ...fields };
}

/** Counts completed jobs of the task "greet" in the minute of `instant`. */
export function counted(instant: number, count: number): Rollup {
  return { [Math.floor(instant / MINUTE)]: { greet: { completed: cell(count) } } };
}

export async function countRows(table: string): Promise<number> {
  return (await db.prepare(`SELECT count(*) AS n FROM ${table}`).first<{ n: number }>())!.n;
}

/** The same database, keeping how many rows its batches wrote. */
export function metered(): { db: D1Database; rowsWritten: () => number } {
  let rows = 0;
  const batch: D1Database["batch"] = async <Row>(statements: D1PreparedStatement[]) => {
    const results = await db.batch<Row>(statements);
    for (const { meta } of results) rows += meta.rows_written;
    return results;
  };
  return { db: { prepare: (sql: string) => db.prepare(sql), batch } as D1Database, rowsWritten: () => rows };
}

/** Repeatable random numbers in [0, 1). */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
