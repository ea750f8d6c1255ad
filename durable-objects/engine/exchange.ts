/**
 * The one verb that connects every kind of worker: it settles what ended, renews the lease, notes progress, tells
 * what was cancelled or lost, and claims what is next.
 *
 * It is idempotent. `n` counts 1, 2, 3 … per session with one in flight: a repeated n is answered from the books and
 * settles nothing twice; an older one is refused. What the books say the session holds and the worker does not name
 * is granted again at the same fence, so a lost answer loses nothing.
 *
 * @module
 */
import type { ExchangeInput, ExchangeReply, Refusal, WireOutcome } from "../../client/wire.ts";
import { type Held, type Session, setting } from "./books.ts";
import { type Abilities, claim, claimable } from "./claim.ts";
import { promoteDue } from "./due.ts";
import { areFollowUps, countFollowUps } from "./follow-ups.ts";
import { bytesOf, fitAnswer, leaseTexts } from "./lease.ts";
import {
  BUSY_JOBS_PER_SECOND,
  ENQUEUE_JOBS_MAX,
  GATE_LINGER_MS,
  LINGER_MS,
  SETTLES_MAX,
  VALUE_BYTES_MAX,
  WANT_MAX,
} from "./limits.ts";
import { type NewLogs, readLogs } from "./logs.ts";
import { noteNews } from "./notes.ts";
import type { Tx } from "./ports.ts";
import { newSession, saveSession } from "./sessions.ts";
import { settle } from "./settle.ts";
import { runs, stand } from "./standing.ts";
import { nextOpening, noteVisit } from "./tickets.ts";

type Refused = { seq: number; fence: number; code: string };

export function exchange(tx: Tx, input: ExchangeInput): ExchangeReply {
  const refusal = invalid(tx, input);
  if (refusal) return refusal;
  const before = tx.books.sessions.get(input.session);
  const wants = input.want + (input.gather?.want ?? 0);
  const session = before ?? newSession({ session: input.session, n: input.n, worker: input.worker.name });
  // Where it is not known what was refused, settling again changes nothing, and answers the same.
  const known = input.n === session.n ? session.refused : null;
  session.n = input.n;
  const logs: NewLogs = known ? new Map() : readLogs(tx, session, input.logs);
  // What a job said last stands in its record, too. It is a row more for those that spoke just before they ended.
  const ending = new Set(input.progress.length > 0 ? input.settle.map(({ seq }) => seq) : []);
  noteNews(
    tx,
    session,
    input.progress.filter(({ seq }) => ending.has(seq)),
    new Map(),
  );
  const refused = known ?? settleAll(tx, session, input.settle, logs);
  if (!known) tx.books.metrics.settlesRefused += input.foreign ?? 0;
  session.refused = refused;
  noteNews(
    tx,
    session,
    input.progress.filter(({ seq }) => !ending.has(seq)),
    logs,
  );

  const { lost, again } = reconcile(session, input);
  promoteDue(tx);
  // What does not fit this answer is granted again with the next.
  const regranted = fitAnswer(again, ({ bytes }) => bytes);
  const room = regranted.length < again.length ? 0 : claimable(tx, session, input.want - again.length);
  const claimed = room > 0 ? claim(tx, session, abilitiesOf(input), room) : [];
  const granted = [...regranted, ...claimed];
  const gathered = gather(tx, session, input, wants - again.length - claimed.length);
  const leased = [...granted, ...gathered];
  const full = leased.length > 0 && leased.length >= wants;
  const cancel = [...session.cancels].filter((seq) => session.held.has(seq));
  saveSession(tx, session);

  stand(tx, input, input.want - again.length - claimed.length, bytesOf(leased));
  const retryInMs = granted.length < input.want ? comeBackInMs(tx, input) : null;
  noteVisit(tx, input, { full, retryInMs, gatherRoom: (input.gather?.want ?? 0) - gathered.length });
  return {
    ok: true,
    n: input.n,
    jobs: `[${leaseTexts(tx, leased)}]`,
    lost,
    refused,
    cancel,
    leaseMs: setting(tx.books, "leaseMs"),
    slots: setting(tx.books, "slots"),
    retryInMs,
  };
}

/** What is wrong with an exchange, found before anything changes; null: nothing. */
function invalid(tx: Tx, input: ExchangeInput): Refusal | null {
  const refused = (detail: string): Refusal => ({ ok: false, code: "invalid_request", detail });
  if (typeof input.session !== "string" || !Number.isSafeInteger(input.n) || input.n < 1) {
    // Storage takes 1 and true for "1"; memory does not.
    const got = JSON.stringify([input.session, input.n]);
    return refused(`An exchange names its session, a text, and counts n from 1: got ${got}`);
  }
  const { sessions, visitors, standing } = tx.books;
  const known = sessions.get(input.session) ?? visitors.get(input.session) ?? standing.get(input.session);
  const lastN = known?.n ?? 0;
  if (input.n < lastN) {
    const detail = `Exchange ${input.n} of session ${input.session} is older than its latest, ${lastN}: send the next number`;
    return { ok: false, code: "conflict", detail };
  }
  if (input.gather !== undefined && !isGathering(input.gather)) {
    return refused("An exchange gathers jobs of tasks by name, how many, and asks again within a time in ms");
  }
  const wants = input.want + (input.gather?.want ?? 0);
  if (wants > WANT_MAX || input.settle.length > SETTLES_MAX) {
    return refused(
      `An exchange wants at most ${WANT_MAX} jobs and settles at most ${SETTLES_MAX}: got ${wants} and ${input.settle.length}`,
    );
  }
  const followUps = countFollowUps(input.settle);
  if (followUps <= ENQUEUE_JOBS_MAX) return null;
  return refused(
    `The settles of an exchange make at most ${ENQUEUE_JOBS_MAX} follow-up jobs: got ${followUps}. Settle fewer at once`,
  );
}

function isGathering({ tasks, want, backInMs }: NonNullable<ExchangeInput["gather"]>): boolean {
  const named = Array.isArray(tasks) && tasks.every((task) => typeof task === "string");
  return named && Number.isSafeInteger(want) && want >= 0 && isDelay(backInMs);
}

/** Jobs of the tasks that the session gathers, up to `most` of them. */
function gather(tx: Tx, session: Session, input: ExchangeInput, most: number): Held[] {
  if (!input.gather) return [];
  const { tasks, want } = input.gather;
  const { channel } = input;
  const room = claimable(tx, session, Math.min(want, most));
  if (room === 0) return [];
  return claim(tx, session, { channel, tasks }, room);
}

/** Applies the outcomes that name a job which the session holds at its fence; answers why for each other one. */
function settleAll(tx: Tx, session: Session, outcomes: WireOutcome[], logs: NewLogs): Refused[] {
  const refused: Refused[] = [];
  const accepted = new Map<number, WireOutcome>();
  const isHeld = ({ seq, fence }: WireOutcome): boolean => {
    const held = session.held.get(seq);
    return held !== undefined && held.fence === fence;
  };
  const settled = settledBefore(
    tx,
    outcomes.filter((outcome) => !isHeld(outcome)),
  );
  for (const outcome of outcomes) {
    const { seq, fence } = outcome;
    if (!isHeld(outcome)) {
      if (!settled.has(`${seq}/${fence}`)) refused.push({ seq, fence, code: "not_held" });
    } else if (malformed(outcome)) {
      refused.push({ seq, fence, code: "invalid_outcome" });
    } else if (!accepted.has(seq)) {
      accepted.set(seq, outcome);
    }
  }
  tx.books.metrics.settlesRefused += refused.length;
  if (accepted.size > 0) settle(tx, session, [...accepted.values()], logs);
  return refused;
}

function malformed(outcome: WireOutcome): boolean {
  switch (outcome.outcome) {
    case "completed":
      if (!areFollowUps(outcome.enqueue ?? [])) return true;
      return typeof (outcome.result ?? "") !== "string" || (outcome.result?.length ?? 0) > VALUE_BYTES_MAX;
    case "failed":
      return typeof outcome.error?.message !== "string" || !isDelay(outcome.retryInMs ?? 0);
    case "dead":
      return typeof outcome.error?.message !== "string";
    case "snoozed":
      return !isDelay(outcome.forMs) || !isRateLimit(outcome.rateLimited);
    case "released":
    case "declined":
    case "cancelled":
      return false;
    default:
      return true;
  }
}

function isRateLimit(limit: WireOutcome["rateLimited"]): boolean {
  return limit === undefined || (typeof limit?.kind === "string" && isDelay(limit.forMs));
}

function isDelay(ms: unknown): boolean {
  return typeof ms === "number" && ms >= 0;
}

/**
 * Of outcomes of jobs that the session does not hold, those of attempts that have been noted, as `seq/fence`: a settle that
 * is sent again is accepted silently. All are looked up at once: a walk through the outbox for each would hold up the queue.
 */
function settledBefore(tx: Tx, outcomes: WireOutcome[]): Set<string> {
  const seqs = outcomes.map(({ seq }) => seq).filter(Number.isSafeInteger);
  if (seqs.length === 0) return new Set();
  const rows = tx.sql.exec(SETTLED, JSON.stringify(seqs), Math.min(...seqs), Math.max(...seqs));
  return new Set(rows.map(({ seq, fence }) => `${seq}/${fence}`));
}

const SETTLED = `
SELECT jobs.seq AS seq, a.value ->> 1 AS fence
FROM json_each(?1) AS s CROSS JOIN jobs ON jobs.seq = s.value CROSS JOIN json_each(jobs.attempts) AS a
WHERE a.value ->> 4 <> 'lapsed'
UNION ALL
SELECT e.value ->> 0, a.value ->> 1
FROM outbox AS o CROSS JOIN json_each(o.body) AS e CROSS JOIN json_each((e.value ->> 6) ->> 9) AS a
WHERE o.kind <> 'delete' AND o.max_seq >= ?2 AND o.min_seq <= ?3 AND e.value ->> 0 IN (SELECT value FROM json_each(?1))
  AND a.value ->> 4 <> 'lapsed'`;

/** Compares what the worker names with what the books say it holds. */
function reconcile(session: Session, input: ExchangeInput) {
  const lost = input.holding.filter(([seq, fence]) => session.held.get(seq)?.fence !== fence);
  const named = new Set(input.holding.map(([seq]) => seq));
  // A job whose settle was refused as malformed is still held; the worker must not get it back in the same breath.
  for (const { seq } of input.settle) named.add(seq);
  const again = [...session.held.values()].filter(({ seq }) => !named.has(seq));
  return { lost, again };
}

function abilitiesOf({ channel, worker }: ExchangeInput): Abilities {
  return { channel, tasks: worker.tasks ?? null };
}

/** In how many ms a session that found too little does well to ask again; null: a ticket will tell, or a handout. */
function comeBackInMs(tx: Tx, input: ExchangeInput): number | null {
  if (tx.books.paused || input.standing === true) return null;
  if (workIsLikely(tx)) return LINGER_MS;
  const can = abilitiesOf(input);
  const opensAt = nextOpening(tx, can.channel, (task) => runs(can, task));
  return opensAt <= tx.now + GATE_LINGER_MS ? Math.max(1, opensAt - tx.now) : null;
}

/** Under a steady stream a short pause is cheaper than a ticket, and not slower. */
function workIsLikely(tx: Tx): boolean {
  const { arrivals } = tx.books;
  const age = Math.floor(tx.now / 1000) - arrivals.second;
  if (age > 1) return false;
  const last = age === 0 ? Math.max(arrivals.now, arrivals.before) : arrivals.now;
  return last >= BUSY_JOBS_PER_SECOND;
}
