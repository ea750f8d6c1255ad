/**
 * What the API takes and answers, as schemas: requests are validated by them, and `/openapi.json` is made of them.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { duration, instant, queueName, tag, taskName, wholeNumber } from "./fields.ts";
import { newJob as checkedJob } from "./job-schema.ts";
import { effectiveLimits, setting } from "./limit-schema.ts";

const STATES = ["scheduled", "blocked", "ready", "running", "completed", "dead", "cancelled"] as const;
/** States as filters name them: `retrying` is scheduled with failures or lapses. */
export const FILTER_STATES = [...STATES, "retrying"] as const;
const OUTCOMES = ["completed", "failed", "dead", "snoozed", "released", "declined", "cancelled", "lapsed"] as const;
const REASONS = [
  "retrying",
  "snoozed",
  "released",
  "declined",
  "limit",
  "paused",
  "exhausted",
  "non_retryable",
  "crashed",
  "unknown_task",
  "expired",
  "cancelled_by_user",
  "superseded",
  "ordering",
  "result_too_large",
] as const;

const time = z.string().meta({ format: "date-time", example: "2026-11-22T05:39:00.123Z" });
const text = z.string();
const count = z.int().min(0);
const json = z.unknown().describe("Any JSON.");
const jobId = z.string().meta({ example: "emails:0:4711" });

// ---- requests

export const queueParams = z.strictObject({ queue: queueName });
/** Looked into by `parseJobId`, which knows each id's one spelling. */
export const jobParams = z.strictObject({ id: jobId });

const limit = z
  .string()
  .regex(/^([1-9]|[1-9]\d|1\d\d|200)$/, "is a whole number from 1 to 200")
  .optional()
  .describe("Items on a page, 1 to 200; default 50.");
const cursor = z.string().max(4_000, "is no cursor that was answered").optional().describe("`nextCursor` of a page.");
export const paging = z.strictObject({ limit, cursor });

const STATE_MESSAGE = `is one or several of ${FILTER_STATES.join(", ")}, with commas between`;
const isStates = (value: string) =>
  value.split(",").every((state) => (FILTER_STATES as readonly string[]).includes(state));
const FINGERPRINT_MESSAGE = "is a fingerprint, as GET /v1/errors answers it: at most 64 of a-z 0-9 _";
const fingerprint = text.regex(/^[a-z0-9_]{1,64}$/, FINGERPRINT_MESSAGE).meta({ example: "9c1185a5c5e9fc54" });
export const jobFilter = z.strictObject({
  queue: queueName.optional().describe("With it: any states, newest accepted first. Without: final states only."),
  state: text.refine(isStates, STATE_MESSAGE).optional().meta({ example: "dead,cancelled" }),
  task: taskName.optional(),
  tag: tag.optional(),
  from: instant.optional().describe("On `createdAt` with a queue, on `finishedAt` without. Inclusive."),
  to: instant.optional().describe("Exclusive."),
  fingerprint: fingerprint.optional().describe("Of the error, as `GET /v1/errors` answers it."),
  limit,
  cursor,
});

export const jobQuery = z.strictObject({
  wait: duration("0ms", "30s").optional().describe("Answer when the job is final, or after this time as it is."),
});

export const noBody = z.strictObject({}, "is empty, or {}").optional();

export const pauseBody = z
  .strictObject(
    { reason: text.min(1, "is not empty").max(500, "holds at most 500 characters").optional() },
    "is { reason? }",
  )
  .optional();

export const summaryQuery = z.strictObject({
  queue: queueName.optional(),
  from: instant.optional().describe("Inclusive; default a day before `to`."),
  to: instant.optional().describe("Exclusive; default now."),
  by: z.enum(["minute", "hour", "day"], "is minute, hour or day").optional().describe("Default hour."),
});

const newJob = checkedJob.meta({ id: "NewJob" });
/** For the contract only: jobs are checked one by one, in `resolveJobs`. */
export const jobOrJobs = z.union([newJob, z.strictObject({ jobs: z.array(newJob).min(1).max(1_000) })]).meta({
  example: { task: "send-welcome", payload: { userId: "1" }, delay: "10m" },
});
const inBody = queueName.optional().describe("Instead of the queue that the task declares.");
export const jobOrJobsWithQueue = z
  .union([newJob.extend({ queue: inBody }), z.strictObject({ queue: inBody, jobs: z.array(newJob).min(1).max(1_000) })])
  .meta({ example: { jobs: [{ task: "send-welcome", payload: { userId: "1" } }, { task: "send-welcome" }] } });

// ---- answers

export const problem = z
  .object({
    type: text,
    title: text,
    status: z.int(),
    code: text.meta({ example: "invalid_request" }),
    detail: text.describe("What was attempted, what is, and what should be."),
    errors: z.array(z.object({ path: text.meta({ example: "jobs[3].timeout" }), message: text })).optional(),
  })
  .openapi("Problem");

export const enqueuedJob = z
  .object({
    id: jobId.describe("Of the job that stands for the request."),
    state: z.enum(STATES),
    outcome: z
      .enum(["created", "returned", "replaced", "debounced", "throttled"])
      .describe("`created`, or what the unique key made of it."),
  })
  .openapi("EnqueuedJob");
export const enqueued = z.union([enqueuedJob, z.object({ jobs: z.array(enqueuedJob) })]);

const shortError = z.object({ name: text, message: text });
const attempt = z.object({
  attempt: count,
  fence: count,
  startedAt: time,
  finishedAt: time.nullable(),
  outcome: z.enum(OUTCOMES).nullable(),
  worker: text.nullable(),
  error: shortError.nullable(),
});

export const job = z
  .object({
    id: jobId,
    queue: queueName,
    task: taskName,
    state: z.enum(STATES),
    reason: z.enum(REASONS).nullable(),
    payload: json,
    result: json,
    progress: z.object({ percent: z.number().nullable(), note: text.nullable() }).nullable(),
    priority: z.int(),
    attempt: count,
    failures: count,
    lapses: count,
    maxAttempts: count,
    fence: count,
    error: shortError
      .extend({ stack: text.nullable(), fingerprint: text.optional() })
      .nullable()
      .describe("Of the latest attempt that failed."),
    attempts: z.array(attempt).describe("The latest 20."),
    createdAt: time,
    runAt: time,
    startedAt: time.nullable(),
    finishedAt: time.nullable(),
    cancelRequestedAt: time.nullable(),
    tags: z.array(text),
    meta: z.record(text, json),
    actor: text.nullable(),
    schedule: text.nullable(),
    parent: jobId.nullable().describe("The job that made it as it completed."),
    version: text.nullable(),
    keys: z.record(text, text),
    orderingKey: text.nullable(),
    fairKey: text.nullable(),
    uniqueKey: text.nullable(),
    deadline: time.nullable(),
  })
  .openapi("Job");

export const pageOf = (item: z.ZodType) =>
  z.object({ items: z.array(item), nextCursor: text.nullable().describe("Null alone means the end.") });

export const queueSummary = z
  .object({ name: queueName, partitions: count, paused: z.boolean(), updatedAt: time })
  .openapi("QueueSummary");

const span = text.meta({ example: "30s" });
export const effectiveConfig = z
  .object({
    concurrency: setting(wholeNumber(1, 1_000_000).nullable()),
    slots: setting(count),
    maxSessions: setting(count),
    lease: setting(span),
    history: z.object({ completed: setting(z.enum(["all", "none"])), keep: setting(span), keepDead: setting(span) }),
    ...effectiveLimits,
  })
  .openapi("EffectiveConfig");

export const queue = queueSummary
  .extend({
    pauseReason: text.nullable(),
    delivery: z.enum(["push", "pull", "both"]),
    counts: z.object({ scheduled: count, retrying: count, blocked: count, ready: count, running: count }),
    oldestReadyAt: time.nullable(),
    sessions: z.array(z.object({ id: text, worker: text, jobs: count, leaseExpiresAt: time })),
    config: effectiveConfig,
  })
  .openapi("Queue");

const times = z.object({
  p50Ms: count.nullable(),
  p95Ms: count.nullable(),
  p99Ms: count.nullable(),
  maxMs: count.nullable(),
});
export const summary = z.object({
  from: time,
  to: time,
  by: z.enum(["minute", "hour", "day"]),
  items: z.array(z.object({ from: time, task: text, state: z.enum(STATES), count, run: times, wait: times })),
  complete: z.boolean().describe("False when the range holds more than was counted: ask for a narrower one."),
});

export const health = z.object({
  status: z.enum(["ok"]),
  version: text,
  history: z.object({ ok: z.boolean(), fullness: z.number().nullable().describe("0: empty, 1: full.") }),
  object: z.object({ ok: z.boolean() }),
});

export const operation = z
  .object({
    id: text,
    action: z.enum(["cancel", "retry", "delete", "reschedule", "setPriority"]),
    filter: z.record(text, text),
    args: z.object({ runAt: time.optional(), delay: span.optional(), priority: z.int().optional() }).nullable(),
    rate: z.object({ limit: count, per: span }).nullable(),
    canary: z
      .object({ count, minSuccess: z.number(), started: count, completed: count, failed: count })
      .nullable()
      .describe("`started`: jobs that went ahead; `completed` and `failed`: how they ended so far."),
    state: z.enum(["running", "completed", "stopped", "failed"]),
    reason: text.nullable().describe("Why it stopped or failed."),
    dryRun: z.boolean(),
    matched: count.describe("Jobs that the filter found so far."),
    changed: count,
    failed: count.describe("Jobs that may not be changed."),
    createdAt: time,
    updatedAt: time,
  })
  .openapi("Operation");

export const errorGroup = z
  .object({
    fingerprint: text,
    name: text,
    message: text.describe("Of the latest."),
    count,
    first: time,
    last: time,
    tasks: z.array(text).describe("By name, at most 20."),
    examples: z.array(jobId).describe("The latest, at most 5."),
  })
  .openapi("ErrorGroup");

export const logs = z
  .object({
    items: z.array(
      z.object({
        n: count.describe("Counts the lines of the job from 1."),
        at: time,
        level: z.enum(["info", "warn", "error"]),
        message: text,
        fields: z.record(text, json).nullable(),
      }),
    ),
    count: count.describe("Lines that there ever were: the latest 1,000 are kept, up to 128 KiB."),
  })
  .openapi("Logs");
