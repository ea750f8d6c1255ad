/**
 * Outcomes of a handler that are neither a result nor an error: they are returned, never thrown.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import type { Duration } from "./types.ts";

/** `Symbol.for`, so that two copies of this package recognise each other's values. */
const CONTROL: unique symbol = Symbol.for("millrace.control");

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

/** What `value`, as a handler returned it, asks for; null when it is an ordinary result. Never throws. */
export function controlOf(value: unknown): Control | null {
  try {
    return (value as Partial<Snooze & Cancel> | null | undefined)?.[CONTROL] ?? null;
  } catch {
    return null; // a Proxy or getter of the handler's own
  }
}
