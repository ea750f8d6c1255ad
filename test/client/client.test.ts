import { expect, it } from "vitest";
import { createClient, isJobFailed } from "../../client/index.ts";
import { startServer } from "./faulty-server.ts";

it("waits for a result by asking again, and hands it out", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const job = await client.enqueue("report", {});
  const result = job.result({ timeout: "30s" });
  await expect.poll(() => server.received.length).toBe(2);
  Object.assign(server.jobs.get(job.id)!, { state: "completed", result: { pages: 3 } });
  expect(await result).toEqual({ pages: 3 });
  expect(server.received[1]?.path).toMatch(/^\/v1\/jobs\/q:0:1\?wait=\d+(ms|s)$/);
});

it.each(["dead", "cancelled"] as const)("throws the job when it is %s", async (state) => {
  await using server = await startServer();
  const error = { name: "TypeError", message: "x is not a function", stack: null };
  server.jobs.set("q:0:9", { id: "q:0:9", task: "report", state, reason: "exhausted", error });
  const client = createClient({ url: server.url });
  const thrown = await client
    .job("q:0:9")
    .result()
    .catch((e) => e);
  expect(isJobFailed(thrown)).toBe(true);
  expect(thrown.job.state).toBe(state);
  expect(thrown.message).toBe(`Job q:0:9 (report) is ${state}: TypeError: x is not a function`);
});

it("says so when the time for a result is up", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const job = await client.enqueue("report", {});
  await expect(job.result({ timeout: "50ms" })).rejects.toMatchObject({ code: "timeout", status: 0, retryable: true });
  await expect(job.result({ timeout: "0s" })).rejects.toMatchObject({ code: "timeout" });
  await expect(job.result({ timeout: "soon" as never })).rejects.toThrow(RangeError);
  const stop = new AbortController();
  const waiting = job.result({ signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

it("acts on a job, through lost answers where that is safe", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const { id } = await client.enqueue("report", {});
  const job = client.job(id);
  expect(await job.get()).toMatchObject({ id, state: "ready" });
  server.faults.push("lose-answer");
  expect(await job.cancel()).toMatchObject({ state: "cancelled" });

  server.faults.push({ status: 503 });
  await job.retry();
  const before = server.received.length;
  server.faults.push("lose-answer");
  await expect(job.retry()).rejects.toMatchObject({ code: "network", retryable: true });
  expect(server.received.length).toBe(before + 1);

  server.faults.push("lose-answer");
  await job.delete();
  await expect(job.delete()).rejects.toMatchObject({ code: "not_found" });
  await expect(job.get()).rejects.toMatchObject({ code: "not_found", status: 404, requestId: "req-1" });
});

it("lists jobs and queues page by page", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  await client.enqueueMany(
    "report",
    Array.from({ length: 7 }, (_, n) => n),
  );
  const ids: string[] = [];
  const filter = { queue: "q", state: ["dead", "retrying"], from: new Date(0), pageSize: 3 } as const;
  for await (const job of client.jobs(filter)) ids.push(job.id);
  expect(ids.length).toBe(7);
  expect(new Set(ids).size).toBe(7);
  const paths = server.received.slice(1).map(({ path }) => decodeURIComponent(path));
  expect(paths).toEqual([
    "/v1/jobs?limit=3&queue=q&state=dead,retrying&from=1970-01-01T00:00:00.000Z",
    "/v1/jobs?limit=3&queue=q&state=dead,retrying&from=1970-01-01T00:00:00.000Z&cursor=3",
    "/v1/jobs?limit=3&queue=q&state=dead,retrying&from=1970-01-01T00:00:00.000Z&cursor=6",
  ]);
  const queues: unknown[] = [];
  for await (const queue of client.queues()) queues.push(queue);
  expect(server.received.at(-1)?.path).toMatch(/^\/v1\/queues/);
  expect(queues.length).toBe(7);
});

it("looks at a queue and changes it", async () => {
  await using server = await startServer();
  const queue = createClient({ url: server.url }).queue("mail");
  expect(await queue.get()).toMatchObject({ name: "mail", did: "get" });
  expect(await queue.pause({ reason: "vendor is down" })).toMatchObject({
    did: "pause",
    body: { reason: "vendor is down" },
  });
  expect(await queue.resume()).toMatchObject({ did: "resume" });
  const patch = { concurrency: 5, lease: null, history: { keep: "1d" } } as const;
  expect(await queue.configure(patch)).toMatchObject({ did: "config", body: patch });
  expect(server.received.map(({ method }) => method)).toEqual(["GET", "POST", "POST", "PATCH"]);
});

it("reaches an app in the same process through an injected fetch", async () => {
  const seen: string[] = [];
  const client = createClient({
    url: "http://millrace/base",
    fetch: async (request) => {
      seen.push(`${request.method} ${request.url} ${await request.text()}`);
      return Response.json({ id: "q:0:1", state: "ready", outcome: "created" }, { status: 201 });
    },
  });
  expect((await client.enqueue("x", { a: 1 })).id).toBe("q:0:1");
  expect(seen).toEqual(['POST http://millrace/base/v1/jobs {"task":"x","payload":{"a":1}}']);
});

it("says why no answer came, also where fetch says only that it failed", async () => {
  const cause = Object.assign(new Error("long words"), { code: "ECONNREFUSED" });
  for (const [thrown, why] of [
    [new TypeError("fetch failed", { cause }), "fetch failed: ECONNREFUSED"],
    [new TypeError("fetch failed", { cause: new Error("no such host") }), "fetch failed: no such host"],
    [new TypeError("Load failed"), "Load failed"],
  ] as const) {
    const client = createClient({ url: "http://millrace", retryFor: "0s", fetch: () => Promise.reject(thrown) });
    const asked = client.job("q:0:1").get();
    await expect(asked).rejects.toThrow(new RegExp(`^GET http://millrace/v1/jobs/q:0:1: no answer: ${why}$`));
  }
});

it("gives up on an app in the same process that ignores the signal", async () => {
  const client = createClient({ url: "http://millrace", fetch: () => new Promise<Response>(() => {}) });
  const gone = new Error("gone");
  const stop = new AbortController();
  const sent = client.job("q:0:1").get({ signal: stop.signal });
  stop.abort(gone);
  await expect(sent).rejects.toBe(gone);
});

it("refuses settings that could make a job twice, and URLs that cannot be asked", async () => {
  expect(() => createClient({ url: "http://x", retryFor: "3m" })).toThrow(RangeError);
  for (const url of [undefined as unknown as string, "localhost:8787", "ws://localhost:8787"]) {
    expect(() => createClient({ url })).toThrow(/is not a URL such as "https:\/\//);
  }
  await expect(createClient({ url: "nowhere" }).job("q:0:1").get()).rejects.toThrow(TypeError);
});
