/**
 * Outcomes of a handler that are neither a result nor an error: they are returned. One ends the handler where it is
 * called, `ctx.rateLimited`, and is thrown.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import type { Duration, Keys } from "./types.ts";

/** `Symbol.for`, so that two copies of this package recognise each other's values. */
const CONTROL: unique symbol = Symbol.for("millrace.control");

const REASON_CHARS_MAX = 4_096;

/** What a handler asked for by returning {@link snooze} or {@link cancel}. */
export type Control =
  | { outcome: "snoozed"; forMs: number; rateLimited?: { kind: string; forMs: number } }
  | { outcome: "cancelled"; reason?: string };

/** Made by {@link snooze}. */
export interface Snooze {
  readonly [CONTROL]: { outcome: "snoozed"; forMs: number };
}

/** Made by {@link cancel}. */
export interface Cancel {
  readonly [CONTROL]: { outcome: "cancelled"; reason?: string };
}

/**
 * Returned by a handler: run this job again after `wait`. It does not count as a failure.
 *
 * @throws {RangeError} when `wait` is not a duration
 * @example
 * if (!(await isReady(input.id))) return snooze("5m");
 */
export function snooze(wait: Duration): Snooze {
  return Object.freeze({ [CONTROL]: { outcome: "snoozed" as const, forMs: parseDuration(wait) } });
}

/**
 * Returned by a handler: this job is not wanted any more. It ends `cancelled` and is not retried.
 *
 * @example
 * if (await isDeleted(input.userId)) return cancel("the account is gone");
 */
export function cancel(reason?: string): Cancel {
  return Object.freeze({
    [CONTROL]: reason === undefined ? { outcome: "cancelled" as const } : { outcome: "cancelled" as const, reason },
  });
}

const RATE_LIMITED: unique symbol = Symbol.for("millrace.rateLimited");

/** Thrown by `ctx.rateLimited`. It is an Error so that code which catches too much shows what it caught. */
export class RateLimitedSignal extends Error {
  static {
    RateLimitedSignal.prototype.name = "RateLimitedSignal";
  }

  /** @throws {RangeError} when `wait` is not a duration, or none of `keys` is of this kind */
  constructor(kind: string, wait: Duration, keys: Keys) {
    super(`The key of kind "${kind}" is closed for ${wait}. This ends the attempt: do not catch it.`);
    const forMs = parseDuration(wait);
    if (!Object.hasOwn(keys, kind)) {
      const has = Object.keys(keys).join(", ") || "none";
      throw new RangeError(`Cannot close the key of kind "${kind}": this job has no such key. It has: ${has}.`);
    }
    Object.defineProperty(this, RATE_LIMITED, { value: { kind, forMs } });
  }
}

/** What a handler asked for by throwing; null when it is an error. Never throws. */
export function thrownControl(thrown: unknown): Control | null {
  try {
    const { kind, forMs } = (thrown as { [RATE_LIMITED]?: Record<string, unknown> } | null)?.[RATE_LIMITED] ?? {};
    if (typeof kind !== "string" || typeof forMs !== "number") return null;
    return { outcome: "snoozed", forMs, rateLimited: { kind, forMs } };
  } catch {
    return null;
  }
}

/**
 * What `value`, as a handler returned it, asks for; null when it is an ordinary result. Never throws. It is read field
 * by field, because a Proxy of the handler's own answers to every name.
 */
export function controlOf(value: unknown): Control | null {
  try {
    const { outcome, forMs, reason } = (value as { [CONTROL]?: Record<string, unknown> } | null)?.[CONTROL] ?? {};
    if (outcome === "snoozed" && typeof forMs === "number") return { outcome, forMs };
    if (outcome !== "cancelled") return null;
    return reason === undefined ? { outcome } : { outcome, reason: String(reason).slice(0, REASON_CHARS_MAX) };
  } catch {
    return null;
  }
}
