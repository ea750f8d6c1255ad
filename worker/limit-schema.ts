/**
 * Limits as the API and the code take them, and keys and explanations as the API answers them.
 *
 * @module
 */
import { z } from "zod";
import { parseDuration } from "../client/duration.ts";
import type { Duration } from "../client/types.ts";
import { BUCKET_FILL_MS_MAX, SETTING_NAMES_MAX } from "../client/wire.ts";
import { duration, keyText, kindName, queueName, taskName, wholeNumber } from "./fields.ts";

const MOST = 1_000_000;

type Named<Value> = { [name: string]: Value };

/**
 * An object of values by name. Not `z.record`: that drops a name such as `__proto__` without a word, and a key may be
 * called so.
 */
function named<Value extends z.ZodType>(names: z.ZodType<string>, values: Value, most: number, what: string) {
  const message = `is an object, by ${what}`;
  return z
    .custom<Named<z.infer<Value>>>()
    .check((context) => {
      const { value, issues } = context;
      const wrong = (text: string, path: string[] = []) =>
        issues.push({ code: "custom", input: value, message: text, path });
      if (!isObject(value)) return void wrong(message);
      const entries = Object.entries(value);
      if (entries.length > most) return void wrong(`holds at most ${most} ${what}s, not ${entries.length}`);
      for (const [name, one] of entries) {
        const bad = [names.safeParse(name).error, values.safeParse(one).error];
        for (const issue of bad.flatMap((error) => error?.issues ?? [])) {
          issues.push({ ...issue, input: one, path: [name, ...issue.path] } as z.core.$ZodRawIssue);
        }
      }
    })
    .meta({ type: "object", maxProperties: most, additionalProperties: contractOf(values) });
}

function isObject(value: unknown): value is Named<unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function contractOf(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  return rest;
}

export const rateLimit = z
  .strictObject(
    {
      limit: wholeNumber(1, MOST).describe("Starts in each `per`."),
      per: duration("1s", "31d"),
      burst: wholeNumber(1, MOST).optional().describe("Starts at once after a rest; default `limit`."),
    },
    "is { limit, per, burst? }",
  )
  .refine(({ limit, per, burst }) => ((burst ?? 0) / limit) * parseDuration(per) <= BUCKET_FILL_MS_MAX, {
    path: ["burst"],
    // Of fields that are wrong by themselves nothing can be worked out.
    when: ({ issues }) => issues.length === 0,
    message: "contradicts limit and per: at that rate it would take over 366 days to fill",
  })
  .meta({ example: { limit: 10, per: "1s" } });

export const ageing = z
  .strictObject(
    { per: duration("1s", "1d"), priority: wholeNumber(1, 32_767).describe("Added for each `per` of waiting.") },
    "is { per, priority }",
  )
  .meta({ example: { per: "1m", priority: 1 } });

const WEIGHT_MESSAGE = "is a number from 0.001 to 1000";
const weight = z.number(WEIGHT_MESSAGE).min(0.001, WEIGHT_MESSAGE).max(1_000, WEIGHT_MESSAGE);

const limitFields = {
  concurrency: wholeNumber(1, MOST).describe("Most jobs running at once."),
  rateLimit,
};
const LIMIT = "is { concurrency?, rateLimit? }";
const KIND = "is { concurrency?, rateLimit?, values? }";
const FAIRNESS = "is { weights? }";

const limit = z.strictObject(limitFields, LIMIT).partial();
const kind = z
  .strictObject({ ...limitFields, values: named(keyText, limit, SETTING_NAMES_MAX.values, "value") }, KIND)
  .partial();
const weights = named(keyText, weight, SETTING_NAMES_MAX.weights, "fair key");

/** Limits of a queue in code: everything may be left out. */
export const limitSettings = {
  rateLimit: rateLimit.describe("Starts of the whole queue."),
  ageing: ageing.describe("Waiting makes a job more urgent."),
  tasks: named(taskName, limit, SETTING_NAMES_MAX.tasks, "task"),
  limits: named(kindName, kind, SETTING_NAMES_MAX.kinds, "kind"),
  fairness: z.strictObject({ weights }, FAIRNESS).partial(),
};

const orNull = <Of extends z.ZodType>(schema: Of) =>
  schema.nullable().meta({ ...schema.meta(), type: ["object", "null"] });

const nullableFields = { concurrency: limitFields.concurrency.nullable(), rateLimit: rateLimit.nullable() };
const limitPatch = z.strictObject(nullableFields, LIMIT).partial().nullable();
const valuesPatch = named(keyText, limitPatch, SETTING_NAMES_MAX.values, "value").nullable();
const kindPatch = z
  .strictObject({ ...nullableFields, values: valuesPatch }, KIND)
  .partial()
  .nullable();
const weightsPatch = orNull(named(keyText, weight.nullable(), SETTING_NAMES_MAX.weights, "fair key"));

/** The same as a JSON Merge Patch: null takes back a value, all of a name, or all of a map. */
export const limitPatches = {
  rateLimit: limitSettings.rateLimit.nullable(),
  ageing: limitSettings.ageing.nullable(),
  tasks: orNull(named(taskName, limitPatch, SETTING_NAMES_MAX.tasks, "task")),
  limits: orNull(named(kindName, kindPatch, SETTING_NAMES_MAX.kinds, "kind")),
  fairness: z.strictObject({ weights: weightsPatch }, FAIRNESS).partial().nullable(),
};

// ---- answers

const text = z.string();
const count = z.int().min(0);
const time = text.meta({ format: "date-time", example: "2026-11-22T05:39:00.123Z" });
/** A value with where it comes from. */
export const setting = (value: z.ZodType) => z.object({ value, origin: z.enum(["default", "code", "api"]) });

const fullRate = z.object({ limit: count, per: text.meta({ example: "1s" }), burst: count });
const effectiveLimit = z.object({
  concurrency: setting(count).optional(),
  rateLimit: setting(fullRate).optional(),
});

/** What `EffectiveConfig` says of limits. */
export const effectiveLimits = {
  rateLimit: setting(fullRate.nullable()),
  ageing: setting(z.object({ per: text, priority: count }).nullable()),
  tasks: z.record(text, effectiveLimit),
  limits: z.record(text, effectiveLimit.extend({ values: z.record(text, effectiveLimit) })),
  fairness: z.object({ weights: z.record(text, setting(z.number())) }),
};

export const keyState = z
  .object({
    kind: text,
    value: text,
    holders: count.describe("Jobs of the key that run."),
    waiters: count.describe("Ready jobs of the key."),
    concurrency: count.nullable(),
    rateLimit: fullRate.nullable(),
    tokens: z.number().nullable().describe("Starts left in the bucket; null without a rate limit."),
    paused: z.object({ until: time, reason: text.nullable() }).nullable(),
  })
  .meta({ id: "KeyState" });

const GATES = [
  "paused",
  "schedule",
  "retry",
  "ordering",
  "concurrency",
  "rate",
  "key_paused",
  "sessions",
  "no_worker",
  "suspect",
  "deadline",
  "final",
  "running",
] as const;

export const explanation = z
  .object({
    runnable: z.boolean().describe("Nothing but the order of the line stands between the job and a worker."),
    gates: z.array(
      z.object({
        gate: z.enum(GATES),
        detail: text.describe("What is, and what opens it."),
        since: time.optional(),
        until: time.optional().describe("When it opens, where an instant is known."),
      }),
    ),
    position: count.optional().describe("Ready jobs that come before it; absent when it is not in line."),
    etaMs: count.optional().describe("About how long until it starts; absent when nobody can say."),
  })
  .meta({ id: "Explanation" });

// ---- requests

export const keyParams = z.strictObject({ queue: queueName, kind: kindName, value: keyText });

const LONGEST: Duration = "31d";
export const pauseKeyBody = z.strictObject(
  {
    for: duration("0ms", LONGEST).describe('How long; `"0s"` opens the key.'),
    reason: text.min(1, "is not empty").max(500, "holds at most 500 characters").optional(),
  },
  "is { for, reason? }",
);
