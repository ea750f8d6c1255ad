/**
 * Hands ready jobs to sessions that stand ready for them: so a job starts at an idle worker with the transaction that
 * made it ready, and one message.
 *
 * They are claimed as an exchange claims, under the same limits and in the same order. A message that is lost loses
 * nothing: the session's next exchange does not name the jobs, and is granted them again at the same fence.
 *
 * @module
 */
import type { Handout } from "../../client/wire.ts";
import { type Held, type Session, setting } from "./books.ts";
import { claim, claimable, liveSessions } from "./claim.ts";
import { promoteDue } from "./due.ts";
import { closedBy } from "./gates.ts";
import { bytesOf, leaseTexts } from "./lease.ts";
import { CLAIM_BYTES, STEP_ROWS } from "./limits.ts";
import { openGates } from "./lines.ts";
import type { Effects, StandingWant, Tx } from "./ports.ts";
import { newSession, sessionDueAt, writeSession } from "./sessions.ts";
import { dropSilent, runs } from "./standing.ts";

type Given = Map<string, Held[]>;

/** What is told to sessions that stand ready at the end of a transaction. Without any it costs nothing. */
export function handOut(tx: Tx): Pick<Effects, "handouts" | "silent"> {
  const { books } = tx;
  const given: Given = books.standing.size > 0 && !books.paused ? giveAll(tx) : new Map();
  const handouts = [...given].map(([session, jobs]) => handout(tx, session, jobs));
  for (const session of books.news.cancels.keys()) {
    if (!given.has(session) && newCancels(tx, session).length > 0 && isThere(tx, session))
      handouts.push(handout(tx, session, []));
  }
  const { silent } = books.news;
  books.news = { cancels: new Map(), silent: [] };
  return { handouts, silent };
}

function handout(tx: Tx, id: string, jobs: Held[]): Handout {
  const { books } = tx;
  if (jobs.length > 0) {
    const session = books.sessions.get(id)!;
    // Its lease is not renewed: it has not spoken.
    writeSession(tx, session);
    tx.due(sessionDueAt(session));
  }
  books.metrics.handouts += jobs.length;
  return { session: id, n: books.standing.get(id)!.n, jobs: `[${leaseTexts(tx, jobs)}]`, cancel: newCancels(tx, id) };
}

/** Jobs to cancel that the transaction has not taken from the session. */
function newCancels({ books: { news, sessions } }: Tx, id: string): number[] {
  const held = sessions.get(id)?.held;
  return (news.cancels.get(id) ?? []).filter((seq) => held?.has(seq));
}

/** Gives what may start to who wants it, in rounds: who knows more tasks, or was left with room, gets what others left. */
function giveAll(tx: Tx): Given {
  const given: Given = new Map();
  promoteDue(tx);
  openGates(tx);
  const left = { jobs: STEP_ROWS, bytes: CLAIM_BYTES };
  while (giveRound(tx, given, left)) {
    if (left.jobs > 0 && left.bytes > 0) continue;
    // The rest goes at once, with the alarm.
    tx.due(tx.now);
    break;
  }
  return given;
}

/** To each who wants a part of what may start, as large as its part of all wants. False: nobody was given anything. */
function giveRound(tx: Tx, given: Given, left: { jobs: number; bytes: number }): boolean {
  const { standing, lanes } = tx.books;
  const ready = readyByTask(tx);
  const takers = takersOf(tx, ready);
  let wants = takers.reduce((sum, { want }) => sum + want, 0);
  let any = false;
  for (const taker of takers) {
    if (ready.size === 0) break;
    const share = Math.ceil((readyFor(ready, taker) * taker.want) / wants);
    wants -= taker.want;
    const most = left.bytes > 0 ? Math.min(share, taker.want, left.jobs) : 0;
    const jobs = most > 0 ? give(tx, given, taker, most) : [];
    if (jobs.length === 0) continue;
    any = true;
    given.set(taker.session, [...(given.get(taker.session) ?? []), ...jobs]);
    left.jobs -= jobs.length;
    const bytes = bytesOf(jobs);
    left.bytes -= bytes;
    for (const { lane } of jobs) add(ready, lanes.get(lane)!.task, -1);
    // Of those that want as much, it is the last next time.
    standing.delete(taker.session);
    standing.set(taker.session, { ...taker, want: taker.want - jobs.length, bytes: taker.bytes + bytes });
  }
  return any;
}

type Ready = Map<string, number>;

function add(ready: Ready, task: string, jobs: number): void {
  const left = (ready.get(task) ?? 0) + jobs;
  if (left > 0) ready.set(task, left);
  else ready.delete(task);
}

/** Jobs that may start, as far as the gates of the queue and of tasks say. */
function readyByTask(tx: Tx): Ready {
  const { groups, gate } = tx.books;
  const ready: Ready = new Map();
  if (closedBy(tx, gate, 1)) return ready;
  for (const group of groups.values()) {
    if (group.openReady > 0 && !closedBy(tx, group.gate, 1)) add(ready, group.task, group.openReady);
  }
  return ready;
}

function readyFor(ready: Ready, taker: StandingWant): number {
  let jobs = 0;
  for (const [task, count] of ready) if (runs(taker, task)) jobs += count;
  return jobs;
}

/** Who may be given something, first who wants most. */
function takersOf(tx: Tx, ready: Ready): StandingWant[] {
  const { standing, sessions } = tx.books;
  if (ready.size === 0) return [];
  const placeLeft = liveSessions(tx, null) < setting(tx.books, "maxSessions");
  // A session whose lease is over is about to lose what it holds.
  const mayHold = (id: string): boolean => {
    const session = sessions.get(id);
    return session ? session.leaseUntil > tx.now : placeLeft;
  };
  return [...standing.values()]
    .filter(({ want, bytes }) => want > 0 && bytes < CLAIM_BYTES)
    .filter((taker) => mayHold(taker.session) && readyFor(ready, taker) > 0)
    .sort((a, b) => b.want - a.want);
}

function give(tx: Tx, given: Given, taker: StandingWant, most: number): Held[] {
  const { books, now } = tx;
  const session: Session = books.sessions.get(taker.session) ?? newSession(taker);
  const room = claimable(tx, session, most);
  if (room === 0 || !(given.has(session.id) || isThere(tx, session.id))) return [];
  const jobs = claim(tx, session, { channel: null, tasks: taker.tasks }, room);
  if (jobs.length > 0 && !books.sessions.has(session.id)) {
    session.leaseUntil = now + setting(books, "leaseMs");
    books.sessions.set(session.id, session);
  }
  return jobs;
}

/** Whether a session can be told; one that is silent stands no more. */
function isThere(tx: Tx, session: string): boolean {
  if (!tx.books.standing.has(session)) return false;
  if (tx.alive(session)) return true;
  dropSilent(tx, session);
  return false;
}
