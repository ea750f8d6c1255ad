import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, describe, expect, it, vi } from "vitest";
import { createClient, isMillraceError, type JobView, type QueueEvent } from "../../client/index.ts";
import { LIFE, startStreams } from "./stream-server.ts";

const known = { id: "q:0:1", task: "encode", reason: null, attempt: 1 };
const LINE = { n: 1, at: "2026-06-01T00:00:00.000Z", level: "warn", message: "slow", fields: { disk: "full" } };
const VIEWS = [
  { ...known, event: "state", state: "ready", fence: 0, percent: null, note: null },
  { ...known, event: "state", state: "running", fence: 1, percent: null, note: null },
  { ...known, event: "progress", state: "running", fence: 1, percent: 40, note: "é" },
  { ...known, event: "log", state: "running", fence: 1, percent: 40, note: "é", log: LINE },
  { ...known, event: "progress", state: "running", fence: 1, percent: 90, note: null },
  {
    ...known,
    event: "result",
    state: "completed",
    fence: 1,
    percent: 90,
    note: null,
    result: { bytes: 3 },
    error: null,
  },
];

/** Others may keep the machine busy. */
const soon = <Value>(look: () => Value) => expect.poll(look, { timeout: 20_000 });

async function thrownBy(views: AsyncIterable<unknown>): Promise<unknown> {
  try {
    for await (const _ of views);
  } catch (error) {
    return error;
  }
  throw new Error("It ended without an error");
}

describe("a watched job", () => {
  it("is told as it happens, each time with the latest that is known, until its result", async () => {
    await using server = await startStreams();
    const client = createClient({ url: server.url, token: "a-token" });
    const views = client.job("q:0:1").watch();
    expect(server.opened).toEqual([]);
    const first = views.next();
    const stream = await server.next();
    expect(stream.path).toBe("/v1/jobs/q:0:1/events");
    expect(stream.headers).toMatchObject({ authorization: "Bearer a-token", accept: "text/event-stream" });
    expect(stream.headers).not.toHaveProperty("last-event-id");
    const seen: unknown[] = [];
    for (const [index, event] of LIFE.entries()) {
      stream.tell(index, event);
      seen.push((await (index === 0 ? first : views.next())).value);
    }
    expect(seen).toEqual(VIEWS);
    expect(await views.next()).toEqual({ done: true, value: undefined });
    await stream.gone;
  });

  it("goes on where it was when the connection breaks, wherever that is", async () => {
    await using server = await startStreams();
    const seen: JobView[] = [];
    const watching = (async () => {
      for await (const view of createClient({ url: server.url }).job("q:0:1").watch()) seen.push(view);
    })();
    const ways = [
      (stream: Awaited<ReturnType<typeof server.next>>) => stream.break(),
      (stream: Awaited<ReturnType<typeof server.next>>) => stream.end(),
      (stream: Awaited<ReturnType<typeof server.next>>) => {
        stream.raw(`id: 99\nevent: state\ndata: {"event":"sta`);
        stream.end();
      },
    ];
    for (let index = 0; index < LIFE.length; index++) {
      const stream = await server.next();
      expect(stream.headers["last-event-id"]).toBe(index === 0 ? undefined : String(index - 1));
      stream.tell(index, LIFE[index]!);
      if (index < LIFE.length - 1) {
        await soon(() => seen.length).toBe(index + 1);
        ways[index % ways.length]!(stream);
      }
    }
    await watching;
    expect(seen).toEqual(VIEWS);
    expect(server.opened).toHaveLength(LIFE.length);
  });

  it("tries again where the server is away or troubled, and waits longer from time to time", async () => {
    await using server = await startStreams();
    server.answers.push("drop", { status: 503, body: { code: "unavailable", detail: "soon" } });
    const views = createClient({ url: server.url }).job("q:0:1").watch();
    const first = views.next();
    (await server.next()).tell(0, LIFE[0]!);
    expect((await first).value).toEqual(VIEWS[0]);
    // Streams that break at once.
    const asked: number[] = [];
    const next = views.next();
    server.opened[0]!.break();
    for (let n = 0; n < 5; n++) {
      const stream = await server.next();
      asked.push(performance.now());
      stream.break();
    }
    const pauses = asked.slice(1).map((at, index) => at - asked[index]!);
    expect(pauses.at(-1)!).toBeGreaterThan(1_600 * 0.25 - 50);
    (await server.next()).tell(5, LIFE[5]!);
    expect((await next).value).toMatchObject({ event: "result", result: { bytes: 3 } });
  });

  it("waits as long as the stream asks before it is opened again", async () => {
    await using server = await startStreams();
    const views = createClient({ url: server.url }).job("q:0:1").watch();
    const first = views.next();
    const stream = await server.next();
    stream.raw("retry: 700\n\n");
    stream.tell(0, LIFE[0]!);
    await first;
    const brokenAt = performance.now();
    stream.end();
    const next = views.next();
    (await server.next()).tell(5, LIFE[5]!);
    expect(performance.now() - brokenAt).toBeGreaterThan(690);
    await next;
  });

  it.each([
    ["that is not there", { status: 404, body: { code: "not_found", detail: "there is no job q:0:1" } }, "not_found"],
    ["of somebody else", { status: 403, body: { code: "forbidden", detail: "no" } }, "forbidden"],
    ["for which the token is wrong", { status: 401, body: { code: "unauthorized", detail: "no" } }, "unauthorized"],
    ["where something else answers", { status: 200, type: "text/html", body: "<h1>hello</h1>" }, "invalid_response"],
    ["where something else answers JSON", { status: 200, type: "application/json", body: {} }, "invalid_response"],
  ])("%s is refused at once, at the start and later", async (_, answer, code) => {
    await using server = await startStreams();
    const job = createClient({ url: server.url }).job("q:0:1");
    server.answers.push(answer);
    const error = await thrownBy(job.watch());
    expect(isMillraceError(error) && error.code).toBe(code);

    const views = job.watch();
    const first = views.next();
    const stream = await server.next();
    stream.tell(0, LIFE[0]!);
    await first;
    server.answers.push(answer);
    stream.end();
    await expect(views.next()).rejects.toMatchObject({ code, retryable: false });
    expect(await views.next()).toEqual({ done: true, value: undefined });
  });

  it("is given up when the server cannot be reached for as long as the client tries", async () => {
    const views = createClient({ url: "http://127.0.0.1:1", retryFor: "300ms" }).job("q:0:1").watch();
    expect(await thrownBy(views)).toMatchObject({ code: "network", retryable: true });
  });

  it("closes its stream when the loop is left, by break or by throwing", async () => {
    await using server = await startStreams();
    const job = createClient({ url: server.url }).job("q:0:1");
    const leaving = (async () => {
      for await (const _ of job.watch()) break;
    })();
    const stream = await server.next();
    stream.tell(0, ...LIFE.slice(0, 4));
    await leaving;
    await stream.gone;

    const throwing = (async () => {
      for await (const _ of job.watch()) throw new Error("mine");
    })();
    const second = await server.next();
    second.tell(0, LIFE[0]!);
    await expect(throwing).rejects.toThrow("mine");
    await second.gone;
    expect(server.opened).toHaveLength(2);
  });

  it("closes its stream and throws the reason when the signal is aborted, whatever it waits for", async () => {
    await using server = await startStreams();
    const job = createClient({ url: server.url }).job("q:0:1");
    const reason = new Error("left the page");
    const stop = new AbortController();
    const thrown = thrownBy(job.watch({ signal: stop.signal }));
    const stream = await server.next();
    stream.tell(0, LIFE[0]!);
    stop.abort(reason);
    expect(await thrown).toBe(reason);
    await stream.gone;
    expect(await thrownBy(job.watch({ signal: stop.signal }))).toBe(reason);

    // Between two streams.
    const later = new AbortController();
    const second = thrownBy(job.watch({ signal: later.signal }));
    const pausing = await server.next();
    pausing.raw("retry: 60000\n\n");
    pausing.end();
    await new Promise((resolve) => setTimeout(resolve, 100));
    later.abort(reason);
    expect(await second).toBe(reason);
    expect(server.opened).toHaveLength(2);
  });

  it("tells no more once it is aborted, not even what has come already", async () => {
    await using server = await startStreams();
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { event } of createClient({ url: server.url }).job("q:0:1").watch({ signal: stop.signal })) {
        seen.push(event);
        stop.abort(new Error("enough"));
      }
    })();
    (await server.next()).tell(0, ...LIFE);
    await expect(watching).rejects.toThrow("enough");
    expect(seen).toEqual(["state"]);
  });

  it("leaves out what it cannot read, and keeps fields that newer servers add", async () => {
    await using server = await startStreams();
    const seen: unknown[] = [];
    const watching = (async () => {
      for await (const view of createClient({ url: server.url }).job("q:0:1").watch()) seen.push(view);
    })();
    const stream = await server.next();
    stream.tell(0, { ...LIFE[0]!, newer: true } as never);
    stream.raw("id: 1\ndata: not JSON\n\n");
    const second = await server.next();
    expect(second.headers["last-event-id"]).toBe("1");
    second.tell(2, { event: "weather", id: "q:0:1", rain: true } as never, LIFE[5]!);
    await watching;
    expect(seen).toEqual([
      { ...VIEWS[0], newer: true },
      expect.objectContaining({ event: "result", state: "completed" }),
    ]);
  });
});

describe("by a clock that can be moved", () => {
  afterEach(() => void vi.useRealTimers());

  it("asks anew when nothing at all was said for 45 s", async () => {
    vi.useFakeTimers();
    const controllers: ReadableStreamDefaultController<Uint8Array>[] = [];
    const cancel = vi.fn();
    const client = createClient({
      url: "http://millrace",
      fetch: () =>
        new Response(new ReadableStream({ start: (controller) => void controllers.push(controller), cancel }), {
          headers: { "content-type": "text/event-stream; charset=utf-8" },
        }),
    });
    const say = (text: string) => controllers.at(-1)!.enqueue(new TextEncoder().encode(text));
    const views = client.job("q:0:1").watch();
    const next = views.next();
    await vi.advanceTimersByTimeAsync(44_000);
    say(": \n");
    await vi.advanceTimersByTimeAsync(44_000);
    expect([controllers.length, cancel.mock.calls.length]).toEqual([1, 0]);
    await vi.advanceTimersByTimeAsync(1_500);
    expect([controllers.length, cancel.mock.calls.length]).toEqual([2, 1]);
    say(`data: ${JSON.stringify(LIFE[0])}\n\n`);
    expect((await next).value).toEqual(VIEWS[0]);
    await views.return?.();
    expect(cancel).toHaveBeenCalledTimes(2);
    expect(vi.getTimerCount()).toBe(0);
  });
});

it("tells what happens in a queue, over broken connections", async () => {
  await using server = await startStreams();
  const counts = { scheduled: 0, retrying: 0, blocked: 0, ready: 1, running: 0 };
  const events: QueueEvent[] = [
    { event: "counts", counts, paused: false },
    LIFE[0]!,
    { event: "gap", reason: "resumed" },
  ];
  const seen: QueueEvent[] = [];
  const watching = (async () => {
    for await (const event of createClient({ url: server.url }).queue("tenant/7").watch()) {
      seen.push(event);
      if (seen.length === 3) break;
    }
  })();
  const first = await server.next();
  expect(first.path).toBe("/v1/queues/tenant%2F7/events");
  first.tell(1, events[0]!, events[1]!);
  await soon(() => seen.length).toBe(2);
  first.break();
  const second = await server.next();
  expect(second.headers["last-event-id"]).toBe("2");
  second.tell(3, events[2]!);
  await watching;
  expect(seen).toEqual(events);
  await second.gone;
});

it("reads a job's log", async () => {
  await using server = await startStreams();
  server.answers.push({ status: 200, type: "application/json", body: { items: [LINE], count: 12 } });
  const { items, count } = await createClient({ url: server.url }).job("q:0:1").logs();
  expect([items, count]).toEqual([[LINE], 12]);
});

it("runs unchanged in Deno: over a broken connection, and left by break, by signal and by a store's last subscriber", async () => {
  await using server = await startStreams();
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  const args = ["run", "--no-config", "--no-prompt", `--allow-net=${new URL(server.url).host}`];
  const running = promisify(execFile)(path("../../node_modules/.bin/deno"), [
    ...args,
    path("./deno-watch.ts"),
    server.url,
  ]);
  const first = await server.next();
  first.tell(0, ...LIFE.slice(0, 3));
  first.raw('id: 9\ndata: {"ev');
  await new Promise((resolve) => setTimeout(resolve, 200));
  first.break();
  const second = await server.next();
  expect(second.headers["last-event-id"]).toBe("2");
  second.tell(3, ...LIFE.slice(3));
  for (let n = 0; n < 3; n++) {
    const left = await server.next();
    left.tell(0, LIFE[0]!);
    await left.gone;
  }
  const { stdout } = await running;
  expect(JSON.parse(stdout)).toEqual({ views: VIEWS, thrown: "enough", states: [null, "ready"], connection: "idle" });
});
