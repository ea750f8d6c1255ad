import { describe, expect, it, vi } from "vitest";
import { made } from "../access/support.ts";
import { answer, appWith, ask, DEPS, enqueue, migrated, problem, stubOf, work } from "../api/support.ts";
import { record, store } from "../history/support.ts";
import { line, names, opened, sessionAt, socketAt } from "./support.ts";

migrated();

const until = (what: () => unknown) => vi.waitFor(async () => expect(await what()).toBeTruthy(), { timeout: 5_000 });
const eventsOf = (id: string) => `/v1/jobs/${id}/events`;
const error = { name: "Error", message: "no", stack: null };

/** A job that was run once, with lines and progress, and failed for good. */
async function lived(queue: string) {
  const { id } = await enqueue(queue, { task: "any" });
  const exchange = sessionAt(queue);
  const whole = await opened(eventsOf(id));
  await until(() => whole.told.length === 1);
  await exchange({ want: 1 });
  const progress = [{ seq: 1, fence: 1, progress: { percent: 40, note: "half" } }];
  await exchange({ holding: [[1, 1]], progress, logs: [{ seq: 1, fence: 1, lines: [line("a"), line("b")] }] });
  const settle = [{ seq: 1, fence: 1, outcome: "dead" as const, error }];
  await exchange({ settle, logs: [{ seq: 1, fence: 1, lines: [line("c")] }] });
  await whole.finished;
  return { id, whole };
}

describe("server-sent events of a job", () => {
  it("tell it from its state to its result, and end", async () => {
    const { id, whole } = await lived("q-sse");
    const { headers } = whole.response;
    expect(headers.get("content-type")).toBe("text/event-stream");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-accel-buffering")).toBe("no");
    expect(headers.get("x-request-id")).toMatch(/./);
    expect(names(whole.told)).toEqual([
      ...["state ready", "state running", "log 1", "log 2", "progress", "state dead", "log 3", "result dead"],
    ]);
    expect(whole.told.map(({ name, data }) => name === data.event)).not.toContain(false);
    expect(whole.told[2]!.data).toEqual({
      ...{ event: "log", id, n: 1, at: "2026-11-22T05:00:00.000Z", level: "info", message: "a", fields: null },
    });
    expect(whole.told.at(-1)!.data).toMatchObject({ id, reason: "non_retryable", result: null, error });
    expect(whole.retry).toBeGreaterThan(0);
  });

  it("go on after any of them, by header and by query, and answer 204 when all has been seen", async () => {
    const { id, whole } = await lived("q-resume");
    for (const cut of [4, 5, 6]) {
      const after = whole.told[cut]!.id;
      const byHeader = await opened(eventsOf(id), { headers: { "last-event-id": after } });
      const byQuery = await opened(`${eventsOf(id)}?after=${after}`);
      await Promise.all([byHeader.finished, byQuery.finished]);
      expect(byHeader.told).toEqual(byQuery.told);
      expect([...whole.told.slice(0, cut + 1), ...byHeader.told]).toEqual(whole.told);
    }
    const last = { "last-event-id": whole.told.at(-1)!.id };
    expect((await ask(eventsOf(id), { headers: last })).status).toBe(204);
    await stubOf("q-resume").retry(1);
    const again = await opened(eventsOf(id), { headers: last });
    await until(() => again.told.length === 2);
    expect(names(again.told)).toEqual(["state ready", "progress"]);
    await again.cancel();
  });

  it("of a job that only the history has are told from there", async () => {
    const logs = JSON.stringify([3, [line("b"), line("c")]]);
    await store("q-past", [record({ seq: 7, fence: 5, result: '{"n":1}', logs })]);
    const { told, finished } = await opened(eventsOf("q-past:0:7"));
    await finished;
    expect(names(told)).toEqual(["state completed", "log 2", "log 3", "result completed"]);
    expect(told.at(-1)!.data).toMatchObject({ result: { n: 1 }, error: null });
    const rest = await opened(`${eventsOf("q-past:0:7")}?after=${told[1]!.id}`);
    await rest.finished;
    expect(names(rest.told)).toEqual(["log 3", "result completed"]);
    const done = { "last-event-id": told.at(-1)!.id };
    expect((await ask(eventsOf("q-past:0:7"), { headers: done })).status).toBe(204);
    const { response, frames, closed } = await socketAt(eventsOf("q-past:0:7"), { headers: { "x-request-id": "p-1" } });
    expect(response.headers.get("x-request-id")).toBe("p-1");
    await until(() => closed.length === 1);
    expect(frames.map(({ event }) => event)).toEqual(told.map(({ data }) => data));
    expect(closed).toEqual([[1000, "ended"]]);
  });

  it("miss nothing when the job ends or comes back between two looks", async () => {
    const { id } = await enqueue("q-race", { task: "any" });
    let looks = 0;
    const fetch = appWith({
      async upgrade(...call) {
        looks += 1;
        // Not here at the first look, because it had ended and left: by the second it has been retried.
        return looks === 1 ? new Response(null, { status: 404 }) : DEPS.upgrade(...call);
      },
    });
    const live = await opened(eventsOf(id), { fetch });
    await until(() => live.told.length === 1);
    await work("q-race");
    await live.finished;
    expect(names(live.told).at(-1)).toBe("result completed");
    const gone = appWith({ upgrade: async () => new Response(null, { status: 404 }) });
    const past = await opened(eventsOf(id), { fetch: gone });
    await past.finished;
    expect(names(past.told)).toEqual(["state completed", "result completed"]);
  });

  it("are refused for what is not there, and for ids of events that are none", async () => {
    await problem(await ask(eventsOf("q-sse:0:999")), 404, "not_found");
    await problem(await ask(eventsOf("nowhere:0:1")), 404, "not_found");
    await problem(await ask(eventsOf("q-sse")), 400, "invalid_request");
    const { id } = await enqueue("q-refused", { task: "any" });
    for (const after of ["x", "1-2-3", "%F0%9F%98%80", "1-a-b-2%0Aid"]) {
      await problem(await ask(`${eventsOf(id)}?after=${after}`), 400, "invalid_request");
    }
    await problem(await ask(eventsOf(id), { headers: { "last-event-id": "7" } }), 400, "invalid_request");
    await problem(await ask(`${eventsOf(id)}?since=1`), 400, "invalid_request");
    await stubOf("q-refused").remove(1);
    await problem(await ask(eventsOf(id)), 404, "not_found");
    await problem(await ask(eventsOf("q-more:0:1"), { fetch: full }), 503, "unavailable");
    const head = await ask(eventsOf((await enqueue("q-refused", { task: "any" })).id), { method: "HEAD" });
    expect([head.status, head.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  });

  it("are told to a producer of its own jobs alone", async () => {
    const { token } = await made({ role: "producer", actor: "ada" });
    const headers = { authorization: `Bearer ${token}` };
    const { id } = await answer<{ id: string }>(
      await ask("/v1/queues/q-own/jobs", { body: { task: "any" }, headers }),
      201,
    );
    const own = await opened(eventsOf(id), { headers });
    await until(() => own.told.length === 1);
    await own.cancel();
    const other = await enqueue("q-own", { task: "any" });
    await problem(await ask(eventsOf(other.id), { headers }), 404, "not_found");
    await problem(await ask(`/v1/jobs/${other.id}/logs`, { headers }), 404, "not_found");
    await problem(await ask("/v1/queues/q-own/events", { headers }), 403, "forbidden");
    expect((await ask(`/v1/jobs/${id}/logs`, { headers })).status).toBe(200);
  });
});

const full = appWith({ upgrade: async () => new Response(null, { status: 503 }) });

describe("a job over a WebSocket", () => {
  it("is told in frames, by the object itself; a browser offers its token as a subprotocol", async () => {
    const { id } = await enqueue("q-ws", { task: "any" });
    const { token } = await made({ role: "viewer", jobs: [id] });
    const subprotocols = `millrace, bearer.${token}`;
    const offered = { authorization: null, "sec-websocket-protocol": subprotocols, "x-request-id": "w-1" };
    const { response, frames, closed } = await socketAt(eventsOf(id), { headers: offered });
    expect([response.status, response.headers.get("sec-websocket-protocol")]).toEqual([101, "millrace"]);
    expect(response.headers.get("x-request-id")).toBe("w-1");
    await work("q-ws");
    await until(() => closed.length === 1);
    expect(names(frames.map(({ event }) => ({ data: event })))).toEqual([
      ...["state ready", "state running", "state completed", "result completed"],
    ]);
    const rest = await socketAt(`${eventsOf(id)}?after=${frames[1]!.cursor}`);
    await until(() => rest.closed.length === 1);
    expect(rest.frames).toEqual(frames.slice(2));
  });
});

describe("the events of a queue", () => {
  it("tell of all its jobs, and of counts", async () => {
    await problem(await ask("/v1/queues/q-all/events"), 404, "not_found");
    await problem(await ask("/v1/queues/nowhere/events"), 404, "not_found");
    await enqueue("q-all", { task: "any" });
    const stream = await opened("/v1/queues/q-all/events");
    const { frames } = await socketAt("/v1/queues/q-all/events");
    await until(() => stream.told.length === 1 && frames.length === 1);
    await work("q-all");
    await until(() => stream.told.length >= 5);
    expect(names(stream.told).filter((name) => name !== "counts")).toEqual([
      ...["state running", "state completed", "result completed"],
    ]);
    await until(() => frames.length >= stream.told.length);
    expect(frames.slice(1, 4).map(({ event }) => event)).toEqual(stream.told.slice(1, 4).map(({ data }) => data));
    await stream.cancel();
    await until(async () => (await stubOf("q-all").describe())!.sockets!.watchers === 1);
    const again = await opened("/v1/queues/q-all/events", { headers: { "last-event-id": stream.told.at(-1)!.id } });
    await until(() => again.told.length === 2);
    expect(again.told.map(({ data }) => data)).toMatchObject([
      { event: "gap", reason: "resumed" },
      { event: "counts", counts: { ready: 0 }, paused: false },
    ]);
    await problem(await ask("/v1/queues/q-all/events?after=x"), 400, "invalid_request");
    await problem(await ask("/v1/queues/q-all/events", { fetch: full }), 503, "unavailable");
    await again.cancel();
  });
});

describe("the logs of a job", () => {
  it("are answered while it lives, when it has ended, and from the history", async () => {
    const { id } = await enqueue("q-logs", { task: "any" });
    const logs = () => ask(`/v1/jobs/${id}/logs`);
    expect(await answer(await logs())).toEqual({ items: [], count: 0 });
    const exchange = sessionAt("q-logs");
    await exchange({ want: 1 });
    await exchange({ holding: [[1, 1]], logs: [{ seq: 1, fence: 1, lines: [line("a"), line("b")] }] });
    const at = "2026-11-22T05:00:00.000Z";
    const both = ["a", "b"].map((message, n) => ({ n: n + 1, at, level: "info", message, fields: null }));
    expect(await answer(await logs())).toEqual({ items: both, count: 2 });
    await exchange({ settle: [{ seq: 1, fence: 1, outcome: "completed" }] });
    expect(await answer(await logs())).toEqual({ items: both, count: 2 });
    await store("q-older", [record({ seq: 1, logs: JSON.stringify([1_001, [line("last")]]) }), record({ seq: 2 })]);
    expect(await answer(await ask("/v1/jobs/q-older:0:1/logs"))).toEqual({
      items: [{ n: 1_001, at, level: "info", message: "last", fields: null }],
      count: 1_001,
    });
    expect(await answer(await ask("/v1/jobs/q-older:0:2/logs"))).toEqual({ items: [], count: 0 });
    await problem(await ask("/v1/jobs/q-older:0:3/logs"), 404, "not_found");
  });
});
