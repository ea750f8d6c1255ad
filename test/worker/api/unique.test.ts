import { describe, expect, it } from "vitest";
import { createClient } from "../../../client/client.ts";
import { defineTask } from "../../../client/task.ts";
import type { EnqueuedJob, Queue } from "../../../client/types.ts";
import { createBindingClient } from "../../../worker/client.ts";
import { readConfig } from "../../../worker/config.ts";
import {
  answer,
  appWith,
  ask,
  claim,
  DEPS,
  enqueue,
  getJob,
  jobsIn,
  listJobs,
  migrated,
  problem,
  stubOf,
  TOKEN,
  work,
} from "./support.ts";

migrated();

const post = (queue: string, body: object, headers = {}) => ask(`/v1/queues/${queue}/jobs`, { body, headers });
const one = (unique: object, more: object = {}) => ({
  task: "any",
  delay: "1h",
  unique: { key: "k", ...unique },
  ...more,
});

describe("the answer to a request whose unique key is held", () => {
  it.each<[string, object, number]>([
    ["returned", {}, 1],
    ["returned", { onConflict: "return" }, 1],
    ["replaced", { onConflict: "replace" }, 2],
    ["throttled", { onConflict: "throttle", wait: "1h" }, 1],
  ])("is 200 %s for %j", async (outcome, unique, payload) => {
    const queue = `q-${outcome}-${Object.keys(unique).length}`;
    const first = await answer<EnqueuedJob>(await post(queue, one(unique, { payload: 1 })), 201);
    expect(first).toMatchObject({ outcome: "created", state: "scheduled" });
    const again = await answer<EnqueuedJob>(await post(queue, one(unique, { payload: 2 })), 200);
    expect(again).toEqual({ id: first.id, state: "scheduled", outcome });
    expect(await jobsIn(queue)).toBe(1);
    expect(await getJob(first.id)).toMatchObject({ payload, uniqueKey: "k" });
  });

  it("is 200 debounced, and the start moves", async () => {
    const unique = { key: "k", onConflict: "debounce", wait: "1h" };
    const first = await answer<EnqueuedJob>(await post("q-debounce", { task: "any", payload: 1, unique }), 201);
    const before = await getJob(first.id);
    expect(Date.parse(before.runAt) - Date.parse(before.createdAt)).toBe(3_600_000);
    const again = await post("q-debounce", { task: "any", payload: 2, unique: { ...unique, wait: "2h" } });
    expect(await answer(again, 200)).toEqual({ id: first.id, state: "scheduled", outcome: "debounced" });
    const after = await getJob(first.id);
    expect(after.payload).toBe(2);
    expect(Date.parse(after.runAt) - Date.parse(before.runAt)).toBeGreaterThanOrEqual(3_600_000);
  });

  it("is 409 for reject: it names the job's index and the holder, and nothing is made", async () => {
    const first = await enqueue("q-reject", one({ onConflict: "reject" }));
    const jobs = [{ task: "any" }, one({ key: "other" }), one({ onConflict: "reject" })];
    const refused = await problem(await post("q-reject", { jobs }), 409, "conflict");
    expect(refused.detail).toContain("jobs[2]");
    expect(refused.detail).toContain(first.id);
    expect(await jobsIn("q-reject")).toBe(1);
  });

  it("is 201 for a list, with an outcome for each, in order", async () => {
    const jobs = [
      one({}),
      one({ key: "b" }),
      one({}),
      one({ key: "b", onConflict: "replace" }),
      { task: "any", delay: "1h" },
    ];
    const { jobs: made } = await answer<{ jobs: EnqueuedJob[] }>(await post("q-list", { jobs }), 201);
    expect(made.map(({ outcome }) => outcome)).toEqual(["created", "created", "returned", "replaced", "created"]);
    expect([made[2]!.id, made[3]!.id]).toEqual([made[0]!.id, made[1]!.id]);
    expect(await jobsIn("q-list")).toBe(3);
    const again = await answer<{ jobs: EnqueuedJob[] }>(
      await post("q-list", { jobs: [one({}), one({ key: "b" })] }),
      201,
    );
    expect(again.jobs.map(({ outcome }) => outcome)).toEqual(["returned", "returned"]);
  });

  it("is the first one again where the request is: status, id and outcome", async () => {
    const first = await enqueue("q-again", one({}));
    const key = { "idempotency-key": "k" };
    for (const replayed of [null, "true"]) {
      const response = await post("q-again", one({}), key);
      expect(response.headers.get("idempotency-replayed")).toBe(replayed);
      expect(await answer(response, 200)).toEqual({ id: first.id, state: "scheduled", outcome: "returned" });
    }
    const made = await post("q-again", one({ key: "new" }), { "idempotency-key": "n" });
    const repeated = await post("q-again", one({ key: "new" }), { "idempotency-key": "n" });
    expect(await answer(repeated, 201)).toEqual(await answer(made, 201));
  });

  it("frees the key when the job is over", async () => {
    const first = await enqueue("q-free", { task: "any", unique: { key: "k" } });
    await work("q-free");
    const second = await enqueue("q-free", { task: "any", unique: { key: "k" } });
    expect(second.outcome).toBe("created");
    expect(second.id).not.toBe(first.id);
  });
});

describe("a job shows what was asked for it", () => {
  const asked = {
    keys: { tenant: "acme", constructor: "x" },
    cost: { tenant: 2 },
    orderingKey: "o\u0000😀",
    fairKey: "f",
  };
  const shown = { keys: asked.keys, orderingKey: asked.orderingKey, fairKey: "f", uniqueKey: "u" };

  it("live and from history", async () => {
    const made = await enqueue("q-shown", { task: "any", ...asked, unique: { key: "u" }, deadline: "1h" });
    const live = await getJob(made.id);
    expect(live).toMatchObject({ ...shown, state: "ready", schedule: null, parent: null });
    expect(Date.parse(live.deadline!) - Date.parse(live.createdAt)).toBe(3_600_000);
    await work("q-shown");
    const { items } = await listJobs("queue=q-shown&state=completed");
    expect(items[0]).toMatchObject({ ...shown, deadline: live.deadline });
  });

  it("and that it asked for nothing", async () => {
    const { id } = await enqueue("q-nothing", { task: "any" });
    expect(await getJob(id)).toMatchObject({
      ...{ keys: {}, orderingKey: null, fairKey: null, uniqueKey: null, deadline: null },
    });
  });

  it("blocked behind the head of its ordering key, until that is over", async () => {
    const jobs = [1, 2, 3].map((payload) => ({ task: "any", payload, orderingKey: "o" }));
    const { jobs: made } = await answer<{ jobs: EnqueuedJob[] }>(await post("q-order", { jobs }), 201);
    expect(made.map(({ state }) => state)).toEqual(["ready", "blocked", "blocked"]);
    const { items } = await listJobs("queue=q-order&state=blocked");
    expect(items.map(({ id, state, reason }) => [id, state, reason])).toEqual(
      [made[2]!, made[1]!].map(({ id }) => [id, "blocked", "ordering"]),
    );
    const { counts } = await answer<Queue>(await ask("/v1/queues/q-order"));
    expect(counts).toMatchObject({ ready: 1, blocked: 2 });
    expect(await work("q-order")).toHaveLength(1);
    expect((await getJob(made[1]!.id)).state).not.toBe("blocked");
    expect((await listJobs("queue=q-order&state=blocked")).items).toHaveLength(1);
  });

  it("over at its deadline, wherever it waits", async () => {
    // Nobody takes them: an attempt that is declined until after the deadline would end them sooner.
    await answer(await ask("/v1/queues/q-over/pause", { method: "POST" }));
    const { id } = await enqueue("q-over", { task: "any", orderingKey: "o", deadline: "1s" });
    const behind = await enqueue("q-over", { task: "any", orderingKey: "o", deadline: "1s" });
    for (const job of [id, behind.id]) {
      await expect.poll(async () => (await getJob(job)).state, { timeout: 5_000 }).toBe("cancelled");
      const { reason, deadline, finishedAt } = await getJob(job);
      expect(reason).toBe("expired");
      expect(Date.parse(finishedAt!)).toBeGreaterThanOrEqual(Date.parse(deadline!));
    }
  });
});

const hook = defineTask({ name: "hook", keys: (i) => ({ shard: String(i) }), unique: (i) => ({ key: `hook-${i}` }) });

describe("clients tell the outcome", () => {
  const config = readConfig({ tasks: [hook], queues: { "q-*": {} } });
  const fetch = appWith({ config });
  const clients = {
    "over HTTP": createClient<(typeof hook)[]>({ url: "https://millrace.test", token: TOKEN, fetch }),
    "by binding": createBindingClient<(typeof hook)[]>({
      config,
      stub: stubOf,
      fetch,
      token: TOKEN,
      keys: () => DEPS.keys({}),
    }),
  };

  it.each(Object.entries(clients))("%s", async (name, client) => {
    const queue = name === "by binding" ? "q-bound" : "q-client";
    const [first, twin] = await Promise.all([1, 1].map((n) => client.enqueue(hook, n, { queue, delay: "1h" })));
    expect(first).toMatchObject({ outcome: "created", state: "scheduled" });
    expect(twin).toMatchObject({ outcome: "returned", id: first!.id });
    expect(await first!.get()).toMatchObject({ keys: { shard: "1" }, uniqueKey: "hook-1" });
    const many = await client.enqueueMany(hook, [1, 2, 2], { queue, delay: "1h" });
    expect(many.map(({ outcome }) => outcome)).toEqual(["returned", "created", "returned"]);
    const unique = { key: "hook-1", onConflict: "reject" } as const;
    const ends = await Promise.allSettled([
      client.enqueue(hook, 7, { queue, unique }),
      client.enqueue(hook, 8, { queue, deadline: new Date(Date.now() + 60_000), delay: "1s" }),
    ]);
    expect(ends).toMatchObject([
      { status: "rejected", reason: { code: "conflict", status: 409 } },
      { status: "fulfilled", value: { outcome: "created" } },
    ]);
    const bad = client.enqueue(hook, 9, { queue, keys: { "a:b": "x" } });
    await expect(bad).rejects.toMatchObject({ code: "invalid_request", message: expect.stringContaining("keys.a:b") });
  });
});

it("keeps the key of a job that runs, which nothing replaces", async () => {
  const first = await enqueue("q-running", { task: "any", unique: { key: "k" } });
  expect((await claim("q-running")).jobs).toHaveLength(1);
  for (const unique of [{ key: "k" }, { key: "k", onConflict: "replace" }]) {
    const again = await answer(await post("q-running", { task: "any", unique }), 200);
    expect(again).toEqual({ id: first.id, state: "running", outcome: "returned" });
  }
});
