/**
 * The rules of docs/decisions/010 by which two readings of cron may differ, each with what must be so where it is
 * named. Nothing here is shared with the code that is tested: the wall is read anew, and so are the fields.
 */
import type { Sample } from "./cron-pairs.ts";

export const RULES = [
  "a skipped time runs right after the gap",
  "a repeated time runs in its first pass",
  "a repeated time does not run in its second pass",
  "the other library passes over a plain time",
  "the other library gives up",
] as const;
export type Rule = (typeof RULES)[number];

const HOUR = 3_600_000;
/** No clock is set and set back within it. */
const STEP = 120 * HOUR;
const formats = new Map<string, Intl.DateTimeFormat>();

/** The time on the wall, as if it were UTC. */
export function wallAt(zone: string, instant: number): number {
  let format = formats.get(zone);
  if (!format) {
    const digits = { year: "numeric", month: "numeric", day: "numeric" } as const;
    const time = { hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23" } as const;
    format = new Intl.DateTimeFormat("en-US", { timeZone: zone, ...digits, ...time });
    formats.set(zone, format);
  }
  const { year, month, day, hour, minute, second } = Object.fromEntries(
    format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]),
  ) as Record<string, number>;
  return Date.UTC(year!, month! - 1, day!, hour, minute, second);
}

const YEARS = [Date.UTC(2020, 0, 1), Date.UTC(2035, 0, 1)] as const;

/** The instants from 2020 to 2035 at which the clock of a zone is set, in whole minutes. */
export function changesOf(zone: string): number[] {
  const shift = (instant: number): number => wallAt(zone, instant) - instant;
  const found: number[] = [];
  let before = shift(YEARS[0]);
  for (let at = YEARS[0]; at < YEARS[1]; at += STEP) {
    const after = shift(at + STEP);
    let [low, high] = [at, at + STEP];
    while (before !== after && high - low > 60_000) {
      const middle = Math.floor((low + high) / 120_000) * 60_000;
      if (shift(middle) === before) low = middle;
      else high = middle;
    }
    if (before !== after) found.push(high);
    before = after;
  }
  return found;
}

function values(field: string, min: number, max: number): number[] {
  return field.split(",").flatMap((part) => {
    const [range = "", step = "1"] = part.split("/");
    const [from, to = from] = range === "*" ? [min, max] : range.split("-").map(Number);
    return Array.from({ length: to! - from! + 1 }, (_, index) => from! + index).filter(
      (value) => (value - from!) % Number(step) === 0,
    );
  });
}

function fieldsOf(expression: string) {
  const parts = expression.split(" ");
  const [second, minute, hour, day, month, weekday] = (parts.length === 5 ? ["0", ...parts] : parts) as [
    ...[string, string, string],
    ...[string, string, string],
  ];
  return {
    seconds: values(second, 0, 59),
    minutes: values(minute, 0, 59),
    hours: values(hour, 0, 23),
    isDay(wall: number): boolean {
      const date = new Date(wall);
      const inMonth = values(month, 1, 12).includes(date.getUTCMonth() + 1);
      const onDay = values(day, 1, 31).includes(date.getUTCDate());
      const onWeekday = values(weekday, 0, 6).includes(date.getUTCDay());
      // As cron always had it: where both are restricted, either will do.
      return inMonth && (day === "*" || weekday === "*" ? onDay && onWeekday : onDay || onWeekday);
    },
  };
}

export function matches(expression: string, wall: number): boolean {
  const { seconds, minutes, hours, isDay } = fieldsOf(expression);
  const date = new Date(wall);
  const time = seconds.includes(date.getUTCSeconds()) && minutes.includes(date.getUTCMinutes());
  return time && hours.includes(date.getUTCHours()) && isDay(wall);
}

/** Whether the times of day are the same when all are moved by so much: tried out, time by time. */
function isReal(expression: string, shift: number): boolean {
  const { minutes, hours } = fieldsOf(expression);
  const set = new Set(hours.flatMap((hour) => minutes.map((minute) => hour * 60 + minute)));
  return [...set].every((time) => set.has((((time + shift / 60_000) % 1_440) + 1_440) % 1_440));
}

/** The first minute after at which the wall shows a time of the pattern, where that is within a month; else null. */
function firstShown({ expression, zone, after }: Sample): number | null {
  const start = Math.floor(after / 60_000) * 60_000;
  for (let at = start + 60_000; at < start + 31 * 24 * HOUR; at += 60_000) {
    if (matches(expression, wallAt(zone, at))) return at;
  }
  return null;
}

/** Which rule makes them differ; null: none does. `theirs` null: no answer. */
export function ruleOf(sample: Sample, ours: number, theirs: number | null, changes: number[]): Rule | null {
  const { expression, zone } = sample;
  if (theirs === null) return ours === firstShown(sample) ? "the other library gives up" : null;
  const first = Math.min(ours, theirs);
  const change = changes.findLast((at) => at <= first + 26 * HOUR && at >= first - 26 * HOUR);
  if (change === undefined) return null;
  const [before, after] = [wallAt(zone, change - 1_000) + 1_000, wallAt(zone, change)];
  const shift = after - before;
  const real = isReal(expression, Math.abs(shift));
  const wall = wallAt(zone, first);
  const shown = matches(expression, wall);
  const isRepeated = shift < 0 && wall >= after && wall < before;
  if (ours < theirs && shown && !isRepeated && ours !== change) return "the other library passes over a plain time";
  if (shift > 0) {
    let skipped = false;
    for (let at = before; at < after; at += 1_000) skipped ||= matches(expression, at);
    if (!skipped) return null;
    return !real && ours < theirs && ours === change ? "a skipped time runs right after the gap" : null;
  }
  const pass = isRepeated ? (first < change ? 1 : 2) : 0;
  if (!shown || pass === 0) return null;
  if (ours < theirs && pass === 1) return "a repeated time runs in its first pass";
  if (theirs < ours && pass === 2 && !real) return "a repeated time does not run in its second pass";
  return null;
}
