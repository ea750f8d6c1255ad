/**
 * Accepts jobs: one or a thousand, all or none.
 *
 * @module
 */
import type { EnqueueAnswer, EnqueueInput, EnqueueReply, JobTemplate } from "../../client/wire.ts";
import { countCaller, refuseEarly } from "./caller-rate.ts";
import { resolveConflicts } from "./conflicts.ts";
import { insertJobs } from "./insert.ts";
import { ENQUEUE_JOBS_MAX } from "./limits.ts";
import { changeJobs, placeJobs } from "./place.ts";
import type { Tx } from "./ports.ts";
import { noteChanges, rememberKey, rememberRequest, repeatedKey, repeatedRequest, requestNote } from "./requests.ts";
import { startOf, storedOf } from "./template.ts";
import { noteKeys } from "./unique.ts";

/** Answers with an id and a state for each job, in order. Repeating a request or a key makes nothing new. */
export function enqueue(tx: Tx, input: EnqueueInput): EnqueueReply {
  if (input.jobs.length < 1 || input.jobs.length > ENQUEUE_JOBS_MAX) {
    return {
      ok: false,
      code: "invalid_request",
      detail: `Cannot enqueue ${input.jobs.length} jobs in one call: it takes 1 to ${ENQUEUE_JOBS_MAX}`,
    };
  }
  if (input.idempotency) {
    const before = repeatedKey(tx, input.idempotency);
    if (before) return before;
  }
  const before = input.requestId === null ? null : repeatedRequest(tx, input.requestId);
  if (before && before.count !== input.jobs.length) {
    return {
      ok: false,
      code: "conflict",
      detail: `This request id made ${before.count} jobs before and now asks for ${input.jobs.length}: use a new id for another request`,
    };
  }
  if (before) {
    return { ok: true, jobs: before.answers ?? allCreated(tx, input, before.firstSeq), replayed: false };
  }
  const early = refuseEarly(tx, input);
  if (early) return early;
  const reply = input.templates.some(isKeyed) ? acceptKeyed(tx, input) : acceptPlain(tx, input);
  if (reply.ok) countCaller(tx, input);
  if (reply.ok && input.idempotency) rememberKey(tx, input.idempotency, reply);
  return reply;
}

const isKeyed = ({ unique, orderingKey }: JobTemplate): boolean => Boolean(unique ?? orderingKey);

/** Each of the jobs becomes a new one. */
function acceptPlain(tx: Tx, input: EnqueueInput): EnqueueReply {
  const templates = input.templates.map((template) => storedOf(tx, template, tx.now, false));
  const note = input.requestId === null ? null : requestNote(input.requestId, input.jobs.length, null);
  const firstSeq = insertJobs(tx, templates, input.jobs, note);
  remember(tx, input, firstSeq, null);
  countArrivals(tx, input.jobs.length);
  return { ok: true, jobs: allCreated(tx, input, firstSeq), replayed: false };
}

function allCreated(tx: Tx, { templates, jobs }: EnqueueInput, firstSeq: number): EnqueueAnswer[] {
  const states = templates.map((template) => (startOf(tx.now, template, tx.now) > tx.now ? "scheduled" : "ready"));
  return jobs.map(([template], index) => ({ seq: firstSeq + index, state: states[template]!, outcome: "created" }));
}

/** Jobs with unique or ordering keys: others may stand for them, or before them. */
function acceptKeyed(tx: Tx, input: EnqueueInput): EnqueueReply {
  const resolved = resolveConflicts(tx, input);
  if (!resolved.ok) return resolved;
  const { made, changes, answers, notes, known } = resolved;
  const states = changeJobs(tx, input.templates, changes);
  const { stored, rows } = placeJobs(tx, input.templates, made);
  for (const [index, [variant]] of rows.entries()) states.set(tx.books.nextSeq + index, stored[variant]!.state);
  const jobs = answers.map((answer) => ({ ...answer, state: states.get(answer.seq) ?? answer.state }));
  const plain = jobs.every(({ state, outcome }) => outcome === "created" && state !== "blocked");
  const note = input.requestId === null ? null : requestNote(input.requestId, jobs.length, plain ? null : jobs);
  const firstSeq = insertJobs(tx, stored, rows, note);
  noteKeys(tx, notes, known);
  remember(tx, input, firstSeq, plain ? null : jobs);
  if (input.requestId !== null && rows.length === 0 && changes.length > 0) noteChanges(tx, input.requestId, jobs);
  countArrivals(tx, rows.length);
  return { ok: true, jobs, replayed: false };
}

function remember(tx: Tx, { requestId, jobs }: EnqueueInput, firstSeq: number, answers: EnqueueAnswer[] | null): void {
  if (requestId !== null) rememberRequest(tx, requestId, { firstSeq, count: jobs.length, answers });
}

function countArrivals(tx: Tx, jobs: number): void {
  const { arrivals, metrics } = tx.books;
  metrics.enqueued += jobs;
  const second = Math.floor(tx.now / 1000);
  if (second !== arrivals.second) {
    arrivals.before = second === arrivals.second + 1 ? arrivals.now : 0;
    arrivals.now = 0;
    arrivals.second = second;
  }
  arrivals.now += jobs;
}
