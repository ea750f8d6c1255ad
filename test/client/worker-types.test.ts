import { expectTypeOf, it } from "vitest";
import { z } from "zod";
import { type Ctx, createWorker, defineTask, type TakeCtx, type Worker, type WorkerState } from "../../client/index.ts";

const reach = { url: "http://millrace.test", token: "a-token" };
const declared = defineTask({ name: "declared", input: z.object({ a: z.number() }) });
const free = declared.handler(({ a }) => a);
const mail = defineTask({ name: "mail" }).handler((_, ctx: Ctx<{ MAIL_KEY: string }>) => ctx.env.MAIL_KEY);
const store = defineTask({ name: "store" }).handler((_, ctx: Ctx<{ BUCKET: number }>) => ctx.env.BUCKET);
const index = defineTask({ name: "index", take: { max: 10 } }).handler((jobs, ctx: TakeCtx<{ MAIL_KEY: string }>) =>
  jobs.map(() => ctx.env.MAIL_KEY),
);

it("takes tasks whose handlers are content with its environment", () => {
  expectTypeOf(createWorker({ ...reach, tasks: [free] })).toEqualTypeOf<Worker>();
  expectTypeOf(createWorker({ ...reach, tasks: [free, mail, index], env: { MAIL_KEY: "k" } })).toEqualTypeOf<Worker>();
  expectTypeOf(
    createWorker({ ...reach, tasks: [mail, store] as const, env: { MAIL_KEY: "k", BUCKET: 1 } }),
  ).toEqualTypeOf<Worker>();
  expectTypeOf<Worker["getSnapshot"]>().returns.toEqualTypeOf<WorkerState>();
});

it("refuses others when compiling", () => {
  const compiles = (_: () => unknown) => {};
  // @ts-expect-error: a declaration has no handler
  compiles(() => createWorker({ ...reach, tasks: [declared] }));
  // @ts-expect-error: the handler wants an environment
  compiles(() => createWorker({ ...reach, tasks: [mail] }));
  // @ts-expect-error: the handler wants a key that is a text
  compiles(() => createWorker({ ...reach, tasks: [mail], env: { MAIL_KEY: 1 } }));
  // @ts-expect-error: one of the handlers wants more than is there
  compiles(() => createWorker({ ...reach, tasks: [mail, store], env: { MAIL_KEY: "k" } }));
  // @ts-expect-error: the same of a handler that takes many
  compiles(() => createWorker({ ...reach, tasks: [index], env: {} }));
  // @ts-expect-error: an option that does not exist
  compiles(() => createWorker({ ...reach, tasks: [free], slot: 2 }));
  // @ts-expect-error: a transport that does not exist
  compiles(() => createWorker({ ...reach, tasks: [free], transport: "ws" }));
  // @ts-expect-error: a duration needs a unit
  compiles(() => createWorker({ ...reach, tasks: [free] }).stop({ timeout: "30" }));
});
