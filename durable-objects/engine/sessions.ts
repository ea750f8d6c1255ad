/**
 * Sessions: one row holds the lease and the list of jobs of one worker's stay, so that a heartbeat is one row however
 * many jobs run.
 *
 * @module
 */
import { type Held, type HeldTuple, type Session, setting } from "./books.ts";
import type { StandingWant, Tx } from "./ports.ts";

/**
 * A session without a row, after its exchange `n`: it gets one with its first job. What was refused then is not known:
 * should that exchange be repeated, it is settled again, which changes nothing.
 */
export function newSession({ session, n, worker }: Pick<StandingWant, "session" | "n" | "worker">): Session {
  return { id: session, worker, n, leaseUntil: 0, held: new Map(), cancels: new Set(), refused: null };
}

/**
 * Writes a session as its books are: with jobs, its row and a renewed lease; without any, no row.
 * A session that never held a job writes nothing.
 */
export function saveSession(tx: Tx, session: Session): void {
  const stored = tx.books.sessions.has(session.id);
  if (session.held.size === 0) {
    if (!stored) return;
    tx.sql.exec("DELETE FROM sessions WHERE id = ?", session.id);
    tx.books.sessions.delete(session.id);
    return;
  }
  session.leaseUntil = tx.now + setting(tx.books, "leaseMs");
  tx.books.sessions.set(session.id, session);
  writeSession(tx, session);
  tx.due(sessionDueAt(session));
}

/** Writes the row without renewing the lease: somebody else changed what the session should know. */
export function writeSession(tx: Tx, session: Session): void {
  const held = [...session.held.values()].map(
    (h: Held): HeldTuple => [h.seq, h.fence, h.lane, h.startedAt, h.until, h.waitMs, h.bytes],
  );
  tx.sql.exec(
    `INSERT INTO sessions (id, worker, n, lease_until, held, cancels, refused) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (id) DO UPDATE SET n = excluded.n, lease_until = excluded.lease_until, held = excluded.held,
       cancels = excluded.cancels, refused = excluded.refused`,
    session.id,
    session.worker,
    session.n,
    session.leaseUntil,
    JSON.stringify(held),
    JSON.stringify([...session.cancels]),
    JSON.stringify(session.refused),
  );
}

/** When the first of the session's clocks runs out: its lease, or the time of one of its jobs. */
export function sessionDueAt(session: Session): number {
  let at = session.leaseUntil;
  for (const held of session.held.values()) at = Math.min(at, held.until);
  return at;
}
