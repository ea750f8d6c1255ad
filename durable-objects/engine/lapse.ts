/**
 * Takes jobs from sessions that have gone silent, and from attempts that are past their time whatever the session
 * says. A crash is not the job's failure until it repeats: lapses are counted apart from failures.
 *
 * @module
 */
import { STEP_ROWS } from "./limits.ts";
import type { Tx } from "./ports.ts";
import { saveSession, sessionDueAt, writeSession } from "./sessions.ts";
import { settle } from "./settle.ts";
import { dropSilent } from "./standing.ts";

/** Lapses up to a step of jobs. Returns true when more are due. */
export function lapseOverdue(tx: Tx): boolean {
  let room = STEP_ROWS;
  for (const session of [...tx.books.sessions.values()]) {
    if (sessionDueAt(session) > tx.now) continue;
    if (room <= 0) return true;
    const over = session.leaseUntil <= tx.now;
    const lapsed = [...session.held.values()].filter((held) => over || held.until <= tx.now).slice(0, room);
    // It was to speak long before: what it wants is not to be believed either.
    if (over) dropSilent(tx, session.id);
    room -= lapsed.length;
    settle(
      tx,
      session,
      lapsed.map(({ seq, fence }) => ({ seq, fence, outcome: "lapsed" as const })),
    );
    if (session.held.size === 0) saveSession(tx, session);
    else writeSession(tx, session);
  }
  return [...tx.books.sessions.values()].some((session) => sessionDueAt(session) <= tx.now);
}
