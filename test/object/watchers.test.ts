import { describe, expect, it } from "vitest";
import type { JobEvent, QueueEvent, Streamed } from "../../client/types.ts";
import type { LogTuple } from "../../client/wire.ts";
import { faults } from "../support/runtime-worker.ts";
import { enqueue, evict, freshWorld, queueObject, type Stub, stopClock, until, workAll, worker } from "./support.ts";

freshWorld();

const watchers = async (stub: Stub) => (await stub.describe())!.sockets!.watchers;

/** A socket that watches, and what it was told so far. */
async function watch(stub: Stub, query: string) {
  const init = { headers: { upgrade: "websocket" } };
  const { status, webSocket } = await (stub as DurableObjectStub).fetch(`https://object/watch?${query}`, init);
  if (status !== 101) throw new Error(`The object answered ${status}`);
  const socket = webSocket!;
  const told: Streamed<JobEvent | QueueEvent>[] = [];
  const seen = { socket, told, closed: null as null | [code: number, reason: string] };
  socket.addEventListener("message", ({ data }) => void told.push(JSON.parse(String(data))));
  socket.addEventListener("close", ({ code, reason }) => {
    seen.closed = [code, reason];
  });
  socket.accept();
  return seen;
}

function inShort({ event }: Streamed<JobEvent | QueueEvent>): string {
  switch (event.event) {
    case "state":
    case "result":
      return `${event.event} ${event.state}`;
    case "log":
      return `log ${event.n}`;
    case "progress":
      return `progress ${event.percent}`;
    case "gap":
      return `gap ${event.reason}`;
    case "counts":
      return `counts ${event.counts.ready}`;
  }
}

const line = (message: string): LogTuple => [1, "info", message, null];

describe("a job's watcher", () => {
  it("is told its state, and then each change to the end; then it is closed", async () => {
    const stub = queueObject();
    const [seq] = (await enqueue(stub, 2)) as [number];
    const { told, ...seen } = await watch(stub, `job=${seq}`);
    const { exchange } = worker(stub);
    const { jobs } = await exchange({ want: 2 });
    const holding = jobs.map(({ seq, fence }): [number, number] => [seq, fence]);
    await exchange({
      holding,
      progress: [{ seq, fence: 1, progress: { percent: 40, note: "half" } }],
      logs: [
        { seq, fence: 1, lines: [line("a"), line("b")] },
        { seq: 2, fence: 1, lines: [line("of another")] },
      ],
    });
    await exchange({ settle: [{ seq, fence: 1, outcome: "completed", result: '{"ok":1}' }], holding: [holding[1]!] });
    await until(() => told.length === 7);
    expect(told.map(inShort)).toEqual([
      ...["state ready", "state running", "log 1", "log 2", "progress 40", "state completed", "result completed"],
    ]);
    expect(told.at(-1)!.event).toMatchObject({ id: "mail:0:1", result: { ok: 1 }, error: null });
    await until(async () => (await watchers(stub)) === 0);
    expect(seen.socket.readyState).toBeGreaterThan(1);
  });

  it("goes on after its cursor, without repeats", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const first = await watch(stub, "job=1");
    const { exchange } = worker(stub);
    await exchange({ want: 1 });
    await exchange({ holding: [[1, 1]], logs: [{ seq: 1, fence: 1, lines: [line("a"), line("b")] }] });
    await until(() => first.told.length === 4);
    first.socket.close();
    await until(async () => (await watchers(stub)) === 0);
    await exchange({ holding: [[1, 1]], logs: [{ seq: 1, fence: 1, lines: [line("c")] }] });
    for (const [cut, rest] of [
      [1, ["log 1", "log 2", "log 3"]],
      [2, ["log 2", "log 3"]],
      [3, ["log 3"]],
    ] as const) {
      const again = await watch(stub, `job=1&after=${first.told[cut]!.cursor}`);
      await until(() => again.told.length === rest.length);
      expect(again.told.map(inShort)).toEqual(rest);
    }
  });

  it("is told of what happens after the object slept, from where it was", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const { told } = await watch(stub, "job=1");
    const { exchange } = worker(stub);
    await exchange({ want: 1 });
    await until(() => told.length === 2);
    await evict(stub);
    await exchange({ holding: [[1, 1]], logs: [{ seq: 1, fence: 1, lines: [line("after")] }] });
    await until(() => told.length === 3);
    await evict(stub);
    await exchange({
      settle: [{ seq: 1, fence: 1, outcome: "dead", error: { name: "E", message: "m", stack: null } }],
    });
    await until(() => told.length === 5);
    expect(told.slice(2).map(inShort)).toEqual(["log 1", "state dead", "result dead"]);
    expect(told.at(-1)!.event).toMatchObject({ reason: "non_retryable", error: { message: "m" } });
  });

  it("of a job that has ended is told so and closed, while the object has it; else it is for the history", async () => {
    const stub = queueObject();
    await enqueue(stub);
    await workAll(stub, () => ({ result: "7" }));
    const ended = await watch(stub, "job=1");
    await until(() => ended.closed !== null);
    expect(ended.told.map(inShort)).toEqual(["state completed", "result completed"]);
    expect(ended.closed).toEqual([1000, "ended"]);
    const again = await watch(stub, `job=1&after=${ended.told.at(-1)!.cursor}`);
    await until(() => again.closed !== null);
    expect(again.told).toEqual([]);
    await expect(watch(stub, "job=99")).rejects.toThrow("404");
    expect(await watchers(stub)).toBe(0);
  });

  it("is closed when the job is deleted", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const { closed: _, ...rest } = await watch(stub, "job=1");
    const seen = await watch(stub, "job=1");
    await stub.remove(1);
    await until(() => seen.closed !== null);
    expect(seen.closed).toEqual([4004, "deleted"]);
    expect(rest.told.map(inShort)).toEqual(["state ready"]);
  });

  it("is one of a hundred, and all are told the same", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const all = await Promise.all(Array.from({ length: 100 }, () => watch(stub, "job=1")));
    expect(await watchers(stub)).toBe(100);
    await workAll(stub);
    await until(() => all.every(({ told }) => told.length === 4));
    expect(new Set(all.map(({ told }) => JSON.stringify(told))).size).toBe(1);
    await until(async () => (await watchers(stub)) === 0);
  });
});

describe("a large result", () => {
  it("is told to as many as memory allows at once: the others are closed, and told when they come again", async () => {
    const stub = queueObject();
    faults.history.write = () => Promise.reject(new Error("D1 is down"));
    await enqueue(stub);
    const all = await Promise.all(Array.from({ length: 40 }, () => watch(stub, "job=1")));
    const result = JSON.stringify("x".repeat(800_000));
    const { exchange } = worker(stub);
    await exchange({ want: 1 });
    await exchange({ settle: [{ seq: 1, fence: 1, outcome: "completed", result }] });
    await until(() => all.every(({ closed }) => closed !== null));
    const later = all.filter(({ closed }) => closed![0] === 1013);
    expect(all.length - later.length).toBe(20);
    expect(later.every(({ told }) => inShort(told.at(-1)!) === "state running")).toBe(true);
    const [one] = later;
    const again = await watch(stub, `job=1&after=${one!.told.at(-1)!.cursor}`);
    await until(() => again.closed !== null);
    expect([again.told.map(inShort), again.closed![0]]).toEqual([["state completed", "result completed"], 1000]);
    expect(await watchers(stub)).toBe(0);
  });
});

describe("a queue's watcher", () => {
  it("is told of all its jobs, and how many there are", async () => {
    const clock = stopClock();
    const stub = queueObject();
    await enqueue(stub);
    const { told } = await watch(stub, "");
    await until(() => told.length === 1);
    clock.advance(1_000);
    await enqueue(stub, 2);
    await until(() => told.length === 4);
    clock.advance(1_000);
    await stub.pause(null);
    await until(() => told.length === 5);
    expect(told.map(inShort)).toEqual(["counts 1", "state ready", "state ready", "counts 3", "counts 3"]);
    expect(told.at(-1)!.event).toMatchObject({ paused: true });
  });

  it("that comes back is told that it may have missed something", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const { told } = await watch(stub, "after=1");
    await until(() => told.length === 2);
    expect(told.map(inShort)).toEqual(["gap resumed", "counts 1"]);
  });

  it("under load is told of a part, that there is more, and the counts of every second", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const { told } = await watch(stub, "");
    for (let call = 0; call < 5; call++) await enqueue(stub, 1_000);
    await until(() => told.some((one) => inShort(one) === "counts 5001"));
    const kinds = told.map(inShort);
    expect(kinds.filter((kind) => kind === "state ready").length).toBeLessThanOrEqual(1_000);
    expect(kinds).toContain("gap overflow");
    expect(await workAll(stub)).toHaveLength(5_001);
    await until(() => told.some((one) => inShort(one) === "counts 0"));
  });

  it("of a queue that was never used finds none, and makes none", async () => {
    const stub = queueObject();
    await expect(watch(stub, "")).rejects.toThrow("404");
    await expect(watch(stub, "job=1")).rejects.toThrow("404");
    expect(faults.rowsWritten).toBe(0);
  });
});

describe("a watcher that goes", () => {
  it("is forgotten: nothing is made for it any more", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const job = await watch(stub, "job=1");
    const queue = await watch(stub, "");
    expect(await watchers(stub)).toBe(2);
    job.socket.close(1000, "enough");
    queue.socket.close(4009, "does not read");
    await until(async () => (await watchers(stub)) === 0);
    // The Worker between closes with 4009 for a reader that does not read: that is counted.
    expect((await stub.describe())!.metrics.socketsDropped).toBe(1);
  });
});
