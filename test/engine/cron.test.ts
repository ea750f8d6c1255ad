import { CronExpressionParser } from "cron-parser";
import { describe, expect, it } from "vitest";
import { parseCron } from "../../durable-objects/engine/cron.ts";
import { timingOf } from "../../durable-objects/engine/timing.ts";
import { Random } from "../sim/random.ts";
import { type Sample, sampleOf } from "./cron-pairs.ts";
import { changesOf, RULES, type Rule, ruleOf } from "./cron-rules.ts";

function next(expression: string, zone: string, after: number): number | null {
  const times = parseCron(expression, zone);
  if (typeof times === "string") throw new Error(times);
  return times.next(after);
}

/** The first instants after one, as the wall of the zone shows them with their offset. */
function walls(expression: string, zone: string, after: string, count: number): string[] {
  const shown: string[] = [];
  const digits = { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" } as const;
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, timeZoneName: "shortOffset", ...digits });
  for (let at = next(expression, zone, Date.parse(after)); shown.length < count; at = next(expression, zone, at!)) {
    shown.push(format.format(at!).replace("GMT", ""));
  }
  return shown;
}

describe("in a night in which the clock is set", () => {
  it.each<[what: string, expression: string, zone: string, after: string, expected: string[]]>([
    [
      "a fixed time in the gap runs right after it",
      "30 2 * * *",
      "Europe/Berlin",
      "2026-03-28T01:00:00Z",
      ["28/03 02:30 +1", "29/03 03:00 +2", "30/03 02:30 +2"],
    ],
    [
      "several of them run once",
      "*/15 2 * * *",
      "Europe/Berlin",
      "2026-03-28T01:30:00Z",
      ["28/03 02:45 +1", "29/03 03:00 +2", "30/03 02:00 +2"],
    ],
    [
      "with seconds too",
      "30 30 2 * * *",
      "Europe/Berlin",
      "2026-03-28T01:00:00Z",
      ["28/03 02:30 +1", "29/03 03:00 +2", "30/03 02:30 +2"],
    ],
    [
      "and once with one at its end",
      "0 2,3 * * *",
      "Europe/Berlin",
      "2026-03-28T01:00:00Z",
      ["28/03 03:00 +1", "29/03 03:00 +2", "30/03 02:00 +2"],
    ],
    [
      "the hour that is skipped is no hour",
      "30 * * * *",
      "Europe/Berlin",
      "2026-03-29T00:00:00Z",
      ["29/03 01:30 +1", "29/03 03:30 +2", "29/03 04:30 +2"],
    ],
    [
      "a fixed time that comes twice runs once",
      "30 2 * * *",
      "Europe/Berlin",
      "2026-10-24T12:00:00Z",
      ["25/10 02:30 +2", "26/10 02:30 +1"],
    ],
    ["also when asked between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:45:00Z", ["26/10 02:30 +1"]],
    [
      "the hour that comes twice is two hours",
      "30 * * * *",
      "Europe/Berlin",
      "2026-10-24T23:00:00Z",
      ["25/10 01:30 +2", "25/10 02:30 +2", "25/10 02:30 +1", "25/10 03:30 +1"],
    ],
    [
      "and its minutes are all there",
      "*/30 * * * *",
      "Europe/Berlin",
      "2026-10-25T00:00:00Z",
      ["25/10 02:30 +2", "25/10 02:00 +1", "25/10 02:30 +1", "25/10 03:00 +1"],
    ],
    [
      "every second hour is a list of hours",
      "0 */2 * * *",
      "Europe/Berlin",
      "2026-10-24T22:00:00Z",
      ["25/10 02:00 +2", "25/10 04:00 +1"],
    ],
    [
      "but where the clock moves by two",
      "0 */2 * * *",
      "Antarctica/Troll",
      "2026-10-24T22:00:00Z",
      ["25/10 02:00 +2", "25/10 02:00 +0", "25/10 04:00 +0"],
    ],
    [
      "midnight may be what is skipped",
      "0 0 * * *",
      "Asia/Beirut",
      "2026-03-28T12:00:00Z",
      ["29/03 01:00 +3", "30/03 00:00 +3"],
    ],
    [
      "or an evening what comes twice",
      "30 23 * * *",
      "America/Santiago",
      "2026-04-04T12:00:00Z",
      ["04/04 23:30 −3", "05/04 23:30 −4"],
    ],
    [
      "half an hour moves hourly times too",
      "45 * * * *",
      "Australia/Lord_Howe",
      "2026-04-04T14:00:00Z",
      ["05/04 01:45 +11", "05/04 02:45 +10:30"],
    ],
  ])("%s", (_, expression, zone, after, expected) => {
    expect(walls(expression, zone, after, expected.length)).toEqual(
      expected.map((text) => expect.stringContaining(text)),
    );
  });
});

it("agrees with another library on ten thousand, but for the rules that are named", { timeout: 240_000 }, () => {
  const random = new Random(2_026);
  const known = new Map<string, number[]>();
  const changes = (zone: string): number[] => {
    if (!known.has(zone)) known.set(zone, changesOf(zone));
    return known.get(zone)!;
  };
  const explained = new Map<Rule, number>();
  const unexplained: string[] = [];
  let alike = 0;
  for (let made = 0; made < 10_000; made++) {
    const sample = sampleOf(random, changes);
    const [ours, theirs] = [next(sample.expression, sample.zone, sample.after)!, theirNext(sample)];
    const rule = ours === theirs ? null : ruleOf(sample, ours, theirs, changes(sample.zone));
    if (ours === theirs) alike += 1;
    else if (rule) explained.set(rule, (explained.get(rule) ?? 0) + 1);
    else unexplained.push(`${JSON.stringify(sample)}: ours ${iso(ours)}, theirs ${iso(theirs)}`);
  }
  expect(unexplained).toEqual([]);
  expect([...explained.keys()].sort()).toEqual([...RULES].sort());
  const different = [...explained.values()].reduce((sum, count) => sum + count, 0);
  expect(alike + different).toBe(10_000);
  expect(different).toBeLessThan(100);
});

/** Null where it gives up. */
function theirNext({ expression, zone, after }: Sample): number | null {
  try {
    return CronExpressionParser.parse(expression, { tz: zone, currentDate: new Date(after) })
      .next()
      .getTime();
  } catch {
    return null;
  }
}

const iso = (instant: number | null): string => (instant === null ? "none" : new Date(instant).toISOString());

it("reads what people write, and says what it cannot read", () => {
  const from = Date.UTC(2026, 0, 1);
  const first = (expression: string): string => iso(next(expression, "UTC", from));
  expect(first(" @daily ")).toBe("2026-01-02T00:00:00.000Z");
  expect(first("@HOURLY")).toBe("2026-01-01T01:00:00.000Z");
  expect(first("0 9 * * MON-FRI")).toBe("2026-01-01T09:00:00.000Z");
  expect(first("0 0 L 2 *")).toBe("2026-02-28T00:00:00.000Z");
  expect(first("0 0 13 * 5")).toBe("2026-01-02T00:00:00.000Z");
  expect(first("*/10 * * * * *")).toBe("2026-01-01T00:00:10.000Z");
  for (const wrong of [
    "",
    "* * * *",
    "* * * * * * *",
    "@reboot",
    "0 24 * * *",
    "a b c d e",
    "x".repeat(9_999),
    "*/0 * * * *",
  ]) {
    expect(parseCron(wrong, "UTC"), wrong).toEqual(expect.stringMatching(/is no cron expression/));
  }
});

it("takes no zone and expression for others that read the same side by side", () => {
  expect(parseCron("0 0 * * *", "Europe/Vienna 0")).toEqual(expect.stringMatching(/is no IANA time zone/));
  expect(iso(next("0 0 0 * * *", "Europe/Vienna", Date.UTC(2026, 0, 1)))).toBe("2026-01-01T23:00:00.000Z");
});

it("finds the latest instants before one as walking forward does", () => {
  const random = new Random(7);
  for (let made = 0; made < 200; made++) {
    const { expression, zone, after } = sampleOf(random, () => []);
    const timing = timingOf({ cron: expression, everyMs: null, timezone: zone, startAt: null, endAt: null });
    if (typeof timing === "string") throw new Error(timing);
    const all: number[] = [];
    for (
      let at = timing.next(after - 1);
      at !== null && at <= after + 86_400_000 && all.length < 3_000;
      at = timing.next(at)
    )
      all.push(at);
    const to = all.length === 3_000 ? all.at(-1)! : after + 86_400_000;
    for (const count of [1, 5, 62]) expect(timing.latest(after, to, count)).toEqual(all.slice(-count));
  }
});
