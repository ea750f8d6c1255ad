/**
 * Forgets finished jobs in time, a bounded piece of work a call.
 *
 * Completed jobs have no index by finish time. They are found in the order of their ids: no job ends before it was
 * accepted, so a walk from the lowest id may stop where acceptance is younger than what is to be kept.
 *
 * @module
 */
import { compactRollups, dropRollups } from "./compact.ts";
import { type Retention, retentionAt } from "./fullness.ts";
import { type QueueKey, recordPrune, unprunedQueues } from "./registry.ts";

const CHUNK_ROWS = 5_000;
/** Rows looked at for one queue in one call. */
const QUEUE_ROWS = 50_000;
/** So that a call stays far below the 1,000 statements that D1 takes from one invocation. */
const QUEUES = 10;
const EVERY_MS = 3_600_000;
const EVERY_WHEN_FULL_MS = 300_000;

export interface PruneInput {
  now: number;
  /** How full D1 is, 0 to 1 (`checkHistory`): from 0.8 on, less is kept than configured. */
  fullness: number;
  /** What is configured for a queue. */
  retention(queue: string, partition: number): Retention | Promise<Retention>;
}

export interface PruneResult {
  /** Queues looked at. */
  queues: number;
  deletedJobs: number;
  /** More is due at once: call again, now or in the next minute. */
  more: boolean;
}

/**
 * Prunes the queues whose turn it is, each about once an hour: jobs past their retention, and rollups. At most 10
 * queues and 50,000 jobs of each a call. Safe to run twice at once. Rejects with D1's error when D1 fails; what was
 * done until then stands.
 */
export async function pruneHistory(db: D1Database, input: PruneInput): Promise<PruneResult> {
  const everyMs = input.fullness < 0.8 ? EVERY_MS : EVERY_WHEN_FULL_MS;
  const due = await unprunedQueues(db, input.now, everyMs, QUEUES);
  const result: PruneResult = { queues: due.length, deletedJobs: 0, more: due.length === QUEUES };
  for (const key of due) {
    const keep = retentionAt(input.fullness, await input.retention(key.queue, key.partition));
    const walk = await pruneCompleted(db, key, key.prunedTo ?? -1, input.now - keep.keepMs);
    const others = await pruneOthers(db, key, input.now - keep.keepDeadMs);
    await dropRollups(db, key, input.now);
    const compacted = await compactRollups(db, key, input.now);
    // A walk that came to its end, with other work left, begins again next time.
    const prunedTo = walk.prunedTo ?? (others.more || compacted.more ? -1 : null);
    await recordPrune(db, key, prunedTo, input.now);
    result.deletedJobs += walk.deleted + others.deleted;
    result.more ||= prunedTo !== null;
  }
  return result;
}

const CHUNK = `FROM (SELECT seq, created_at FROM history WHERE queue = ?1 AND partition = ?2 AND seq > ?3
  ORDER BY seq LIMIT ${CHUNK_ROWS})`;

interface Chunk {
  rows: number;
  last: number | null;
  youngest: number | null;
}

/** Deletes completed jobs above `after` that finished before `before`; `prunedTo` null: none is left. */
async function pruneCompleted(
  db: D1Database,
  { queue, partition }: QueueKey,
  after: number,
  before: number,
): Promise<{ deleted: number; prunedTo: number | null }> {
  let deleted = 0;
  for (let looked = 0; looked < QUEUE_ROWS; looked += CHUNK_ROWS) {
    const [chunk, gone] = await db.batch<Chunk>([
      db
        .prepare(`SELECT count(*) AS rows, max(seq) AS last, max(created_at) AS youngest ${CHUNK}`)
        .bind(queue, partition, after),
      db
        .prepare(
          `DELETE FROM history WHERE queue = ?1 AND partition = ?2 AND seq > ?3 AND seq <= (SELECT max(seq) ${CHUNK})
           AND state = 'completed' AND finished_at < ?4`,
        )
        .bind(queue, partition, after, before),
    ]);
    deleted += gone!.meta.changes;
    const { rows, last, youngest } = chunk!.results[0]!;
    if (rows < CHUNK_ROWS || last === null || youngest! >= before) return { deleted, prunedTo: null };
    after = last;
  }
  return { deleted, prunedTo: after };
}

/** Deletes dead and cancelled jobs that finished before `before`, oldest first. */
async function pruneOthers(
  db: D1Database,
  { queue, partition }: QueueKey,
  before: number,
): Promise<{ deleted: number; more: boolean }> {
  let deleted = 0;
  while (deleted < QUEUE_ROWS) {
    const { meta } = await db
      .prepare(
        `DELETE FROM history WHERE (queue, partition, seq) IN (
           SELECT queue, partition, seq FROM history INDEXED BY history_not_completed
           WHERE state <> 'completed' AND finished_at < ?3 AND queue = ?1 AND partition = ?2
           ORDER BY finished_at LIMIT ${CHUNK_ROWS})`,
      )
      .bind(queue, partition, before)
      .run();
    deleted += meta.changes;
    if (meta.changes < CHUNK_ROWS) return { deleted, more: false };
  }
  return { deleted, more: true };
}
