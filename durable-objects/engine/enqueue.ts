/**
 * Accepts jobs: one or a thousand, all or none.
 *
 * @module
 */
import {
  type EnqueueInput,
  type EnqueueReply,
  type JobTemplate,
  type StoredOptions,
  writeOptions,
} from "../../client/wire.ts";
import { insertJobs, type Stored } from "./insert.ts";
import { internLane, laneSpecOf } from "./lanes.ts";
import { DELAY_MS_MAX, ENQUEUE_JOBS_MAX } from "./limits.ts";
import type { Tx } from "./ports.ts";
import { rememberKey, rememberRequest, repeatedKey, repeatedRequest, requestNote } from "./requests.ts";

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
  const templates = input.templates.map((template) => stored(tx, template));
  const answer = (firstSeq: number) => ({
    ok: true as const,
    jobs: input.jobs.map(([template], index) => ({
      seq: firstSeq + index,
      state: templates[template]!.state,
      outcome: "created" as const,
    })),
    replayed: false,
  });
  if (before) return answer(before.firstSeq);

  const note = input.requestId === null ? null : requestNote(input.requestId, input.jobs.length);
  const firstSeq = insertJobs(tx, templates, input.jobs, note);
  if (input.requestId !== null) rememberRequest(tx, input.requestId, firstSeq, input.jobs.length);
  if (input.idempotency) rememberKey(tx, input.idempotency, answer(firstSeq));
  countArrivals(tx, input.jobs.length);
  return answer(firstSeq);
}

function stored(tx: Tx, template: JobTemplate): Stored {
  const asked = template.runAt ?? tx.now + template.delayMs;
  const runAt = Math.min(Math.max(asked, tx.now), tx.now + DELAY_MS_MAX);
  const expiresAt = template.expiresInMs === null ? null : tx.now + template.expiresInMs;
  const scheduled = runAt > tx.now;
  const options: StoredOptions = {
    maxAttempts: template.maxAttempts,
    backoff: template.backoff,
    ownBackoff: template.ownBackoff,
    timeoutMs: template.timeoutMs,
    expiresAt,
    tags: template.tags,
    meta: template.meta,
    actor: template.actor,
    version: template.version,
    traceparent: template.traceparent,
    keys: template.keys ?? null,
    cost: template.cost ?? null,
    fairKey: template.fairKey ?? null,
    orderingKey: template.orderingKey ?? null,
    deadlineAt: null,
    unique: template.unique ?? null,
    schedule: template.schedule ?? null,
    parent: template.parent ?? null,
  };
  return {
    lane: internLane(tx, laneSpecOf(template.task, options)),
    state: scheduled ? "scheduled" : "ready",
    priority: template.priority,
    rank: runAt,
    wakeAt: scheduled ? Math.min(runAt, expiresAt ?? runAt) : expiresAt,
    expiresAt,
    runAt,
    timeoutMs: template.timeoutMs,
    options: writeOptions(options),
  };
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
