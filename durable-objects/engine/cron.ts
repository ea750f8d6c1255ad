/**
 * Cron expressions in a time zone. The library reads the expression; which instants the times on the wall come to is
 * decided here, by one rule (docs/decisions/010), so that it holds whatever the library does:
 *
 * - A pattern whose times of day are the same before and after the shift (`0 * * * *` when the clock moves by an hour)
 *   goes by real time: it runs whenever the clock shows its time, in both passes of a repeated hour.
 * - Any other is a list of fixed times, each of which happens once a day: one that the clock skips runs at the first
 *   instant after the gap, one that it shows twice runs at the first.
 *
 * @module
 */
import { Cron, CronPattern } from "croner";
import { memo } from "./memo.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** No zone's offset changes twice within this time, and none is further from UTC. */
const NEAR = 26 * HOUR;
const EXPRESSION_CHARS_MAX = 200;
/** Each look goes past one change of the clock at least. */
const LOOKS_MAX = 1_000;

const NICKNAMES: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
]);

/** Milliseconds to add to an instant to get the time on the wall, as if that were UTC. */
type Offset = (instant: number) => number;

/** An expression in a zone. */
export interface CronTimes {
  /** The first instant after this one, in whole seconds; null when there is none. */
  next(after: number): number | null;
}

const KEPT = 256;
const parsed = memo<CronTimes | string>(KEPT);
const zones = memo<Offset | null>(KEPT);

/** Reads an expression; words that say what is wrong with it, or with the zone, where it cannot be read. */
export function parseCron(expression: string, timezone: string): CronTimes | string {
  return parsed(JSON.stringify([timezone, expression]), () => {
    const offset = offsetOf(timezone);
    if (!offset) return `"${timezone.slice(0, 80)}" is no IANA time zone, such as "UTC" or "Europe/Berlin"`;
    const times = readTimes(expression);
    return typeof times === "string" ? times : { next: (after) => nextInstant(times, offset, after) };
  });
}

/** The offset of a zone; null where there is no such zone. Offsets such as "+01:00" are none: they have no rules. */
function offsetOf(timezone: string): Offset | null {
  return zones(timezone, () => {
    if (!/^[A-Za-z]/.test(timezone)) return null;
    if (timezone === "UTC") return () => 0;
    try {
      const format = new Intl.DateTimeFormat("en-US", { timeZone: timezone, timeZoneName: "longOffset" });
      return (instant) => readOffset(format.format(instant));
    } catch {
      return null;
    }
  });
}

/** From `3/29/2026, GMT+02:00`; plain `GMT` is 0. */
function readOffset(text: string): number {
  const match = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text);
  if (!match) return 0;
  const [, sign, hours, minutes, seconds = 0] = match;
  return (Number(hours) * HOUR + Number(minutes) * MINUTE + Number(seconds) * SECOND) * (sign === "-" ? -1 : 1);
}

/** What an expression means on a wall clock that is never set. */
interface WallTimes {
  /** The first time after this one, in ms as if the wall showed UTC; null when there is none. */
  next(after: number): number | null;
  /** Whether the times of day stay the same when the clock is set by so much. */
  survives(shift: number): boolean;
}

function readTimes(expression: string): WallTimes | string {
  const shown = `"${expression.slice(0, 80)}"`;
  const text = (NICKNAMES.get(expression.trim().toLowerCase()) ?? expression).trim();
  const parts = text.split(/\s+/);
  if (expression.length > EXPRESSION_CHARS_MAX || parts.length < 5 || parts.length > 6) {
    return `${shown} is no cron expression: it has five fields (minute, hour, day, month, weekday), six with seconds first, or is one of ${[...NICKNAMES.keys()].join(", ")}`;
  }
  if (parts.length === 5) parts.unshift("0");
  try {
    const { second, minute, hour } = new CronPattern(parts.join(" "), undefined, { mode: "6-part" });
    const days = new Cron(`0 0 0 ${parts.slice(3).join(" ")}`, { mode: "6-part", utcOffset: 0 });
    return wallTimes({ seconds: listed(second), minutes: listed(minute), hours: listed(hour) }, days);
  } catch (error) {
    const why = (error as Error).message.replace(/^CronPattern: /, "");
    return `${shown} is no cron expression: ${why.slice(0, 200)}`;
  }
}

/** Of `[0, 1, 1]` the places that are set: `[1, 2]`. */
function listed(field: number[]): number[] {
  return field.flatMap((set, value) => (set ? [value] : []));
}

interface TimesOfDay {
  seconds: number[];
  minutes: number[];
  hours: number[];
}

function wallTimes(times: TimesOfDay, days: Cron): WallTimes {
  const first = timeFrom(times, 0)!;
  return {
    next(after) {
      const from = Math.floor(after / SECOND) * SECOND + SECOND;
      const day = Math.floor(from / DAY) * DAY;
      const today = days.match(new Date(day)) ? timeFrom(times, from - day) : null;
      if (today !== null) return day + today;
      const next = days.nextRun(new Date(day));
      return next && next.getTime() + first;
    },
    survives: (shift) => survives(times, shift),
  };
}

/** The first time of day that is not before this one, both in ms since midnight; null when it was the last. */
function timeFrom({ seconds, minutes, hours }: TimesOfDay, time: number): number | null {
  const [hour, minute, second] = [Math.floor(time / HOUR), Math.floor(time / MINUTE) % 60, (time / SECOND) % 60];
  for (const h of hours) {
    if (h < hour) continue;
    for (const m of minutes) {
      if (h === hour && m < minute) continue;
      const s = seconds.find((value) => h > hour || m > minute || value >= second);
      if (s !== undefined) return h * HOUR + m * MINUTE + s * SECOND;
    }
  }
  return null;
}

function survives({ minutes, hours }: TimesOfDay, shift: number): boolean {
  if (shift % MINUTE !== 0) return false;
  if (shift % HOUR === 0) return turns(hours, shift / HOUR, 24);
  return hours.length === 24 && turns(minutes, shift / MINUTE, 60);
}

/** Whether turning a dial with these marks by so many places leaves it as it was. */
function turns(marks: number[], by: number, places: number): boolean {
  const set = new Set(marks);
  return marks.every((mark) => set.has((mark + by) % places));
}

function nextInstant(times: WallTimes, offset: Offset, after: number): number | null {
  const before = offset(after);
  let wall = times.next(after + before);
  const turned = turnedBack(times, offset, after, wall);
  if (turned !== null) return turned;
  for (let look = 0; look < LOOKS_MAX && wall !== null; look++) {
    const place = placeOf(offset, wall);
    if (place.kind === "once") return place.instant;
    const real = times.survives(place.shift);
    if (place.kind === "gap" && !real) return place.end;
    if (place.kind === "twice" && place.first > after) return place.first;
    if (place.kind === "twice" && real && place.second > after) return place.second;
    wall = times.next(place.wallEnd - SECOND);
  }
  return null;
}

/**
 * The clock is set back before the wall gets to `wall`, and shows again times that lie before now: for a pattern that
 * goes by real time the first of those comes next.
 */
function turnedBack(times: WallTimes, offset: Offset, after: number, wall: number | null): number | null {
  const before = offset(after);
  if (offset(after + NEAR) >= before) return null;
  const end = changeBetween(offset, after, after + NEAR);
  const later = offset(end);
  if (later >= before || (wall !== null && wall - before < end) || !times.survives(before - later)) return null;
  const again = times.next(end + later - SECOND);
  return again !== null && again < end + before ? again - later : null;
}

type Place =
  | { kind: "once"; instant: number }
  /** Never shown: the clock goes from `wallEnd - shift` to `wallEnd` at the instant `end`. */
  | { kind: "gap"; end: number; shift: number; wallEnd: number }
  | { kind: "twice"; first: number; second: number; shift: number; wallEnd: number };

/** The instants at which the wall shows this time. */
function placeOf(offset: Offset, wall: number): Place {
  const [early, late] = [offset(wall - NEAR), offset(wall + NEAR)];
  const instant = wall - early;
  if (early === late) return { kind: "once", instant };
  const change = changeBetween(offset, wall - NEAR, wall + NEAR);
  const shift = Math.abs(late - early);
  if (instant < change) {
    const second = wall - late;
    if (second < change) return { kind: "once", instant };
    return { kind: "twice", first: instant, second, shift, wallEnd: change + early };
  }
  if (wall - late >= change) return { kind: "once", instant: wall - late };
  return { kind: "gap", end: change, shift, wallEnd: change + late };
}

/** The first instant, in whole seconds, that has another offset than `from`. The one at `to` has. */
function changeBetween(offset: Offset, from: number, to: number): number {
  const before = offset(from);
  let [low, high] = [Math.floor(from / SECOND), Math.ceil(to / SECOND)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offset(middle * SECOND) === before) low = middle;
    else high = middle;
  }
  return high * SECOND;
}
