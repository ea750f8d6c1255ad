import { expect, it } from "vitest";
import { formatDuration, parseDuration } from "../../client/duration.ts";

it.each([
  ["0ms", 0],
  ["500ms", 500],
  ["30s", 30_000],
  ["5m", 300_000],
  ["2h", 7_200_000],
  ["7d", 604_800_000],
  ["007s", 7_000],
])("reads %s", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

it.each(["", "5", "s", "1.5s", "-1s", "+1s", " 1s", "1 s", "1S", "1s\n", "1w", "1e3ms", "١s", "99999999999999999999d"])(
  "refuses %j, and says what it should be",
  (text) => {
    expect(() => parseDuration(text)).toThrow(RangeError);
    expect(() => parseDuration(text)).toThrow(/duration/);
  },
);

it("refuses what is no string", () => {
  for (const value of [5, null, undefined, {}, 5n]) expect(() => parseDuration(value as never)).toThrow(TypeError);
});

it.each([
  [0, "0ms"],
  [1, "1ms"],
  [999, "999ms"],
  [1_000, "1s"],
  [90_000, "90s"],
  [3_600_000, "1h"],
  [86_400_000, "1d"],
  [90_000_000, "25h"],
])("writes %d ms as %s and reads it again", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
  expect(parseDuration(text)).toBe(ms);
});

it("writes only whole numbers of 0 or more", () => {
  for (const ms of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => formatDuration(ms)).toThrow(RangeError);
});
