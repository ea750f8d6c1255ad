/**
 * The registry of queues: what lists show, and whom the sweeper pokes. The row is written once before a queue's first
 * enqueue is answered, afterwards only by the sweeper.
 *
 * @module
 */
import { and, asc, eq, gt, isNotNull, isNull, lte, or, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { Page, QueueSummary } from "../../client/types.ts";
import { queues } from "./schema.ts";

const LATE_MS = 30_000;
const NEW_MS = 60_000;
const ROUND_MS = 3_600_000;

/** One object: a partition of a queue. */
export interface QueueKey {
  queue: string;
  partition: number;
}

/** Makes the queue known. Changes and costs nothing when it is. Rejects with D1's error when D1 fails. */
export async function register(db: D1Database, queue: string, partition: number, now: number): Promise<void> {
  await drizzle(db)
    .insert(queues)
    .values({ name: queue, partition, paused: false, createdAt: now, updatedAt: now })
    .onConflictDoNothing();
}

/** Takes an object off the lists and the sweeper's round. Changes nothing when it is not on them. */
export async function unregister(db: D1Database, queue: string, partition: number): Promise<void> {
  await drizzle(db).delete(queues).where(isPartition(queue, partition));
}

const SUMMARY = {
  name: queues.name,
  partitions: sql<number>`count(*)`,
  paused: sql<number>`max(${queues.paused})`,
  updatedAt: sql<number>`max(${queues.updatedAt})`,
};

/** Queues by name. `cursor` is the `nextCursor` of the page before, null for the first; `limit` at least 1. */
export async function listQueues(
  db: D1Database,
  page: { cursor: string | null; limit: number },
): Promise<Page<QueueSummary>> {
  const rows = await drizzle(db)
    .select(SUMMARY)
    .from(queues)
    .where(gt(queues.name, page.cursor ?? ""))
    .groupBy(queues.name)
    .orderBy(asc(queues.name))
    .limit(page.limit);
  return { items: rows.map(toSummary), nextCursor: rows.length < page.limit ? null : rows.at(-1)!.name };
}

/** One queue; null when it was never used. */
export async function getQueue(db: D1Database, name: string): Promise<QueueSummary | null> {
  const rows = await drizzle(db).select(SUMMARY).from(queues).where(eq(queues.name, name)).groupBy(queues.name);
  return rows[0] ? toSummary(rows[0]) : null;
}

/** True when this object was ever used: any other need not be woken. */
export async function isRegistered(db: D1Database, queue: string, partition: number): Promise<boolean> {
  const rows = await drizzle(db).select({ name: queues.name }).from(queues).where(isPartition(queue, partition));
  return rows.length > 0;
}

/** Notes that all partitions of a queue were paused or resumed. */
export async function markPaused(db: D1Database, queue: string, paused: boolean, now: number): Promise<void> {
  await drizzle(db)
    .update(queues)
    .set({ paused, updatedAt: now })
    .where(and(eq(queues.name, queue), eq(queues.paused, !paused)));
}

/** Notes what a poke answered; null: the object knew of no jobs. */
export async function recordPoke(
  db: D1Database,
  queue: string,
  partition: number,
  answer: { nextWakeAt: number | null; paused: boolean } | null,
  now: number,
): Promise<void> {
  const paused = answer?.paused ?? false;
  await drizzle(db)
    .update(queues)
    .set({
      nextWakeAt: answer?.nextWakeAt ?? null,
      pokedAt: now,
      paused,
      updatedAt: sql`iif(${queues.paused} = ${paused}, ${queues.updatedAt}, ${now})`,
    })
    .where(isPartition(queue, partition));
}

/**
 * Whom to poke: objects that meant to wake over 30 s ago, that were made over a minute ago and never poked, or whose
 * last poke is an hour old, whatever they said then: a wake far off says nothing about jobs that came since.
 * The longest unpoked first, at most `limit`.
 */
export async function overdueQueues(db: D1Database, now: number, limit: number = 100): Promise<QueueKey[]> {
  return await drizzle(db)
    .select({ queue: queues.name, partition: queues.partition })
    .from(queues)
    .where(
      or(
        lte(queues.nextWakeAt, now - LATE_MS),
        and(isNull(queues.pokedAt), lte(queues.createdAt, now - NEW_MS)),
        lte(queues.pokedAt, now - ROUND_MS),
      ),
    )
    .orderBy(sql`coalesce(${queues.pokedAt}, ${queues.createdAt})`)
    .limit(limit);
}

/**
 * Whose history to prune: those not finished with, those not pruned for `everyMs`, and idle ones a 24th as often, since
 * a note costs a row. The longest unpruned first, at most `limit`.
 */
export async function unprunedQueues(
  db: D1Database,
  now: number,
  everyMs: number,
  limit: number,
): Promise<(QueueKey & { prunedTo: number | null })[]> {
  return await drizzle(db)
    .select({ queue: queues.name, partition: queues.partition, prunedTo: queues.prunedTo })
    .from(queues)
    .where(
      or(
        isNull(queues.prunedAt),
        isNotNull(queues.prunedTo),
        and(isNotNull(queues.nextWakeAt), lte(queues.prunedAt, now - everyMs)),
        lte(queues.prunedAt, now - 24 * everyMs),
      ),
    )
    .orderBy(sql`coalesce(${queues.prunedAt}, 0)`)
    .limit(limit);
}

/** Notes how far a prune came; `prunedTo` null: to the end. */
export async function recordPrune(db: D1Database, key: QueueKey, prunedTo: number | null, now: number): Promise<void> {
  await drizzle(db).update(queues).set({ prunedAt: now, prunedTo }).where(isPartition(key.queue, key.partition));
}

function isPartition(queue: string, partition: number) {
  return and(eq(queues.name, queue), eq(queues.partition, partition));
}

function toSummary(row: { name: string; partitions: number; paused: number; updatedAt: number }): QueueSummary {
  return { ...row, paused: row.paused !== 0, updatedAt: new Date(row.updatedAt).toISOString() };
}
