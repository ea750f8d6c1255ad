/**
 * Buckets when limits change. A bucket is kept as the instant at which it is full, and that instant depends on the
 * rate: taken over as it is, a bucket that a slow rate emptied would stay shut for as long at a fast one, and one that
 * a fast rate emptied would be nearly full at a slow one.
 *
 * @module
 */
import type { RateLimitSetting } from "../../client/wire.ts";
import type { Books } from "./books.ts";
import { saveBuckets, tokenMs } from "./buckets.ts";
import { limitFor } from "./gates.ts";
import { CLOCK_BACK_MS } from "./limits.ts";
import type { Tx } from "./ports.ts";

/** Runs a change of the settings; buckets go on with the tokens that they hold, as far as the new burst has room for them. */
export function carryBuckets(tx: Tx, change: () => void): void {
  const { books, now } = tx;
  const before = new Map([...books.buckets.keys()].map((key) => [key, rateOf(books, key)]));
  change();
  const carried = new Map<string, number>();
  for (const [key, fullAt] of books.buckets) {
    const [old, rate] = [before.get(key), rateOf(books, key)];
    if (!rate || isSame(rate, old)) continue;
    const held = old ? old.burst - Math.max(0, fullAt - now) / tokenMs(old) : rate.burst;
    const missing = rate.burst - Math.min(Math.max(0, held), rate.burst);
    carried.set(key, now + missing * tokenMs(rate));
  }
  saveBuckets(tx, carried);
}

/** After a deploy nobody knows the rates of before: no bucket is emptier than empty. */
export function capBuckets(tx: Tx): void {
  const { books, now } = tx;
  const capped = new Map<string, number>();
  for (const [key, fullAt] of books.buckets) {
    const rate = rateOf(books, key);
    const emptyFullAt = rate ? now + rate.burst * tokenMs(rate) : Number.POSITIVE_INFINITY;
    // A clock that was put back is no new rate.
    if (fullAt > emptyFullAt + CLOCK_BACK_MS) capped.set(key, emptyFullAt);
  }
  saveBuckets(tx, capped);
}

function rateOf(books: Books, key: string): RateLimitSetting | undefined {
  return limitFor(books, key).rateLimit;
}

function isSame(rate: RateLimitSetting, old: RateLimitSetting | undefined): boolean {
  return rate.limit === old?.limit && rate.perMs === old.perMs && rate.burst === old.burst;
}
