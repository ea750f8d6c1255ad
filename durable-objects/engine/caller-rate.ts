/**
 * How many jobs the bearer of a token may enqueue. Counted in memory, so that it costs no row: an object that is loaded
 * anew has forgotten it, and lets a full bucket through once more.
 *
 * @module
 */
import type { EnqueueInput, Refusal } from "../../client/wire.ts";
import { fullAfter, holdsAt } from "./buckets.ts";
import { CALLERS_MAX } from "./limits.ts";
import type { Tx } from "./ports.ts";

/** The refusal of a call that comes too early; null where it does not. Notes nothing. */
export function refuseEarly(tx: Tx, { caller, jobs }: EnqueueInput): Refusal | null {
  if (!caller) return null;
  const { id, rate } = caller;
  const waitMs = holdsAt(rate, tx.books.callers.get(id) ?? 0, jobs.length) - tx.now;
  if (waitMs <= 0) return null;
  const detail = `Cannot enqueue ${jobs.length} jobs: this token may enqueue ${rate.limit} in ${rate.perMs} ms into one queue, ${rate.burst} of them at once. Try again in ${waitMs} ms`;
  return { ok: false, code: "rate_limited", detail, retryAfterMs: waitMs };
}

/** Notes what a caller has enqueued. */
export function countCaller(tx: Tx, { caller, jobs }: EnqueueInput): void {
  if (!caller) return;
  const { callers } = tx.books;
  const fullAt = fullAfter(caller.rate, callers.get(caller.id) ?? 0, jobs.length, tx.now);
  callers.delete(caller.id);
  callers.set(caller.id, fullAt);
  if (callers.size <= CALLERS_MAX) return;
  for (const [id, at] of callers) if (at <= tx.now) callers.delete(id);
  // All of them are in use: the one that was here the longest ago goes.
  if (callers.size > CALLERS_MAX) callers.delete(callers.keys().next().value!);
}
