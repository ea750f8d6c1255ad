import { expect, it, vi } from "vitest";
import { isJobFailed, isMillraceError, JobFailedError, MillraceError } from "../../client/errors.ts";
import { isNonRetryable, NonRetryableError, RetryAfterError, retryAfterMs, toJobError } from "../../client/thrown.ts";
import type { Job } from "../../client/types.ts";

const utf8 = (text: string) => new TextEncoder().encode(text).length;

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

const hostile = new Proxy(new Error("x"), {
  get() {
    throw new Error("trap");
  },
  getPrototypeOf() {
    throw new Error("trap");
  },
  ownKeys() {
    throw new Error("trap");
  },
});

function withCause(cause: unknown): Error {
  return new Error("outer", { cause });
}

const cyclic = withCause(null);
cyclic.cause = withCause(cyclic);
const itself: { me?: unknown } = {};
itself.me = itself;

const NASTY: [string, unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["a number", 42],
  ["NaN", Number.NaN],
  ["a bigint", 10n ** 30n],
  ["a symbol", Symbol("s")],
  ["a function", function named() {}],
  ["an empty string", ""],
  ["a lone surrogate", "\ud800 and \udfff"],
  ["an error with lone surrogates", Object.assign(new Error("\ud83d"), { name: "\udc00", stack: "\ud83d" })],
  ["a hostile proxy", hostile],
  ["a revoked proxy", revoked()],
  ["an object without prototype", Object.create(null)],
  ["a cyclic object", itself],
  ["a cyclic cause", cyclic],
  ["a hostile cause", withCause(hostile)],
  ["a string as cause", withCause("the disk is full")],
  ["getters that throw", Object.defineProperty(new Error("x"), "message", { get: () => JSON.parse("{") })],
  ["message and stack of other types", Object.assign(new Error("x"), { message: 5, stack: {}, name: null })],
  ["toString that throws", { toString: () => JSON.parse("{"), toJSON: () => JSON.parse("{") }],
  ["an enormous message", new Error("💥".repeat(1_000_000))],
  ["an enormous stack", Object.assign(new Error("x"), { stack: `a${"é".repeat(1_000_000)}` })],
  ["a long chain of enormous causes", Array(50).fill("ü".repeat(10_000)).reduce(withMessage, undefined)],
  ["an AggregateError", new AggregateError([new Error("a")], "all failed")],
  ["a DOMException", AbortSignal.abort().reason],
  ["an array", [1, [2]]],
  ["a class", class A {}],
];

function withMessage(cause: unknown, message: string): Error {
  return new Error(message, { cause });
}

it.each(NASTY)("keeps %s as a plain, bounded, well-formed error", (_, thrown) => {
  const error = toJobError(thrown);
  expect(Object.keys(error)).toEqual(["name", "message", "stack"]);
  expect(error.name).not.toBe("");
  expect(utf8(error.name)).toBeLessThanOrEqual(256);
  expect(utf8(error.message)).toBeLessThanOrEqual(4 * 1024);
  expect(utf8(error.stack ?? "")).toBeLessThanOrEqual(16 * 1024);
  for (const text of [error.name, error.message, error.stack ?? ""]) expect(text.isWellFormed()).toBe(true);
  expect(JSON.parse(JSON.stringify(error))).toEqual(error);
});

it("keeps what an error says", () => {
  const error = toJobError(new TypeError("x is not a function", { cause: withCause("the disk is full") }));
  expect(error).toMatchObject({ name: "TypeError", message: "x is not a function" });
  expect(error.stack).toContain("errors.test.ts");
  expect(error.stack).toMatch(/\nCaused by: Error: outer\nCaused by: Error: the disk is full$/);
});

it("says what was thrown when it is no error", () => {
  expect(toJobError("boom")).toEqual({ name: "Error", message: "boom", stack: null });
  expect(toJobError(undefined).message).toBe("thrown: undefined");
  expect(toJobError({ status: 500 }).message).toBe('thrown: {"status":500}');
  expect(toJobError({ name: "Vendor", message: "down" })).toEqual({ name: "Vendor", message: "down", stack: null });
});

it("cuts as little as it must, between characters", () => {
  expect(toJobError("a".repeat(4_096)).message.length).toBe(4_096);
  expect(utf8(toJobError("a".repeat(5_000)).message)).toBe(4_096);
  const cutInEmoji = toJobError(`abc${"💥".repeat(2_000)}`).message;
  expect(utf8(cutInEmoji)).toBe(3 + 4 * 1_023);
  expect(cutInEmoji.endsWith("💥")).toBe(true);
});

it("keeps the causes when the stack is too long for both", () => {
  const thrown = Object.assign(withCause(new RangeError("deep")), { stack: "s".repeat(100_000) });
  const { stack } = toJobError(thrown);
  expect(stack).toMatch(/sss\nCaused by: RangeError: deep$/);
});

it("recognises errors of another copy of the package, and only those", async () => {
  vi.resetModules();
  const other = { ...(await import("../../client/errors.ts")), ...(await import("../../client/thrown.ts")) };
  expect(other.NonRetryableError).not.toBe(NonRetryableError);
  const job = { id: "q:0:1", task: "t", state: "dead", reason: "exhausted", error: null } as Job;
  for (const copy of [other, { JobFailedError, MillraceError, NonRetryableError, RetryAfterError }]) {
    expect(isNonRetryable(new copy.NonRetryableError("gone"))).toBe(true);
    expect(retryAfterMs(new copy.RetryAfterError("1m"))).toBe(60_000);
    expect(isMillraceError(new copy.MillraceError("no", { code: "not_found" }))).toBe(true);
    expect(isJobFailed(new copy.JobFailedError(job))).toBe(true);
  }
  for (const value of [new Error("x"), null, undefined, "x", hostile, revoked(), { retryInMs: 5 }]) {
    expect([isNonRetryable(value), retryAfterMs(value), isMillraceError(value), isJobFailed(value)]).toEqual([
      false,
      null,
      false,
      false,
    ]);
  }
});

it("names its errors, in their stacks too", () => {
  const error = new NonRetryableError("gone", { cause: 1 });
  expect(error.name).toBe("NonRetryableError");
  expect(error.stack).toMatch(/^NonRetryableError: gone/);
  expect(error.cause).toBe(1);
  expect(Object.keys(error)).toEqual([]);
  expect(new RetryAfterError("90s").retryInMs).toBe(90_000);
  expect(() => new RetryAfterError("soon" as never)).toThrow(RangeError);
});
