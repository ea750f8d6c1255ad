import {
  createExecutionContext,
  createMessageBatch,
  createScheduledController,
  getQueueResult,
  waitOnExecutionContext,
} from "cloudflare:test";
import { Hono } from "hono";
import { describe, expect, it } from "vitest";
import { createClient, defineTask } from "../../client/index.ts";
import { createMillrace } from "../../worker/millrace.ts";
import { env, freshWorld, until } from "../object/support.ts";
import { echo, TASKS } from "../support/tasks.ts";

freshWorld();

const TOKEN = "test-token-of-more-than-32-characters";

/** A program as its author would write it: an app, a table, a queue and a cron of its own, and Millrace under `/jobs`. */
function program() {
  const mill = createMillrace({ tasks: TASKS, queues: { "*": {} }, basePath: "/jobs" });
  const done: string[] = [];
  const app = new Hono<{ Bindings: { DB: D1Database } }>();
  app.get("/", (c) => c.text("mine"));
  app.get("/v1/jobs", (c) => c.text("mine too"));
  app.mount("/jobs", mill.routes.fetch);
  app.post("/signup", async (c) => {
    const { name } = await c.req.json<{ name: string }>();
    await c.env.DB.prepare("INSERT INTO users (name) VALUES (?)").bind(name).run();
    const job = await mill.client(c.env).enqueue("echo", { welcome: name });
    return c.json({ job: job.id }, 201);
  });
  const worker = {
    fetch: app.fetch,
    async queue(batch: MessageBatch, environment: object, ctx: ExecutionContext) {
      if (await mill.queue(batch, environment, ctx)) return;
      for (const message of batch.messages) {
        done.push(String(message.body));
        message.ack();
      }
    },
    async scheduled(controller: ScheduledController, environment: object, ctx: ExecutionContext) {
      done.push(`cron ${controller.cron}`);
      await mill.scheduled(controller, environment, ctx);
    },
  };
  return { worker, done, mill };
}

describe("a program with Millrace in it", () => {
  it("keeps its own routes, and serves Millrace's under basePath", async () => {
    const { worker } = program();
    const get = async (path: string, token?: string) => {
      const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
      const ctx = createExecutionContext();
      const response = await worker.fetch(new Request(`http://app.test${path}`, { headers }), env, ctx);
      await waitOnExecutionContext(ctx);
      return response;
    };
    expect(await (await get("/")).text()).toBe("mine");
    expect(await (await get("/v1/jobs")).text()).toBe("mine too");
    expect((await get("/jobs/healthz")).status).toBe(200);
    expect((await get("/jobs/v1/queues")).status).toBe(401);
    expect((await get("/jobs/v1/queues", "wrong".repeat(8))).status).toBe(401);
    expect(await (await get("/jobs/v1/queues", TOKEN)).json()).toEqual({ items: [], nextCursor: null });
    expect((await get("/v1/queues", TOKEN)).status).toBe(404);
    expect((await get("/jobs/elsewhere", TOKEN)).status).toBe(404);
  });

  it("enqueues from its own handlers by binding, and the job runs", async () => {
    await env.DB.exec("CREATE TABLE users (name TEXT)");
    const { worker } = program();
    const request = new Request("http://app.test/signup", { method: "POST", body: JSON.stringify({ name: "Ada" }) });
    const response = await worker.fetch(request, env, createExecutionContext());
    expect(response.status).toBe(201);
    const { job } = await response.json<{ job: string }>();
    // The SDK from outside, over the same app.
    const client = createClient<typeof TASKS>({
      url: "http://app.test/jobs",
      token: TOKEN,
      fetch: async (sent) => worker.fetch(sent, env, createExecutionContext()),
    });
    expect(await client.job<"echo">(job).result({ timeout: "10s" })).toEqual({ welcome: "Ada" });
    expect(await env.DB.prepare("SELECT name FROM users").first()).toEqual({ name: "Ada" });

    const handle = await client.enqueue(echo, [1, 2]);
    expect(await handle.result({ timeout: "10s" })).toEqual([1, 2]);
    const listed = [];
    for await (const one of client.jobs({ queue: "default" })) listed.push(one.id);
    expect(listed).toEqual([handle.id, job]);
  });

  it("keeps its own queue and its own cron", async () => {
    const { worker, done } = program();
    const ctx = createExecutionContext();
    const batch = createMessageBatch("orders", [{ id: "o1", timestamp: new Date(), attempts: 1, body: "order 7" }]);
    await worker.queue(batch, env, ctx);
    expect(await getQueueResult(batch, ctx)).toMatchObject({ explicitAcks: ["o1"] });
    await worker.scheduled(createScheduledController({ cron: "0 3 * * *" }), env, createExecutionContext());
    expect(done).toEqual(["order 7", "cron 0 3 * * *"]);
  });

  it("is told which binding is missing", async () => {
    const { mill } = program();
    await expect(mill.client({ DB: env.DB }).enqueue("echo", 1)).rejects.toMatchObject({
      cause: { message: expect.stringContaining("The Worker has no binding MILLRACE") },
    });
  });
});

describe("the client by binding", () => {
  const { mill } = program();
  const client = () => mill.client(env);

  it("answers each call of a tick for itself, also where one of them is refused", async () => {
    const results = await Promise.allSettled([
      client().enqueue("echo", 1),
      client().enqueue("echo", 2, { priority: 99_999 }),
      client().enqueue("ech" as "echo", 3),
      client().enqueue("echo", 4, { queue: "other" }),
      client().enqueue("echo", 1n as never),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected", "fulfilled", "rejected"]);
    expect(results[1]).toMatchObject({ reason: { code: "invalid_request", status: 400 } });
    expect(results[2]).toMatchObject({ reason: { code: "unknown_task", message: expect.stringContaining('"echo"') } });
    expect(results[3]).toMatchObject({ value: { id: expect.stringMatching(/^other:0:/) } });
  });

  it("makes one call of those of a tick, and more than a thousand in several", async () => {
    const one = client();
    const jobs = await Promise.all(Array.from({ length: 2_500 }, (_, n) => one.enqueue("echo", n, { queue: "many" })));
    expect(new Set(jobs.map(({ id }) => id)).size).toBe(2_500);
    await until(async () => {
      const { counts } = await one.queue("many").get();
      return counts.ready + counts.running === 0;
    });
    expect((await jobs[2_499]!.get()).result).toBe(2_499);
  });

  it("revokes a token at once for who comes over HTTP too", async () => {
    const { token, id } = await client().mintToken({ name: "page", role: "producer" });
    const page = createClient({
      ...{ url: "http://app.test/jobs", token },
      fetch: async (sent) => mill.routes.fetch(sent, env, createExecutionContext()),
    });
    const job = await page.enqueue("echo", 1, { queue: "other" });
    expect(await job.get()).toMatchObject({ actor: id });
    await client().tokens.revoke(id);
    await expect(job.get()).rejects.toMatchObject({ code: "unauthorized" });
  });

  it("makes nothing twice under an idempotency key", async () => {
    const first = await client().enqueueMany("echo", [1, 2], { idempotencyKey: "once", delay: "1h" });
    const again = await client().enqueueMany("echo", [1, 2], { idempotencyKey: "once", delay: "1h" });
    expect(again.map(({ id }) => id)).toEqual(first.map(({ id }) => id));
    await expect(client().enqueueMany("echo", [1, 3], { idempotencyKey: "once", delay: "1h" })).rejects.toMatchObject({
      code: "idempotency_mismatch",
    });
  });
});

describe("createMillrace", () => {
  it.each([
    [
      "two tasks of one name",
      () => createMillrace({ tasks: [echo, defineTask({ name: "echo" })] }),
      /Two tasks are called "echo"/,
    ],
    ["a bad queue name", () => createMillrace({ tasks: [], queues: { "Bad Name": {} } }), /queues\["Bad Name"\]/],
    [
      "a schedule of a task that is not there",
      () => createMillrace({ tasks: [echo], schedules: { nightly: { task: "ehco", cron: "@daily" } } }),
      /schedules\["nightly"\]: There is no task "ehco". Did you mean "echo"\?/,
    ],
    [
      "a delivery that there is not",
      () => createMillrace({ tasks: [], queues: { q: { delivery: "poll" } } as never }),
      /queues\["q"\].delivery is "push", "pull" or "both"/,
    ],
    [
      "a setting out of range",
      () => createMillrace({ tasks: [], queues: { q: { slots: 0 } } }),
      /queues\["q"\]: slots/,
    ],
    [
      "a timeout that no consumer has",
      () => createMillrace({ tasks: [defineTask({ name: "t", timeout: "2h" })] }),
      /at most 13m/,
    ],
    ["a base path with a slash at its end", () => createMillrace({ tasks: [], basePath: "/jobs/" }), /basePath/],
  ])("refuses %s at once", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
