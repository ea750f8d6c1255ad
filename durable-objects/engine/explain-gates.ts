/**
 * What keeps a waiting job from starting now, in words: one gate for each thing, with what is and what opens it.
 *
 * @module
 */
import type { GateName } from "../../client/types.ts";
import type { AttemptTuple, ExplainReply } from "../../client/wire.ts";
import { type Session, setting } from "./books.ts";
import { tokensIn } from "./buckets.ts";
import { type Closed, closuresBy, costAt, gatesOf, keyOf } from "./gates.ts";
import type { Row, Tx } from "./ports.ts";
import type { Gate, Lane } from "./scheduler.ts";

export type ExplainedGate = ExplainReply["gates"][number];

/** How a job is called in words. */
export type NameOf = (seq: number) => string;

/** Nobody came for work for so long: a lease's time, in which a living worker speaks three times. */
const NO_WORKER_MS = 30_000;
/** Further jobs of an ordering key are not counted. */
const AHEAD_COUNTED = 1_000;

const at = (ms: number): string => new Date(ms).toISOString();

export function gate(
  name: GateName,
  detail: string,
  since: number | null = null,
  until: number | null = null,
): ExplainedGate {
  return { gate: name, detail, since, until };
}

/** The job's time is over, and nobody has ended it yet. */
export function deadlineGate(tx: Tx, row: Row): ExplainedGate[] {
  if (row.expires_at === null || Number(row.expires_at) > tx.now) return [];
  const expiresAt = Number(row.expires_at);
  return [gate("deadline", `It was to start before ${at(expiresAt)}: it ends cancelled in a moment.`, expiresAt)];
}

/** It waits for its time: the one that it was accepted with, or that of its next try. */
export function timeGate(tx: Tx, row: Row): ExplainedGate[] {
  const runAt = Number(row.run_at);
  if (row.state === "ready" || runAt <= tx.now) return [];
  const expiresAt = row.expires_at === null ? null : Number(row.expires_at);
  const over = expiresAt !== null && expiresAt <= runAt;
  const end = over ? ` It ends cancelled at ${at(expiresAt)}, because it is to start before.` : "";
  const attempts = JSON.parse(String(row.attempts ?? "[]")) as AttemptTuple[];
  const waits = waitOf(row);
  if (waits === null) {
    return [gate("schedule", `It is to start at ${at(runAt)}, not earlier.${end}`, Number(row.created_at), runAt)];
  }
  const detail = `${waits} It is due again at ${at(runAt)}; a retry by hand makes it due now.${end}`;
  return [gate("retry", detail, attempts.at(-1)?.[3] ?? null, runAt)];
}

/** Why a job waits that has been tried; null: it has not been. */
function waitOf({ reason, failures, lapses }: Row): string | null {
  if (reason === "snoozed") return "Its handler put it off.";
  if (reason === "declined") return "The worker that got it does not know its task.";
  const tries = [
    ...(Number(failures) > 0 ? [`failed ${times(failures)}`] : []),
    ...(Number(lapses) > 0 ? [`was held ${times(lapses)} by a worker that went silent`] : []),
  ];
  return tries.length === 0 ? null : `It ${tries.join(" and ")}.`;
}

const times = (count: unknown): string => (count === 1 ? "once" : `${count} times`);

/** Others of its ordering key are before it. */
export function orderingGate(tx: Tx, row: Row, nameOf: NameOf): ExplainedGate[] {
  if (row.state !== "blocked") return [];
  const [head] = tx.sql.exec(
    "SELECT seq, state, run_at, started_at FROM jobs WHERE ordering = ? ORDER BY ordering_rank, seq LIMIT 1",
    row.ordering!,
  );
  const [before] = tx.sql.exec(
    `SELECT count(*) AS jobs FROM (SELECT 1 FROM jobs WHERE ordering = ? AND ordering_rank < ? LIMIT ${AHEAD_COUNTED})`,
    row.ordering!,
    row.ordering_rank!,
  );
  const jobs = Number(before!.jobs);
  const many = jobs === 1 ? "One job" : `${jobs === AHEAD_COUNTED ? "At least " : ""}${jobs} jobs`;
  const state = head!.state === "scheduled" ? `scheduled for ${at(Number(head!.run_at))}` : String(head!.state);
  const since = head!.state === "running" ? Number(head!.started_at) : null;
  const detail = `${many} of ordering key "${row.ordering}" must end first; the first is ${nameOf(Number(head!.seq))}, which is ${state}.`;
  return [gate("ordering", detail, since)];
}

export function pausedGate({ books: { paused } }: Tx): ExplainedGate[] {
  if (!paused) return [];
  const why = paused.reason === null ? "" : `: ${paused.reason}`;
  return [gate("paused", `The queue is paused${why}. Resuming it opens it.`, paused.since)];
}

/** Closed keys and used up limits of the queue, its task and its keys. */
export function limitGates(tx: Tx, lane: Lane): ExplainedGate[] {
  return gatesOf(tx.books, lane).flatMap((one) =>
    closuresBy(tx, one, costAt(one, lane)).map((closed) => limitGate(tx, lane, closed)),
  );
}

function limitGate(tx: Tx, lane: Lane, closed: Closed): ExplainedGate {
  const { why, until } = closed;
  switch (why) {
    case "key_paused": {
      const { since, reason } = tx.books.closures.get(closed.gate.key)!;
      const said = reason === "rate_limited" ? "a handler called ctx.rateLimited" : reason;
      const because = said === null ? "" : `: ${said}`;
      return gate(why, `${capital(ownerOf(lane, closed.gate))} is closed until ${at(until!)}${because}.`, since, until);
    }
    case "concurrency": {
      const { holders, limit } = closed.gate;
      const owner = ownerOf(lane, closed.gate);
      const detail = `${holders} jobs of ${owner} run, and its concurrency is ${limit.concurrency}: one has to end first.`;
      return gate(why, detail, latestStart(tx, closed.gate));
    }
    case "rate":
      return gate(why, rateDetail(tx, lane, closed.gate, until!), null, until);
  }
}

function rateDetail(tx: Tx, lane: Lane, one: Gate, until: number): string {
  const rate = one.limit.rateLimit!;
  const tokens = tokensIn(rate, tx.books.buckets.get(one.key) ?? 0, tx.now);
  const cost = costAt(one, lane);
  const takes = cost > rate.burst ? `${cost}, which starts when all ${rate.burst} are there` : `${cost}`;
  const saved = tokens >= cost ? " What is left is kept for a job before it that takes more." : "";
  return (
    `${capital(ownerOf(lane, one))} may start ${rate.limit} in ${rate.perMs / 1_000} s, with a burst of ${rate.burst}: ` +
    `${tokens} are left, and this job takes ${takes}.${saved} The next can start at ${at(until)}.`
  );
}

/** The key, task or queue that a gate belongs to. */
function ownerOf(lane: Lane, { key }: Gate): string {
  const named = keyOf(key);
  if (named) return `key ${named.kind} "${named.value}"`;
  return key.startsWith("task:") ? `task "${lane.task}"` : "the queue";
}

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);

/** Since when as many run as may. */
function latestStart({ books }: Tx, one: Gate): number | null {
  let latest: number | null = null;
  for (const { held } of books.sessions.values()) {
    for (const { lane, startedAt } of held.values()) {
      if (gatesOf(books, books.lanes.get(lane)!).includes(one)) latest = Math.max(latest ?? 0, startedAt);
    }
  }
  return latest;
}

/** No session may take it, or none comes. */
export function workerGates(tx: Tx, lane: Lane): ExplainedGate[] {
  const live = [...tx.books.sessions.values()].filter(({ leaseUntil }) => leaseUntil > tx.now);
  return [...sessionsGate(tx, lane, live), ...suspectGate(tx, lane, live), ...noWorkerGate(tx, lane, live)];
}

/** A session with free slots may still take it; a further one may not. */
function sessionsGate(tx: Tx, lane: Lane, live: Session[]): ExplainedGate[] {
  const maxSessions = setting(tx.books, "maxSessions");
  if (live.length < maxSessions) return [];
  const slots = setting(tx.books, "slots");
  const takers = live.filter((session) => session.held.size < slots && knows(tx, session, lane));
  if (takers.some((session) => !lane.suspect || !holdsSuspect(tx, session))) return [];
  const detail = `${live.length} sessions are open, the queue may have ${maxSessions} (maxSessions), and none of them has room for it: one has to finish a job or end.`;
  return [gate("sessions", detail)];
}

function suspectGate(tx: Tx, lane: Lane, live: Session[]): ExplainedGate[] {
  if (!lane.suspect || live.length === 0 || !live.every((session) => holdsSuspect(tx, session))) return [];
  const detail =
    "A worker went silent while it held the job, so a session takes only one such job at a time, and each open session has one: it starts when one of those ends, or with the next session.";
  return [gate("suspect", detail)];
}

function holdsSuspect({ books }: Tx, { held }: Session): boolean {
  return [...held.values()].some((one) => books.lanes.get(one.lane)!.suspect);
}

/** Whether a session may be given jobs of this lane, as far as is known of it. */
function knows({ books }: Tx, { id }: { id: string }, { task, channel }: Lane): boolean {
  const visitor = books.visitors.get(id);
  const tasks = visitor?.tasks ?? books.standing.get(id)?.tasks ?? null;
  return (tasks?.includes(task) ?? true) && (!visitor?.channel || visitor.channel === channel);
}

/** Nobody is here, or was lately, who could run it, and nobody is on the way. */
function noWorkerGate(tx: Tx, lane: Lane, live: Session[]): ExplainedGate[] {
  const { channels, standing, visitors } = tx.books;
  const { unanswered } = channels[lane.channel];
  const pushed = tx.pushes(lane.task);
  if (pushed && (!unanswered || unanswered.since > tx.now - NO_WORKER_MS)) return [];
  if (live.some((session) => knows(tx, session, lane))) return [];
  if ([...standing.keys()].some((id) => knows(tx, { id }, lane) && tx.alive(id))) return [];
  const able = [...visitors].filter(([id]) => knows(tx, { id }, lane));
  const seenAt = Math.max(...able.map(([, visitor]) => visitor.seenAt), Number.NEGATIVE_INFINITY);
  if (able.some(([, { seenAt, gone }]) => !gone && seenAt > tx.now - NO_WORKER_MS)) return [];
  const last = Number.isFinite(seenAt) ? `the last one was here at ${at(seenAt)}` : "none was here lately";
  const noWorker = `No worker comes that could run task "${lane.task}"; ${last}.`;
  if (!pushed || !unanswered) return [gate("no_worker", `${noWorker} ${connectOne(lane)}`)];
  const sent = unanswered.tickets === 1 ? "One ticket was" : `${unanswered.tickets} tickets were`;
  const detail =
    `${noWorker} ${sent} sent for ${lane.channel} work since ${at(unanswered.since)}, and no session followed. ` +
    `Check that the queue of ${lane.channel} tickets has a consumer that does not fail, or that a worker that knows the task is connected.`;
  return [gate("no_worker", detail, unanswered.since)];
}

function connectOne({ task }: Lane): string {
  return (
    "The Worker does not run this task, so no ticket is sent for it: the queue's delivery is pull, or it is both and the task has no handler there. " +
    `Connect a worker that names "${task}" (createWorker, or millrace work), or let the Worker run it: with delivery both (or push) and a handler.`
  );
}
