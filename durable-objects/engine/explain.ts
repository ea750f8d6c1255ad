/**
 * Why a job is not running: every gate that is closed to it now, its place in line, and about how long until it
 * starts. Changes nothing, and costs the same with a million jobs waiting.
 *
 * @module
 */
import type { ExplainReply } from "../../client/wire.ts";
import { fullAfter, holdsAt } from "./buckets.ts";
import {
  deadlineGate,
  type ExplainedGate,
  gate,
  limitGates,
  type NameOf,
  orderingGate,
  pausedGate,
  timeGate,
  workerGates,
} from "./explain-gates.ts";
import { costAt, gatesOf } from "./gates.ts";
import { laneOf } from "./lanes.ts";
import { findInOutbox } from "./outbox.ts";
import { startsPerMs } from "./pace-of-starts.ts";
import type { Row, Tx } from "./ports.ts";
import { type Ahead, jobsAhead } from "./position.ts";
import type { Gate, Lane } from "./scheduler.ts";

/**
 * Explains a job that is live, or has ended and is on its way to the history; null for any other.
 *
 * - `gates`: all that keep it from starting at this instant, each with what is and what opens it. `runnable`: there is
 *   none, only the order of the line stands between the job and a worker.
 * - `position`: how many ready jobs come before it in the order that claims use, those left out that wait for a gate
 *   which it does not wait for; null when it is not in line. With other fair keys waiting it is near the truth, and in
 *   a very long line, far from both ends, a lower bound (position.ts).
 * - `etaMs`: until the latest instant at which a gate opens, with what comes before it at a rate limit; where no gate
 *   has an instant, its position over the pace of starts in the last five minutes; null when nobody can say.
 *
 * @param nameOf how jobs are called in details.
 * @example explain(tx, 4711)?.gates.map(({ gate, detail }) => `${gate}: ${detail}`)
 */
export function explain(tx: Tx, seq: number, nameOf: NameOf = (other) => `job ${other}`): ExplainReply | null {
  const [row] = tx.sql.exec(
    `SELECT lane, state, reason, priority, rank, run_at, expires_at, failures, lapses, session, started_at, created_at,
       cancel_requested_at, ordering, ordering_rank, attempts FROM jobs WHERE seq = ?`,
    seq,
  );
  if (!row) return explainEnded(tx, seq);
  if (row.state === "running") return closed(runningGate(tx, row));
  const lane = laneOf(tx, Number(row.lane));
  const inLine = row.state === "ready" || (row.state === "scheduled" && Number(row.run_at) <= tx.now);
  const gates = [
    ...deadlineGate(tx, row),
    ...timeGate(tx, row),
    ...orderingGate(tx, row, nameOf),
    ...pausedGate(tx),
    ...limitGates(tx, lane),
    ...(inLine ? workerGates(tx, lane) : []),
  ];
  const ahead = inLine ? aheadOf(tx, seq, row, lane) : null;
  const etaMs = estimate(tx, row, lane, gates, ahead);
  return { runnable: gates.length === 0, gates, position: ahead?.jobs ?? null, etaMs };
}

function aheadOf(tx: Tx, seq: number, row: Row, lane: Lane): Ahead {
  const ready = row.state === "ready";
  return jobsAhead(tx, {
    seq,
    lane,
    priority: Number(row.priority),
    rank: Number(ready ? row.rank : row.run_at),
    ready,
  });
}

function closed(only: ExplainedGate): ExplainReply {
  return { runnable: false, gates: [only], position: null, etaMs: null };
}

function explainEnded(tx: Tx, seq: number): ExplainReply | null {
  const record = findInOutbox(tx, seq);
  if (record === null || record === "deleted") return null;
  const { state, reason, finishedAt } = record;
  const why = reason === null ? "" : ` (${reason})`;
  return closed(gate("final", `The job is ${state}${why}: it starts again only when somebody retries it.`, finishedAt));
}

function runningGate(tx: Tx, row: Row): ExplainedGate {
  const startedAt = Number(row.started_at);
  const session = tx.books.sessions.get(String(row.session))!;
  const lease =
    session.leaseUntil > tx.now ? "is alive until" : "has been silent, and loses the job: its lease ended at";
  const cancel = row.cancel_requested_at === null ? "" : " It is asked to stop, because the job was cancelled.";
  const detail = `Attempt ${Number(row.failures) + 1} runs since ${instant(startedAt)} at worker "${session.worker}", in session ${session.id}, which ${lease} ${instant(session.leaseUntil)}.${cancel}`;
  return gate("running", detail, startedAt);
}

const instant = (ms: number): string => new Date(ms).toISOString();

/** Gates that open by themselves, or as jobs end. What else is closed, stays so until somebody acts. */
const PASSING = new Set(["schedule", "retry", "key_paused", "rate", "concurrency", "sessions"]);

function estimate(tx: Tx, row: Row, lane: Lane, gates: ExplainedGate[], ahead: Ahead | null): number | null {
  if (!gates.every((one) => PASSING.has(one.gate))) return null;
  const latest = Math.max(...gates.map(({ until }) => until ?? 0));
  if (!ahead) {
    const expires = row.expires_at !== null && Number(row.expires_at) <= latest;
    return expires || latest === 0 ? null : latest - tx.now;
  }
  if (!ahead.exact) return null;
  const opensInMs = Math.max(latest, tokensAt(tx, lane, ahead)) - tx.now;
  const turnInMs = turnIn(tx, lane, ahead, gates);
  if (turnInMs === null) return latest > 0 ? opensInMs : null;
  return Math.round(Math.max(opensInMs, turnInMs));
}

/** When each bucket has what the jobs before it take, and what it takes itself. */
function tokensAt(tx: Tx, lane: Lane, { through }: Ahead): number {
  const instants = [...through].map(([one, { tokens }]) => {
    const rate = one.limit.rateLimit;
    if (!rate) return 0;
    const fullAt = tx.books.buckets.get(one.key) ?? 0;
    return holdsAt(rate, fullAfter(rate, fullAt, tokens, tx.now), costAt(one, lane));
  });
  return Math.max(0, ...instants);
}

/**
 * In how many ms it is its turn at the pace of late, at the slowest of the queue, its task and its keys; null: nobody
 * can say. Those that are open do not count where it waits for an instant: until then they do not hold it up.
 */
function turnIn(tx: Tx, lane: Lane, { through }: Ahead, gates: ExplainedGate[]): number | null {
  const timed = gates.some(({ until }) => until !== null);
  const crowded = gates.some((one) => one.gate === "sessions");
  let longest = 0;
  for (const one of gatesOf(tx.books, lane)) {
    const full = isFull(one) || (crowded && one === tx.books.gate);
    if (timed && !full) continue;
    const pace = startsPerMs(one, tx.now);
    if (pace !== null) longest = Math.max(longest, (through.get(one)!.jobs + (full ? 1 : 0)) / pace);
    else if (full || one === tx.books.gate) return null;
  }
  return longest;
}

function isFull({ holders, limit: { concurrency } }: Gate): boolean {
  return concurrency !== undefined && holders >= concurrency;
}
