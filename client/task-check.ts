/**
 * Checks of what a program says about a task, at the moment it says it: a mistake is a programmer's, and throws.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import type { Take } from "./take.ts";
import type { TaskOptions as OptionsOf } from "./task.ts";
import type { Backoff } from "./types.ts";

/** 1 to 128 characters. */
export const TASK_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;
/** 1 to 128 characters. */
export const QUEUE_NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;
/** What kinds of keys are called, 1 to 64 characters. No colon: `<kind>:<value>` must say where the value begins. */
export const KIND_NAME = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;

const TIMEOUT_MS = { min: 1_000, max: 7 * 86_400_000 };
/** What one claim carries. */
const TAKE_MAX = 500;
const TAKE_WAIT_MS = { min: 0, max: 30_000 };
const MAX_TAGS = 16;
const MAX_TAG_LENGTH = 64;
const MAX_META_BYTES = 4 * 1024;

const OPTIONS = [
  "name",
  "input",
  "queue",
  "priority",
  "maxAttempts",
  "backoff",
  "timeout",
  "expiresIn",
  "tags",
  "meta",
  "keys",
  "cost",
  "orderingKey",
  "fairKey",
  "unique",
  "deadline",
  "version",
  "take",
];

// biome-ignore lint/suspicious/noExplicitAny: options of tasks of any types are checked alike
type TaskOptions = OptionsOf<string, any> & { take?: Take };

/** What these are where they are no functions of the payload; `createMillrace` looks into them. */
const OF_PAYLOAD = {
  keys: "object",
  cost: "object",
  orderingKey: "string",
  fairKey: "string",
  unique: "object",
  deadline: "string",
} as const;

/** @throws {TypeError | RangeError} naming the task, what its option is and what it should be */
export function checkTask(options: TaskOptions): void {
  const { name } = options;
  if (typeof name !== "string" || !TASK_NAME.test(name)) {
    throw new TypeError(
      `A task's name is 1 to 128 of letters, digits and . _ : / -, beginning with a letter or digit; not ${show(name)}.`,
    );
  }
  const where = `Task "${name}"`;
  for (const key of Object.keys(options)) {
    if (!OPTIONS.includes(key)) {
      throw new TypeError(`${where} has no option "${key}". There are: ${OPTIONS.join(", ")}.`);
    }
  }
  checkInput(where, options.input);
  if (options.queue !== undefined && (typeof options.queue !== "string" || !QUEUE_NAME.test(options.queue))) {
    throw new TypeError(`${where}: queue is 1 to 128 of a-z 0-9 . _ -, not ${show(options.queue)}.`);
  }
  checkInteger(`${where}: priority`, options.priority, -32_768, 32_767);
  checkInteger(`${where}: maxAttempts`, options.maxAttempts, 1, 100);
  checkDuration(`${where}: timeout`, options.timeout, TIMEOUT_MS, "1s to 7d");
  checkDuration(`${where}: expiresIn`, options.expiresIn, { min: 1, max: Number.MAX_SAFE_INTEGER }, "more than 0");
  if (typeof options.backoff !== "function") checkBackoff(`${where}: backoff`, options.backoff);
  checkTags(`${where}: tags`, options.tags);
  checkMeta(`${where}: meta`, options.meta);
  checkOfPayload(where, options);
  checkTake(where, options);
  if (options.version !== undefined && (typeof options.version !== "string" || options.version === "")) {
    throw new TypeError(`${where}: version is a string that is not empty, not ${show(options.version)}.`);
  }
}

function checkTake(where: string, { take, timeout = "5m" }: TaskOptions): void {
  if (take === undefined) return;
  if (typeof take !== "object" || take === null || Array.isArray(take)) {
    throw new TypeError(`${where}: take is { max, wait? }, not ${show(take)}.`);
  }
  const stranger = Object.keys(take).find((key) => key !== "max" && key !== "wait");
  if (stranger !== undefined) throw new TypeError(`${where}: take has no "${stranger}". There are: max, wait.`);
  checkInteger(`${where}: take.max`, take.max ?? null, 1, TAKE_MAX);
  checkDuration(`${where}: take.wait`, take.wait, TAKE_WAIT_MS, "at most 30s");
  if (take.wait !== undefined && parseDuration(take.wait) > parseDuration(timeout) / 2) {
    throw new RangeError(
      `${where}: take.wait is at most half of the timeout, which counts from the claim; not "${take.wait}" of "${timeout}".`,
    );
  }
}

function checkInput(where: string, input: TaskOptions["input"]): void {
  if (input === undefined) return;
  const standard = input?.["~standard"];
  if (standard?.version !== 1 || typeof standard.validate !== "function") {
    throw new TypeError(
      `${where}: input is a Standard Schema of version 1 (zod, valibot, arktype …), not ${show(input)}.`,
    );
  }
}

/** @throws {RangeError} when the policy cannot be followed */
export function checkBackoff(what: string, backoff: Backoff | undefined): void {
  if (backoff === undefined) return;
  if (backoff?.type === "exponential") {
    checkDuration(`${what}.base`, backoff.base ?? null, { min: 0, max: Number.MAX_SAFE_INTEGER }, "given");
    checkDuration(`${what}.max`, backoff.max, { min: 0, max: Number.MAX_SAFE_INTEGER }, "a duration");
  } else if (backoff?.type === "fixed") {
    checkDuration(`${what}.delay`, backoff.delay ?? null, { min: 0, max: Number.MAX_SAFE_INTEGER }, "given");
  } else {
    throw new TypeError(
      `${what} is { type: "exponential", base, max?, jitter? }, { type: "fixed", delay, jitter? } or a function.`,
    );
  }
  const { jitter } = backoff;
  if (jitter !== undefined && !(typeof jitter === "number" && jitter >= 0 && jitter <= 1)) {
    throw new RangeError(`${what}.jitter is a number from 0 to 1, not ${show(jitter)}.`);
  }
}

function checkInteger(what: string, value: number | null | undefined, min: number, max: number): void {
  if (value === undefined || (Number.isInteger(value) && value! >= min && value! <= max)) return;
  throw new RangeError(`${what} is an integer from ${min} to ${max}, not ${show(value)}.`);
}

function checkDuration(
  what: string,
  value: string | undefined | null,
  bounds: { min: number; max: number },
  wanted: string,
): void {
  if (value === undefined) return;
  let ms: number;
  try {
    ms = parseDuration(value as string);
  } catch (error) {
    throw new RangeError(`${what}: ${(error as Error).message}`);
  }
  if (ms < bounds.min || ms > bounds.max) throw new RangeError(`${what} must be ${wanted}, not "${value}".`);
}

function checkTags(what: string, tags: TaskOptions["tags"]): void {
  if (tags === undefined) return;
  const isTag = (tag: unknown) => typeof tag === "string" && tag.length >= 1 && tag.length <= MAX_TAG_LENGTH;
  if (!Array.isArray(tags) || tags.length > MAX_TAGS || !tags.every(isTag)) {
    throw new RangeError(
      `${what} are at most ${MAX_TAGS} strings of 1 to ${MAX_TAG_LENGTH} characters, not ${show(tags)}.`,
    );
  }
}

function checkMeta(what: string, meta: TaskOptions["meta"]): void {
  if (meta === undefined) return;
  if (typeof meta !== "object" || meta === null || Array.isArray(meta)) {
    throw new TypeError(`${what} is an object, not ${show(meta)}.`);
  }
  const bytes = new TextEncoder().encode(JSON.stringify(meta)).length;
  if (bytes > MAX_META_BYTES) throw new RangeError(`${what} is ${bytes} bytes as JSON: at most ${MAX_META_BYTES}.`);
}

function checkOfPayload(where: string, options: TaskOptions): void {
  for (const [option, type] of Object.entries(OF_PAYLOAD)) {
    const value = options[option as keyof typeof OF_PAYLOAD];
    if (value === undefined || typeof value === "function" || (typeof value === type && value !== null)) continue;
    const article = type === "object" ? "an" : "a";
    throw new TypeError(`${where}: ${option} is ${article} ${type} or a function of the payload, not ${show(value)}.`);
  }
}

function show(value: unknown): string {
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 80);
  } catch {
    return `a ${typeof value}`;
  }
}
