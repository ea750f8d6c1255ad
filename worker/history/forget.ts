/**
 * Forgets what the history holds of a queue that was deleted, a bounded piece of work a call.
 *
 * @module
 */
import type { QueueKey } from "./registry.ts";

/** Jobs forgotten in one call. */
export const FORGET_ROWS = 5_000;

/** Deletes up to `FORGET_ROWS` of the jobs up to `upto`, and says how many: fewer means that none is left. */
export async function forgetJobs(db: D1Database, { queue, partition }: QueueKey, upto: number): Promise<number> {
  const { meta } = await db
    .prepare(
      `DELETE FROM history WHERE queue = ?1 AND partition = ?2 AND seq IN (
         SELECT seq FROM history WHERE queue = ?1 AND partition = ?2 AND seq <= ?3 ORDER BY seq LIMIT ${FORGET_ROWS})`,
    )
    .bind(queue, partition, upto)
    .run();
  return meta.changes;
}

/** Forgets the counts of its ended jobs. One empty row stays: it says which of the object's counts have come already. */
export async function forgetRollups(db: D1Database, { queue, partition }: QueueKey): Promise<void> {
  const latest = "(SELECT max(upto) FROM rollups WHERE queue = ?1 AND partition = ?2)";
  await db.batch([
    db.prepare(`DELETE FROM rollups WHERE queue = ?1 AND partition = ?2 AND upto < ${latest}`).bind(queue, partition),
    db.prepare("UPDATE rollups SET body = '{}' WHERE queue = ?1 AND partition = ?2").bind(queue, partition),
  ]);
}
