/**
 * What happens as D1 fills up. Enqueue never stops; what is kept of the past shrinks, the least wanted first:
 *
 * | full | completed jobs | dead and cancelled jobs |
 * |---|---|---|
 * | 80 % to 90 % | kept for less and less time | kept as configured |
 * | over 90 %, to 100 % | not kept by prune; written without payload and result | kept for less and less time |
 * | over 95 % | | written without payload and result too |
 *
 * @module
 */

/** D1's own limit for a database. */
export const MAX_BYTES = 10_000_000_000;

/** The `encoding` of a row whose payload was not kept: such a job cannot run again. */
export const DROPPED = "dropped";

export interface Retention {
  /** How long completed jobs are kept. */
  keepMs: number;
  /** How long dead and cancelled jobs are kept. */
  keepDeadMs: number;
}

/** 0: empty, 1: at the limit. `sizeBytes` is `meta.size_after` of any D1 answer. */
export function fullnessOf(sizeBytes: number, maxBytes: number = MAX_BYTES): number {
  return Math.min(1, sizeBytes / maxBytes);
}

/** How long to keep jobs in a database that is this full. */
export function retentionAt(fullness: number, configured: Retention): Retention {
  return {
    keepMs: Math.floor(configured.keepMs * shareLeft(fullness, 0.8, 0.9)),
    keepDeadMs: Math.floor(configured.keepDeadMs * shareLeft(fullness, 0.9, 1)),
  };
}

/** Whose payload and result are not written into a database that is this full. */
export function droppedAt(fullness: number): "nobody" | "completed" | "everybody" {
  if (fullness < 0.9) return "nobody";
  return fullness < 0.95 ? "completed" : "everybody";
}

/** 1 up to `from`, 0 beyond `to`, a straight line between. */
function shareLeft(fullness: number, from: number, to: number): number {
  return Math.max(0, Math.min(1, (to - fullness) / (to - from)));
}
