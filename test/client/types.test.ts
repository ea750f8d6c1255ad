import { expectTypeOf, it } from "vitest";
import { z } from "zod";
import {
  type Ctx,
  cancel,
  defineTask,
  type InputOf,
  type Json,
  type ResultOf,
  snooze,
  type TaskName,
  type TaskNamed,
} from "../../client/index.ts";

interface Env {
  MAIL_KEY: string;
}

const welcome = defineTask({
  name: "send-welcome",
  input: z.object({ userId: z.string(), retries: z.coerce.number().default(3) }),
  queue: "mail",
  backoff: { type: "exponential", base: "1m" },
}).handler(async ({ userId, retries }, ctx: Ctx<Env>) => {
  expectTypeOf(userId).toEqualTypeOf<string>();
  expectTypeOf(retries).toEqualTypeOf<number>();
  expectTypeOf(ctx.env.MAIL_KEY).toEqualTypeOf<string>();
  if (ctx.attempt === 3) return snooze("5m");
  if (ctx.attempt === 4) return cancel("gone");
  return { sent: true, at: new Date(0), note: undefined as string | undefined };
});
const plain = defineTask({ name: "plain" });
const silent = defineTask({ name: "silent", input: z.object({ a: z.number() }) }).handler(async () => {});
const tasks = [welcome, plain, silent] as const;
const asModule = { welcome, plain, silent, other: 42, helper: () => 1 };

it("infers payloads, results and names", () => {
  expectTypeOf<InputOf<typeof welcome>>().toEqualTypeOf<{ userId: string; retries?: unknown }>();
  expectTypeOf<ResultOf<typeof welcome>>().toExtend<{ sent: boolean; at: string; note?: string | undefined }>();
  expectTypeOf<ResultOf<typeof welcome>["at"]>().toEqualTypeOf<string>();
  expectTypeOf<InputOf<typeof plain>>().toEqualTypeOf<Json | undefined>();
  expectTypeOf<ResultOf<typeof plain>>().toEqualTypeOf<Json>();
  expectTypeOf<ResultOf<typeof silent>>().toEqualTypeOf<null>();
  expectTypeOf<TaskName<typeof tasks>>().toEqualTypeOf<"send-welcome" | "plain" | "silent">();
  expectTypeOf<TaskName<typeof asModule>>().toEqualTypeOf<"send-welcome" | "plain" | "silent">();
  expectTypeOf<TaskNamed<typeof tasks, "silent">["name"]>().toEqualTypeOf<"silent">();
});

it("refuses wrong declarations when compiling", () => {
  const compiles = (_: () => unknown) => {};
  // @ts-expect-error: an option that does not exist
  compiles(() => defineTask({ name: "x", retries: 3 }));
  // @ts-expect-error: a duration needs a unit
  compiles(() => defineTask({ name: "x", timeout: "30" }));
  // @ts-expect-error: a name is needed
  compiles(() => defineTask({ queue: "mail" }));
  // @ts-expect-error: the input of a handler is what the schema makes
  compiles(() => defineTask({ name: "x", input: z.object({ a: z.number() }) }).handler(({ b }) => b));
});
