/**
 * How attempts end: what becomes of a job for each outcome that a worker reports, and for a lapse.
 *
 * The decisions are made here, on rows as they stand; `endJobs` and `moveJobs` carry them out under guard.
 *
 * @module
 */
import type { FinalState, Reason } from "../../client/types.ts";
import { readOptions, type StoredOptions, type WireOutcome } from "../../client/wire.ts";
import { clampDelayMs, declineDelayMs, retryDelayMs } from "./backoff.ts";
import type { Held, Session } from "./books.ts";
import { type End, endJobs } from "./end.ts";
import { type Ending, notedLength, notes } from "./ending-notes.ts";
import { makeFollowUps } from "./follow-ups.ts";
import { closeKey } from "./keys.ts";
import { laneOf, suspectLane } from "./lanes.ts";
import { DECLINE_DEAD_MS, LAPSES_MAX } from "./limits.ts";
import type { NewLogs } from "./logs.ts";
import { type Move, moveJobs } from "./move.ts";
import type { Tx } from "./ports.ts";
import { fits } from "./record-size.ts";
import { RECORD_BYTES } from "./rows.ts";
import type { Verb } from "./states.ts";
import { type ComingBack, comesBack, comingBack, takeKeys } from "./unique.ts";

/** What of a running row a decision needs. */
interface Running {
  seq: number;
  failures: number;
  lapses: number;
  declines: number;
  declinedSince: number | null;
  cancelRequested: boolean;
  createdAt: number;
  /** The end of its waiting, as it was when it was claimed. */
  expiresAt: number | null;
  options: StoredOptions;
}

type Decision =
  | { verb: Verb; to: FinalState; reason: Reason | null; failures?: number; lapses?: number }
  | { verb: Verb; to: "ready" | "scheduled"; reason: Reason; delayMs?: number; failures?: number; lapses?: number };

const VERBS: Record<Ending["outcome"], Verb> = {
  completed: "complete",
  failed: "fail",
  dead: "dead",
  snoozed: "snooze",
  released: "release",
  declined: "decline",
  cancelled: "stop",
  lapsed: "lapse",
};

/**
 * Ends the attempts that `session` holds as `endings` say. Every ending names a job that it holds, at its fence. Of
 * `logs`, those of the jobs that end are written with them, and taken out.
 */
export function settle(tx: Tx, session: Session, endings: Ending[], logs: NewLogs = new Map()): void {
  const holder = { session: session.id, worker: session.worker };
  const ends = new Map<Verb, End[]>();
  const moves = new Map<Verb, Move[]>();
  const rows = loadRunning(
    tx,
    endings.filter((ending) => ending.outcome !== "completed"),
  );
  const keys = comingBack(
    tx,
    [...rows.values()].flatMap(({ options }) => options.unique?.key ?? []),
  );
  for (const ending of endings) {
    const held = session.held.get(ending.seq)!;
    const row = rows.get(ending.seq);
    const newLogs = logs.get(ending.seq) ?? null;
    const decision = row
      ? keepKey(tx, keys, row, inTime(tx, row, ending, decide(tx, row, ending)))
      : { verb: "complete" as const, to: "completed" as const, reason: null };
    if (decision.to === "ready" || decision.to === "scheduled") {
      push(moves, decision.verb, { ...toMove(tx, held, row!, ending, decision), logs: newLogs });
    } else {
      const final = decision as Decision & { to: FinalState };
      push(ends, decision.verb, toEnd(tx, held, row ?? null, ending, final, newLogs));
    }
    logs.delete(ending.seq);
    session.held.delete(ending.seq);
    session.cancels.delete(ending.seq);
    if (ending.outcome === "snoozed") heedLimit(tx, held, ending);
    learnRunTime(tx, held);
  }
  takeKeys(tx, keys);
  for (const [verb, group] of ends) endJobs(tx, verb, "running", holder, group);
  for (const [verb, group] of moves) moveJobs(tx, verb, "running", holder, group);
  makeFollowUps(tx, endings.filter(isCompletion));
}

function isCompletion(ending: Ending): ending is WireOutcome {
  return ending.outcome === "completed";
}

function decide(tx: Tx, row: Running, ending: Ending): Decision {
  const verb = VERBS[ending.outcome];
  if (ending.outcome === "completed") return { verb, to: "completed", reason: null };
  // Cancelled means cancelled: whatever else happened to the attempt, the job is not tried again.
  if (row.cancelRequested) return { verb, to: "cancelled", reason: "cancelled_by_user" };
  switch (ending.outcome) {
    case "failed": {
      const failures = row.failures + 1;
      if (failures >= row.options.maxAttempts) return { verb, to: "dead", reason: "exhausted", failures };
      const delayMs = ending.retryInMs ?? retryDelayMs(row.options.backoff, failures, tx.random);
      return { verb, to: "scheduled", reason: "retrying", delayMs, failures };
    }
    case "dead":
      return { verb, to: "dead", reason: "non_retryable", failures: row.failures + 1 };
    case "snoozed":
      return { verb, to: "scheduled", reason: "snoozed", delayMs: ending.forMs ?? 0 };
    case "released":
      return { verb, to: "ready", reason: "released" };
    case "declined":
      if (row.declinedSince !== null && tx.now - row.declinedSince >= DECLINE_DEAD_MS) {
        return { verb, to: "dead", reason: "unknown_task" };
      }
      return { verb, to: "scheduled", reason: "declined", delayMs: declineDelayMs(row.declines + 1) };
    case "cancelled":
      return { verb, to: "cancelled", reason: "cancelled_by_user" };
    case "lapsed": {
      const lapses = row.lapses + 1;
      if (lapses >= LAPSES_MAX) return { verb, to: "dead", reason: "crashed", lapses };
      if (lapses === 1) return { verb, to: "ready", reason: "retrying", lapses };
      return { verb, to: "scheduled", reason: "retrying", delayMs: retryDelayMs(null, lapses - 1, tx.random), lapses };
    }
  }
}

/** When the job may start again. */
function startsAt(tx: Tx, { to, delayMs }: Exclude<Decision, { to: FinalState }>): number {
  return to === "scheduled" ? tx.now + Math.max(1, clampDelayMs(delayMs ?? 0)) : tx.now;
}

/** Until when the job may wait again: until its deadline, and as before where no handler was called. */
function waitsUntil({ expiresAt, options }: Running, ending: Ending): number | null {
  const started = !(ending.outcome === "declined" || (ending.outcome === "released" && ending.started === false));
  // One that version 2 of the tables had running has kept no end of its waiting.
  return started ? options.deadlineAt : (expiresAt ?? options.deadlineAt);
}

/** A deadline ends the job: in place of a try that would start at it or later, and whatever an attempt past it came to. */
function inTime(tx: Tx, row: Running, ending: Ending, decision: Decision): Decision {
  const until = waitsUntil(row, ending);
  if (until === null || decision.to === "completed" || decision.to === "cancelled") return decision;
  const at = decision.to === "ready" || decision.to === "scheduled" ? startsAt(tx, decision) : tx.now;
  return at < until ? decision : instead(decision, "expired");
}

/** A job that would wait beside another of its unique key ends. */
function keepKey(tx: Tx, keys: ComingBack, row: Running, decision: Decision): Decision {
  if (decision.to !== "ready" && decision.to !== "scheduled") return decision;
  return comesBack(tx, keys, row.seq, row.createdAt, row.options.unique) ? decision : instead(decision, "superseded");
}

/** The same attempt, counted as it was, ends the job. */
function instead({ verb, failures, lapses }: Decision, reason: Reason): Decision {
  return {
    verb,
    to: "cancelled",
    reason,
    ...(failures === undefined ? {} : { failures }),
    ...(lapses === undefined ? {} : { lapses }),
  };
}

function toMove(tx: Tx, held: Held, row: Running, ending: Ending, to: Exclude<Decision, { to: FinalState }>) {
  const runAt = to.to === "scheduled" ? startsAt(tx, to) : null;
  const expiresAt = waitsUntil(row, ending);
  const declined = ending.outcome === "declined";
  return {
    seq: ending.seq,
    fence: ending.fence,
    fromLane: held.lane,
    lane: ending.outcome === "lapsed" ? suspectLane(tx, held.lane) : held.lane,
    wasRetrying: row.failures + row.lapses > 0,
    to: to.to,
    reason: to.reason,
    rank: runAt,
    wakeAt: runAt === null ? expiresAt : Math.min(runAt, expiresAt ?? runAt),
    expiresAt,
    runAt,
    failures: to.failures ?? row.failures,
    lapses: to.lapses ?? row.lapses,
    declines: declined ? row.declines + 1 : 0,
    declinedSince: declined ? (row.declinedSince ?? tx.now) : null,
    ...notes(ending),
  };
}

function toEnd(
  tx: Tx,
  held: Held,
  row: Running | null,
  ending: Ending,
  to: Decision & { to: FinalState },
  logs: string | null,
): End {
  const result = ending.outcome === "completed" ? (ending.result ?? null) : null;
  const noted = notes(ending);
  const tooLarge = result !== null && !fits(tx, ending.seq, result, held.bytes, logs);
  return {
    seq: ending.seq,
    fence: ending.fence,
    lane: held.lane,
    wasRetrying: row !== null && row.failures + row.lapses > 0,
    to: to.to,
    reason:
      tooLarge || (ending.outcome === "completed" && ending.reason === "result_too_large")
        ? "result_too_large"
        : to.reason,
    failures: to.failures ?? null,
    lapses: to.lapses ?? null,
    result: tooLarge ? null : result,
    bytes: held.bytes + (tooLarge ? 0 : (result?.length ?? 0)) + notedLength(noted) + RECORD_BYTES,
    runMs: Math.max(0, tx.now - held.startedAt),
    waitMs: held.waitMs,
    logs,
    ...noted,
  };
}

function loadRunning(tx: Tx, endings: Ending[]): Map<number, Running> {
  if (endings.length === 0) return new Map();
  const rows = tx.sql.exec(
    `SELECT jobs.seq, failures, lapses, declines, declined_since, cancel_requested_at, created_at, expires_at, options
     FROM json_each(?1) AS e CROSS JOIN jobs ON jobs.seq = e.value`,
    JSON.stringify(endings.map((ending) => ending.seq)),
  );
  return new Map(
    rows.map((row) => [
      Number(row.seq),
      {
        seq: Number(row.seq),
        failures: Number(row.failures),
        lapses: Number(row.lapses),
        declines: Number(row.declines),
        declinedSince: row.declined_since === null ? null : Number(row.declined_since),
        cancelRequested: row.cancel_requested_at !== null,
        createdAt: Number(row.created_at),
        expiresAt: row.expires_at === null ? null : Number(row.expires_at),
        options: readOptions(String(row.options)),
      },
    ]),
  );
}

/** The handler was told to slow down by whom its job's key stands for: nobody goes there until then. */
function heedLimit(tx: Tx, held: Held, { rateLimited }: WireOutcome): void {
  if (!rateLimited) return;
  const { kind, forMs } = rateLimited;
  const { keys } = laneOf(tx, held.lane);
  if (keys && Object.hasOwn(keys, kind)) closeKey(tx, kind, keys[kind]!, forMs, "rate_limited");
}

/** A moving mean over about the last 32 attempts, by which tickets are sized. */
function learnRunTime(tx: Tx, held: Held): void {
  const lane = tx.books.lanes.get(held.lane);
  if (!lane) return;
  const channel = tx.books.channels[lane.channel];
  channel.runMs += (tx.now - held.startedAt - channel.runMs) / 32;
}

function push<Item>(groups: Map<Verb, Item[]>, verb: Verb, item: Item): void {
  const group = groups.get(verb);
  if (group) group.push(item);
  else groups.set(verb, [item]);
}
