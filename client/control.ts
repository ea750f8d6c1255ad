/**
 * Outcomes of a handler that are neither a result nor an error: they are returned, never thrown.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import type { Duration } from "./types.ts";

/** `Symbol.for`, so that two copies of this package recognise each other's values. */
const CONTROL: unique symbol = Symbol.for("millrace.control");

const REASON_CHARS_MAX = 4_096;

/** What a handler asked for by returning {@link snooze} or {@link cancel}. */
export type Control = { outcome: "snoozed"; forMs: number } | { outcome: "cancelled"; reason?: string };

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
