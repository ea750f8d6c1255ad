import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { z } from "zod";
import { type AnyTaskDeclaration, defineTask } from "../../client/index.ts";
import { finish, openQueue } from "./shift.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it.each([
  ["optional", z.object({ a: z.string() }).optional(), undefined],
  ["nullable", z.object({ a: z.string() }).nullable(), null],
  ["with a default", z.string().default("x"), "x"],
  [
    "checked asynchronously",
    z
      .string()
      .refine(async () => true)
      .optional(),
    undefined,
  ],
])(
  "runs a job without a payload, or with null, as it was accepted, where the input is %s",
  async (_what, input, got) => {
    const seen: unknown[] = [];
    const task = defineTask({ name: "bare", input }).handler((given) => void seen.push(given));
    const queue = openQueue([task as unknown as AnyTaskDeclaration]);
    const seqs = await queue.add("bare", [undefined, null]);
    await finish(queue.session());
    expect(seqs.map((seq) => queue.job(seq).state)).toEqual(["completed", "completed"]);
    expect(seen).toEqual([got, got]);
  },
);

it("refuses a job without a payload that its task needs", async () => {
  const task = defineTask({ name: "bare", input: z.object({ a: z.string() }) }).handler(() => null);
  const queue = openQueue([task as unknown as AnyTaskDeclaration]);
  await expect(queue.add("bare", [undefined])).rejects.toThrow();
});
