/**
 * Instants as text.
 *
 * @module
 */

const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d)?)$/;

/**
 * Milliseconds since the epoch of an ISO 8601 instant with any offset; null for anything else. What is finer than a
 * millisecond is cut off. An instant without an offset is none: it would be another one on each machine.
 *
 * @example
 * parseInstant("2026-11-22T06:39:00+01:00"); // as "2026-11-22T05:39:00Z"
 */
export function parseInstant(text: string): number | null {
  const match = INSTANT.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as Six;
  const [offsetHours, offsetMinutes] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (hour > 23 || minute > 59 || second > 59 || offsetHours > 23 || offsetMinutes > 59) return null;
  const ms = Number((match[7] ?? "").padEnd(3, "0").slice(0, 3));
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  // February 30th would roll over into March.
  if (local.getUTCMonth() !== month - 1 || local.getUTCDate() !== day) return null;
  const offsetMs = (offsetHours * 60 + offsetMinutes) * 60_000 * (match[8] === "-" ? -1 : 1);
  return local.setUTCHours(hour, minute, second, ms) - offsetMs;
}

/** Nothing is asked for that lies further ahead. */
export const MAX_AHEAD_MS = 366 * 86_400_000;

type Six = [number, number, number, number, number, number];
