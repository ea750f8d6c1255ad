/**
 * Durations as people write them (`"30s"`) and as machines count them (milliseconds).
 *
 * @module
 */
import type { Duration } from "./types.ts";

const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000],
  ["ms", 1],
] as const;

/**
 * Milliseconds of a duration.
 *
 * @param text An integer and a unit: `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`.
 * @throws {TypeError} when `text` is not a string
 * @throws {RangeError} when it is not an integer followed by a unit, or too large to count exactly
 * @example
 * parseDuration("90s"); // 90000
 */
export function parseDuration(text: string): number {
  if (typeof text !== "string") {
    throw new TypeError(`A duration is a string such as "30s", not ${text === null ? "null" : `a ${typeof text}`}.`);
  }
  const match = /^(\d{1,16})(ms|s|m|h|d)$/.exec(text);
  const unitMs = match && UNITS.find(([unit]) => unit === match[2])?.[1];
  if (!match || !unitMs) {
    throw new RangeError(
      `${JSON.stringify(text.slice(0, 40))} is not a duration, such as "500ms", "30s", "5m", "2h" or "7d".`,
    );
  }
  const ms = Number(match[1]) * unitMs;
  if (!Number.isSafeInteger(ms)) throw new RangeError(`"${text}" is too long a duration.`);
  return ms;
}

/**
 * The duration of so many milliseconds, in the largest unit that holds it exactly.
 *
 * @throws {RangeError} when `ms` is not a whole number of 0 or more
 * @example
 * formatDuration(90_000); // "90s"
 */
export function formatDuration(ms: number): Duration {
  if (!Number.isSafeInteger(ms) || ms < 0) {
    throw new RangeError(`${ms} is not a whole number of milliseconds.`);
  }
  const [unit, unitMs] = UNITS.find(([, size]) => ms >= size && ms % size === 0) ?? ["ms", 1];
  return `${ms / unitMs}${unit}`;
}
