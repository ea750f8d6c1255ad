/**
 * What people do to schedules: set, look at, delete, pause, run now, backfill.
 *
 * @module
 */
import type { Refusal, Reply, ScheduleInput, ScheduleReport } from "../../client/wire.ts";
import { enqueue } from "./enqueue.ts";
import { fire } from "./fire.ts";
import { ENQUEUE_JOBS_MAX } from "./limits.ts";
import { templateFor } from "./overlap.ts";
import type { Tx } from "./ports.ts";
import {
  comesNext,
  dropSchedules,
  knownSchedules,
  loadSchedule,
  loadSchedules,
  reportOf,
  type Schedule,
  storeSchedule,
} from "./schedule-rows.ts";
import { forgottenRuns, isMade, noteRuns, runsAt, trimRuns } from "./schedule-runs.ts";
import { invalidSchedule, jobsAtOnce, listed, type Timing, timingOf } from "./timing.ts";

/** They are all kept in memory by name. */
const SCHEDULES_MAX = 10_000;

const refusal = (code: "not_found" | "conflict" | "invalid_request", detail: string): Refusal => ({
  ok: false,
  code,
  detail,
});
const notFound = (name: string): Refusal => refusal("not_found", `There is no schedule "${name}" in this queue`);

/** Schedules by name, from the one after `after` on. */
export function list(tx: Tx, after: string | null, limit: number): ScheduleReport[] {
  const names = [...knownSchedules(tx).keys()].filter((name) => after === null || name > after).sort();
  return loadSchedules(tx, names.slice(0, limit)).map((schedule) => reportOf(tx, schedule));
}

export function get(tx: Tx, name: string): ScheduleReport | null {
  const schedule = loadSchedule(tx, name);
  return schedule && reportOf(tx, schedule);
}

/** Makes a schedule, or what it is from now on. The same again changes nothing. */
export function put(tx: Tx, name: string, input: ScheduleInput): Reply<{ schedule: ScheduleReport; created: boolean }> {
  const wrong = invalidSchedule(input, tx.now);
  if (wrong) return refusal("invalid_request", `Cannot set schedule "${name}": ${wrong}`);
  const before = loadSchedule(tx, name);
  if (before?.origin === "code") return declared(name, "set");
  if (!before && knownSchedules(tx).size >= SCHEDULES_MAX) {
    return refusal("conflict", `A queue has at most ${SCHEDULES_MAX} schedules: use several queues`);
  }
  const isSame = before !== null && JSON.stringify(before.input) === JSON.stringify(input);
  const isHeld = before !== null && before.paused !== null;
  if (!isSame || isHeld !== (pausedIn(input) ?? isHeld)) setSchedule(tx, name, "api", input, before);
  return { ok: true, schedule: get(tx, name)!, created: before === null };
}

const declared = (name: string, what: string): Refusal =>
  refusal(
    "conflict",
    `Cannot ${what} schedule "${name}": it is declared in code. Change it in "schedules" of createMillrace, or pause it`,
  );

/** What is due under the old times is made first; where the times stay, so does the next instant. */
export function setSchedule(
  tx: Tx,
  name: string,
  origin: Schedule["origin"],
  input: ScheduleInput,
  before: Schedule | null,
): void {
  const stays = before !== null && timesOf(before.input) === timesOf(input);
  if (before) fire(tx, before, !stays);
  const timing = timingOf(input);
  const schedule: Schedule = {
    ...{ name, origin, input, nextAt: null, firesAt: null },
    paused: pauseFor(tx, input, before),
    last: before?.last ?? null,
  };
  if (typeof timing !== "string") {
    comesNext(schedule, timing, stays ? before.nextAt : timing.next(tx.now));
  }
  storeSchedule(tx, schedule);
}

const timesOf = ({ cron, everyMs, timezone, startAt, endAt }: ScheduleInput): string =>
  JSON.stringify([cron, everyMs, timezone, startAt, endAt]);

/** What the spec says of being paused; null: nothing. */
function pausedIn({ spec }: ScheduleInput): boolean | null {
  return (JSON.parse(spec) as { paused?: boolean }).paused ?? null;
}

/** A pause stays until somebody takes it back: a spec that says nothing of it does only where the one before did. */
function pauseFor(tx: Tx, input: ScheduleInput, before: Schedule | null): Schedule["paused"] {
  const saidBefore = before && pausedIn(before.input);
  const said = pausedIn(input) ?? (saidBefore === true ? false : null);
  if (said === false) return null;
  return before?.paused ?? (said === true ? { reason: null, since: tx.now } : null);
}

/** From now on it makes no job. What it has made stays. */
export function remove(tx: Tx, name: string): Reply<object> {
  const origin = knownSchedules(tx).get(name)?.origin;
  if (!origin) return notFound(name);
  if (origin === "code") return declared(name, "delete");
  dropSchedules(tx, [name]);
  return { ok: true };
}

/** While it is paused nothing is due; afterwards what was missed is made up for as far as `catchUp` says. */
export function pause(
  tx: Tx,
  name: string,
  paused: boolean,
  reason: string | null,
): Reply<{ schedule: ScheduleReport }> {
  const schedule = loadSchedule(tx, name);
  if (!schedule) return notFound(name);
  const since = schedule.paused?.since ?? tx.now;
  const next = paused ? { reason, since } : null;
  if (JSON.stringify(next) !== JSON.stringify(schedule.paused)) {
    schedule.paused = next;
    storeSchedule(tx, schedule);
    fire(tx, schedule);
  }
  return { ok: true, schedule: get(tx, name)! };
}

/**
 * Makes a job at once, paused or not, whatever is running: for the instant now, or the first free one after it. Refused
 * where another job has its unique key.
 */
export function runNow(tx: Tx, name: string): Reply<{ seq: number }> {
  const schedule = loadSchedule(tx, name);
  if (!schedule) return notFound(name);
  const timing = timingOf(schedule.input);
  let instant = tx.now;
  const isTaken = (): boolean => runsAt(tx, name, [instant]).size > 0;
  const isRegular = (): boolean => typeof timing !== "string" && timing.next(instant - 1) === instant;
  while (isTaken() || isRegular()) instant += 1;
  const made = makeJobs(tx, schedule, [instant], 0);
  if (!made.ok) return made;
  const [seq] = made.jobs;
  return seq === undefined
    ? refusal("conflict", `Cannot run schedule "${name}": another job has the unique key of its jobs`)
    : { ok: true, seq };
}

/** Makes a job for each instant from `from` to before `to` that has had none. */
export function backfill(tx: Tx, name: string, from: number, to: number): Reply<{ jobs: number[]; already: number }> {
  const schedule = loadSchedule(tx, name);
  if (!schedule) return notFound(name);
  const timing = timingOf(schedule.input);
  const what = `Cannot backfill schedule "${name}"`;
  if (typeof timing === "string") return refusal("conflict", `${what}: ${timing}`);
  if (from >= to) return refusal("invalid_request", `${what}: from is not before to`);
  if (to > tx.now) {
    return refusal("invalid_request", `${what}: to is ${iso(to)}, and it is ${iso(tx.now)} now. It makes what is past`);
  }
  const most = jobsAtOnce(schedule.input.payload, ENQUEUE_JOBS_MAX);
  const instants = listed(timing.next, from, to - 1, most);
  if (instants === null) return refusal("invalid_request", `${what}: ${tooMany(timing, from, most)}`);
  const forgotten = forgottenRuns(tx, name);
  const made = runsAt(tx, name, instants);
  const wasMade = (at: number) => made.has(at) || (forgotten !== null && at >= forgotten.from && at < forgotten.to);
  const left = instants.filter((instant) => !wasMade(instant));
  const reply = makeJobs(tx, schedule, left, 1);
  return reply.ok ? { ok: true, jobs: reply.jobs, already: instants.length - left.length } : reply;
}

/** Forgets what is old. Called by sweeps. */
export function trim(tx: Tx): void {
  trimRuns(tx, [...knownSchedules(tx).keys()]);
}

const iso = (ms: number): string => new Date(ms).toISOString();

function tooMany(timing: Timing, from: number, most: number): string {
  let end = from - 1;
  for (let count = 0; count < most; count++) end = timing.next(end)!;
  return `one call makes at most ${most} jobs of this payload, and there are more instants. Ask for those before ${iso(timing.next(end)!)} first`;
}

/** Makes a job for each of these instants, and notes that they have had it. Where another has its unique key, neither. */
function makeJobs(tx: Tx, schedule: Schedule, instants: number[], backfilled: 0 | 1): Reply<{ jobs: number[] }> {
  if (instants.length === 0) return { ok: true, jobs: [] };
  const reply = enqueue(tx, {
    templates: instants.map((instant) => templateFor(tx, schedule, instant)),
    jobs: instants.map((_, index) => [index, schedule.input.payload]),
    requestId: null,
    idempotency: null,
  });
  if (!reply.ok) return reply;
  const runs = reply.jobs.flatMap((answer, index): [number, number][] =>
    isMade(answer) ? [[instants[index]!, answer.seq]] : [],
  );
  noteRuns(tx, schedule.name, runs, backfilled);
  return { ok: true, jobs: runs.map(([, seq]) => seq) };
}
