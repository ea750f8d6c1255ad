import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { type AnyTaskDeclaration, type Ctx, defineTask, type FollowUpOptions, snooze } from "../../client/index.ts";
import type { FollowUp } from "../../client/types.ts";
import { readConfig } from "../../worker/config.ts";
import { resolveFollowUps } from "../../worker/follow-ups.ts";
import { finish, openQueue, pass } from "./shift.ts";

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 5, 1) }));
afterEach(() => void vi.useRealTimers());

const wipe = defineTask({
  name: "wipe",
  queue: "work",
  priority: 3,
  input: z.object({ what: z.string().max(20) }),
}).handler(() => {});
const far = defineTask({ name: "far", queue: "far" });

/** Runs one job of a task with this handler, and answers with what it came to. */
async function run(handler: (ctx: Ctx) => unknown, options: object = {}) {
  const parent = defineTask({ name: "parent", queue: "work", maxAttempts: 5 }).handler((_, ctx) => handler(ctx));
  const queue = openQueue([parent, wipe, far] as readonly AnyTaskDeclaration[]);
  const [seq] = await queue.add("parent", [1], { keys: { tenant: "acme", constructor: "x" }, ...options });
  await finish(queue.session({ claimForMs: 1_000 }));
  const job = queue.job(seq!);
  return { job, queue, error: job.error === null ? null : JSON.parse(job.error) };
}

const children = (queue: ReturnType<typeof openQueue>) =>
  queue.rows("SELECT payload, state, priority, options FROM jobs WHERE options LIKE '%parent%' ORDER BY seq");
const outgoing = (queue: ReturnType<typeof openQueue>) => queue.rows("SELECT queue, source, body FROM outgoing");

describe("ctx.enqueue", () => {
  it("makes jobs with the completion: by declaration or name, with options, resolved as any enqueue", async () => {
    const { job, queue } = await run((ctx) => {
      ctx.enqueue(wipe, { what: "mail" }, { delay: "1h", tags: ["gone"] });
      ctx.enqueue("wipe", { what: "files" }, { runAt: new Date(Date.now() + 7_200_000), priority: 9 });
      ctx.enqueue(far);
      ctx.enqueue(wipe, { what: "far" }, { queue: "elsewhere", unique: { key: "k", onConflict: "reject" } });
      return "done";
    });
    expect(job).toMatchObject({ state: "completed", result: '"done"' });
    const [mail, files] = children(queue);
    expect(mail).toMatchObject({ payload: '{"what":"mail"}', state: "scheduled", priority: 3 });
    expect(JSON.parse(String(mail!.options))).toMatchObject({ parent: "work:0:1", tags: ["gone"] });
    expect(files).toMatchObject({ payload: '{"what":"files"}', state: "scheduled", priority: 9 });
    expect(outgoing(queue).map(({ queue: to, source }) => [to, source])).toEqual([
      ["far", "work:0:1/1/1"],
      ["elsewhere", "work:0:1/1/2"],
    ]);
    const [first, second] = outgoing(queue).map(({ body }) => JSON.parse(String(body)));
    expect(first).toMatchObject({ templates: [{ task: "far", parent: "work:0:1" }], jobs: [[0, null]] });
    expect(second.templates).toMatchObject([{ task: "wipe", unique: { key: "k" } }]);
  });

  it("takes the payload as it is at the call", async () => {
    const payload = { what: "before" };
    const { queue } = await run((ctx) => {
      ctx.enqueue(wipe, payload, { delay: "1h" });
      payload.what = "after";
    });
    expect(children(queue)).toMatchObject([{ payload: '{"what":"before"}' }]);
  });

  it.each([
    ["fails", () => Promise.reject(new Error("no")), "scheduled"],
    ["snoozes", () => snooze("1h"), "scheduled"],
    ["returns what JSON cannot hold", () => 1n, "dead"],
  ])("makes nothing when the attempt %s", async (_, end, state) => {
    const { job, queue } = await run((ctx) => {
      ctx.enqueue(wipe, { what: "x" });
      ctx.enqueue(far);
      return end();
    });
    expect(job.state).toBe(state);
    expect(children(queue)).toEqual([]);
    expect(outgoing(queue)).toEqual([]);
  });

  it("throws at once on what it cannot take", async () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const thrown: unknown[] = [];
    const { queue, job } = await run((ctx) => {
      for (const bad of [
        () => ctx.enqueue("wipe", cycle),
        () => ctx.enqueue("wipe", 1n),
        () => ctx.enqueue("wipe", () => {}),
        () => ctx.enqueue("wipe", {}, { runAt: new Date(Number.NaN) }),
        () => ctx.enqueue(undefined as never, {}),
        () => ctx.enqueue("wipe", "x".repeat(9_000_000)),
      ]) {
        try {
          bad();
          thrown.push("nothing");
        } catch (error) {
          thrown.push((error as Error).name);
        }
      }
    });
    expect(thrown).toEqual(["TypeError", "TypeError", "TypeError", "RangeError", "TypeError", "RangeError"]);
    expect(job.state).toBe("completed");
    expect(children(queue)).toEqual([]);
  });

  it("counts what it refused towards nothing", async () => {
    const { queue } = await run((ctx) => {
      expect(() => ctx.enqueue(wipe, { what: "x".repeat(9_000_000) })).toThrow(RangeError);
      ctx.enqueue(wipe, { what: "less" }, { delay: "1h" });
    });
    expect(children(queue)).toHaveLength(1);
  });

  it("takes a thousand, and no more; all of them arrive", async () => {
    const many = (count: number) => (ctx: Ctx) => {
      for (let n = 0; n < count; n++) ctx.enqueue(wipe, { what: String(n) }, { delay: "1h" });
    };
    const { queue } = await run(many(1_000));
    expect(children(queue)).toHaveLength(1_000);
    const tooMany = await run(many(1_001));
    expect(tooMany.error).toMatchObject({ name: "RangeError", message: expect.stringContaining("at most 1000") });
    expect(children(tooMany.queue)).toEqual([]);
  });

  it("throws when the attempt is over, and makes nothing any more", async () => {
    let late: unknown;
    const { queue } = await run((ctx) => {
      setTimeout(() => {
        try {
          ctx.enqueue(wipe, { what: "late" });
        } catch (error) {
          late = error;
        }
      }, 100);
    });
    await pass(200);
    expect(late).toMatchObject({ message: expect.stringContaining("its attempt is over") });
    expect(children(queue)).toEqual([]);
  });

  it.each([
    ["a task that is not known", "wype", {}, {}, /There is no task "wype"\. Did you mean "wipe"\?$/],
    ["a payload that does not fit", "wipe", { what: 5 }, {}, "payload.what"],
    ["a queue that is no name", "wipe", { what: "x" }, { queue: "No Queue" }, 'Queue "No Queue" is not declared'],
    ["an option that is none", "wipe", { what: "x" }, { dealy: "1h" }, "dealy"],
  ])(
    "a queue that would refuse %s makes the attempt a failure that says so",
    async (_, task, payload, options, why) => {
      const { job, queue, error } = await run((ctx) => {
        ctx.enqueue(wipe, { what: "fine" });
        ctx.enqueue(far);
        ctx.enqueue(task, payload, options as FollowUpOptions);
      });
      expect(job).toMatchObject({ state: "scheduled", reason: "retrying", failures: 1 });
      expect(error.name).toBe("FollowUpError");
      expect(error.message).toContain(`Follow-up job 3 of 3 (task "${task}")`);
      expect(error.message).toMatch(why);
      expect(children(queue)).toEqual([]);
      expect(outgoing(queue)).toEqual([]);
    },
  );

  it("settles a thousand attempts with many jobs each in as many exchanges as it takes", async () => {
    const parent = defineTask({ name: "parent", queue: "work" }).handler((_, ctx) => {
      for (let n = 0; n < 300; n++) ctx.enqueue(wipe, { what: String(n) }, { delay: "2d" });
    });
    const queue = openQueue([parent, wipe] as readonly AnyTaskDeclaration[]);
    await queue.add("parent", Array(10).fill(1));
    const summary = await finish(queue.session());
    expect(summary).toMatchObject({ claimed: 10, settled: 10, refused: 0 });
    expect(children(queue)).toHaveLength(3_000);
  });
});

describe("follow-up jobs from a worker that keeps to no rule", () => {
  const config = readConfig({ tasks: [wipe, far] });
  it.each([
    [5],
    [null],
    [[null]],
    [[5]],
    [["wipe"]],
    [[{}]],
    [[{ task: 5 }]],
    [[{ task: "__proto__" }]],
    [[{ task: "wipe", payload: { what: "x" }, queue: 7 }]],
    [[{ task: "wipe", payload: { what: "x" }, queue: null }, { task: "far" }, []]],
    [Array(1_001).fill({ task: "far" })],
  ])("are refused with a reason: %j", async (asked) => {
    const resolved = await resolveFollowUps(config, asked as FollowUp[]);
    expect(resolved).toMatchObject({ ok: false, error: { name: "FollowUpError", message: expect.any(String) } });
  });
});

describe("ctx.rateLimited", () => {
  it("ends the attempt there and then, snoozed, and names the key that closes", async () => {
    const done: string[] = [];
    const { job, queue } = await run((ctx) => {
      done.push("before");
      ctx.rateLimited("tenant", "30s");
      done.push("after");
    });
    expect(done).toEqual(["before"]);
    expect(job).toMatchObject({ state: "scheduled", reason: "snoozed", failures: 0 });
    const settles = queue.asked.flatMap(({ settle }) => settle);
    expect(settles).toEqual([
      { id: "work:0:1", fence: 1, outcome: "snoozed", forMs: 30_000, rateLimited: { kind: "tenant", forMs: 30_000 } },
    ]);
    expect(queue.rows("SELECT key, until - since AS ms FROM closures")).toEqual([
      { key: "key:tenant:acme", ms: 30_000 },
    ]);
  });

  it.each([
    ["vendor", "30s", "this job has no such key. It has: tenant, constructor."],
    ["toString", "30s", "this job has no such key"],
    ["tenant", "soon", "is not a duration"],
  ])("%s for %s is a failure", async (kind, wait, message) => {
    const { job, error, queue } = await run((ctx) => ctx.rateLimited(kind, wait as never));
    expect(job).toMatchObject({ state: "scheduled", reason: "retrying", failures: 1 });
    expect(error).toMatchObject({ name: "RangeError", message: expect.stringContaining(message) });
    expect(queue.rows("SELECT * FROM closures")).toEqual([]);
  });

  it("works for kinds with names that objects have of their own", async () => {
    const { queue } = await run((ctx) => ctx.rateLimited("constructor", "1s"));
    expect(queue.rows("SELECT key FROM closures")).toEqual([{ key: "key:constructor:x" }]);
  });
});
