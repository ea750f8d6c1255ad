/**
 * Follow-up jobs on their way to other queues: parcels that wait in `outgoing` until their queue has answered, the
 * oldest first for each. What has been tried lately stands in memory only: after a restart everything is tried again.
 *
 * @module
 */
import type { Parcel } from "../../client/wire.ts";
import type { Books } from "./books.ts";
import { CHUNK_BYTES, DELIVERY_MS_MAX, DELIVERY_MS_MIN, ENQUEUE_JOBS_MAX, PARCELS_MAX } from "./limits.ts";
import type { Sql, Tx } from "./ports.ts";

/** Another queue that parcels wait for. */
export interface Target {
  queue: string;
  partition: number;
  waiting: number;
  /** Not tried before; while parcels are on their way, that is longer than an answer can take. */
  dueAt: number;
  /** Tries without an answer in a row. */
  failures: number;
}

/** Parcels for one queue, in order. */
export interface Delivery {
  target: Target;
  ids: number[];
  parcels: Parcel[];
}

const keyOf = (queue: string, partition: number): string => `${queue}:${partition}`;

/** Whom parcels wait for, as the table says. */
export function loadTargets(sql: Sql): Map<string, Target> {
  const rows = sql.exec("SELECT queue, partition, count(*) AS waiting FROM outgoing GROUP BY queue, partition");
  return new Map(
    rows.map((row) => {
      const [queue, partition] = [String(row.queue), Number(row.partition)];
      const target: Target = { queue, partition, waiting: Number(row.waiting), dueAt: 0, failures: 0 };
      return [keyOf(queue, partition), target];
    }),
  );
}

/** Puts a parcel in line for another queue; it leaves with the commit. */
export function sendParcel(tx: Tx, queue: string, partition: number, [source, body]: Parcel): void {
  tx.sql.exec(
    "INSERT INTO outgoing (queue, partition, source, body, created_at) VALUES (?, ?, ?, ?, ?)",
    queue,
    partition,
    source,
    body,
    tx.now,
  );
  const { targets } = tx.books;
  const key = keyOf(queue, partition);
  const target = targets.get(key) ?? { queue, partition, waiting: 0, dueAt: 0, failures: 0 };
  target.waiting += 1;
  targets.set(key, target);
}

/** When a parcel is due next. */
export function deliveryDueAt({ targets }: Books): number {
  let at = Number.POSITIVE_INFINITY;
  for (const { dueAt } of targets.values()) at = Math.min(at, dueAt);
  return at;
}

/** The queues for which something is due. */
export function dueTargets(tx: Tx): Target[] {
  return [...tx.books.targets.values()].filter(({ dueAt }) => dueAt <= tx.now);
}

const OLDEST = `
SELECT id, source, body, json_array_length(body, '$.jobs') AS jobs FROM outgoing
WHERE queue = ? AND partition = ? ORDER BY id LIMIT ?`;

/**
 * The oldest parcels for a queue, as many as one call may carry; null: none. Until `busyUntil` no other is due there.
 * After a failure it is one at a time, so that one which breaks its queue is found.
 */
export function nextDelivery(tx: Tx, { queue, partition }: Target, busyUntil: number): Delivery | null {
  const target = tx.books.targets.get(keyOf(queue, partition));
  if (!target) return null;
  target.dueAt = busyUntil;
  const delivery: Delivery = { target, ids: [], parcels: [] };
  let bytes = 0;
  let jobs = 0;
  for (const row of tx.sql.exec(OLDEST, queue, partition, target.failures > 0 ? 1 : PARCELS_MAX)) {
    const body = String(row.body);
    bytes += body.length;
    jobs += Number(row.jobs);
    if (delivery.ids.length > 0 && (bytes > CHUNK_BYTES || jobs > ENQUEUE_JOBS_MAX)) break;
    delivery.ids.push(Number(row.id));
    delivery.parcels.push([String(row.source), body]);
  }
  return delivery;
}

/** The queue has answered for these parcels of the delivery, the first of it. */
export function confirmDelivery(tx: Tx, { target: { queue, partition }, ids, parcels }: Delivery, count: number): void {
  // Once the table is empty ids begin anew, and this answer may be the late one of two: the source tells parcels apart.
  const gone = tx.sql.exec(
    `DELETE FROM outgoing WHERE (id, source) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?)) RETURNING id`,
    JSON.stringify(ids.slice(0, count).map((id, index) => [id, parcels[index]![0]])),
  );
  const key = keyOf(queue, partition);
  const target = tx.books.targets.get(key);
  if (!target) return;
  target.failures = 0;
  target.waiting -= gone.length;
  if (target.waiting <= 0) tx.books.targets.delete(key);
}

/** The queue did not answer. Returns when it is tried again: after 1 s, 2, 4 … at most 5 min. */
export function deliveryFailed(tx: Tx, { queue, partition }: Target): number | null {
  const target = tx.books.targets.get(keyOf(queue, partition));
  if (!target) return null;
  target.failures += 1;
  target.dueAt = tx.now + Math.min(DELIVERY_MS_MIN * 2 ** (target.failures - 1), DELIVERY_MS_MAX);
  return target.dueAt;
}
