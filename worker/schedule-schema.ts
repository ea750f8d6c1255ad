/**
 * Schedules as the API and the code take them, and as the API answers them.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { duration, instant, queueName, taskName, wholeNumber } from "./fields.ts";
import { newJob } from "./job-schema.ts";

const NAME_MESSAGE = "is a schedule's name: 1 to 128 of a-z 0-9 . _ -, beginning with a letter or digit";
export const scheduleName = z
  .string(NAME_MESSAGE)
  .regex(/^[a-z0-9][a-z0-9._-]{0,127}$/, NAME_MESSAGE)
  .meta({ example: "nightly" });

const CRON_MESSAGE = 'is a cron expression of five fields, six with seconds first, or one such as "@daily"';
const ZONE_MESSAGE = 'is an IANA time zone, such as "Europe/Berlin"';
const OVERLAPS = ["allow", "skip", "buffer-one", "cancel-other"] as const;

/** In the order in which a spec is stored: the same spec is the same text. Null is as good as absent: so it is answered. */
const fields = {
  cron: z.string(CRON_MESSAGE).min(1, CRON_MESSAGE).max(200, CRON_MESSAGE).nullish().describe("Or `every`."),
  every: duration("1s", "366d").nullish().describe("Multiples of it since `startAt`, or since 1970."),
  timezone: z
    .string(ZONE_MESSAGE)
    .min(1, ZONE_MESSAGE)
    .max(64, ZONE_MESSAGE)
    .nullish()
    .describe("For `cron` alone; default UTC."),
  task: taskName,
  payload: newJob.shape.payload,
  options: newJob.omit({ task: true, payload: true, runAt: true, delay: true }).nullish(),
  overlap: z
    .enum(OVERLAPS, `is one of ${OVERLAPS.join(", ")}`)
    .optional()
    .describe("When a job of it has not ended; default allow."),
  catchUp: z
    .strictObject({ window: duration("0ms", "366d"), max: wholeNumber(0, 1_000) }, "is { window, max }")
    .optional()
    .describe("What was missed is made up for: the latest `max` of the last `window`; default 1 of a day."),
  jitter: duration("0ms", "1d").optional().describe("Each job is made up to this much later; default 0s."),
  startAt: instant.nullish().describe("Inclusive; at most 366 days ahead."),
  endAt: instant.nullish().describe("Exclusive."),
  paused: z.boolean("is true or false").optional(),
};

export const scheduleSpec = z.strictObject(fields, "is an object: { cron or every, task, … }").meta({
  example: { cron: "30 2 * * *", timezone: "Europe/Berlin", task: "report", overlap: "skip" },
});
export type CheckedSpec = z.infer<typeof scheduleSpec>;
export const SPEC_FIELDS = Object.keys(fields) as (keyof CheckedSpec)[];

/** The same in code, with the queue where it is not the task's. */
export const codeSchedule = z.strictObject({ ...fields, queue: queueName.optional() }, "is { cron or every, task, … }");

export const scheduleParams = z.strictObject({ queue: queueName, name: scheduleName });
export const backfillBody = z.strictObject({
  from: instant.describe("Inclusive."),
  to: instant.describe("Exclusive, and not after now."),
});

const time = z.string().meta({ format: "date-time" });
const jobId = z.string().meta({ example: "reports:0:4711" });
export const schedule = z
  .object(fields)
  .required()
  .extend({
    name: scheduleName,
    queue: queueName,
    origin: z.enum(["code", "api"]),
    paused: z.boolean(),
    pauseReason: z.string().nullable(),
    next: z.array(time).describe("The next five instants; of a paused one those that would come."),
    last: z
      .object({ instant: time, outcome: z.enum(["enqueued", "skipped", "missed"]), job: jobId.nullable() })
      .nullable()
      .describe("The latest instant that was due, and what became of it."),
  })
  .openapi("Schedule");
export const madeNow = z.object({ id: jobId });
export const backfilled = z.object({
  jobs: z.array(jobId),
  already: z.int().min(0).describe("Instants that had had their job."),
});
