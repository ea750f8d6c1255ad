/**
 * The alarm's work, and when it must come next.
 *
 * @module
 */

import { promoteDue } from "./due.ts";
import { fireDue } from "./fire.ts";
import { lapseOverdue } from "./lapse.ts";
import { flushDueAt } from "./outbox.ts";
import { deliveryDueAt } from "./outgoing.ts";
import type { Tx } from "./ports.ts";
import { schedulesDueAt } from "./schedule-rows.ts";
import { sessionDueAt } from "./sessions.ts";
import { pacePatience } from "./tickets.ts";
import { countsDueAt } from "./watch.ts";

/** Does what is due, a bounded step of it; asks to be woken at once when more is. */
export function wake(tx: Tx): void {
  const moreToFire = fireDue(tx);
  const moreToPromote = promoteDue(tx);
  const moreToLapse = lapseOverdue(tx);
  pacePatience(tx);
  tx.due(Math.min(nextJobDue(tx), schedulesDueAt(tx)));
  if (moreToFire || moreToPromote || moreToLapse) tx.due(tx.now);
}

/** The earliest instant at which anything is due, tickets apart (they are noted when decided). */
export function nextDue(tx: Tx): number {
  return Math.min(nextJobDue(tx), schedulesDueAt(tx), flushDueAt(tx), deliveryDueAt(tx.books), countsDueAt(tx));
}

function nextJobDue({ books: { wakeAt, sessions } }: Tx): number {
  let next = wakeAt;
  for (const session of sessions.values()) next = Math.min(next, sessionDueAt(session));
  return next;
}
