import { describe, expect, it, vi } from "vitest";
import { createClient, type JobSnapshot, type JobStore } from "../../client/index.ts";
import { LIFE, startStreams } from "./stream-server.ts";

const NOTHING = {
  ...{ id: "q:0:1", task: null, state: null, reason: null, attempt: null, fence: null, percent: null, note: null },
  ...{ logs: [], result: null, error: null, connection: "idle", problem: null },
};

const storeOf = (url: string, id = "q:0:1") => createClient({ url, retryFor: "200ms" }).job(id).store();
/** Others may keep the machine busy. */
const soon = <Value>(look: () => Value) => expect.poll(look, { timeout: 20_000 });
const settled = () => new Promise((resolve) => setTimeout(resolve, 60));

/** A component that shows a store as React's `useSyncExternalStore` does: it reads while it renders, then subscribes and reads again. */
function mount<Snapshot>(store: { subscribe: (onChange: () => void) => () => void; getSnapshot: () => Snapshot }) {
  const { subscribe, getSnapshot } = store;
  const rendered: Snapshot[] = [];
  const render = () => {
    const value = getSnapshot();
    // React warns here, and then renders for ever.
    if (!Object.is(value, getSnapshot())) throw new Error("The result of getSnapshot should be cached");
    rendered.push(value);
  };
  const check = () => {
    if (!Object.is(rendered.at(-1), getSnapshot())) render();
  };
  render();
  let unsubscribe = subscribe(check);
  check();
  return {
    rendered,
    unmount: () => unsubscribe(),
    /** As StrictMode does with each component that is mounted. */
    remount() {
      unsubscribe();
      unsubscribe = subscribe(check);
      check();
    },
  };
}

it("knows nothing and asks nothing before somebody subscribes", async () => {
  await using server = await startStreams();
  const store = storeOf(server.url);
  expect(store.getSnapshot()).toEqual(NOTHING);
  expect(store.getSnapshot()).toBe(store.getSnapshot());
  await settled();
  expect(server.opened).toEqual([]);
});

it("shows how the job goes, until it has ended", async () => {
  await using server = await startStreams();
  const store = storeOf(server.url);
  const seen: JobSnapshot[] = [];
  const unsubscribe = store.subscribe((snapshot) => seen.push(snapshot));
  expect(seen).toEqual([NOTHING]);
  const stream = await server.next();
  await soon(() => store.getSnapshot().connection).toBe("open");
  stream.tell(0, ...LIFE.slice(0, 4));
  await soon(() => store.getSnapshot()).toMatchObject({ state: "running", percent: 40, note: "é", fence: 1 });
  expect(store.getSnapshot().logs).toEqual([expect.objectContaining({ n: 1, message: "slow" })]);
  stream.tell(4, ...LIFE.slice(4));
  await soon(() => store.getSnapshot().connection).toBe("closed");
  expect(store.getSnapshot()).toMatchObject({ state: "completed", percent: 90, result: { bytes: 3 }, error: null });
  expect(store.getSnapshot()).not.toHaveProperty("event");
  expect(Object.keys(store.getSnapshot()).sort()).toEqual(Object.keys(NOTHING).sort());
  await stream.gone;
  expect(seen.map(({ connection }) => connection).filter((one, n, all) => one !== all[n - 1])).toEqual([
    "idle",
    "connecting",
    "open",
    "closed",
  ]);
  expect(seen.at(-1)).toBe(store.getSnapshot());
  expect(new Set(seen).size).toBe(seen.length);
  // It has ended: nobody asks any more.
  unsubscribe();
  store.subscribe((snapshot) => seen.push(snapshot));
  await settled();
  expect(seen.at(-1)).toMatchObject({ state: "completed", connection: "closed" });
  expect(server.opened).toHaveLength(1);
});

it("shows a job that ended badly", async () => {
  await using server = await startStreams();
  const store = storeOf(server.url);
  store.subscribe(() => {});
  const error = { name: "TypeError", message: "no", stack: null };
  const stream = await server.next();
  stream.tell(0, LIFE[0]!);
  stream.tell(1, { event: "result", id: "q:0:1", state: "dead", reason: "exhausted", result: null, error });
  await soon(() => store.getSnapshot().connection).toBe("closed");
  expect(store.getSnapshot()).toMatchObject({ state: "dead", reason: "exhausted", result: null, error, problem: null });
});

describe("as useSyncExternalStore reads it", () => {
  it("renders each change once, and nothing twice", async () => {
    await using server = await startStreams();
    const store = storeOf(server.url);
    const component = mount(store);
    expect(component.rendered).toEqual([NOTHING]);
    const stream = await server.next();
    stream.tell(0, ...LIFE);
    await soon(() => component.rendered.at(-1)?.connection).toBe("closed");
    expect(component.rendered.at(-1)).toMatchObject({ state: "completed", result: { bytes: 3 } });
    for (const [index, one] of component.rendered.entries()) {
      if (index > 0) expect(one).not.toEqual(component.rendered[index - 1]);
    }
  });

  it("renders a long log in few steps, and keeps its latest 1,000 lines", async () => {
    await using server = await startStreams();
    const store = storeOf(server.url);
    const component = mount(store);
    const stream = await server.next();
    stream.tell(0, LIFE[0]!);
    const line = LIFE.find((event) => event.event === "log")!;
    stream.tell(1, ...Array.from({ length: 2_500 }, (_, index) => ({ ...line, n: index + 1 })));
    await soon(() => store.getSnapshot().logs.at(-1)?.n).toBe(2_500);
    expect(store.getSnapshot().logs.map(({ n }) => n)).toEqual(Array.from({ length: 1_000 }, (_, n) => 1_501 + n));
    expect(component.rendered.length).toBeLessThan(500);
    component.unmount();
  });

  it("holds one stream for all components, and through StrictMode", async () => {
    await using server = await startStreams();
    const store = storeOf(server.url);
    const first = mount(store);
    first.remount();
    const second = mount(store);
    const stream = await server.next();
    stream.tell(0, ...LIFE.slice(0, 3));
    await soon(() => [first, second].map(({ rendered }) => rendered.at(-1)?.percent)).toEqual([40, 40]);
    first.unmount();
    await settled();
    expect(stream.closed).toBe(false);
    second.unmount();
    await stream.gone;
    await soon(() => store.getSnapshot()).toMatchObject({ connection: "idle", state: "running", percent: 40 });
    expect(server.opened).toHaveLength(1);
  });
});

it("keeps the contract of Svelte's stores", async () => {
  await using server = await startStreams();
  const store: { subscribe(run: (value: JobSnapshot) => void, invalidate?: () => void): () => void } = storeOf(
    server.url,
  );
  let value: JobSnapshot | undefined;
  const unsubscribe = store.subscribe((next) => {
    value = next;
  });
  expect(value).toEqual(NOTHING);
  const stream = await server.next();
  stream.tell(0, ...LIFE.slice(0, 3));
  await soon(() => value?.percent).toBe(40);
  unsubscribe();
  unsubscribe();
  stream.tell(3, ...LIFE.slice(3));
  await stream.gone;
  await settled();
  expect(value?.percent).toBe(40);
});

it("goes on where it was for those who come back", async () => {
  await using server = await startStreams();
  const store = storeOf(server.url);
  const leave = store.subscribe(() => {});
  const stream = await server.next();
  stream.tell(0, ...LIFE.slice(0, 4));
  await soon(() => store.getSnapshot().logs.length).toBe(1);
  leave();
  await stream.gone;
  store.subscribe(() => {});
  const second = await server.next();
  expect(second.headers["last-event-id"]).toBe("3");
  second.tell(4, LIFE[4]!);
  await soon(() => store.getSnapshot().percent).toBe(90);
  expect(store.getSnapshot()).toMatchObject({ state: "running", task: "encode" });
  expect(store.getSnapshot().logs).toHaveLength(1);
  second.tell(5, LIFE[5]!);
  await soon(() => store.getSnapshot().connection).toBe("closed");
});

describe("when there is trouble", () => {
  it("says so, keeps what it knew, and gets over it", async () => {
    await using server = await startStreams();
    vi.spyOn(Math, "random").mockReturnValue(0);
    const store = storeOf(server.url);
    const seen: JobSnapshot[] = [];
    store.subscribe((snapshot) => seen.push(snapshot));
    const stream = await server.next();
    stream.tell(0, ...LIFE.slice(0, 3));
    await soon(() => store.getSnapshot().percent).toBe(40);
    server.answers.push(...Array(4).fill({ status: 503, body: { code: "unavailable", detail: "away" } }));
    stream.break();
    await soon(() => store.getSnapshot().problem).toMatchObject({ code: "unavailable" });
    expect(store.getSnapshot()).toMatchObject({ connection: "connecting", state: "running", percent: 40 });
    const second = await server.next();
    expect(second.headers["last-event-id"]).toBe("2");
    await soon(() => store.getSnapshot()).toMatchObject({ connection: "open", problem: null, percent: 40 });
    second.tell(5, LIFE[5]!);
    await soon(() => store.getSnapshot()).toMatchObject({ connection: "closed", state: "completed" });
    vi.restoreAllMocks();
  });

  it("stays closed where the server refuses, until somebody subscribes anew", async () => {
    await using server = await startStreams();
    server.answers.push({ status: 403, body: { code: "forbidden", detail: "not yours" } });
    const store = storeOf(server.url);
    const leave = store.subscribe(() => {});
    await soon(() => store.getSnapshot().connection).toBe("closed");
    expect(store.getSnapshot()).toMatchObject({ state: null, problem: { code: "forbidden", status: 403 } });
    await settled();
    expect(server.opened).toEqual([]);
    leave();
    store.subscribe(() => {});
    (await server.next()).tell(0, LIFE[0]!);
    await soon(() => store.getSnapshot()).toMatchObject({ connection: "open", state: "ready", problem: null });
  });

  it("says that a URL is none", async () => {
    const store = storeOf("nowhere");
    store.subscribe(() => {});
    await soon(() => store.getSnapshot().connection).toBe("closed");
    expect(store.getSnapshot().problem).toBeInstanceOf(TypeError);
  });
});

it("is closed for good, and the snapshot stays", async () => {
  await using server = await startStreams();
  const store: JobStore = storeOf(server.url);
  let calls = 0;
  const leave = store.subscribe(() => calls++);
  const stream = await server.next();
  stream.tell(0, ...LIFE.slice(0, 3));
  await soon(() => store.getSnapshot().percent).toBe(40);
  const { close } = store;
  close();
  close();
  await stream.gone;
  await soon(() => store.getSnapshot().connection).toBe("closed");
  const before = calls;
  store.subscribe(() => {});
  await settled();
  leave();
  await settled();
  expect(store.getSnapshot()).toMatchObject({ connection: "closed", percent: 40, problem: null });
  expect(server.opened).toHaveLength(1);
  expect(calls).toBe(before);
});

it("tells each of many subscriptions of one listener, and none that has ended meanwhile", async () => {
  await using server = await startStreams();
  const store = storeOf(server.url);
  let calls = 0;
  const count = () => calls++;
  const first = store.subscribe(count);
  store.subscribe(count);
  const late = vi.fn();
  let leaveLate = () => {};
  store.subscribe(({ connection }) => {
    if (connection === "open") leaveLate();
  });
  leaveLate = store.subscribe(late);
  const stream = await server.next();
  await soon(() => store.getSnapshot().connection).toBe("open");
  expect(late.mock.calls.map(([snapshot]) => snapshot.connection)).not.toContain("open");
  const before = calls;
  first();
  stream.tell(0, LIFE[0]!);
  await soon(() => store.getSnapshot().state).toBe("ready");
  expect(calls).toBe(before + 1);
});
