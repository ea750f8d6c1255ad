import { describe, expect, it } from "vitest";
import { faults } from "../support/runtime-worker.ts";
import { completed, connect, heldOf, idsOf } from "./socket.ts";
import { enqueue, evict, freshWorld, queueObject, rows, type Stub, stateOf, stopClock, until } from "./support.ts";

freshWorld();

const gauges = async (stub: Stub) => {
  const { sockets, metrics } = (await stub.describe())!;
  return { ...sockets, refused: metrics.framesRefused, dropped: metrics.socketsDropped };
};
const SILENT_MS = 51_000;

describe("a worker on a socket", () => {
  it("exchanges: is granted jobs, and settles them", async () => {
    const stub = queueObject();
    await enqueue(stub, 2);
    const worker = await connect(stub);
    const { jobs } = await worker.exchange({ want: 5 });
    expect(idsOf(jobs)).toEqual(["mail:0:1", "mail:0:2"]);
    expect(await worker.exchange({ settle: jobs.map(completed), want: 5 })).toMatchObject({ jobs: [], refused: [] });
    expect(await stateOf(stub, 1)).toBe("completed");
    expect(await gauges(stub)).toEqual({ workers: 1, watchers: 0, refused: 0, dropped: 0 });
  });

  it("is pushed what it wanted and did not get, as it is enqueued, until it has it", async () => {
    const stub = queueObject();
    await enqueue(stub, 1);
    const worker = await connect(stub);
    const { n } = await worker.exchange({ want: 3 });
    await enqueue(stub, 1);
    expect(await worker.next("push")).toMatchObject({ n, jobs: [{ id: "mail:0:2" }], cancel: [] });
    await enqueue(stub, 4);
    expect(idsOf((await worker.next("push")).jobs)).toEqual(["mail:0:3"]);
    expect(await stateOf(stub, 4)).toBe("ready");
    expect(faults.ticketsSent.length).toBeGreaterThan(0);
    const { jobs } = await worker.exchange({
      settle: [1, 2, 3].map((seq) => completed({ id: `mail:0:${seq}`, fence: 1 })),
      want: 2,
    });
    expect(idsOf(jobs)).toEqual(["mail:0:4", "mail:0:5"]);
  });

  it("that came before the queue's first job is pushed it", async () => {
    const stub = queueObject();
    const worker = await connect(stub);
    expect((await worker.exchange({ want: 1 })).jobs).toEqual([]);
    expect(await rows(stub, "SELECT name FROM sqlite_schema WHERE name = 'jobs'")).toEqual([]);
    await enqueue(stub);
    expect(idsOf((await worker.next("push")).jobs)).toEqual(["mail:0:1"]);
  });

  it("is pushed a delayed job by the alarm", async () => {
    const stub = queueObject();
    const worker = await connect(stub);
    await worker.exchange({ want: 1 });
    await enqueue(stub, 1, { delayMs: 300 });
    expect(worker.frames).toHaveLength(1);
    expect(idsOf((await worker.next("push")).jobs)).toEqual(["mail:0:1"]);
  });

  it("is told at once that a job of its is to be cancelled", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const worker = await connect(stub);
    const { jobs } = await worker.exchange({ want: 1 });
    await worker.exchange({ holding: heldOf(jobs) });
    await stub.cancel(1);
    expect(await worker.next("push")).toMatchObject({ n: 2, jobs: [], cancel: ["mail:0:1"] });
  });

  it("is given only tasks that its token names", async () => {
    const stub = queueObject();
    const worker = await connect(stub, "s", { tasks: ["résumé", "echo"], name: "Zoë 🦉" });
    await worker.exchange({ want: 5, worker: { name: "remote", runtime: "test", tasks: ["echo", "other"] } });
    await enqueue(stub, 1, { task: "other" });
    await evict(stub);
    await enqueue(stub, 1, { task: "echo" });
    expect(idsOf((await worker.next("push")).jobs)).toEqual(["mail:0:2"]);
    expect((await worker.exchange({ want: 5, holding: [["mail:0:2", 1]] })).jobs).toEqual([]);
  });

  it("has its frames answered in order, though the first is slow; a push does not overtake the answer that it is for", async () => {
    const stub = queueObject();
    const worker = await connect(stub);
    const gate = { open: false, reached: 0 };
    faults.frame = async () => {
      gate.reached += 1;
      while (!gate.open) await scheduler.wait(5);
    };
    worker.ask({ want: 1 });
    worker.ask({ want: 2 });
    await until(() => gate.reached === 1);
    await enqueue(stub, 1);
    expect(worker.frames).toEqual([]);
    gate.open = true;
    expect(await worker.next("answer")).toMatchObject({ n: 1, jobs: [{ id: "mail:0:1" }] });
    // It does not name the job that it was granted by the first: it is granted again.
    expect(await worker.next("answer")).toMatchObject({ n: 2, jobs: [{ id: "mail:0:1" }] });
  });
});

describe("a session and its sockets", () => {
  it("a newer socket replaces the older, and goes on where it was", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const old = await connect(stub, "stay");
    await old.exchange({ want: 2 });
    const next = await connect(stub, "stay");
    // The answer was lost: the job is granted again.
    expect((await next.exchange({ n: 2, want: 2 })).jobs).toMatchObject([{ id: "mail:0:1", fence: 1 }]);
    await until(() => old.closed.length === 1);
    expect(old.closed).toEqual([{ code: 4000, reason: "replaced" }]);
    await enqueue(stub);
    expect(idsOf((await next.next("push")).jobs)).toEqual(["mail:0:2"]);
    expect(old.frames).toHaveLength(1);
    expect(await gauges(stub)).toMatchObject({ workers: 1, dropped: 0 });
  });

  it("one socket speaks for one session", async () => {
    const stub = queueObject();
    const worker = await connect(stub, "one");
    await worker.exchange({ want: 1 });
    worker.ask({ session: "another", n: 1, want: 1 });
    expect(await worker.next("problem")).toMatchObject({ n: 1, problem: { code: "conflict" } });
    await enqueue(stub);
    expect(idsOf((await worker.next("push")).jobs)).toEqual(["mail:0:1"]);
    expect(await gauges(stub)).toMatchObject({ refused: 1, dropped: 0 });
  });

  it("a socket that closes gives up what its session wants, and the session may come again", async () => {
    const stub = queueObject();
    const worker = await connect(stub, "stay");
    await worker.exchange({ want: 5 });
    worker.close();
    await until(() => worker.closed.length === 1);
    await enqueue(stub);
    expect(await stateOf(stub, 1)).toBe("ready");
    expect(faults.ticketsSent).toHaveLength(1);
    const again = await connect(stub, "stay");
    expect(idsOf((await again.exchange({ n: 2, want: 5 })).jobs)).toEqual(["mail:0:1"]);
    expect(await gauges(stub)).toMatchObject({ workers: 1 });
  });
});

describe("a socket that closes while its frame is being read", () => {
  async function closing(stub: Stub, session: string) {
    const gate = { open: false, reached: 0 };
    const worker = await connect(stub, session);
    const { jobs } = await worker.exchange({ want: 1 });
    faults.frame = async () => {
      gate.reached += 1;
      while (!gate.open) await scheduler.wait(5);
    };
    worker.ask({ settle: jobs.map(completed), want: 5 });
    await until(() => gate.reached === 1);
    worker.close();
    await until(() => worker.closed.length === 1);
    return gate;
  }

  it("has it settled, and stands no more", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const gate = await closing(stub, "s");
    gate.open = true;
    await until(async () => (await stateOf(stub, 1)) === "completed");
    await enqueue(stub);
    expect(await stateOf(stub, 2)).toBe("ready");
  });

  it("does not take from a newer socket of its session what that wants", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const gate = await closing(stub, "s");
    const newer = await connect(stub, "s");
    faults.frame = null;
    expect(await newer.exchange({ n: 2, settle: [completed({ id: "mail:0:1", fence: 1 })], want: 1 })).toMatchObject({
      refused: [],
    });
    gate.open = true;
    await until(async () => (await gauges(stub)).refused === 1);
    await enqueue(stub);
    expect(idsOf((await newer.next("push")).jobs)).toEqual(["mail:0:2"]);
  });
});

describe("hibernation", () => {
  it("keeps sockets and what they want: the evicted object pushes, and pings do not wake it", async () => {
    const stub = queueObject();
    const workers = await Promise.all([connect(stub, "a"), connect(stub, "b"), connect(stub, "c")]);
    const [a, b, c] = workers as [(typeof workers)[0], (typeof workers)[0], (typeof workers)[0]];
    await a.exchange({ want: 1 });
    await b.exchange({ want: 2 });
    await evict(stub);
    const built = faults.built;
    for (const worker of workers) await worker.ping();
    expect(faults.built).toBe(built);
    await enqueue(stub, 4);
    expect(faults.built).toBe(built + 1);
    const pushed = [await a.next("push"), await b.next("push")];
    expect(pushed.map(({ n, jobs }) => [n, jobs.length])).toEqual([
      [1, 1],
      [1, 2],
    ]);
    // What was handed out is noted with the socket: after another eviction it is not handed out again.
    await evict(stub);
    await enqueue(stub);
    expect(await stateOf(stub, 5)).toBe("ready");
    expect(a.frames.length + b.frames.length).toBe(4);
    expect((await c.exchange({ want: 9 })).jobs).toHaveLength(2);
    await evict(stub);
    const settle = pushed[1]!.jobs.map(completed);
    expect(await b.exchange({ settle, want: 1 })).toMatchObject({ n: 2, refused: [], lost: [] });
  });

  it("an evicted object forgets a socket that closes, and one that was replaced", async () => {
    const stub = queueObject();
    const old = await connect(stub, "stay");
    await old.exchange({ want: 5 });
    const closing = await connect(stub, "gone");
    await closing.exchange({ want: 5 });
    await evict(stub);
    closing.close();
    await until(() => closing.closed.length === 1);
    await evict(stub);
    const next = await connect(stub, "stay");
    await next.exchange({ n: 2, want: 1 });
    await evict(stub);
    await enqueue(stub, 3);
    expect((await next.next("push")).jobs).toHaveLength(1);
    expect(old.frames).toHaveLength(1);
    expect(closing.frames).toHaveLength(1);
    expect(await gauges(stub)).toMatchObject({ workers: 1 });
  });

  it("costs nothing: an idle object with sockets writes no row and sets no alarm", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const worker = await connect(stub);
    const { jobs } = await worker.exchange({ want: 1 });
    await worker.exchange({ settle: jobs.map(completed), want: 1 });
    await until(async () => (await stub.describe())!.outboxRows === 0);
    await evict(stub);
    Object.assign(faults, { rowsWritten: 0, alarmsSet: 0 });
    await worker.exchange({ want: 2 });
    const other = await connect(stub);
    await other.exchange({ want: 2 });
    other.close();
    await until(() => other.closed.length === 1);
    expect([faults.rowsWritten, faults.alarmsSet]).toEqual([0, 0]);
  });
});

describe("a socket that misbehaves", () => {
  it("is told what is wrong with its frames, and closed after twenty", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const worker = await connect(stub);
    const bad: (string | ArrayBuffer)[] = [
      "",
      "{",
      "null",
      "[]",
      "1",
      '"pong"',
      "{}",
      new Uint8Array([1, 2, 3]).buffer,
      new ArrayBuffer(0),
      JSON.stringify({ session: worker.session, n: -1 }),
      `"${"x".repeat(8 * 2 ** 20)}"`,
      `"${"é".repeat(4 * 2 ** 20)}"`,
    ];
    const codes = [];
    for (const frame of bad) {
      worker.send(frame);
      codes.push((await worker.next("problem")).problem.code);
    }
    expect(new Set(codes)).toEqual(new Set(["invalid_request", "unsupported_media_type", "payload_too_large"]));
    // The count outlives an eviction.
    await evict(stub);
    expect((await worker.exchange({ want: 1 })).jobs).toHaveLength(1);
    for (let i = bad.length; i < 20; i++) {
      worker.send("nonsense");
      await worker.next("problem");
    }
    await until(() => worker.closed.length === 1);
    expect(worker.closed[0]).toMatchObject({ code: 1008 });
    expect(await gauges(stub)).toMatchObject({ workers: 0, refused: 8, dropped: 1 });
    await enqueue(stub);
    expect(await stateOf(stub, 2)).toBe("ready");
  });

  it("may not pile up frames", async () => {
    const stub = queueObject();
    const worker = await connect(stub);
    let open = false;
    faults.frame = async () => {
      while (!open) await scheduler.wait(5);
    };
    for (let n = 1; n <= 12; n++) worker.ask({ want: 0 });
    await until(() => worker.frames.length > 0);
    open = true;
    await until(() => worker.frames.length === 12);
    expect(worker.frames.filter(({ type }) => type === "problem")).toHaveLength(3);
    expect(worker.frames.flatMap((frame) => (frame.type === "answer" ? [frame.n] : []))).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9,
    ]);
  });

  it("is not handed anything once it is silent: it is closed, and the job waits for others", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const silent = await connect(stub);
    await silent.exchange({ want: 5 });
    const pinging = await connect(stub);
    await pinging.exchange({ want: 1 });
    await evict(stub);
    clock.advance(SILENT_MS);
    // The platform notes a ping by its own clock, which no test can stop.
    await pinging.exchange({ want: 1 });
    await enqueue(stub, 2);
    expect(idsOf((await pinging.next("push")).jobs)).toHaveLength(1);
    await until(() => silent.closed.length === 1);
    expect(silent.closed).toEqual([{ code: 4008, reason: "silent" }]);
    expect(await stateOf(stub, 2)).toBe("ready");
    expect(await gauges(stub)).toMatchObject({ workers: 1, dropped: 1 });
  });

  it("does not read: after 256 messages and 30 s without a sign of life it is closed, and its jobs wait for it", async () => {
    const clock = stopClock();
    faults.settings = { leaseMs: 120_000 };
    const stub = queueObject();
    const worker = await connect(stub, "deaf");
    await worker.exchange({ want: 500 });
    for (let i = 0; i < 256; i++) await enqueue(stub);
    await enqueue(stub);
    await until(() => worker.frames.length === 258);
    clock.advance(31_000);
    await enqueue(stub);
    await until(() => worker.closed.length === 1);
    expect(worker.closed).toEqual([{ code: 4009, reason: "does not read" }]);
    expect(await gauges(stub)).toMatchObject({ workers: 0 });
    await enqueue(stub);
    expect(await stateOf(stub, 259)).toBe("ready");
    const again = await connect(stub, "deaf");
    expect((await again.exchange({ n: 2, want: 500 })).jobs.length).toBeGreaterThan(256);
  });

  it("an exchange that breaks is answered, and may be sent again under the same n", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const worker = await connect(stub);
    faults.frame = () => Promise.reject(new Error("no such luck"));
    worker.ask({ want: 1 });
    expect(await worker.next("problem")).toMatchObject({ problem: { code: "internal" } });
    faults.frame = null;
    expect((await worker.exchange({ n: 1, want: 1 })).jobs).toHaveLength(1);
    expect(faults.logged.map(({ event }) => event)).toContain("frame_failed");
    expect(await gauges(stub)).toMatchObject({ refused: 0 });
  });

  it("a request that is no upgrade, or for something else, is refused", async () => {
    const stub = queueObject();
    expect((await stub.fetch("https://object/connect")).status).toBe(426);
    expect((await stub.fetch("https://object/else", { headers: { upgrade: "websocket" } })).status).toBe(404);
    const tasks = Array.from({ length: 200 }, (_, index) => `${index}`.padStart(100, "t"));
    await expect(connect(stub, "s", { tasks })).rejects.toThrow("answered with 400");
  });
});
