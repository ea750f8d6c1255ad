import { expectTypeOf, it } from "vitest";
import { z } from "zod";
import {
  type Ctx,
  cancel,
  createClient,
  defineTask,
  type EnqueuedJobHandle,
  type EnqueueOutcome,
  type Explanation,
  type InputOf,
  type Json,
  type KeyState,
  type QueueConfig,
  type ResultOf,
  snooze,
  type TakeCtx,
  type TakenJob,
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

it("types the options that a task makes of its payload by what its schema gives back", () => {
  const compiles = (_: () => unknown) => {};
  const input = z.object({ customer: z.string(), weight: z.coerce.number().default(1), due: z.date().optional() });
  const hook = defineTask({
    name: "hook",
    input,
    keys: (i) => {
      expectTypeOf(i).toEqualTypeOf<{ customer: string; weight: number; due?: Date | undefined }>();
      return { customer: i.customer };
    },
    cost: ({ weight }) => ({ customer: weight }),
    orderingKey: ({ customer }) => (customer === "" ? undefined : customer),
    fairKey: ({ customer }) => customer,
    unique: ({ customer }) => ({ key: customer, states: ["waiting"], onConflict: "debounce", wait: "5s" }),
    deadline: ({ due }) => due ?? "1h",
  });
  expectTypeOf<InputOf<typeof hook>["weight"]>().toEqualTypeOf<unknown>();
  const fixed = { keys: { vendor: "stripe" }, cost: { vendor: 3 }, fairKey: "a", orderingKey: "b" } as const;
  compiles(() => defineTask({ name: "x", ...fixed, unique: { key: "x", onConflict: "reject" }, deadline: "1h" }));
  compiles(() => defineTask({ name: "x", keys: (i) => ({ as: expectTypeOf(i).toEqualTypeOf<Json>() && "json" }) }));
  compiles(() => createClient<(typeof hook)[]>({ url: "http://x" }).enqueue(hook, { customer: "1" }));
  // @ts-expect-error: the payload has no such field
  compiles(() => defineTask({ name: "x", input, keys: (i) => ({ customer: i.custmer }) }));
  // @ts-expect-error: the value of a key is a string
  compiles(() => defineTask({ name: "x", input, keys: (i) => ({ weight: i.weight }) }));
  // @ts-expect-error: a field that may be missing is no key
  compiles(() => defineTask({ name: "x", input: z.object({ a: z.string().optional() }), keys: (i) => ({ a: i.a }) }));
  // @ts-expect-error: a promise is no key
  compiles(() => defineTask({ name: "x", input, keys: async (i) => ({ customer: i.customer }) }));
  // @ts-expect-error: a cost is a number
  compiles(() => defineTask({ name: "x", cost: { vendor: "3" } }));
  // @ts-expect-error: a unique key has a key
  compiles(() => defineTask({ name: "x", unique: { onConflict: "reject" } }));
  // @ts-expect-error: no such way to meet a conflict
  compiles(() => defineTask({ name: "x", input, unique: (i) => ({ key: i.customer, onConflict: "ignore" }) }));
  // @ts-expect-error: the deadline of a task is a duration, or made of the payload
  compiles(() => defineTask({ name: "x", deadline: "2026-11-22T00:00:00Z" }));
});

it("types the client by its tasks", () => {
  const compiles = (_: () => unknown) => {};
  const client = createClient<typeof tasks>({ url: "http://x" });
  const fromModule = createClient<typeof asModule>({ url: "http://x" });
  const declaration = defineTask({ name: "silent", input: z.object({ a: z.number() }) });

  compiles(() => {
    const job = client.enqueue("send-welcome", { userId: "1" }, { delay: "10m", tags: ["x"] });
    expectTypeOf(job).toEqualTypeOf<Promise<EnqueuedJobHandle<ResultOf<typeof welcome>>>>();
    expectTypeOf(fromModule.enqueue(welcome, { userId: "1" })).toEqualTypeOf(job);
    expectTypeOf(client.enqueue("silent", { a: 1 })).toEqualTypeOf<Promise<EnqueuedJobHandle<null>>>();
    expectTypeOf(client.enqueueMany("silent", [{ a: 1 }])).toEqualTypeOf<Promise<EnqueuedJobHandle<null>[]>>();
    expectTypeOf(client.job<"silent">("q:0:1").result()).toEqualTypeOf<Promise<null>>();
    expectTypeOf(job).resolves.toHaveProperty("outcome").toEqualTypeOf<EnqueueOutcome>();
    client.enqueue("silent", { a: 1 }, { keys: { tenant: "acme" }, cost: { tenant: 2 }, fairKey: "a", deadline: "1h" });
    client.enqueueMany("silent", [{ a: 1 }], {
      orderingKey: "a",
      deadline: new Date(),
      unique: { key: "1", ttl: "1h" },
    });
    client.enqueue("plain", 1, {
      unique: { key: "1", states: ["waiting", "completed"], ttl: "1h", onConflict: "replace" },
    });
    client.enqueue("plain");
    client.enqueue("plain", { any: ["json"] });
    client.enqueue(declaration, { a: 1 });
    for (const name of ["plain", "silent"] as const) client.job<typeof name>("q:0:1");
  });
  // @ts-expect-error: a wrong payload
  compiles(() => client.enqueue("send-welcome", { userId: 1 }));
  // @ts-expect-error: a payload with a field too many
  compiles(() => client.enqueue("send-welcome", { userId: "1", name: "x" }));
  // @ts-expect-error: no payload
  compiles(() => client.enqueue("send-welcome"));
  // @ts-expect-error: a wrong payload for a declaration
  compiles(() => client.enqueue(silent, { a: "1" }));
  // @ts-expect-error: a wrong payload among many
  compiles(() => client.enqueueMany("silent", [{ a: 1 }, { a: "2" }]));
  // @ts-expect-error: an unknown task
  compiles(() => client.enqueue("send-welcom", { userId: "1" }));
  // @ts-expect-error: an unknown task in a module
  compiles(() => fromModule.enqueue("other", {}));
  // @ts-expect-error: an unknown task by declaration
  compiles(() => client.enqueue(defineTask({ name: "elsewhere" }), {}));
  // @ts-expect-error: an unknown option
  compiles(() => client.enqueue("silent", { a: 1 }, { dealy: "10m" }));
  // @ts-expect-error: an unknown option of many
  compiles(() => client.enqueueMany("silent", [], { dealy: "10m" }));
  // @ts-expect-error: a key that is no string
  compiles(() => client.enqueue("silent", { a: 1 }, { keys: { tenant: 5 } }));
  // @ts-expect-error: an unknown option of unique
  compiles(() => client.enqueue("silent", { a: 1 }, { unique: { key: "1", policy: "reject" } }));
  // @ts-expect-error: waiting states go together
  compiles(() => client.enqueue("silent", { a: 1 }, { unique: { key: "1", states: ["scheduled"] } }));
  // @ts-expect-error: unique without its key
  compiles(() => client.enqueueMany("silent", [{ a: 1 }], { unique: { ttl: "1h" } }));
  // @ts-expect-error: a delay without unit
  compiles(() => client.enqueue("silent", { a: 1 }, { delay: 600 }));
  // @ts-expect-error: an unknown filter
  compiles(() => client.jobs({ queues: "mail" }));
  // @ts-expect-error: an unknown state
  compiles(() => client.jobs({ state: "failed" }));
  // @ts-expect-error: an unknown setting
  compiles(() => client.queue("mail").configure({ concurency: 5 }));
  // @ts-expect-error: no token where a URL should be
  compiles(() => createClient({ token: "x" }));
});

it("types the settings of queues", () => {
  const compiles = (_: () => unknown) => {};
  const queue = createClient({ url: "http://x" }).queue("hooks");
  const rateLimit = { limit: 10, per: "1s", burst: 20 } as const;

  compiles(() => {
    queue.configure({ rateLimit, ageing: { per: "1m", priority: 1 }, tasks: { mail: { concurrency: 2 } } });
    queue.configure({ limits: { tenant: { concurrency: null, rateLimit, values: { big: { concurrency: 9 } } } } });
    queue.configure({
      limits: { tenant: { values: { big: null } }, vendor: null },
      fairness: { weights: { a: null } },
    });
    queue.configure({ rateLimit: null, ageing: null, tasks: null, limits: null, fairness: null });
    expectTypeOf(queue.keys({ kind: "tenant" })).toEqualTypeOf<Promise<KeyState[]>>();
    expectTypeOf(queue.pauseKey("tenant", "acme", { for: "1m" })).toEqualTypeOf<Promise<KeyState>>();
    expectTypeOf(createClient({ url: "http://x" }).job("q:0:1").explain()).toEqualTypeOf<Promise<Explanation>>();
  });
  // @ts-expect-error: a rate limit is one value
  compiles(() => queue.configure({ rateLimit: { limit: 10, burst: 5 } }));
  // @ts-expect-error: a unit is missing
  compiles(() => queue.configure({ rateLimit: { limit: 10, per: "1" } }));
  // @ts-expect-error: no setting of a task
  compiles(() => queue.configure({ tasks: { mail: { slots: 2 } } }));
  // @ts-expect-error: values hold no values
  compiles(() => queue.configure({ limits: { tenant: { values: { big: { values: {} } } } } }));
  // @ts-expect-error: for how long
  compiles(() => queue.pauseKey("tenant", "acme", { reason: "x" }));
  // @ts-expect-error: code takes nothing back
  compiles((): QueueConfig => ({ limits: { tenant: null } }));
});

it("takes any task where none are named", () => {
  const client = createClient({ url: "http://x" });
  const compiles = (_: () => unknown) => {};
  compiles(() => client.enqueue("whatever", { a: 1 }));
  compiles(() => client.enqueue(welcome, { userId: "1" }));
  // @ts-expect-error: a declaration still says what it takes
  compiles(() => client.enqueue(welcome, { userId: 1 }));
});

it("knows what each operation takes", () => {
  const client = createClient({ url: "http://localhost" });
  expectTypeOf(client.redrive).returns.resolves.toHaveProperty("done");
  const never = (): void => {
    void client.operate({ action: "setPriority", filter: { queue: "mail" }, args: { priority: 1 } });
    void client.operate({ action: "reschedule", filter: { state: ["scheduled", "retrying"] }, args: { delay: "1m" } });
    // @ts-expect-error: a priority is missing
    void client.operate({ action: "setPriority", filter: { queue: "mail" } });
    void client.operate({ action: "retry", filter: { queue: "mail" }, canary: { count: 10, minSuccess: 0.9 } });
    // @ts-expect-error: a canary goes with retry only
    void client.operate({ action: "cancel", filter: { queue: "mail" }, canary: { count: 10, minSuccess: 0.9 } });
    // @ts-expect-error: nothing of this kind is done
    void client.operate({ action: "explode", filter: { queue: "mail" } });
    // @ts-expect-error: there is no such state
    void client.redrive({ state: "gone" });
    // @ts-expect-error: the name has to be said once more
    void client.queue("mail").purge({});
    // @ts-expect-error: what runs cannot be purged
    void client.queue("mail").purge({ confirm: "mail", states: ["running"] });
  };
  expectTypeOf(never).toBeFunction();
});

it("types follow-up jobs as enqueues", () => {
  const handler = (_: (ctx: Ctx) => unknown) => {};
  handler((ctx) => {
    ctx.enqueue(welcome, { userId: "1" }, { delay: "10m", queue: "elsewhere" });
    ctx.enqueue(plain);
    ctx.enqueue("by.name", { any: ["thing"] });
    expectTypeOf(ctx.enqueue(silent, { a: 1 })).toEqualTypeOf<void>();
    expectTypeOf(ctx.rateLimited("customer", "30s")).toEqualTypeOf<never>();
  });
  // @ts-expect-error: a wrong payload
  handler((ctx) => ctx.enqueue(welcome, { userId: 1 }));
  // @ts-expect-error: no payload
  handler((ctx) => ctx.enqueue(welcome));
  // @ts-expect-error: an unknown option
  handler((ctx) => ctx.enqueue(silent, { a: 1 }, { dealy: "10m" }));
  // @ts-expect-error: an option of a call, which this is not
  handler((ctx) => ctx.enqueue(silent, { a: 1 }, { idempotencyKey: "x" }));
  // @ts-expect-error: neither a task nor a name
  handler((ctx) => ctx.enqueue(42, {}));
  // @ts-expect-error: a duration needs a unit
  handler((ctx) => ctx.rateLimited("customer", 30));
});

it("types handlers that take many", () => {
  const take = { max: 100, wait: "2s" } as const;
  const index = defineTask({ name: "index", input: z.object({ id: z.coerce.number() }), take });
  const each = index.handler(async (jobs, ctx: TakeCtx<Env>) => {
    expectTypeOf(jobs).toEqualTypeOf<readonly TakenJob<{ id: number }>[]>();
    expectTypeOf(ctx.env.MAIL_KEY).toEqualTypeOf<string>();
    return jobs.map(({ input }) => (input.id > 9 ? { stored: input.id } : snooze("1m")));
  });
  const none = index.handler((jobs) => {
    for (const job of jobs) job.complete({ any: "thing" });
  });
  expectTypeOf<InputOf<typeof each>>().toEqualTypeOf<{ id: unknown }>();
  expectTypeOf<ResultOf<typeof each>>().toExtend<{ stored: number }>();
  expectTypeOf<ResultOf<typeof none>>().toEqualTypeOf<Json>();
  expectTypeOf<TaskName<readonly [typeof each, typeof plain]>>().toEqualTypeOf<"index" | "plain">();
  const client = createClient<[typeof each, typeof plain]>({ url: "http://x" });
  const compiles = (_: () => unknown) => {};
  compiles(() => client.enqueue("index", { id: 1 }));
  compiles(() => client.enqueue(index, { id: 1 }));
  // @ts-expect-error: a handler of one job
  compiles(() => index.handler(({ id }) => id));
  // @ts-expect-error: a result for all
  compiles(() => index.handler(() => 5));
  // @ts-expect-error: a promise of a result for all
  compiles(() => index.handler(async () => ({ stored: 5 })));
  // @ts-expect-error: take needs a bound
  compiles(() => defineTask({ name: "x", take: { wait: "2s" } }));
  // @ts-expect-error: a duration needs a unit
  compiles(() => defineTask({ name: "x", take: { max: 5, wait: 2 } }));
  // @ts-expect-error: what takes one has no verbs
  compiles(() => plain.handler((_, ctx) => ctx.complete()));
});
