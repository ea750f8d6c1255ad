/**
 * Makes the jobs of schedules that are due. A job, the note that its instant has had it, and the step to the next
 * instant are one transaction, and the next instant follows from the one before, never from now: neither a late alarm
 * nor a restart nor a clock that goes back can lose an instant or make it twice.
 *
 * @module
 */
import { enqueue } from "./enqueue.ts";
import { remember } from "./forget.ts";
import { makeRoom, templateFor } from "./overlap.ts";
import type { Tx } from "./ports.ts";
import {
  comesNext,
  knownSchedules,
  loadSchedule,
  type Schedule,
  storeProgress,
  storeSchedule,
} from "./schedule-rows.ts";
import { isMade, noteRuns, runsAt } from "./schedule-runs.ts";
import { fireTime, type Timing, timingOf } from "./timing.ts";

/** An instant that is late by less is made, whatever is said of catching up. */
export const PUNCTUAL_MS = 60_000;
/** Instants are a second apart at least. */
const PUNCTUAL_MOST = PUNCTUAL_MS / 1_000 + 2;
const STEP_INSTANTS = 200;

type Last = NonNullable<Schedule["last"]>;

/** Makes a step of the jobs that are due. Returns true when more are. */
export function fireDue(tx: Tx): boolean {
  const due = [...knownSchedules(tx)]
    .flatMap(([name, { firesAt }]) => (firesAt !== null && firesAt <= tx.now ? [{ name, firesAt }] : []))
    .sort((a, b) => a.firesAt - b.firesAt);
  let instants = 0;
  for (const { name } of due) {
    if (instants >= STEP_INSTANTS) return true;
    instants += 1 + fire(tx, loadSchedule(tx, name)!);
  }
  return false;
}

/**
 * Makes the jobs of one schedule that are due, if any, and says how many instants that were. `last`: its times are over,
 * so an instant that jitter puts off is made now.
 */
export function fire(tx: Tx, schedule: Schedule, last = false): number {
  const { name, nextAt, paused, input } = schedule;
  if (nextAt === null || paused || (last ? nextAt : schedule.firesAt!) > tx.now) return 0;
  const timing = timingOf(input);
  if (typeof timing === "string") {
    // Only where code or a zone has changed since it was checked. It must not hold up the queue, and not vanish.
    storeSchedule(tx, { ...schedule, paused: { reason: timing, since: tx.now } });
    return 0;
  }
  const { make, latest, next } = dueInstants(tx, schedule, timing, nextAt, last);
  const made = runsAt(tx, name, make);
  for (const instant of make) {
    const seq = made.get(instant);
    schedule.last = seq === undefined ? makeJob(tx, schedule, instant) : { instant, outcome: "enqueued", seq };
  }
  if (latest !== null && schedule.last?.instant !== latest)
    schedule.last = { instant: latest, outcome: "missed", seq: null };
  comesNext(schedule, timing, next);
  storeProgress(tx, schedule);
  return make.length;
}

/** The due instants to make, oldest first, the latest that is due, and the first that is not. */
function dueInstants(
  tx: Tx,
  { name, input }: Schedule,
  timing: Timing,
  nextAt: number,
  last: boolean,
): { make: number[]; latest: number | null; next: number | null } {
  const instants = timing.latest(nextAt, tx.now, input.catchUpMax + PUNCTUAL_MOST);
  // What was said to come next stands, though the zone's rules may have changed since.
  if (instants[0] !== nextAt) instants.unshift(nextAt);
  const after = timing.next(instants.at(-1)!);
  const times = instants.map((instant, index) => fireTime(name, input.jitterMs, instant, instants[index + 1] ?? after));
  const due = last ? instants : instants.filter((_, index) => times[index]! <= tx.now);
  const isPunctual = (index: number): boolean => times[index]! > tx.now - PUNCTUAL_MS;
  const late = due.filter((instant, index) => !isPunctual(index) && instant >= tx.now - input.catchUpWindowMs);
  const madeUpFor = input.catchUpMax === 0 ? [] : late.slice(-input.catchUpMax);
  return {
    make: [...madeUpFor, ...due.filter((_, index) => isPunctual(index))],
    latest: due.at(-1) ?? null,
    next: instants[due.length] ?? after,
  };
}

function makeJob(tx: Tx, schedule: Schedule, instant: number): Last {
  const skipped: Last = { instant, outcome: "skipped", seq: null };
  if (!makeRoom(tx, schedule)) return skipped;
  const reply = enqueue(tx, {
    templates: [templateFor(tx, schedule, instant)],
    jobs: [[0, schedule.input.payload]],
    requestId: null,
    idempotency: null,
  });
  // The queue may have been deleted: it is used again.
  if (!tx.books.registered) remember(tx);
  const [answer] = reply.ok ? reply.jobs : [];
  // Another job has its unique key.
  if (!answer || !isMade(answer)) return skipped;
  const { seq } = answer;
  noteRuns(tx, schedule.name, [[instant, seq]], 0);
  return { instant, outcome: "enqueued", seq };
}
