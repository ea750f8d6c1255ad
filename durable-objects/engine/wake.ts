/**
 * The alarm's work, and when it must come next.
 *
 * @module
 */

import { promoteDue } from "./due.ts";
import { lapseOverdue } from "./lapse.ts";
import { FLUSH_MS } from "./limits.ts";
import type { Tx } from "./ports.ts";
import { sessionDueAt } from "./sessions.ts";
import { pacePatience } from "./tickets.ts";

/** Does what is due, a bounded step of it; asks to be woken at once when more is. */
export function wake(tx: Tx): void {
  const moreToPromote = promoteDue(tx);
  const moreToLapse = lapseOverdue(tx);
  pacePatience(tx);
  const next = nextDue(tx);
  if (Number.isFinite(next)) tx.due(next);
  if (moreToPromote || moreToLapse) tx.due(tx.now);
}

/**
 * The earliest instant at which anything is due, tickets apart (they are noted when decided). Finished jobs are due
 * in the history two seconds after the first of them, or when its next try is.
 */
export function nextDue(tx: Tx): number {
  const { wakeAt, sessions, outbox } = tx.books;
  let next = wakeAt;
  for (const session of sessions.values()) next = Math.min(next, sessionDueAt(session));
  if (outbox.unflushed > 0) next = Math.min(next, Math.max((outbox.oldestAt ?? 0) + FLUSH_MS, outbox.retryAt));
  return next;
}
