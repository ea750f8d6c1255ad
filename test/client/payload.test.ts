import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { z } from "zod";
import { type AnyTaskDeclaration, defineTask } from "../../client/index.ts";
import { finish, openQueue } from "./shift.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it.each([
  ["optional", z.object({ a: z.string() }).optional(), undefined],
  ["with a default", z.string().default("x"), "x"],
  ["with a default, and takes null", z.string().nullable().default("x"), "x"],
  ["coerced, with a default", z.coerce.number().default(5), 5],
  [
    "checked asynchronously",
    z
      .string()
      .refine(async () => true)
      .optional(),
    undefined,
  ],
])("runs a job without a payload as it was accepted, where the input is %s", async (_what, input, got) => {
  const { state, seen } = await run(input, undefined);
  expect({ state, seen }).toEqual({ state: "completed", seen: [got] });
});

it.each([
  ["nullable", z.object({ a: z.string() }).nullable(), null],
  ["null", z.null(), null],
  ["coerced", z.coerce.number(), 0],
])("runs a job with null as it was accepted, where the input is %s", async (_what, input, got) => {
  const { state, seen } = await run(input, null);
  expect({ state, seen }).toEqual({ state: "completed", seen: [got] });
});

it("asks a schema that is an object of its own, or answers with a thenable", async () => {
  class Own {
    readonly version = 1;
    readonly vendor = "own";
    readonly #least = 2;
    validate(value: unknown) {
      const result = Number(value) >= this.#least ? { value } : { issues: [{ message: "is too small" }] };
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is asked for here
      return { then: (done: (value: unknown) => void) => done(result) } as never;
    }
  }
  const input = { "~standard": new Own() } as never;
  expect(await run(input, 3)).toEqual({ state: "completed", seen: [3] });
  await expect(run(input, 1)).rejects.toThrow("payload");
});

async function run(input: z.ZodType, payload: unknown) {
  const seen: unknown[] = [];
  const task = defineTask({ name: "bare", input }).handler((given) => void seen.push(given));
  const queue = openQueue([task as unknown as AnyTaskDeclaration]);
  const [seq] = await queue.add("bare", [payload]);
  await finish(queue.session());
  return { state: queue.job(seq!).state, seen };
}

it("refuses a job without a payload that its task needs", async () => {
  const task = defineTask({ name: "bare", input: z.object({ a: z.string() }) }).handler(() => null);
  const queue = openQueue([task as unknown as AnyTaskDeclaration]);
  await expect(queue.add("bare", [undefined])).rejects.toThrow();
});
