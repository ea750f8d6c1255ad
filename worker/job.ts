/**
 * Jobs as the API shows them, and their ids.
 *
 * @module
 */
import type { Attempt, Job, JobError, JobId, Progress } from "../client/types.ts";
import { type AttemptTuple, type JobRecord, readOptions } from "../client/wire.ts";
import { attemptOf } from "../durable-objects/engine/events.ts";

export interface JobAddress {
  queue: string;
  partition: number;
  seq: number;
}

const JOB_ID = /^([a-z0-9][a-z0-9._-]{0,127}):(0|[1-9]\d{0,5}):([1-9]\d{0,15})$/;

/** The parts of an id such as `emails:0:4711`; null for anything else. Each job has exactly one spelling. */
export function parseJobId(text: string): JobAddress | null {
  const match = JOB_ID.exec(text);
  if (!match) return null;
  const [queue, partition, seq] = [match[1]!, Number(match[2]), Number(match[3])];
  return Number.isSafeInteger(seq) ? { queue, partition, seq } : null;
}

export function formatJobId(queue: string, partition: number, seq: number): JobId {
  return `${queue}:${partition}:${seq}`;
}

/** A record of the object or the history as the API's Job. */
export function toJob(queue: string, partition: number, record: JobRecord): Job {
  const options = readOptions(record.options);
  const attempts: AttemptTuple[] = fromText(record.attempts) ?? [];
  return {
    id: formatJobId(queue, partition, record.seq),
    queue,
    task: record.task,
    state: record.state,
    reason: record.reason,
    payload: fromText(record.payload),
    result: fromText(record.result),
    progress: fromText<Progress>(record.progress),
    priority: record.priority,
    attempt: attemptOf(record),
    failures: record.failures,
    lapses: record.lapses,
    maxAttempts: options.maxAttempts,
    fence: record.fence,
    error: fromText<JobError>(record.error),
    attempts: attempts.map(toAttempt),
    createdAt: toInstant(record.createdAt),
    runAt: toInstant(record.runAt),
    startedAt: toInstantOrNull(record.startedAt),
    finishedAt: toInstantOrNull(record.finishedAt),
    cancelRequestedAt: toInstantOrNull(record.cancelRequestedAt),
    tags: options.tags,
    meta: (options.meta ?? {}) as Job["meta"],
    actor: options.actor,
    schedule: options.schedule?.name ?? null,
    parent: options.parent,
    version: options.version,
    keys: options.keys ?? {},
    orderingKey: options.orderingKey,
    fairKey: options.fairKey,
    uniqueKey: options.unique?.key ?? null,
    deadline: toInstantOrNull(options.deadlineAt),
  };
}

function toAttempt([attempt, fence, startedAt, finishedAt, outcome, worker, error]: AttemptTuple): Attempt {
  return {
    attempt,
    fence,
    startedAt: toInstant(startedAt),
    finishedAt: toInstantOrNull(finishedAt),
    outcome,
    worker,
    error,
  };
}

function fromText<Value>(text: string | null): Value | null {
  return text === null ? null : JSON.parse(text);
}

function toInstant(ms: number): string {
  return new Date(ms).toISOString();
}

function toInstantOrNull(ms: number | null): string | null {
  return ms === null ? null : toInstant(ms);
}
