/**
 * Schemas of what a job may ask of limits, order, shares, uniqueness and time.
 *
 * @module
 */
import { z } from "zod";
import { parseDuration } from "../client/duration.ts";
import { duration, keyText, kindName } from "./fields.ts";
import { parseInstant } from "./instant.ts";

const MAX_KINDS = 8;
const MAX_COST = 1_000_000;

/**
 * An object by kind. Not `z.record`, which leaves a member out without a word where its name is `__proto__`. Members that
 * are undefined are none, as in JSON.
 */
function byKind<Value>(what: string, wrongValue: (value: unknown) => string | null) {
  return z.custom<{ [kind: string]: Value }>().superRefine((given: unknown, { addIssue }) => {
    const add = (message: string, path: string[] = []) => addIssue({ code: "custom", message, path });
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      add(what);
      return;
    }
    const members = Object.entries(given).filter(([, value]) => value !== undefined);
    if (members.length > MAX_KINDS) {
      add(`holds ${members.length} kinds: a job has at most ${MAX_KINDS}`);
      return;
    }
    for (const [kind, value] of members) {
      const named = kindName.safeParse(kind);
      const wrong = named.success ? wrongValue(value) : named.error.issues[0]!.message;
      if (wrong !== null) add(wrong, [kind]);
    }
  });
}

const wrongKey = (value: unknown) => keyText.safeParse(value).error?.issues[0]?.message ?? null;
export const keys = byKind<string>('is an object of a value for each kind: { "tenant": "acme" }', wrongKey).meta({
  type: "object",
  additionalProperties: { type: "string", minLength: 1, maxLength: 255 },
  maxProperties: MAX_KINDS,
  example: { tenant: "acme", vendor: "stripe" },
});

const COST_MESSAGE = `is a whole number from 1 to ${MAX_COST}`;
const isCost = (value: unknown) => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_COST;
const wrongCost = (value: unknown) => (isCost(value) ? null : COST_MESSAGE);
export const cost = byKind<number>('is an object of a number for each kind: { "vendor": 3 }', wrongCost).meta({
  type: "object",
  additionalProperties: { type: "integer", minimum: 1, maximum: MAX_COST },
  maxProperties: MAX_KINDS,
  example: { vendor: 3 },
});

const DEADLINE_MESSAGE =
  'is a duration from "1s" to "366d", counted from acceptance, or an instant in ISO 8601 with its offset';
const deadlineDuration = duration("1s", "366d");
export const deadline = z
  .string(DEADLINE_MESSAGE)
  .refine((text) => deadlineDuration.safeParse(text).success || parseInstant(text) !== null, DEADLINE_MESSAGE)
  .meta({ example: "2h" });

/** In the order in which they are stored. */
export const UNIQUE_STATES = ["waiting", "running", "completed", "dead", "cancelled"] as const;
const STATES_MESSAGE = `is one of ${UNIQUE_STATES.join(", ")}`;
const uniqueState = z.enum(UNIQUE_STATES, {
  error: ({ input }) =>
    ["scheduled", "blocked", "ready", "retrying"].includes(input as string)
      ? `is "waiting": scheduled, blocked, ready and retrying go together under that name`
      : STATES_MESSAGE,
});
const CONFLICT_MESSAGE = "is return, reject, replace, debounce or throttle";
const span = duration("1ms", "366d");

export const unique = z
  .strictObject(
    {
      key: keyText,
      states: z
        .array(uniqueState, "is a list of states")
        .min(1, "names no state, so it would never hold: leave it out for the default")
        .max(UNIQUE_STATES.length, `names at most ${UNIQUE_STATES.length} states`)
        .optional()
        .describe(
          'Default ["waiting", "running"], and ["waiting"] for replace and debounce. Final ones need both and a ttl.',
        ),
      ttl: span.optional().describe("The key is free again this long after acceptance."),
      onConflict: z
        .enum(["return", "reject", "replace", "debounce", "throttle"], CONFLICT_MESSAGE)
        .optional()
        .describe("Default return."),
      wait: span.optional().describe("For debounce and throttle, which need it."),
      maxWait: span.optional().describe("For debounce: the longest time after the first request."),
    },
    "is { key, states?, ttl?, onConflict?, wait?, maxWait? }",
  )
  .meta({ example: { key: "invoice-7", onConflict: "replace" } });

export type CheckedUnique = z.infer<typeof unique>;

/** What cannot be, and where it stands. */
export interface Wrong {
  path: string;
  message: string;
}

/** What the fields of `unique` say against each other. */
export function uniqueContradiction(asked: CheckedUnique): Wrong | null {
  const { states, ttl, onConflict = "return", wait, maxWait } = asked;
  const wrong = (field: string, message: string) => ({ path: `unique.${field}`, message });
  const waits = onConflict === "debounce" || onConflict === "throttle";
  if (waits && wait === undefined) return wrong("wait", `is missing: ${onConflict} needs it`);
  if (!waits && wait !== undefined) return wrong("wait", `is for debounce and throttle, not for ${onConflict}`);
  if (maxWait !== undefined) {
    if (onConflict !== "debounce") return wrong("maxWait", `is for debounce, not for ${onConflict}`);
    if (parseDuration(maxWait) < parseDuration(wait!)) return wrong("maxWait", `is shorter than wait, ${wait}`);
  }
  if (onConflict === "throttle") {
    if (ttl !== undefined) return wrong("ttl", "stands beside throttle, which holds its key for `wait`: leave it out");
    if (states) return wrong("states", "stands beside throttle, which holds its key in all states: leave it out");
    return null;
  }
  if (!states) return null;
  // A job that waits beside another of its key could not be kept from coming into the other's state.
  if (!states.includes("waiting")) return wrong("states", 'leaves out "waiting", in which every job begins');
  const final = states.find((state) => state !== "waiting" && state !== "running");
  if (!final) return null;
  if (!states.includes("running")) return wrong("states", `names "${final}", and leaves out "running" before it`);
  if (ttl !== undefined) return null;
  return wrong("ttl", `is missing: a key held by a job that is ${final} would never be free again`);
}
