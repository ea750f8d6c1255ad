import { describe, expect, it } from "vitest";
import type { Operation, Page, Queue, QueueSummary } from "../../../client/types.ts";
import { runOperation } from "../../../worker/operations/run.ts";
import { answer, ask, claim, db, enqueue, getJob, listJobs, migrated, problem, stubOf, work } from "../api/support.ts";
import { deadJobs, flushed, inHistory, live, over, sources } from "./support.ts";

migrated();

const post = async (queue: string, what: string, body: object): Promise<Operation> =>
  over(await answer(await ask(`/v1/queues/${queue}/${what}`, { body }), 202));
const destroy = (queue: string, body: object) => ask(`/v1/queues/${queue}`, { method: "DELETE", body });

describe("drain", () => {
  it("cancels what waits, leaves what runs and what has ended, however much it is", async () => {
    const running = await enqueue("q-drain", { task: "any" });
    await claim("q-drain");
    const jobs = Array.from({ length: 900 }, (_, index) => ({ task: "any", delay: "1h", priority: index % 3 }));
    await answer(await ask("/v1/queues/q-drain/jobs", { body: { jobs } }), 201);
    const ordered = Array.from({ length: 5 }, () => ({ task: "any", delay: "1h", orderingKey: "one" }));
    await answer(await ask("/v1/queues/q-drain/jobs", { body: { jobs: ordered } }), 201);
    expect(await post("q-drain", "drain", { confirm: "q-drain", states: ["blocked"] })).toMatchObject({ changed: 4 });
    expect(await post("q-drain", "drain", { confirm: "q-drain" })).toMatchObject({
      action: "cancel",
      filter: { queue: "q-drain", state: "scheduled,blocked,ready" },
      state: "completed",
      matched: 901,
      changed: 901,
      failed: 0,
    });
    expect(await live("q-drain")).toMatchObject([{ seq: 1, state: "running" }]);
    expect(await getJob(running.id)).toMatchObject({ state: "running", cancelRequestedAt: null });
    await flushed("q-drain");
    expect(await inHistory("q-drain")).toBe(905);
  });

  it("writes a row a job, not one outbox row for each", async () => {
    const jobs = Array.from({ length: 400 }, () => ({ task: "any", delay: "1h" }));
    await answer(await ask("/v1/queues/q-rows/jobs", { body: { jobs } }), 201);
    const before = await stubOf("q-rows").describe();
    await post("q-rows", "drain", { confirm: "q-rows" });
    await flushed("q-rows");
    const { metrics } = (await stubOf("q-rows").describe())!;
    expect(metrics.flushes - before!.metrics.flushes).toBeLessThanOrEqual(4);
  });
});

describe("purge", () => {
  it("deletes everything but what runs, in the history too, and gives no id twice", async () => {
    await deadJobs("q-purge", 450);
    await enqueue("q-purge", { task: "any" });
    await claim("q-purge");
    const jobs = Array.from({ length: 300 }, () => ({ task: "any", delay: "1h" }));
    await answer(await ask("/v1/queues/q-purge/jobs", { body: { jobs } }), 201);
    const op = await post("q-purge", "purge", { confirm: "q-purge" });
    expect(op).toMatchObject({ state: "completed", matched: 750, changed: 750, failed: 0 });
    expect(await live("q-purge")).toMatchObject([{ seq: 451, state: "running" }]);
    await flushed("q-purge");
    expect(await inHistory("q-purge")).toBe(0);
    expect((await listJobs("queue=q-purge")).items).toHaveLength(1);
    expect(await enqueue("q-purge", { task: "any" })).toMatchObject({ id: "q-purge:0:752" });
  });

  it("takes the states that it is told", async () => {
    await deadJobs("q-some", 5);
    await enqueue("q-some", { task: "any", delay: "1h" });
    expect(await post("q-some", "purge", { confirm: "q-some", states: ["dead"] })).toMatchObject({ changed: 5 });
    expect((await listJobs("queue=q-some")).items).toMatchObject([{ state: "scheduled" }]);
  });
});

describe("DELETE of a queue", () => {
  it("forgets its history, its settings and its place in the registry; ids go on when it is used again", async () => {
    await deadJobs("q-gone", 20);
    await enqueue("q-gone", { task: "any" });
    await work("q-gone");
    await answer(await ask("/v1/queues/q-gone/config", { method: "PATCH", body: { concurrency: 3 } }));
    await answer(await ask("/v1/queues/q-gone/pause", { body: { reason: "no more" } }));
    const op = await over(await answer(await destroy("q-gone", { confirm: "q-gone" }), 202));
    expect(op).toMatchObject({ action: "delete", filter: { queue: "q-gone" }, state: "completed", changed: 21 });
    expect(await inHistory("q-gone")).toBe(0);
    const { items } = await answer<Page<QueueSummary>>(await ask("/v1/queues?limit=200"));
    expect(items.map(({ name }) => name)).not.toContain("q-gone");
    await problem(await ask("/v1/queues/q-gone"), 404, "not_found");
    expect(await stubOf("q-gone").poke()).not.toBeNull();
    expect(await db.prepare("SELECT 1 FROM queues WHERE name = 'q-gone'").first()).toBeNull();

    expect(await enqueue("q-gone", { task: "any" })).toMatchObject({ id: "q-gone:0:22" });
    await work("q-gone");
    const back = await answer<Queue>(await ask("/v1/queues/q-gone"));
    expect(back).toMatchObject({ paused: false, config: { concurrency: { value: null, origin: "default" } } });
    expect(await db.prepare("SELECT 1 FROM queues WHERE name = 'q-gone'").first()).not.toBeNull();
    await flushed("q-gone");
    expect((await listJobs("queue=q-gone")).items.map(({ id }) => id)).toEqual(["q-gone:0:22"]);
  });

  it("is refused while jobs run or wait, also when they come at the last moment", async () => {
    await enqueue("q-busy", { task: "any", delay: "1h" });
    expect((await problem(await destroy("q-busy", { confirm: "q-busy" }), 409, "conflict")).detail).toContain("1 wait");
    await post("q-busy", "drain", { confirm: "q-busy" });
    const op = await answer<Operation>(await destroy("q-busy", { confirm: "q-busy" }), 202);
    await enqueue("q-busy", { task: "any", delay: "1h" });
    const ended = await over(op);
    expect(["completed", "failed"]).toContain(ended.state);
    // Whichever came first: the queue is known and its job is there.
    expect(await answer<Queue>(await ask("/v1/queues/q-busy"))).toMatchObject({ counts: { scheduled: 1 } });
    expect(await db.prepare("SELECT 1 FROM queues WHERE name = 'q-busy'").first()).not.toBeNull();
  });

  it("is taken back by a retry of what the history has not yet forgotten", async () => {
    for (const queue of ["q-back-one", "q-back-many"]) {
      await deadJobs(queue, 2);
      expect(await stubOf(queue).forget()).toMatchObject({ ok: true, upto: 2 });
      await problem(await ask(`/v1/queues/${queue}`), 404, "not_found");
      if (queue === "q-back-one") await answer(await ask(`/v1/jobs/${queue}:0:2/retry`, { method: "POST" }));
      else await over(await answer(await ask("/v1/operations", { body: { action: "retry", filter: { queue } } }), 202));
      const { counts } = await answer<Queue>(await ask(`/v1/queues/${queue}`));
      expect(counts.ready).toBe(queue === "q-back-one" ? 1 : 2);
      expect(await db.prepare("SELECT 1 FROM queues WHERE name = ?").bind(queue).first()).not.toBeNull();
    }
  });

  it("goes on after it was cut short", async () => {
    await deadJobs("q-halfway", 10);
    await answer(await destroy("q-halfway", { confirm: "q-halfway" }), 202);
    const { items } = await answer<Page<Operation>>(await ask("/v1/operations?limit=1"));
    await runOperation(sources(), items[0]!.id, 1_000);
    expect(await over(items[0]!)).toMatchObject({ state: "completed" });
    expect(await inHistory("q-halfway")).toBe(0);
    await problem(await destroy("q-halfway", { confirm: "q-halfway" }), 404, "not_found");
  });
});

describe("bad input", () => {
  it.each([
    ["drain", { confirm: "other" }, "confirm"],
    ["drain", {}, "confirm"],
    ["drain", { confirm: 5 }, "confirm"],
    ["drain", { confirm: "q-safe", states: ["running"] }, "states"],
    ["drain", { confirm: "q-safe", states: [] }, "states"],
    ["drain", { confirm: "q-safe", states: "ready" }, "states"],
    ["drain", { confirm: "q-safe", now: true }, "now"],
    ["purge", { confirm: "Q-SAFE" }, "confirm"],
    ["purge", { confirm: "q-safe", states: ["running"] }, "states"],
    ["purge", { confirm: "q-safe", states: ["nonsense"] }, "states"],
  ])("%s %j is refused, and nothing is done", async (what, body, path) => {
    const { id } = await enqueue("q-safe", { task: "any", delay: "1h" });
    const { errors } = await problem(await ask(`/v1/queues/q-safe/${what}`, { body }), 400, "invalid_request");
    expect(errors![0]!.path).toContain(path);
    expect(await getJob(id)).toMatchObject({ state: "scheduled" });
  });

  it("DELETE needs the name too, and a queue that is there", async () => {
    await enqueue("q-safe", { task: "any", delay: "1h" });
    for (const body of [{ confirm: "q" }, {}, { confirm: null }]) {
      await problem(await destroy("q-safe", body), 400, "invalid_request");
    }
    const bare = await problem(await ask("/v1/queues/q-safe", { method: "DELETE" }), 415, "unsupported_media_type");
    expect(bare.detail).toContain("The body is missing");
    await problem(await destroy("nowhere", { confirm: "nowhere" }), 404, "not_found");
    await problem(await destroy("q-never", { confirm: "q-never" }), 404, "not_found");
    await problem(await ask("/v1/queues/nowhere/purge", { body: { confirm: "nowhere" } }), 404, "not_found");
  });

  it.each([
    [{ filter: { queue: "q-safe" } }, "action"],
    [{ action: "explode", filter: { queue: "q-safe" } }, "action"],
    [{ action: "retry" }, "filter"],
    [{ action: "retry", filter: {} }, "filter"],
    [{ action: "retry", filter: { queue: "q-safe", nope: "1" } }, "filter.nope"],
    [{ action: "retry", filter: { queue: "Q" } }, "filter.queue"],
    [{ action: "retry", filter: { state: "ready" } }, "filter.state"],
    [{ action: "retry", filter: { state: "dead,completed" } }, "filter.state"],
    [{ action: "delete", filter: { tag: "a", state: "completed" } }, "filter.state"],
    [{ action: "retry", filter: { state: "bad", queue: "q-safe" } }, "filter.state"],
    [{ action: "cancel", filter: { tag: "a" } }, "filter.queue"],
    [{ action: "retry", filter: { queue: "q-safe", limit: "5" } }, "filter.limit"],
    [{ action: "retry", filter: { fingerprint: "A B" } }, "filter.fingerprint"],
    [{ action: "retry", filter: { queue: "q-safe", from: "yesterday" } }, "filter.from"],
    [{ action: "reschedule", filter: { queue: "q-safe" } }, "args"],
    [
      { action: "reschedule", filter: { queue: "q-safe" }, args: { delay: "1m", runAt: "2030-01-01T00:00:00Z" } },
      "args",
    ],
    [{ action: "reschedule", filter: { queue: "q-safe" }, args: { delay: "400d" } }, "args.delay"],
    [{ action: "reschedule", filter: { queue: "q-safe" }, args: { runAt: "2099-01-01T00:00:00Z" } }, "args.runAt"],
    [{ action: "setPriority", filter: { queue: "q-safe" }, args: {} }, "args"],
    [{ action: "setPriority", filter: { queue: "q-safe" }, args: { priority: 40_000 } }, "args.priority"],
    [{ action: "retry", filter: { queue: "q-safe" }, args: { priority: 1 } }, "args.priority"],
    [{ action: "retry", filter: { queue: "q-safe" }, rate: { limit: 0, per: "1s" } }, "rate.limit"],
    [{ action: "retry", filter: { queue: "q-safe" }, rate: { limit: 1, per: "1ms" } }, "rate.per"],
    [{ action: "retry", filter: { queue: "q-safe" }, rate: 5 }, "rate"],
    [{ action: "retry", filter: { queue: "q-safe" }, canary: { count: 0, minSuccess: 0.5 } }, "canary.count"],
    [{ action: "retry", filter: { queue: "q-safe" }, canary: { count: 5, minSuccess: 1.5 } }, "canary.minSuccess"],
    [{ action: "delete", filter: { queue: "q-safe" }, canary: { count: 5, minSuccess: 0.5 } }, "canary"],
    [{ action: "retry", filter: { queue: "q-safe" }, dryRun: "yes" }, "dryRun"],
  ])("POST /v1/operations %j", async (body, path) => {
    const { errors } = await problem(await ask("/v1/operations", { body }), 400, "invalid_request");
    expect(errors!.map((one) => one.path).join()).toContain(path);
  });

  it("an undeclared queue is not found", async () => {
    await problem(
      await ask("/v1/operations", { body: { action: "retry", filter: { queue: "nowhere" } } }),
      404,
      "not_found",
    );
    await problem(await ask("/v1/errors?queue=nowhere"), 404, "not_found");
    for (const query of ["state=completed", "state=ready", "limit=0", "from=x", "tag=a"]) {
      await problem(await ask(`/v1/errors?${query}`), 400, "invalid_request");
    }
  });
});
