/**
 * Errors that handlers throw, and the form in which a job keeps an error.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import { brand, read } from "./errors.ts";
import type { Duration, JobError } from "./types.ts";

const NON_RETRYABLE = Symbol.for("millrace.nonRetryable");
const RETRY_AFTER = Symbol.for("millrace.retryAfterMs");

const NAME_BYTES = 256;
const MESSAGE_BYTES = 4 * 1024;
const STACK_BYTES = 16 * 1024;
const CAUSE_BYTES = 512;
const MAX_CAUSES = 5;

/**
 * Thrown by a handler: trying again is pointless. The job is dead at once, whatever tries it has left.
 *
 * @example
 * if (response.status === 410) throw new NonRetryableError("the address is gone");
 */
export class NonRetryableError extends Error {
  static {
    NonRetryableError.prototype.name = "NonRetryableError";
  }

  constructor(message?: string, options?: ErrorOptions) {
    super(message, options);
    brand(this, NON_RETRYABLE, true);
  }
}

/**
 * Thrown by a handler: this attempt failed, and the next should start after this time. It goes before every backoff.
 *
 * @throws {RangeError} when `wait` is not a duration
 * @example
 * if (response.status === 503) throw new RetryAfterError("1m", "the vendor is down");
 */
export class RetryAfterError extends Error {
  static {
    RetryAfterError.prototype.name = "RetryAfterError";
  }
  readonly retryInMs: number;

  constructor(wait: Duration, message = `to be tried again after ${wait}`, options?: ErrorOptions) {
    super(message, options);
    this.retryInMs = parseDuration(wait);
    brand(this, RETRY_AFTER, this.retryInMs);
  }
}

/** Whether `e` is a {@link NonRetryableError}, from whichever copy of this package. Never throws. */
export function isNonRetryable(e: unknown): boolean {
  return read(e, NON_RETRYABLE) === true;
}

/** The milliseconds that a {@link RetryAfterError} asks for; null when `e` is none. Never throws. */
export function retryAfterMs(e: unknown): number | null {
  const ms = read(e, RETRY_AFTER);
  return typeof ms === "number" && ms >= 0 ? ms : null;
}

/**
 * Whatever a handler threw, as a job keeps it: name, message (at most 4 KiB) and stack (at most 16 KiB of UTF-8, the
 * chain of causes at its end, null where there is neither). Never throws, whatever is thrown.
 */
export function toJobError(thrown: unknown): JobError {
  const causes = causesOf(thrown);
  const stack = read(thrown, "stack");
  const text = typeof stack === "string" ? cut(stack, STACK_BYTES - causes.length * 3) : "";
  return {
    name: nameOf(thrown),
    message: cut(messageOf(thrown), MESSAGE_BYTES),
    stack: cut(text + causes, STACK_BYTES) || null,
  };
}

function causesOf(thrown: unknown): string {
  const seen = new Set<unknown>([thrown]);
  let text = "";
  let cause = read(thrown, "cause");
  while (cause !== undefined && cause !== null && !seen.has(cause) && seen.size <= MAX_CAUSES) {
    seen.add(cause);
    text += `\nCaused by: ${cut(`${nameOf(cause)}: ${messageOf(cause)}`, CAUSE_BYTES)}`;
    cause = read(cause, "cause");
  }
  return text;
}

function nameOf(thrown: unknown): string {
  const name = read(thrown, "name");
  return (typeof name === "string" && typeof thrown !== "function" && cut(name, NAME_BYTES)) || "Error";
}

function messageOf(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  const message = read(thrown, "message");
  if (typeof message === "string") return message;
  try {
    const text = typeof thrown === "object" && thrown !== null ? JSON.stringify(thrown) : String(thrown);
    return `thrown: ${text}`;
  } catch {
    return `thrown: a value of type ${typeof thrown} that cannot be shown`;
  }
}

/** `text` well-formed and cut to at most `bytes` of UTF-8, never inside a character. */
function cut(text: string, bytes: number): string {
  // A UTF-16 unit takes at least one byte, so nothing past `bytes` units can fit.
  const head = text.slice(0, bytes).toWellFormed();
  const { read: units } = new TextEncoder().encodeInto(head, new Uint8Array(bytes));
  return head.slice(0, units);
}
