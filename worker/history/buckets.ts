/**
 * Counts by logarithmic bucket: key 0 holds times up to 1 ms, key i those in (1.2^(i-1), 1.2^i] ms (see `Buckets`).
 *
 * @module
 */
import type { Buckets } from "../../client/wire.ts";

const GROWTH = 1.2;

/**
 * The time in ms below or at which the share `q` (0 to 1) of what was counted lies, at most 10 % off for whole
 * milliseconds; null when nothing was counted.
 *
 * @example
 * percentile({ 0: 1, 13: 98, 20: 1 }, 0.5); // 9: bucket 13 holds 9 and 10
 */
export function percentile(buckets: Buckets, q: number): number | null {
  const keys = Object.keys(buckets)
    .map(Number)
    .sort((a, b) => a - b);
  const total = keys.reduce((sum, key) => sum + buckets[key]!, 0);
  const rank = Math.max(1, Math.ceil(total * q));
  let seen = 0;
  for (const key of keys) {
    seen += buckets[key]!;
    if (seen >= rank) return middleOf(key);
  }
  return null;
}

/** The time with the least relative error to both ends of a bucket: the harmonic mean of the whole ms that it holds. */
function middleOf(key: number): number {
  if (key === 0) return 1;
  const low = Math.floor(GROWTH ** (key - 1)) + 1;
  const high = Math.max(low, Math.floor(GROWTH ** key));
  return Math.round((2 * low * high) / (low + high));
}
