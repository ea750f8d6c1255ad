import { expect, it } from "vitest";
import { z } from "zod";
import { controlOf } from "../../client/control.ts";
import { cancel, defineTask, snooze } from "../../client/index.ts";
import { hasHandler } from "../../client/task.ts";

it("declares a task, and attaches handlers without changing it", () => {
  const input = z.object({ a: z.number() });
  const declared = defineTask({ name: "video.encode", input, queue: "video", timeout: "2h" });
  const first = declared.handler(() => 1);
  const second = declared.handler(() => 2);
  expect(declared).toMatchObject({ name: "video.encode", input, queue: "video", timeout: "2h" });
  expect([hasHandler(declared), hasHandler(first), hasHandler(second)]).toEqual([false, true, true]);
  expect(first.run({ a: 1 }, {} as never)).toBe(1);
  expect(second).toMatchObject({ name: "video.encode", input, queue: "video", timeout: "2h" });
  expect(Object.isFrozen(declared) && Object.isFrozen(first)).toBe(true);
  expect(() => declared.handler("run" as never)).toThrow(/"video.encode" must be a function/);
});

it.each([
  [{}, /name is 1 to 128/],
  [{ name: "" }, /name/],
  [{ name: "-x" }, /name/],
  [{ name: "a b" }, /name/],
  [{ name: "x".repeat(129) }, /name/],
  [{ name: "x", queue: "Mail" }, /queue .* not "Mail"/],
  [{ name: "x", maxAttempts: 0 }, /maxAttempts is an integer from 1 to 100, not 0/],
  [{ name: "x", maxAttempts: 101 }, /maxAttempts/],
  [{ name: "x", priority: 1.5 }, /priority/],
  [{ name: "x", priority: 32_768 }, /priority/],
  [{ name: "x", timeout: "999ms" }, /timeout must be 1s to 7d, not "999ms"/],
  [{ name: "x", timeout: "8d" }, /timeout/],
  [{ name: "x", timeout: "soon" }, /timeout: "soon" is not a duration/],
  [{ name: "x", timeout: 30 }, /timeout/],
  [{ name: "x", expiresIn: "0s" }, /expiresIn/],
  [{ name: "x", backoff: { type: "linear" } }, /backoff is/],
  [{ name: "x", backoff: { type: "exponential" } }, /backoff.base/],
  [{ name: "x", backoff: { type: "fixed", delay: "1m", jitter: 2 } }, /jitter is a number from 0 to 1, not 2/],
  [{ name: "x", tags: Array(17).fill("t") }, /tags are at most 16/],
  [{ name: "x", tags: ["t".repeat(65)] }, /tags/],
  [{ name: "x", meta: [] }, /meta is an object/],
  [{ name: "x", meta: { a: "ü".repeat(2_048) } }, /meta is \d+ bytes as JSON: at most 4096/],
  [{ name: "x", version: 3 }, /version/],
  [{ name: "x", input: {} }, /Standard Schema/],
  [{ name: "x", uniqueKey: "y" }, /has no option "uniqueKey"/],
  [{ name: "x", keys: "tenant" }, /Task "x": keys is an object or a function of the payload, not "tenant"/],
  [{ name: "x", cost: 3 }, /cost is an object or a function/],
  [{ name: "x", unique: null }, /unique is an object or a function of the payload, not null/],
  [{ name: "x", orderingKey: 5 }, /orderingKey is a string or a function/],
  [{ name: "x", fairKey: {} }, /fairKey is a string or a function/],
  [{ name: "x", deadline: 60_000 }, /deadline is a string or a function of the payload, not 60000/],
])("refuses %j at once", (options, message) => {
  expect(() => defineTask(options as never)).toThrow(message);
});

it("takes every option at its bounds", () => {
  const bounds = { maxAttempts: 100, priority: -32_768, timeout: "7d", expiresIn: "1ms", meta: {}, tags: [] } as const;
  const backoff = { type: "exponential", base: "0ms", max: "1d", jitter: 1 } as const;
  expect(defineTask({ name: "x".repeat(128), queue: "0".repeat(128), backoff, ...bounds })).toMatchObject(bounds);
  expect(defineTask({ name: "Aa0._:/-", backoff: () => 5 }).name).toBe("Aa0._:/-");
});

it("tells control from results", () => {
  expect(controlOf(snooze("5m"))).toEqual({ outcome: "snoozed", forMs: 300_000 });
  expect(controlOf(cancel("gone"))).toEqual({ outcome: "cancelled", reason: "gone" });
  expect(controlOf(cancel())).toEqual({ outcome: "cancelled" });
  expect(() => snooze("later" as never)).toThrow(RangeError);
  const hostile = new Proxy({}, { get: () => JSON.parse("{") });
  for (const result of [undefined, null, 0, "snoozed", { outcome: "snoozed" }, [], hostile]) {
    expect(controlOf(result)).toBeNull();
  }
});
