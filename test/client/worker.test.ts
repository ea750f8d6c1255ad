import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { lineOf } from "../../cli/lines.ts";
import { createWorker, defineTask, type Worker, type WorkerLog, type WorkerOptions } from "../../client/index.ts";
import { openRemote, pass, URL_OF_REMOTE } from "./remote.ts";

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 5, 1) }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
type Input = { n: number };

/** Ran: `n@fence`; and what the signals said. */
let ran: string[];
let aborts: string[];
beforeEach(() => {
  ran = [];
  aborts = [];
});

/** Runs for `ms`, or until it is told to stop. */
function working(name: string, ms = 0, queue = "work") {
  return defineTask({ name, queue, timeout: "1h" }).handler(async (input, ctx) => {
    ran.push(`${(input as Input).n}@${ctx.fence}`);
    ctx.signal.addEventListener("abort", () => aborts.push((ctx.signal.reason as Error).message));
    if (ms > 0) await sleep(ms);
    return "done";
  });
}

const quick = working("quick");
const slow = working("slow", 60_000);
const brief = working("brief", 100);
const TASKS = [quick, slow, brief, working("other", 0, "else")];

function open(options: Partial<WorkerOptions> = {}) {
  const remote = openRemote(TASKS);
  const events: string[] = [];
  const worker = createWorker({
    url: URL_OF_REMOTE,
    token: "a-token",
    tasks: [quick, slow, brief],
    log: (_level, event, fields) => {
      if (!event.startsWith("job_")) events.push([event, fields.transport ?? []].flat().join(" "));
    },
    ...options,
  });
  const stopped = worker.start();
  stopped.catch(() => {});
  return { ...remote, worker, stopped, events };
}

async function end(worker: Worker): Promise<void> {
  const stopping = worker.stop({ timeout: "0s" });
  await pass(6_000);
  await stopping;
}

describe.each(["websocket", "poll"] as const)("over %s", (transport) => {
  it("claims what waits, is handed what comes, and settles it at once", async () => {
    const { add, job, worker, seen } = open({ transport });
    const waiting = await add("quick", 3);
    await pass(50);
    for (const seq of waiting) expect(job(seq).state).toBe("completed");
    await pass(60_000);
    const before = seen.length;
    const [seq] = await add("brief");
    await pass(5);
    expect(job(seq!)).toMatchObject({ state: "running" });
    expect(worker.getSnapshot().running).toMatchObject([{ task: "brief" }]);
    await pass(110);
    expect(job(seq!)).toMatchObject({ state: "completed", result: '"done"' });
    expect(seen.length - before).toBeLessThanOrEqual(transport === "websocket" ? 1 : 4);
    await end(worker);
  });

  it("says little while there is nothing to do", async () => {
    const { seen, sockets, worker } = open({ transport });
    await pass(600_000);
    expect(seen.length).toBeLessThanOrEqual(transport === "websocket" ? 1 : 600 / 25 + 1);
    expect(sockets.reduce((sum, { pings }) => sum + pings, 0)).toBe(transport === "websocket" ? 29 : 0);
    await end(worker);
  });

  it("loses nothing and runs nothing twice when answers and requests are lost", async () => {
    const { add, job, worker, network } = open({ transport });
    await pass(10);
    const seqs: number[] = [];
    for (let round = 0; round < 8; round++) {
      if (round % 2) network.loseAnswers = 1 + (round % 3);
      else network.loseRequests = 1 + (round % 3);
      seqs.push(...(await add(round % 3 ? "brief" : "quick", 5)));
      await pass(3_000);
    }
    await pass(30_000);
    for (const seq of seqs) expect(job(seq)).toMatchObject({ state: "completed", lapses: 0 });
    expect(ran.length).toBe(seqs.length);
    await end(worker);
  });

  it("aborts a job that is cancelled, soon after", async () => {
    const { add, cancel, job, worker } = open({ transport, slots: 2 });
    const [seq] = await add("slow");
    await pass(100);
    cancel(seq!);
    await pass(transport === "websocket" ? 5 : 10_100);
    expect(aborts).toEqual(["The job was cancelled"]);
    await pass(60_000);
    expect(job(seq!).state).toBe("completed");
    await end(worker);
  });

  it("renews its lease while jobs run", async () => {
    const { add, job, worker, seen } = open({ transport, slots: 1 });
    const [seq] = await add("slow");
    await pass(61_000);
    expect(job(seq!)).toMatchObject({ state: "completed", lapses: 0 });
    expect(seen.length).toBeLessThan(12);
    await end(worker);
  });

  it("when it is stopped claims no more, lets jobs end, and gives back what has not ended in time", async () => {
    const { add, job, worker, stopped } = open({ transport, slots: 3 });
    const seqs = [...(await add("brief")), ...(await add("slow"))];
    await pass(50);
    const stopping = worker.stop({ timeout: "10s" });
    const [late] = await add("quick");
    await pass(1_000);
    expect(seqs.map((seq) => job(seq).state)).toEqual(["completed", "running"]);
    expect(worker.getSnapshot().status).toBe("stopping");
    await pass(9_100);
    await Promise.all([stopping, stopped]);
    expect(job(seqs[1]!)).toMatchObject({ state: "ready", reason: "released", failures: 0, lapses: 0 });
    expect(job(late!).state).toBe("ready");
    expect(aborts).toEqual(["The worker is stopping"]);
    expect(worker.getSnapshot()).toMatchObject({
      status: "stopped",
      running: [],
      ended: { completed: 1, released: 1 },
    });
  });

  it("stops with an exchange in flight: what it grants is given back", async () => {
    const { add, job, worker, stopped, network } = open({ transport, slots: 3 });
    await pass(10);
    network.latencyMs = 200;
    const seqs = await add("slow", 3);
    void worker.stop({ timeout: "0s" });
    await pass(5_000);
    await stopped;
    for (const seq of seqs) expect(job(seq).state).toBe("ready");
    expect(ran).toEqual([]);
  });

  it("is gone soon after it was stopped where nothing gets through, and its jobs lapse", async () => {
    const { add, job, worker, stopped, network } = open({ transport, slots: 1 });
    const [seq] = await add("slow");
    await pass(50);
    network.down = true;
    void worker.stop({ timeout: "2s" });
    await pass(8_000);
    await stopped;
    expect(aborts).toEqual(["The worker is stopping"]);
    await pass(60_000);
    expect(job(seq!)).toMatchObject({ state: "ready", lapses: 1 });
  });

  it("takes its jobs for lost when the lease ends while it is cut off, and begins anew", async () => {
    const { add, job, worker, network, seen, events } = open({ transport, slots: 1 });
    const [seq] = await add("slow");
    await pass(50);
    network.down = true;
    await pass(31_000);
    expect(aborts).toEqual(["The job was lost: its lease is over"]);
    expect(worker.getSnapshot()).toMatchObject({ running: [], ended: { lost: 1 }, queues: [{ transport: null }] });
    network.down = false;
    await pass(100_000);
    expect(job(seq!)).toMatchObject({ state: "completed", lapses: 1 });
    expect(new Set(seen.map(({ session }) => session)).size).toBe(2);
    expect(events.filter((event) => event === "disconnected")).toHaveLength(1);
    await end(worker);
  });

  it("says once which of its tasks the server does not know, and works on with the others", async () => {
    const lines: string[] = [];
    const log: WorkerLog = (level, event, fields) => void (level === "warn" && lines.push(lineOf(event, fields)));
    const tasks = [quick, slow, working("qiuck"), working("constructor")];
    const { add, job, worker, network, seen } = open({ transport, slots: 1, tasks, log });
    const [seq] = await add("slow");
    await pass(50);
    const unknown = [
      'work: the server knows no task "qiuck" (did you mean "quick"?)',
      'work: the server knows no task "constructor"',
    ];
    expect(lines).toEqual(unknown);
    network.down = true;
    await pass(31_000);
    network.down = false;
    await pass(100_000);
    expect(job(seq!).state).toBe("completed");
    expect(new Set(seen.map(({ session }) => session)).size).toBe(2);
    expect(lines.filter((line) => line.includes("knows no task"))).toEqual(unknown);
    await end(worker);
  });

  it.each([
    [401, "unauthorized"],
    [403, "forbidden"],
    [404, "not_found"],
  ])("does not try again what is refused with %d", async (status, code) => {
    const { network, stopped, worker } = open({ transport });
    network.refuse = status;
    await pass(100);
    await expect(stopped).rejects.toMatchObject({ status, code });
    expect(worker.getSnapshot().status).toBe("stopped");
  });

  it("does not work at a queue whose jobs run in the Worker", async () => {
    const { stopped, network } = open({ transport, queues: ["pushed"] });
    if (transport === "websocket") network.refuse = 409;
    await pass(100);
    await expect(stopped).rejects.toMatchObject({ status: 409, code: "conflict" });
  });

  it("waits for a server that is not there, longer each time", async () => {
    const remote = openRemote(TASKS);
    remote.network.down = true;
    const { worker, network, add, job } = { ...remote, ...open({ transport }) };
    network.down = true;
    await pass(300_000);
    const tries = transport === "websocket" ? remote.sockets.length : 0;
    expect(tries).toBeLessThan(20);
    network.down = false;
    const [seq] = await add("quick");
    await pass(31_000);
    expect(job(seq!).state).toBe("completed");
    await end(worker);
  });
});

it("falls back to polling where no WebSocket gets through, and tries one again after some minutes", async () => {
  const remote = openRemote(TASKS);
  remote.network.noSockets = true;
  const events: unknown[][] = [];
  const log = (_: unknown, event: string, { transport }: { [key: string]: unknown }) => events.push([event, transport]);
  const worker = createWorker({ url: URL_OF_REMOTE, token: "t", tasks: [quick], log });
  void worker.start();
  await pass(1_000);
  remote.network.noSockets = false;
  const [first] = await remote.add("quick");
  await pass(10);
  expect(remote.job(first!).state).toBe("completed");
  await pass(240_000);
  const { seen } = remote;
  const before = seen.length;
  const [second] = await remote.add("quick");
  await pass(10);
  expect(remote.job(second!).state).toBe("completed");
  expect(seen.slice(before).map(({ way }) => way)).toEqual(["websocket"]);
  expect(new Set(seen.map(({ session }) => session)).size).toBe(1);
  expect(events.filter(([event]) => event === "connected")).toEqual([
    ["connected", "poll"],
    ["connected", "websocket"],
  ]);
  await end(worker);
});

it("offers its token as a subprotocol, and polls with one that cannot be", async () => {
  const { sockets, worker } = open({ token: "ey.Jh-b_~" });
  await pass(10);
  expect(sockets.map(({ protocols }) => protocols)).toEqual([["millrace", "bearer.ey.Jh-b_~"]]);
  await end(worker);
  const other = open({ token: "a/token=" });
  await pass(10);
  expect(other.sockets).toEqual([]);
  expect(other.worker.getSnapshot().queues).toEqual([{ queue: "work", transport: "poll" }]);
  await end(other.worker);
});

it("runs a job once that is pushed twice, or with an answer that crosses the push", async () => {
  const { add, job, worker, network } = open({ slots: 4 });
  network.doublePushes = true;
  network.latencyMs = 40;
  await pass(500);
  const seqs: number[] = [];
  for (let round = 0; round < 40; round++) {
    seqs.push(...(await add(round % 2 ? "quick" : "brief")));
    await pass(30);
  }
  await pass(10_000);
  for (const seq of seqs) expect(job(seq)).toMatchObject({ state: "completed", lapses: 0 });
  expect(ran.length).toBe(seqs.length);
  expect(worker.getSnapshot().ended).toEqual({ completed: seqs.length });
  await end(worker);
});

it("keeps its session and its jobs when the connection breaks, and is told of what it missed", async () => {
  const { add, job, worker, seen, cut, cancel } = open({ slots: 3 });
  const [seq] = await add("slow");
  await pass(50);
  cut();
  cancel(seq!);
  const [other] = await add("brief");
  await pass(400);
  expect(job(other!).state).toBe("completed");
  expect(aborts).toEqual(["The job was cancelled"]);
  expect(new Set(seen.map(({ session }) => session)).size).toBe(1);
  expect(seen.map(({ n }) => n)).toEqual(seen.map((_, index) => index + 1));
  await end(worker);
});

it("notices a connection that carries nothing any more, and finds another way", async () => {
  const { add, job, worker, network, sockets } = open();
  await pass(50);
  network.hole = true;
  await pass(70_000);
  network.hole = false;
  const [seq] = await add("quick");
  await pass(31_000);
  expect(job(seq!).state).toBe("completed");
  await pass(240_000);
  expect(sockets.filter(({ isOpen }) => isOpen)).toHaveLength(1);
  await end(worker);
});

it("repeats an exchange under its number over another connection when the answer stays out", async () => {
  const { add, job, worker, network, seen } = open({ slots: 1 });
  const [seq] = await add("brief");
  await pass(50);
  network.hole = true;
  await pass(1_000);
  network.hole = false;
  await pass(20_000);
  expect(job(seq!)).toMatchObject({ state: "completed", lapses: 0 });
  expect(ran).toHaveLength(1);
  expect(seen.map(({ n }) => n)).toEqual([1, 2]);
  await end(worker);
});

it("shares its slots among its queues, and gives back what would wait for long", async () => {
  const { add, job, worker, seen } = open({ slots: 2, queues: ["work", "two", "three"] });
  await pass(50);
  const queues = ["work", "two", "three"];
  const seqs = await Promise.all(queues.map((queue) => add("slow", 2, { queue })));
  await pass(5_000);
  expect(worker.getSnapshot().running).toHaveLength(2);
  const states = queues.flatMap((queue, index) => seqs[index]!.map((seq) => job(seq, queue).state));
  expect(states.sort()).toEqual(["ready", "ready", "ready", "ready", "running", "running"]);
  const said = seen.length;
  await pass(4_000);
  expect(seen.length).toBe(said);
  await pass(200_000);
  for (const [index, queue] of queues.entries())
    for (const seq of seqs[index]!)
      expect(job(seq, queue)).toMatchObject({ state: "completed", failures: 0, lapses: 0 });
  await end(worker);
});

it("wants no more than it can begin soon", async () => {
  const { add, worker, seen } = open({ slots: 2 });
  await add("slow", 20);
  await pass(20_000);
  expect(ran).toHaveLength(2);
  expect(Math.max(...seen.map(({ request }) => request.want))).toBe(2);
  expect(Math.max(...seen.map(({ request }) => request.holding.length))).toBe(2);
  await end(worker);
});

it("shows what it does to those who ask, the same until it changes", async () => {
  const { add, worker } = open();
  let told = 0;
  const leave = worker.subscribe(() => told++);
  await pass(100);
  const idle = worker.getSnapshot();
  expect(idle).toEqual({
    status: "running",
    queues: [{ queue: "work", transport: "websocket" }],
    running: [],
    ended: {},
  });
  expect(worker.getSnapshot()).toBe(idle);
  told = 0;
  await add("quick", 200);
  await pass(100);
  expect(told).toBeGreaterThan(0);
  expect(told).toBeLessThan(5);
  expect(worker.getSnapshot().ended).toEqual({ completed: 200 });
  leave();
  await end(worker);
});

it("is started once, and not after it was stopped", async () => {
  const { worker } = open();
  await expect(worker.start()).rejects.toThrow("started before");
  await end(worker);
  const other = createWorker({ url: URL_OF_REMOTE, token: "t", tasks: [quick] });
  await other.stop();
  await other.start();
  expect(other.getSnapshot().status).toBe("stopped");
});

describe("refuses", () => {
  const right = { url: URL_OF_REMOTE, token: "t", tasks: [quick] };
  const declared = defineTask({ name: "declared" }) as never;
  it.each([
    [{ tasks: [declared] }, 'Task "declared" has no handler'],
    [{ tasks: [] }, "A worker needs tasks"],
    [{ tasks: [quick, quick] }, 'Two of the worker\'s tasks are named "quick"'],
    [{ tasks: [{}] as never }, "Each of a worker's tasks"],
    [{ url: "millrace.example.com" }, "is not a URL such as"],
    [{ url: "ftp://example.com" }, "is not a URL such as"],
    [{ token: "" }, "The token of a worker is missing"],
    [{ slots: 0 }, "slots is a whole number of 1 to 500"],
    [{ slots: 2.5 }, "slots is a whole number of 1 to 500"],
    [{ queues: ["No Queue"] }, '"No Queue" is not the name of a queue'],
    [{ queues: [] }, "at one queue at least"],
    [{ queues: "video" as never }, 'an array of names, not "video"'],
    [{ slot: 2 } as never, 'A worker has no option "slot". There are: url, token,'],
    [{ name: "" }, "1 to 128 characters"],
    [{ transport: "smoke" as never }, 'transport is "auto"'],
    [{ transport: "websocket" as const, token: "a/b" }, "no subprotocol may"],
  ])("%j", (wrong, message) => {
    expect(() => createWorker({ ...right, ...wrong })).toThrow(message);
  });
  it("nothing at all", () => {
    expect(() => createWorker(undefined as never)).toThrow("A worker needs tasks");
  });
});
