/**
 * Token buckets, as one instant each: when the bucket is full again. A bucket that is full needs no row, and any
 * number of starts moves the instant by their cost (the generic cell rate algorithm of ITU-T I.371, which is exact:
 * in every window w, starts <= burst + limit x w / per).
 *
 * @module
 */
import type { RateLimitSetting } from "../../client/wire.ts";
import type { Tx } from "./ports.ts";

/** Time in ms in which one token comes back. */
export function tokenMs({ limit, perMs }: RateLimitSetting): number {
  return perMs / limit;
}

/** What a start takes: one that costs more than the bucket holds starts when it is full, and takes all of it. */
export function costIn(rate: RateLimitSetting, cost: number): number {
  return Math.min(cost, rate.burst);
}

/** When a bucket that is full at `fullAt` holds `cost` tokens. */
export function holdsAt(rate: RateLimitSetting, fullAt: number, cost: number): number {
  return Math.ceil(fullAt - (rate.burst - costIn(rate, cost)) * tokenMs(rate));
}

/** Whole tokens in the bucket. */
export function tokensIn(rate: RateLimitSetting, fullAt: number, now: number): number {
  const missing = Math.max(0, fullAt - now) / tokenMs(rate);
  return Math.max(0, Math.floor(rate.burst - missing + 1e-9));
}

/** When the bucket is full again after `cost` tokens more are taken. */
export function fullAfter(rate: RateLimitSetting, fullAt: number, cost: number, now: number): number {
  return Math.max(fullAt, now) + cost * tokenMs(rate);
}

/** Notes what was taken of buckets: a row for each of them. */
export function saveBuckets(tx: Tx, taken: Map<string, number>): void {
  if (taken.size === 0) return;
  for (const [key, fullAt] of taken) tx.books.buckets.set(key, fullAt);
  tx.sql.exec(
    `INSERT INTO buckets (key, full_at) SELECT value ->> 0, CAST(value ->> 1 AS REAL) FROM json_each(?) WHERE 1
     ON CONFLICT (key) DO UPDATE SET full_at = excluded.full_at`,
    JSON.stringify([...taken]),
  );
}

/** Forgets buckets that are full. Called by sweeps. */
export function trimBuckets(tx: Tx): void {
  tx.sql.exec("DELETE FROM buckets WHERE full_at <= ?", tx.now);
  for (const [key, fullAt] of tx.books.buckets) if (fullAt <= tx.now) tx.books.buckets.delete(key);
}
