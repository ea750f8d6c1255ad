import { describe, expect, it } from "vitest";
import type { EffectiveConfig, Job, Page, Queue, QueueSummary } from "../../../client/types.ts";
import { answer, ask, claim, deployed, enqueue, getJob, jobsIn, listJobs, migrated, problem, work } from "./support.ts";

migrated();

describe("POST …/jobs", () => {
  it("makes one job", async () => {
    const made = await enqueue("q-one", { task: "any", payload: { a: [1, "é", null] }, delay: "1h" });
    expect(made).toEqual({ id: expect.stringMatching(/^q-one:0:\d+$/), state: "scheduled", outcome: "created" });
    const job = await getJob(made.id);
    expect(job).toMatchObject({
      ...{ id: made.id, queue: "q-one", task: "any", state: "scheduled", reason: null, payload: { a: [1, "é", null] } },
      ...{ result: null, progress: null, priority: 0, attempt: 1, failures: 0, lapses: 0, maxAttempts: 8 },
      ...{ error: null, attempts: [], startedAt: null, finishedAt: null, cancelRequestedAt: null, tags: [], meta: {} },
      ...{ actor: null, schedule: null, parent: null, version: null },
    });
    expect(Date.parse(job.runAt) - Date.parse(job.createdAt)).toBe(3_600_000);
    expect(job.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it("makes many, in order, all or nothing", async () => {
    const jobs = Array.from({ length: 1_000 }, (_, n) => ({ task: "any", payload: n, delay: "1h" }));
    const { jobs: made } = await answer<{ jobs: { id: string }[] }>(
      await ask("/v1/queues/q-many/jobs", { body: { jobs } }),
      201,
    );
    expect(made).toHaveLength(1_000);
    expect((await getJob(made[999]!.id)).payload).toBe(999);
    const bad = await problem(
      await ask("/v1/queues/q-many/jobs", { body: { jobs: [{ task: "any" }, { task: "any", priority: "high" }] } }),
      ...([400, "invalid_request"] as const),
    );
    expect(bad.errors).toEqual([{ path: "jobs[1].priority", message: expect.stringContaining("whole number") }]);
    expect(await jobsIn("q-many")).toBe(1_000);
  });

  it("takes every option, over the task's, over the defaults", async () => {
    const { id } = await enqueue("tuned", { task: "tuned", delay: "1h" });
    expect(await getJob(id)).toMatchObject({
      priority: 5,
      maxAttempts: 3,
      tags: ["from-task"],
      meta: { from: "task" },
    });
    expect((await getJob(id)).version).toBe("v7");
    const runAt = new Date(Date.now() + 7_200_000);
    const local = `${new Date(runAt.getTime() + 5.5 * 3_600_000).toISOString().slice(0, -1)}+05:30`;
    const own = {
      ...{ priority: -32_768, maxAttempts: 100, timeout: "13m", expiresIn: "2d", tags: ["x"], meta: { y: 1 } },
      ...{ backoff: { type: "exponential", base: "1s", max: "1h", jitter: 0 }, runAt: local },
    };
    const job = await getJob((await enqueue("tuned", { task: "tuned", ...own })).id);
    expect(job).toMatchObject({ priority: -32_768, maxAttempts: 100, tags: ["x"], meta: { y: 1 } });
    expect(job.runAt).toBe(runAt.toISOString());
  });

  it("goes to the queue of the task, or of the body", async () => {
    const toTask = await answer<{ id: string }>(await ask("/v1/jobs", { body: { task: "tuned", delay: "1h" } }), 201);
    expect(toTask.id).toMatch(/^tuned:0:/);
    const toBody = await answer<{ jobs: { id: string }[] }>(
      await ask("/v1/jobs", { body: { queue: "q-body", jobs: [{ task: "tuned", delay: "1h" }] } }),
      201,
    );
    expect(toBody.jobs[0]!.id).toMatch(/^q-body:0:/);
    const mixed = { jobs: [{ task: "tuned" }, { task: "any" }] };
    const refused = await problem(await ask("/v1/jobs", { body: mixed }), 400, "invalid_request");
    expect(refused.errors![0]).toEqual({ path: "jobs[1].task", message: expect.stringContaining('"default"') });
  });

  it("takes a runAt in the past as now", async () => {
    const made = await enqueue("q-past", { task: "any", runAt: "1999-12-31T23:59:59Z" });
    expect(made.state).toBe("ready");
  });
});

describe("GET /v1/jobs/{id}", () => {
  it("answers what has ended, and 404 for what never was, without waking an object for it", async () => {
    const { id } = await enqueue("q-get", { task: "any" });
    await work("q-get");
    expect(await getJob(id)).toMatchObject({ state: "completed", result: 42, attempt: 1 });
    for (const unknown of ["q-get:0:999999", "q-get:1:1", "elsewhere:0:1"]) {
      expect((await problem(await ask(`/v1/jobs/${unknown}`), 404, "not_found")).detail).toContain(unknown);
    }
  });

  it("waits until the job is final, or for as long as asked", async () => {
    const { id } = await enqueue("q-wait", { task: "any" });
    const started = Date.now();
    const waited = ask(`/v1/jobs/${id}?wait=20s`);
    await ask(`/v1/jobs/${id}/cancel`, { method: "POST" });
    expect(await answer<Job>(await waited)).toMatchObject({ state: "cancelled", reason: "cancelled_by_user" });
    expect(Date.now() - started).toBeLessThan(10_000);
    const idle = await enqueue("q-wait", { task: "any", delay: "1h" });
    expect(await answer<Job>(await ask(`/v1/jobs/${idle.id}?wait=100ms`))).toMatchObject({ state: "scheduled" });
  });
});

describe("what people do to a job", () => {
  const act = (id: string, what: string) => ask(`/v1/jobs/${id}/${what}`, { method: "POST" });

  it("cancels: again is fine, what has ended is not", async () => {
    const { id } = await enqueue("q-cancel", { task: "any", delay: "1h" });
    expect(await answer<Job>(await act(id, "cancel"))).toMatchObject({ id, state: "cancelled" });
    expect(await answer<Job>(await act(id, "cancel"))).toMatchObject({ id, state: "cancelled" });
    const done = await enqueue("q-cancel", { task: "any" });
    await work("q-cancel");
    expect((await problem(await act(done.id, "cancel"), 409, "conflict")).detail).toContain("completed");
    await problem(await act("q-cancel:0:999999", "cancel"), 404, "not_found");
  });

  it("retries: what has ended, and what is scheduled", async () => {
    const { id } = await enqueue("q-retry", { task: "any" });
    await work("q-retry", () => ({ outcome: "dead" }));
    expect(await getJob(id)).toMatchObject({ state: "dead", error: { message: "on purpose" } });
    expect(await answer<Job>(await act(id, "retry"))).toMatchObject({ state: "ready", failures: 0 });
    expect(await answer<Job>(await act(id, "retry"))).toMatchObject({ state: "ready" });
    const later = await enqueue("q-retry", { task: "any", delay: "1h" });
    expect(await answer<Job>(await act(later.id, "retry"))).toMatchObject({ state: "ready" });
  });

  it("deletes", async () => {
    const { id } = await enqueue("q-delete", { task: "any", delay: "1h" });
    const gone = await ask(`/v1/jobs/${id}`, { method: "DELETE" });
    expect([gone.status, await gone.text()]).toEqual([204, ""]);
    await problem(await ask(`/v1/jobs/${id}`), 404, "not_found");
    await problem(await ask(`/v1/jobs/${id}`, { method: "DELETE" }), 404, "not_found");
  });

  it("neither retries nor deletes a running job, and asks it to stop", async () => {
    const { id } = await enqueue("q-running", { task: "any" });
    await claim("q-running");
    expect((await problem(await act(id, "retry"), 409, "conflict")).detail).toContain(id);
    await problem(await ask(`/v1/jobs/${id}`, { method: "DELETE" }), 409, "conflict");
    const cancelled = await answer<Job>(await act(id, "cancel"));
    expect(cancelled).toMatchObject({ state: "running", cancelRequestedAt: expect.stringMatching(/Z$/) });
  });

  it("counts what failed as retrying", async () => {
    const { id } = await enqueue("q-failed", { task: "any" });
    await work("q-failed", () => ({ outcome: "failed" }));
    expect(await getJob(id)).toMatchObject({ state: "scheduled", reason: "retrying", failures: 1, attempt: 2 });
    expect((await listJobs("queue=q-failed&state=retrying")).items.map((job) => job.id)).toEqual([id]);
    expect((await listJobs("queue=q-failed&state=ready")).items).toEqual([]);
  });
});

describe("queues", () => {
  it("are made by pause, and paused until resume", async () => {
    await problem(await ask("/v1/queues/q-paused"), 404, "not_found");
    const paused = await answer<Queue>(await ask("/v1/queues/q-paused/pause", { body: { reason: "lunch" } }));
    expect(paused).toMatchObject({
      ...{ name: "q-paused", partitions: 1, paused: true, pauseReason: "lunch", oldestReadyAt: null, sessions: [] },
      counts: { scheduled: 0, retrying: 0, blocked: 0, ready: 0, running: 0 },
    });
    await enqueue("q-paused", { task: "any" });
    expect(await work("q-paused")).toEqual([]);
    const { items } = await answer<Page<QueueSummary>>(await ask("/v1/queues?limit=200"));
    expect(items.find(({ name }) => name === "q-paused")).toMatchObject({ partitions: 1, paused: true });
    const resumed = await answer<Queue>(await ask("/v1/queues/q-paused/resume", { method: "POST" }));
    expect(resumed).toMatchObject({ paused: false, pauseReason: null, counts: { ready: 1 } });
    expect(resumed.oldestReadyAt).toMatch(/Z$/);
  });

  it("are listed in pages", async () => {
    const names: string[] = [];
    for (let cursor = ""; ; ) {
      const page = await answer<Page<QueueSummary>>(await ask(`/v1/queues?limit=2${cursor}`));
      names.push(...page.items.map(({ name }) => name));
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(names.length).toBeGreaterThan(3);
    expect(names).toEqual([...new Set(names)].sort());
  });

  it("are configured by merge patches, and say where each setting comes from", async () => {
    const patch = async (body: object) =>
      answer<EffectiveConfig>(await ask("/v1/queues/q-config/config", { method: "PATCH", body }));
    const changed = await patch({ concurrency: 3, lease: "90s", history: { completed: "none", keep: "1h" } });
    expect(changed).toEqual({
      concurrency: { value: 3, origin: "api" },
      slots: { value: 6, origin: "default" },
      maxSessions: { value: 20, origin: "default" },
      lease: { value: "90s", origin: "api" },
      history: {
        completed: { value: "none", origin: "api" },
        keep: { value: "1h", origin: "api" },
        keepDead: { value: "30d", origin: "default" },
      },
      rateLimit: { value: null, origin: "default" },
      ageing: { value: null, origin: "default" },
      tasks: {},
      limits: {},
      fairness: { weights: {} },
    });
    const back = await patch({ lease: null, history: null });
    expect(back.lease).toEqual({ value: "30s", origin: "default" });
    expect(back.history.completed).toEqual({ value: "all", origin: "default" });
    expect(back.concurrency).toEqual({ value: 3, origin: "api" });
    expect((await answer<Queue>(await ask("/v1/queues/q-config"))).config).toEqual(back);
  });
});

it("serves the default deployment the same way", async () => {
  const request = { url: "https://example.com/" };
  const made = await answer<{ id: string }>(
    await ask("/v1/queues/real/jobs", { body: { task: "http", payload: request, delay: "1h" }, fetch: deployed }),
    201,
  );
  expect(await answer<Job>(await ask(`/v1/jobs/${made.id}`, { fetch: deployed }))).toMatchObject({ payload: request });
  const inside = { body: { task: "http", payload: { url: "https://10.0.0.1/" } }, fetch: deployed };
  const refused = await problem(await ask("/v1/queues/real/jobs", inside), 400, "invalid_request");
  expect(refused.errors![0]!.path).toBe("payload.url");
});
