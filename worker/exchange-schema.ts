/**
 * The exchange as remote workers speak it: what the contract says of it, and the schema of what stands before its lists.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { duration, queueName, taskName, wholeNumber } from "./fields.ts";
import { newJob } from "./job-schema.ts";

/** Jobs that one session holds. */
export const HOLDING_MAX = 2_000;
export const SETTLE_MAX = 1_000;
/** Of one line of a log, as JSON. */
export const LOG_FIELDS_BYTES = 4 * 1024;
const WANT_MAX = 500;
const TASKS_MAX = 1_000;
const GATHER_BACK_MS_MAX = 60_000;

const SESSION_MESSAGE = "is the session's id: 1 to 128 of letters, digits and . _ : -, drawn at random for each stay";
const text = z.string();
const count = z.int().min(0);
const time = z.string().meta({ format: "date-time", example: "2026-11-22T05:39:00.123Z" });
const json = z.unknown().describe("Any JSON.");
const jobId = z.string().meta({ example: "emails:0:4711" });
const fence = count.describe("Of the claim; tells its holder from a late one.");

const shortText = (what: string, chars: number) => {
  const message = `is the worker's ${what}: 1 to ${chars} characters`;
  return z
    .string(message)
    .min(1, message)
    .max(chars, message)
    .refine((value) => value.isWellFormed(), "holds half of a surrogate pair, which is no character");
};
const tasks = z.array(taskName, "is a list of task names").max(TASKS_MAX, `names at most ${TASKS_MAX} tasks`);

/** All but the lists, which are long: they are read by hand (exchange-read.ts). Unknown fields are dropped. */
const head = {
  session: z
    .string(SESSION_MESSAGE)
    .regex(/^[A-Za-z0-9._:-]{1,128}$/, SESSION_MESSAGE)
    .meta({ example: "2b1f9f2c-6f4e-4a35-9f3e-0c4f0f6f7b1d" }),
  n: wholeNumber(1, Number.MAX_SAFE_INTEGER).describe(
    "1, 2, 3 … per session, one in flight. A repeated n is answered from the books.",
  ),
  worker: z
    .object(
      {
        name: shortText("name", 128),
        runtime: shortText("runtime", 64).meta({ example: "deno" }),
        version: shortText("version", 64).optional(),
        tasks: tasks.optional().describe("What it runs; absent: any."),
      },
      "is { name, runtime, version?, tasks? }",
    )
    .describe("Who works."),
  want: wholeNumber(0, WANT_MAX).describe("How many more jobs it has room for."),
  gather: z
    .object(
      { tasks, want: wholeNumber(0, WANT_MAX), backInMs: wholeNumber(0, GATHER_BACK_MS_MAX) },
      "is { tasks, want, backInMs }",
    )
    .optional()
    .describe("Beside them, more jobs of tasks that are taken many at a time."),
  wait: duration("0ms", "30s")
    .optional()
    .describe(
      "Over HTTP: where more is wanted and there is nothing to tell, the answer is held until there is, at most so long; while jobs are held, at most a third of the lease.",
    ),
};
export const exchangeHead = z.object(head, "is an exchange: { session, n, worker, holding, want, … }");

const held = z.tuple([jobId, fence]);
const error = z.object({ name: text.optional(), message: text, stack: text.nullable().optional() });
const span = (what: string) => text.describe(what).meta({ example: "30s" });
const ended = { id: jobId, fence };
const outcome = z
  .discriminatedUnion("outcome", [
    z.object({
      ...ended,
      outcome: z.literal("completed"),
      result: json.optional(),
      enqueue: z
        .array(newJob.extend({ queue: queueName.optional() }))
        .max(1_000)
        .optional()
        .describe("Jobs that are made together with the completion, or not at all."),
    }),
    z.object({
      ...ended,
      outcome: z.literal("failed"),
      error,
      retryIn: span("Instead of the job's backoff; or `retryInMs`.").optional(),
    }),
    z.object({ ...ended, outcome: z.literal("dead"), error }),
    z.object({
      ...ended,
      outcome: z.literal("snoozed"),
      for: span("Or `forMs`."),
      rateLimited: z
        .object({ kind: text, for: span("Or `forMs`.") })
        .optional()
        .describe("Closes the job's own key of this kind for everybody."),
    }),
    z
      .object({ ...ended, outcome: z.literal("released"), started: z.literal(false).optional() })
      .describe(
        "Given back, interrupted; or unstarted, which `started: false` says: then `expiresIn` goes on to count.",
      ),
    z.object({ ...ended, outcome: z.literal("declined"), code: text }).describe("Not this worker's to run."),
    z.object({ ...ended, outcome: z.literal("cancelled"), reason: text.optional() }),
  ])
  .openapi("Outcome");

const logLine = z.object({
  at: time,
  level: z.enum(["info", "warn", "error"]),
  message: text.describe("Cut at 2,000 characters."),
  fields: z.record(text, json).nullable().optional().describe("At most 4 KiB as JSON, or they are left out."),
});
const progress = z
  .object({ percent: z.number().nullable().optional(), note: text.nullable().optional() })
  .describe("At most 4 KiB as JSON: of a longer note the beginning is kept.");

/** For the contract: what is in its lists is read by `readExchange`. */
export const exchangeRequest = z
  .object({
    ...head,
    holding: z
      .array(held)
      .max(HOLDING_MAX)
      .describe("All that it still holds, but for what `settle` ends. What it holds and does not name comes again."),
    settle: z.array(outcome).max(SETTLE_MAX).optional(),
    progress: z
      .array(z.object({ ...ended, progress }))
      .max(HOLDING_MAX)
      .optional(),
    logs: z
      .array(z.object({ ...ended, lines: z.array(logLine) }))
      .max(HOLDING_MAX)
      .optional()
      .describe("New lines of the jobs' logs, in order."),
  })
  .openapi("ExchangeRequest");

const leasedJob = z
  .object({
    id: jobId,
    task: taskName,
    payload: json,
    encoding: z.enum(["json"]),
    attempt: count,
    fence,
    reopenedFence: count,
    failures: count,
    maxAttempts: count,
    timeoutMs: count,
    backoff: newJob.shape.backoff.unwrap().nullable().describe("The job's own policy."),
    createdAt: time,
    runAt: time,
    tags: z.array(text),
    meta: z.record(text, json),
    actor: text.nullable(),
    schedule: z.object({ name: text, instant: time }).nullable(),
    keys: z.record(text, text),
    version: text.nullable(),
    traceparent: text.nullable(),
  })
  .openapi("LeasedJob");

export const exchangeResponse = z
  .object({
    n: count,
    jobs: z.array(leasedJob),
    lost: z.array(held).describe("What it named and does not hold: its settle would change nothing."),
    refused: z.array(z.object({ id: jobId, fence, code: z.enum(["not_held", "invalid_outcome"]) })),
    cancel: z.array(jobId).describe("Held jobs that somebody asked to cancel."),
    leaseMs: count,
    slots: count.describe("Jobs that the queue wants one session to run side by side."),
    retryInMs: count.nullable().describe("More is likely after this time; null: nothing to wait for."),
    unknownTasks: z
      .array(z.object({ task: taskName, didYouMean: taskName.nullable() }))
      .optional()
      .describe("With n 1: tasks that the worker names and the server does not know, at most 10."),
  })
  .openapi("ExchangeResponse");
