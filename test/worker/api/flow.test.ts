import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineTask, type TaskOptions } from "../../../client/task.ts";
import type { JobOptions, NewJob } from "../../../client/types.ts";
import type { JobTemplate } from "../../../client/wire.ts";
import { readConfig } from "../../../worker/config.ts";
import { resolveJobs } from "../../../worker/resolve.ts";

const NOW = Date.parse("2026-11-22T00:00:00Z");
const HOUR = 3_600_000;
const input = z.object({ who: z.string().default("nobody"), n: z.coerce.number().default(1) });
const hook = defineTask({
  name: "hook",
  input,
  keys: ({ who }) => ({ customer: who }),
  cost: ({ n }) => ({ customer: n }),
  fairKey: ({ who }) => who,
  orderingKey: ({ who }) => (who === "nobody" ? undefined : `o-${who}`),
});
/** A task whose function for one option is as a mistaken program may make it. */
const giving = (option: string, make: () => unknown) => defineTask({ name: "t", [option]: make } as TaskOptions);

function resolving(tasks: Parameters<typeof readConfig>[0]["tasks"]) {
  const config = readConfig({ tasks, queues: { q: {} } });
  return (jobs: unknown[], parsed = false) =>
    resolveJobs(config, { queue: "q", jobs: jobs as NewJob[], actor: null, now: NOW, parsed });
}

const resolve = resolving([hook, defineTask({ name: "any" })]);

async function templatesOf(jobs: unknown[], by = resolve): Promise<JobTemplate[]> {
  const done = await by(jobs);
  if (!done.ok) throw new Error(JSON.stringify(done));
  return done.jobs.map(([template]) => done.templates[template]!);
}

async function errorOf(job: unknown, by = resolve) {
  const done = await by([job], true);
  if (done.ok) throw new Error(`was taken: ${JSON.stringify(done.templates)}`);
  expect(done.code).toBe("invalid_request");
  return done.errors![0]!;
}

const any = (options: JobOptions) => templatesOf([{ task: "any", ...options }]).then(([template]) => template!);

describe("options of a job", () => {
  it("become those of its template", async () => {
    const keys = { tenant: "acme", constructor: "x", "a.b_c-1": "é😀" };
    expect(await any({ keys, cost: { tenant: 3, constructor: 1 }, fairKey: "f", orderingKey: "o" })).toMatchObject({
      ...{ keys, cost: { tenant: 3 }, fairKey: "f", orderingKey: "o" },
    });
    const eight = Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`k${n}`, "v".repeat(255)]));
    expect((await any({ keys: eight })).keys).toEqual(eight);
  });

  it("leave a template without them as it always was", async () => {
    const [plain, empty] = await templatesOf([{ task: "any" }, { task: "any", keys: {}, cost: {} }]);
    expect(Object.keys(empty!)).toEqual(Object.keys(plain!));
    expect(Object.keys(plain!)).not.toContain("keys");
  });

  it.each<[JobOptions["deadline"], Partial<JobTemplate>]>([
    ["1s", { deadlineMs: 1_000 }],
    ["366d", { deadlineMs: 366 * 24 * HOUR }],
    ["2026-11-22T01:00:00+00:00", { deadlineAt: NOW + HOUR }],
    [new Date(NOW + 1), { deadlineAt: NOW + 1 }],
  ])("take %s as a deadline", async (deadline, expected) => {
    expect(await any({ deadline })).toMatchObject(expected);
  });

  it("take a deadline after the start", async () => {
    expect(await any({ delay: "1h", deadline: "3601s" })).toMatchObject({ delayMs: HOUR, deadlineMs: 3_601_000 });
    expect(await any({ runAt: "1999-01-01T00:00:00Z", deadline: "1s" })).toMatchObject({ deadlineMs: 1_000 });
  });

  const none = { ttlMs: null, waitMs: null, maxWaitMs: null };
  const all = ["waiting", "running", "completed", "dead", "cancelled"];
  it.each<[JobOptions["unique"], object]>([
    [{ key: "k" }, { ...none, states: ["waiting", "running"], onConflict: "return" }],
    [
      { key: "k", onConflict: "reject", ttl: "1h" },
      { ...none, states: ["waiting", "running"], onConflict: "reject", ttlMs: HOUR },
    ],
    [
      { key: "k", states: ["dead", "waiting", "running", "dead"], ttl: "1h" },
      { ...none, states: ["waiting", "running", "dead"], onConflict: "return", ttlMs: HOUR },
    ],
    [
      { key: "k", onConflict: "replace" },
      { ...none, states: ["waiting"], onConflict: "replace" },
    ],
    [
      { key: "k", onConflict: "debounce", wait: "5s", maxWait: "5s" },
      { ...none, states: ["waiting"], onConflict: "debounce", waitMs: 5_000, maxWaitMs: 5_000 },
    ],
    [
      { key: "k", onConflict: "throttle", wait: "5s" },
      { ...none, states: all, onConflict: "throttle", waitMs: 5_000, ttlMs: 5_000 },
    ],
  ])("resolve %j", async (unique, expected) => {
    expect((await any({ unique })).unique).toEqual({ key: "k", ...expected });
  });

  it("pass over members that JSON would leave out", async () => {
    const keys = { a: "x", b: undefined } as unknown as Record<string, string>;
    expect(await any({ keys, cost: { a: 2, b: undefined as never } })).toMatchObject({
      keys: { a: "x" },
      cost: { a: 2 },
    });
  });

  it("refuse an invalid Date, and half a surrogate pair that came without JSON", async () => {
    expect(await errorOf({ task: "any", deadline: new Date(Number.NaN) })).toMatchObject({ path: "jobs[0].deadline" });
    for (const wrong of [{ keys: { a: "\ud800" } }, { orderingKey: "\udc00" }, { unique: { key: "a\ud800" } }]) {
      expect((await errorOf({ task: "any", ...wrong })).message).toContain("half of a surrogate pair");
    }
  });
});

describe("options that a task makes of the payload", () => {
  it("see what its schema gives back, and share a template where they come to the same", async () => {
    const payloads = [{ who: "a", n: "3" }, { who: "b" }, { n: 1 }, { who: "a", n: 3 }, { who: "b", n: 1 }];
    const all = await templatesOf(payloads.map((payload) => ({ task: "hook", payload })));
    expect(all[3]).toBe(all[0]);
    expect(all[4]).toBe(all[1]);
    expect(all.slice(0, 3).map(({ keys, cost, fairKey, orderingKey }) => [keys, cost, fairKey, orderingKey])).toEqual([
      [{ customer: "a" }, { customer: 3 }, "a", "o-a"],
      [{ customer: "b" }, undefined, "b", "o-b"],
      [{ customer: "nobody" }, undefined, "nobody", undefined],
    ]);
  });

  it("keep one template for each set among a thousand jobs, with a schema that takes its time too", async () => {
    const slow = defineTask({
      name: "slow",
      input: z.object({ n: z.number() }).refine(async () => true),
      keys: ({ n }) => ({ shard: String(n % 10) }),
    });
    const by = resolving([slow]);
    const templates = await templatesOf(
      Array.from({ length: 1_000 }, (_, n) => ({ task: "slow", payload: { n } })),
      by,
    );
    expect(templates.map(({ keys }) => keys!.shard)).toEqual(templates.map((_, n) => String(n % 10)));
    expect(new Set(templates).size).toBe(10);
  });

  it("give way to the job's own", async () => {
    const payload = { who: "a", n: 3 };
    const own = { keys: { vendor: "v" }, fairKey: "mine" };
    const [first, second, third] = await templatesOf([
      { task: "hook", payload, ...own },
      { task: "hook", payload, cost: { customer: 7 } },
      { task: "hook", payload, keys: { customer: "c", vendor: "v" } },
    ]);
    expect(first).toMatchObject({ ...own, orderingKey: "o-a" });
    expect(first).not.toHaveProperty("cost");
    expect(second).toMatchObject({ keys: { customer: "a" }, cost: { customer: 7 } });
    expect(third).toMatchObject({ keys: { customer: "c", vendor: "v" }, cost: { customer: 3 } });
  });

  it("are not asked for where the job says all itself", async () => {
    const by = resolving([giving("orderingKey", () => JSON.parse("{"))]);
    expect((await templatesOf([{ task: "t", orderingKey: "mine" }], by))[0]!.orderingKey).toBe("mine");
  });

  it("get JSON as the handler will, where there is no schema", async () => {
    const seen: unknown[] = [];
    const by = resolving([defineTask({ name: "bare", fairKey: (payload) => void seen.push(payload) })]);
    await templatesOf(
      [
        { task: "bare", payload: { at: new Date(NOW), gone: undefined } },
        { task: "bare" },
        { task: "bare", payload: 0 },
      ],
      by,
    );
    expect(seen).toEqual([{ at: "2026-11-22T00:00:00.000Z" }, null, 0]);
  });

  it("may be a value for all jobs", async () => {
    const fixed = defineTask({
      ...{ name: "fixed", keys: { vendor: "s" }, cost: { vendor: 2 }, fairKey: "f", orderingKey: "o", deadline: "1h" },
      unique: { key: "u", onConflict: "debounce", wait: "1m" },
    });
    expect((await templatesOf([{ task: "fixed" }], resolving([fixed])))[0]).toMatchObject({
      ...{ keys: { vendor: "s" }, cost: { vendor: 2 }, fairKey: "f", orderingKey: "o", deadlineMs: HOUR },
      unique: { key: "u", waitMs: 60_000 },
    });
  });

  it("may make a deadline of a Date", async () => {
    const due = defineTask({ name: "due", input: z.object({ at: z.coerce.date() }), deadline: ({ at }) => at });
    const by = resolving([due]);
    const job = (ms: number) => ({ task: "due", payload: { at: new Date(NOW + ms).toISOString() } });
    expect((await templatesOf([job(HOUR)], by))[0]).toMatchObject({ deadlineAt: NOW + HOUR });
    expect(await errorOf(job(-1), by)).toEqual({
      path: "jobs[0].payload",
      message: 'makes deadline of task "due" "2026-11-21T23:59:59.999Z", but deadline is not ahead of now',
    });
  });
});

class Odd {
  customer = "x";
}
const loop: { loop?: unknown } = {};
loop.loop = loop;

describe("what a task makes of a payload and cannot be", () => {
  it.each<[string, () => unknown, RegExp]>([
    ["keys", () => JSON.parse("{"), /^makes keys of task "t" throw SyntaxError$/],
    ["keys", () => Promise.reject(new Error("no")), /keys of task "t" a Promise, which it cannot be/],
    ["keys", () => new Map([["customer", "x"]]), /a Map/],
    ["keys", () => new Odd(), /an? Odd/],
    ["keys", () => () => 1, /a function/],
    ["keys", () => Symbol("x"), /a symbol/],
    ["keys", () => 5, /5, but keys is an object of a value for each kind/],
    ["keys", () => null, /null, but keys is an object/],
    ["keys", () => 5n, /what JSON cannot hold/],
    ["keys", () => ({ customer: undefined }), /\{ customer: undefined \}/],
    ["keys", () => ({ customer: 5 }), /\{"customer":5\}, but keys.customer is a key: 1 to 255 characters/],
    ["keys", () => ({ customer: "" }), /keys.customer/],
    ["keys", () => ({ customer: "\ud800" }), /half of a surrogate pair/],
    ["keys", () => ({ ["__proto__"]: "x" }), /keys.__proto__ is a kind of key/],
    ["keys", () => loop, /what JSON cannot hold|keys.loop/],
    ["keys", () => Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`k${n}`, "x"])), /holds 1000 kinds/],
    ["cost", () => ({ customer: Number.NaN }), /cost.customer is a whole number from 1/],
    ["cost", () => ({ customer: -1 }), /cost.customer/],
    ["fairKey", () => "", /"", but fairKey is a key: 1 to 255/],
    ["orderingKey", () => 5, /5, but orderingKey/],
    ["orderingKey", () => "k".repeat(1e6), /^.{0,250}$/],
    ["unique", () => "key", /unique is \{ key/],
    ["unique", () => ({ key: undefined }), /unique.key is missing/],
    ["unique", () => ({ key: "a", onConflict: "debounce" }), /unique.wait is missing: debounce needs it/],
    ["deadline", () => "1999-12-31T23:59:59Z", /deadline is not ahead of now/],
    ["deadline", () => new Date(Number.NaN), /null, but deadline is a duration/],
    ["deadline", () => 60_000, /60000, but deadline/],
  ])("%s: %s is the payload's fault", async (option, make, message) => {
    const error = await errorOf({ task: "t", payload: 1 }, resolving([giving(option, make)]));
    expect(error.path).toBe("jobs[0].payload");
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`${option} of task "t"`);
  });

  it("refuses the whole call, and names the job", async () => {
    const by = resolving([defineTask({ name: "t", fairKey: (n) => (n === 2 ? "" : "f") })]);
    const done = await by([0, 1, 2, 3].map((payload) => ({ task: "t", payload })));
    expect(done).toMatchObject({ ok: false, errors: [{ path: "jobs[2].payload" }] });
  });

  it("is said where the caller can mend it, when two options do not go together", async () => {
    const debounce = { key: "u", onConflict: "debounce", wait: "2h" } as const;
    const late = resolving([defineTask({ name: "t", deadline: "1h" })]);
    const moved = resolving([defineTask({ name: "t", unique: () => debounce })]);
    const both = resolving([defineTask({ name: "t", unique: () => debounce, deadline: "1h" })]);
    expect(await errorOf({ task: "t", delay: "1h" }, late)).toEqual({
      path: "jobs[0].delay",
      message: 'leaves no time before the deadline of task "t", 1h',
    });
    const runAt = new Date(NOW + 2 * HOUR);
    expect(await errorOf({ task: "t", runAt }, late)).toMatchObject({ path: "jobs[0].runAt" });
    expect(await errorOf({ task: "t", unique: debounce }, late)).toMatchObject({ path: "jobs[0].unique.wait" });
    expect(await errorOf({ task: "t", delay: "1h" }, moved)).toMatchObject({ path: "jobs[0].delay" });
    expect(await errorOf({ task: "t", deadline: "1h" }, moved)).toMatchObject({ path: "jobs[0].deadline" });
    expect(await errorOf({ task: "t" }, both)).toMatchObject({
      path: "jobs[0].payload",
      message: expect.stringMatching(/^makes unique of task "t" \{"key":"u".*, but deadline is not after the start/),
    });
  });
});

describe("createMillrace refuses a task", () => {
  it.each<[object, RegExp]>([
    [{ keys: { "a:b": "x" } }, /Task "t": keys\.a:b is a kind of key/],
    [{ keys: { tenant: "" } }, /keys\.tenant is a key: 1 to 255 characters/],
    [{ cost: { tenant: 0 } }, /cost\.tenant is a whole number/],
    [{ keys: { tenant: "a" }, cost: { tennant: 2 } }, /cost\.tennant is of no kind in keys: there are tenant/],
    [{ orderingKey: "" }, /orderingKey is a key/],
    [{ fairKey: "k".repeat(256) }, /fairKey is a key/],
    [{ deadline: "1ms" }, /deadline is a duration/],
    [{ deadline: "2030-01-01T00:00:00Z" }, /deadline is an instant, which later jobs are past/],
    [{ unique: { key: "a", onConflict: "throttle" } }, /unique\.wait is missing: throttle needs it/],
    [{ unique: { key: "a", onConflict: "debounce", wait: "1h" }, deadline: "1h" }, /deadline is not after the start/],
  ])("with %j", (options, message) => {
    expect(() => readConfig({ tasks: [defineTask({ name: "t", ...options })] })).toThrow(message);
  });
});
