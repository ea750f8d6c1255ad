/**
 * When a schedule is due: its instants, from the expression or the interval alone, and by how much each is put off.
 *
 * @module
 */
import type { ScheduleInput } from "../../client/wire.ts";
import { parseCron } from "./cron.ts";
import { DAY, utf8Bytes, VALUE_BYTES_MAX } from "./limits.ts";

/** A schedule's instants, between its start and its end. */
export interface Timing {
  /** The first instant after this one; null when there is none. */
  next(after: number): number | null;
  /** The latest `count` instants from `from` to `to`, both included, oldest first. */
  latest(from: number, to: number, count: number): number[];
}

/** What of a schedule says when it is due. */
export type TimingInput = Pick<ScheduleInput, "cron" | "everyMs" | "timezone" | "startAt" | "endAt">;

export const EVERY_MS_MIN = 1_000;
export const EVERY_MS_MAX = 366 * DAY;
export const CATCH_UP_MAX = 1_000;
export const CATCH_UP_WINDOW_MS_MAX = 366 * DAY;
export const JITTER_MS_MAX = DAY;
/** An expression that has no instant within this time never will, as far as anybody cares. */
const BARREN_MS = 4 * 366 * DAY;

/** The instants of a schedule; words that say what is wrong with them where they cannot be told. */
export function timingOf(input: TimingInput): Timing | string {
  const { cron, everyMs, timezone, startAt, endAt } = input;
  if ((cron === null) === (everyMs === null)) return "it takes either cron or every";
  const times = cron === null ? intervalTimes(everyMs!, startAt ?? 0) : parseCron(cron, timezone);
  if (typeof times === "string") return times;
  const from = startAt === null ? Number.NEGATIVE_INFINITY : startAt - 1;
  const next = (after: number): number | null => {
    const instant = times.next(Math.max(after, from));
    return instant === null || (endAt !== null && instant >= endAt) ? null : instant;
  };
  const within = (low: number, high: number): [number, number] => [
    Math.max(low, from + 1),
    Math.min(high, endAt === null ? high : endAt - 1),
  ];
  const latest = cron === null ? intervalLatest(everyMs!, startAt ?? 0) : cronLatest(next);
  return { next, latest: (low, high, count) => latest(...within(low, high), count) };
}

function intervalTimes(everyMs: number, anchor: number) {
  return {
    next: (after: number): number => anchor + Math.max(0, Math.floor((after - anchor) / everyMs) + 1) * everyMs,
  };
}

function intervalLatest(everyMs: number, anchor: number): Timing["latest"] {
  return (from, to, count) => {
    const last = Math.floor((to - anchor) / everyMs);
    const first = Math.max(0, Math.ceil((from - anchor) / everyMs), last - count + 1);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => anchor + (first + index) * everyMs);
  };
}

/** Looks back in stretches: wider where there are few instants, narrower where there are many, so that none is walked through. */
function cronLatest(next: Timing["next"]): Timing["latest"] {
  return (from, to, count) => {
    const most = 4 * count + 64;
    let found: number[] = [];
    let spanMs = count * EVERY_MS_MIN;
    let end = to;
    while (end >= from && found.length < count) {
      const begin = Math.max(from, end - spanMs + 1);
      const stretch = listed(next, begin, end, most);
      if (stretch === null) {
        spanMs = Math.max(Math.floor(spanMs / 4), count * EVERY_MS_MIN);
        continue;
      }
      found = [...stretch, ...found];
      end = begin - 1;
      if (stretch.length < count) spanMs *= 4;
    }
    return found.slice(-count);
  };
}

/** The instants from `from` to `to`, both included; null when there are more than `most`. */
export function listed(next: Timing["next"], from: number, to: number, most: number): number[] | null {
  const found: number[] = [];
  for (let at = next(from - 1); at !== null && at <= to; at = next(at)) {
    if (found.length === most) return null;
    found.push(at);
  }
  return found;
}

/**
 * When an instant's job is made: up to `jitterMs` later, and before the next instant. The same for the same instant of
 * the same schedule, always.
 */
export function fireTime(name: string, jitterMs: number, instant: number, next: number | null): number {
  const room = Math.min(jitterMs + 1, next === null ? Number.POSITIVE_INFINITY : next - instant);
  return instant + Math.floor(fraction(`${name} ${instant}`) * room);
}

/** From 0 to below 1, spread evenly over texts (FNV-1a, finished as in MurmurHash3). */
function fraction(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

const PAYLOADS_BYTES_MAX = 8 * 1024 * 1024;

/** How many jobs of a schedule one step may make, given the size of their payload. */
export function jobsAtOnce(payload: string | null, most: number): number {
  return Math.min(most, Math.floor(PAYLOADS_BYTES_MAX / Math.max(1, (payload?.length ?? 0) * 3)));
}

/** What is wrong with a schedule, in words that follow its name; null: nothing. */
export function invalidSchedule(input: ScheduleInput, now: number): string | null {
  const { cron, everyMs, startAt, endAt, jitterMs, catchUpWindowMs, catchUpMax, overlap, template } = input;
  const timing = timingOf(input);
  if (typeof timing === "string") return timing;
  const within = (value: number, min: number, max: number) => Number.isInteger(value) && value >= min && value <= max;
  if (everyMs !== null && !within(everyMs, EVERY_MS_MIN, EVERY_MS_MAX)) return "every is a duration from 1s to 366d";
  if (!within(jitterMs, 0, JITTER_MS_MAX)) return "jitter is a duration up to 1d";
  if (!within(catchUpWindowMs, 0, CATCH_UP_WINDOW_MS_MAX)) return "catchUp.window is a duration up to 366d";
  if (!within(catchUpMax, 0, CATCH_UP_MAX)) return `catchUp.max is a whole number from 0 to ${CATCH_UP_MAX}`;
  if (jobsAtOnce(input.payload, CATCH_UP_MAX) < catchUpMax) {
    return `catchUp.max is ${catchUpMax}, and with a payload of this size ${jobsAtOnce(input.payload, CATCH_UP_MAX)} at most may be made up for`;
  }
  if (utf8Bytes(JSON.stringify(input)) > VALUE_BYTES_MAX) {
    return "its payload takes more than is kept of a schedule: quotes and backslashes count four times. Store it elsewhere";
  }
  if (startAt !== null && endAt !== null && endAt <= startAt) return "endAt is not after startAt";
  if (overlap === "buffer-one" && template.orderingKey) {
    return 'overlap "buffer-one" keeps its jobs in order by itself: leave orderingKey out';
  }
  if (cron === null) return null;
  const never = timingOf({ ...input, startAt: null, endAt: null }) as Timing;
  const from = Math.max(now, startAt ?? now);
  const next = never.next(from);
  if (next !== null && next <= from + BARREN_MS) return null;
  return `cron "${cron}" has no instant in the next four years`;
}
