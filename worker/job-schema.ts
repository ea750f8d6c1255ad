/**
 * One job as it is asked for.
 *
 * @module
 */
import { z } from "zod";
import { backoff, duration, instant, keyText, meta, tags, taskName, wholeNumber } from "./fields.ts";
import { cost, deadline, keys, unique } from "./flow-fields.ts";
import type { UnknownFields } from "./issues.ts";

/** The limits of API.md, "Names and limits". */
export const newJob = z.strictObject({
  task: taskName,
  payload: z.unknown().optional().describe("Any JSON, at most 128 KiB as serialised."),
  priority: wholeNumber(-32_768, 32_767).optional().describe("Higher runs sooner; default 0."),
  runAt: instant.optional().describe("Not before; at most 366 days ahead, and in the past means now."),
  delay: duration("0ms", "366d").optional().describe("The same, relative to acceptance."),
  maxAttempts: wholeNumber(1, 100).optional().describe("Tries before the job is dead; default 8."),
  backoff: backoff.optional().describe("How long to wait before the next try; default 1 min, 2, 4 … up to 6 h."),
  timeout: duration("1s", "7d")
    .optional()
    .describe("Time for one attempt; default 5m. Over 13m is for remote workers."),
  expiresIn: duration("1ms", "3660d").optional().describe("Not started by then: cancelled with reason `expired`."),
  tags: tags.optional(),
  meta: meta.optional().describe("Shown with the job and handed to the handler."),
  keys: keys.optional().describe("The limits of these kinds hold for the job, all together. At most 8."),
  cost: cost.optional().describe("How much it takes of the rate limits of its kinds; default 1 of each."),
  orderingKey: keyText.optional().describe("Jobs of the same one run one at a time, in order of acceptance."),
  fairKey: keyText.optional().describe("Keys of a queue get the same share of its starts."),
  deadline: deadline.optional().describe("Over by then, wherever it is: cancelled with reason `expired`."),
  unique: unique.optional().describe("At most one job of the queue for the key, in the states it names."),
});

export type CheckedJob = z.infer<typeof newJob>;

const known = Object.keys(newJob.shape);

/** All fields of a job but its task and its payload. */
export const JOB_OPTIONS = known.filter((name) => name !== "task" && name !== "payload");

export const unknownJobFields: UnknownFields = {
  known,
  hints: {
    queue: "stands in the path, or in the body of POST /v1/jobs beside the jobs: all jobs of one call go to one queue",
    idempotencyKey: "is a header: Idempotency-Key",
    id: "is given by Millrace",
    input: 'is not known; did you mean "payload"?',
    data: 'is not known; did you mean "payload"?',
  },
};
