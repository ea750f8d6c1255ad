/**
 * Schemas of the values that requests are made of: each says in words what it should be.
 *
 * @module
 */
import { z } from "zod";
import { parseDuration } from "../client/duration.ts";
import { KIND_NAME, QUEUE_NAME, TASK_NAME } from "../client/task-check.ts";
import type { Duration } from "../client/types.ts";
import { parseInstant } from "./instant.ts";
import { utf8Bytes } from "./json.ts";

const DURATION = /^\d{1,16}(ms|s|m|h|d)$/;
const MAX_META_BYTES = 4 * 1024;

export function wholeNumber(min: number, max: number) {
  const message = `is a whole number from ${min} to ${max}`;
  return z.int(message).min(min, message).max(max, message);
}

/** A duration from `min` to `max`, both included. */
export function duration(min: Duration, max: Duration) {
  const message = `is a duration from "${min}" to "${max}": a whole number and a unit (ms, s, m, h or d)`;
  const [minMs, maxMs] = [parseDuration(min), parseDuration(max)];
  const fits = (text: string) => {
    const ms = msOf(text);
    return ms !== null && ms >= minMs && ms <= maxMs;
  };
  return z.string(message).regex(DURATION, message).refine(fits, message).meta({ example: max });
}

function msOf(text: string): number | null {
  try {
    return parseDuration(text);
  } catch {
    return null;
  }
}

const INSTANT_MESSAGE = 'is an instant in ISO 8601 with its offset, such as "2026-11-22T05:39:00.123Z"';
export const instant = z
  .string(INSTANT_MESSAGE)
  .refine((text) => parseInstant(text) !== null, INSTANT_MESSAGE)
  .meta({ format: "date-time", example: "2026-11-22T05:39:00.123Z" });

const QUEUE_MESSAGE = "is a queue's name: 1 to 128 of a-z 0-9 . _ -, beginning with a letter or digit";
export const queueName = z.string(QUEUE_MESSAGE).regex(QUEUE_NAME, QUEUE_MESSAGE).meta({ example: "emails" });

const TASK_MESSAGE = "is a task's name: 1 to 128 of letters, digits and . _ : / -, beginning with a letter or digit";
export const taskName = z.string(TASK_MESSAGE).regex(TASK_NAME, TASK_MESSAGE).meta({ example: "send-welcome" });

const KIND_MESSAGE = "is a kind of key: 1 to 64 of letters, digits and . _ -, beginning with a letter";
export const kindName = z.string(KIND_MESSAGE).regex(KIND_NAME, KIND_MESSAGE).meta({ example: "tenant" });

const KEY_MESSAGE = "is a key: 1 to 255 characters";
/** The value of a key of some kind, or a key that has none. */
export const keyText = z
  .string(KEY_MESSAGE)
  .min(1, KEY_MESSAGE)
  .max(255, KEY_MESSAGE)
  .refine((text) => text.isWellFormed(), "holds half of a surrogate pair, which is no character")
  .meta({ example: "acme" });

const TAG_MESSAGE = "is a tag: 1 to 64 characters";
export const tag = z.string(TAG_MESSAGE).min(1, TAG_MESSAGE).max(64, TAG_MESSAGE);
export const tags = z.array(tag, "is a list of tags").max(16, "holds at most 16 tags");

const META_MESSAGE = `is an object of at most ${MAX_META_BYTES} bytes as JSON`;
export const meta = z.custom<{ [key: string]: unknown }>(isMeta, META_MESSAGE).meta({ type: "object" });

function isMeta(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  try {
    return utf8Bytes(JSON.stringify(value)) <= MAX_META_BYTES;
  } catch {
    return false;
  }
}

const JITTER_MESSAGE = "is a number from 0 to 1";
const jitter = z.number(JITTER_MESSAGE).min(0, JITTER_MESSAGE).max(1, JITTER_MESSAGE);
const wait = duration("0ms", "366d");

export const backoff = z
  .discriminatedUnion(
    "type",
    [
      z.strictObject({ type: z.literal("exponential"), base: wait, max: wait.optional(), jitter: jitter.optional() }),
      z.strictObject({ type: z.literal("fixed"), delay: wait, jitter: jitter.optional() }),
    ],
    'is { type: "exponential", base, max?, jitter? } or { type: "fixed", delay, jitter? }',
  )
  .meta({ example: { type: "exponential", base: "1m", max: "6h" } });
