import { runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import type { EnqueuedJob, ExchangeResponse } from "../../../client/types.ts";
import { bearerTag, validUntil } from "../../../durable-objects/bearers.ts";
import { createApp } from "../../../worker/app.ts";
import type { Caller } from "../../../worker/caller.ts";
import { createRoom } from "../../../worker/middleware/audit.ts";
import { createKeyring } from "../../../worker/tokens/keys.ts";
import {
  answer,
  appWith,
  ask,
  DEPS,
  enqueue,
  getJob,
  jobsIn,
  migrated,
  problem,
  stubOf,
  TOKEN,
} from "../api/support.ts";
import { askAs, entries, fetchBoth as fetch, latest, made } from "./support.ts";

migrated();

const exchangeAs = async (token: string, queue: string, said: object): Promise<ExchangeResponse> => {
  const body = { worker: { name: "w", runtime: "test" }, holding: [], want: 0, ...said };
  return answer(await askAs(token, `/v1/queues/${queue}/exchange`, { body, fetch }));
};

it("a worker's session is its token's: nobody else settles its jobs, or is given them, by its id", async () => {
  const { id } = await enqueue("q-att-1", { task: "any", payload: "not for others" });
  const [wide, narrow] = [await made({ role: "worker" }), await made({ role: "worker", tasks: ["tuned"] })];
  const session = "s-known-by-GET-queues";
  const { jobs } = await exchangeAs(wide.token, "q-att-1", { session, n: 1, want: 1 });
  expect(jobs.map((job) => job.id)).toEqual([id]);
  const fence = jobs[0]!.fence;
  const held = await exchangeAs(narrow.token, "q-att-1", { session, n: 7, want: 1 });
  expect(held.jobs).toEqual([]);
  const settle = [{ id, fence, outcome: "completed", result: "forged" }];
  const settled = await exchangeAs(narrow.token, "q-att-1", { session, n: 8, settle });
  expect(settled.refused).toEqual([{ id, fence, code: "not_held" }]);
  const root = await exchangeAs(TOKEN, "q-att-1", { session, n: 9, settle });
  expect(root.refused).toEqual([{ id, fence, code: "not_held" }]);
  const { webSocket } = await askAs(narrow.token, "/v1/queues/q-att-1/connect", {
    fetch,
    headers: { upgrade: "websocket" },
  });
  const told = new Promise<string>((resolve) =>
    webSocket!.addEventListener("message", ({ data }) => resolve(`${data}`)),
  );
  webSocket!.accept();
  const said = { session, n: 10, worker: { name: "w", runtime: "test" }, holding: [], want: 1, settle };
  webSocket!.send(JSON.stringify(said));
  expect(JSON.parse(await told)).toMatchObject({ type: "answer", jobs: [], refused: [{ id, code: "not_held" }] });
  webSocket!.close();
  expect((await getJob(id)).state).toBe("running");
  expect((await exchangeAs(wide.token, "q-att-1", { session, n: 2, settle })).refused).toEqual([]);
  expect((await getJob(id)).state).toBe("completed");
});

it("a request id is its token's: nobody answers for another's enqueue, or swallows it", async () => {
  const [one, other] = [await made({ role: "producer" }), await made({ role: "producer" })];
  const enqueueAs = async (token: string, headers = { "millrace-request-id": "order-17" }) =>
    answer<EnqueuedJob>(await askAs(token, "/v1/queues/q-att-2/jobs", { body: { task: "any" }, headers }), 201);
  const mine = await enqueueAs(one.token);
  expect((await enqueueAs(one.token)).id).toBe(mine.id);
  expect((await enqueueAs(other.token)).id).not.toBe(mine.id);
  expect((await enqueueAs(TOKEN)).id).not.toBe(mine.id);
  expect(await jobsIn("q-att-2")).toBe(3);
});

it("a fresh token of the same actor has the rate of the one before, and takes none of another's", async () => {
  const rate = { limit: 2, per: "1m" } as const;
  const post = async (token: string) =>
    (await askAs(token, "/v1/queues/q-att-3/jobs", { body: { jobs: [{ task: "any" }, { task: "any" }] } })).status;
  const asked = { role: "producer", actor: "u-7", rate } as const;
  expect(await post((await made(asked)).token)).toBe(201);
  expect(await post((await made(asked)).token)).toBe(429);
  expect(await post((await made({ ...asked, actor: "u-8" })).token)).toBe(201);
  // What the page may says nothing about the shop, whose tokens have a rate of their own.
  expect(await post((await made({ ...asked, rate: { limit: 100, per: "1m" } })).token)).toBe(201);
});

it("a socket at a queue that no revocation finds yet is valid for a minute, and then opened again", async () => {
  const { token } = await made({ role: "worker" });
  const untilOf = () =>
    runInDurableObject(stubOf("q-att-4") as unknown as DurableObjectStub, (_object, state) =>
      state.getWebSockets("worker").map((socket) => validUntil(state.getTags(socket)) - Date.now()),
    );
  const connect = async () => {
    const headers = { upgrade: "websocket" };
    const { webSocket } = await askAs(token, "/v1/queues/q-att-4/connect", { fetch, headers });
    webSocket!.accept();
    return webSocket!;
  };
  const early = await connect();
  const [leftMs] = await untilOf();
  expect(leftMs).toBeLessThanOrEqual(60_000);
  expect(leftMs).toBeGreaterThan(50_000);
  await enqueue("q-att-4", { task: "any" });
  const later = await connect();
  expect(Math.max(...(await untilOf()))).toBeGreaterThan(86_400_000);
  for (const socket of [early, later]) socket.close();
});

it("a worker's socket does not outlive its queue, at which no revocation would find it", async () => {
  const { token } = await made({ role: "worker" });
  await ask("/v1/queues/q-att-11/pause", { method: "POST" });
  const headers = { upgrade: "websocket" };
  const { webSocket } = await askAs(token, "/v1/queues/q-att-11/connect", { fetch, headers });
  const closed = new Promise<number>((resolve) => webSocket!.addEventListener("close", ({ code }) => resolve(code)));
  webSocket!.accept();
  expect(await stubOf("q-att-11").forget()).toMatchObject({ ok: true });
  expect(await closed).toBe(4004);
});

it("a change is noted though the caller hangs up before it is answered", async () => {
  const { token } = await made({ role: "operator", name: "Eve" });
  const waited: Promise<unknown>[] = [];
  let waitedBefore = -1;
  const stub = (env: unknown, queue: string) => {
    waitedBefore = waited.length;
    return DEPS.stub(env, queue);
  };
  const app = createApp({ ...DEPS, stub });
  const ctx = { waitUntil: (work: Promise<unknown>) => waited.push(work), passThroughOnException() {}, props: {} };
  const headers = { authorization: `Bearer ${token}` };
  const pause = new Request("https://millrace.test/v1/queues/q-att-5/pause", { method: "POST", headers });
  expect((await app.fetch(pause, {}, ctx as unknown as ExecutionContext)).status).toBe(200);
  expect(waitedBefore).toBe(1);
  await Promise.all(waited);
  expect(await latest()).toMatchObject({ who: "Eve", action: "POST /v1/queues/q-att-5/pause" });
});

it("a change that broke off midway is noted, and what a viewer tried as a worker", async () => {
  const broken = () => ({ ...stubOf("q-att-6"), pause: () => Promise.reject(new Error("broke off")) });
  const { status } = await ask("/v1/queues/q-att-6/pause", { method: "POST", fetch: appWith({ stub: broken }) });
  expect(status).toBe(500);
  expect(await latest()).toMatchObject({ who: "admin", action: "POST /v1/queues/q-att-6/pause", status: 500 });
  const { token } = await made({ role: "viewer", name: "Bob" });
  expect((await askAs(token, "/v1/queues/q-att-6/exchange", { body: {}, fetch })).status).toBe(403);
  expect(await latest()).toMatchObject({ who: "Bob", action: "POST /v1/queues/q-att-6/exchange", status: 403 });
});

it("a producer is told nothing of another's job by a unique key, and does not make it its own", async () => {
  const [one, other] = [
    await made({ role: "producer", options: ["unique", "delay"], actor: "a" }),
    await made({ role: "producer", options: ["unique", "delay"], actor: "b" }),
  ];
  const post = (token: string, onConflict: string, payload: string) => {
    const unique = { key: "k", onConflict, ...(["debounce", "throttle"].includes(onConflict) && { wait: "1h" }) };
    return askAs(token, "/v1/queues/q-att-10/jobs", { body: { task: "any", payload, unique } });
  };
  const { id } = await answer<EnqueuedJob>(await post(one.token, "replace", "first"), 201);
  for (const onConflict of ["return", "reject", "replace", "debounce", "throttle"]) {
    const { detail } = await problem(await post(other.token, onConflict, "mine now"), 409, "conflict");
    expect(detail).toContain("another actor");
    expect(detail).not.toContain(id);
  }
  await problem(await askAs(other.token, `/v1/jobs/${id}`), 404, "not_found");
  expect(await getJob(id)).toMatchObject({ payload: "first", actor: "a" });
  expect(await answer<EnqueuedJob>(await post(one.token, "replace", "second"))).toMatchObject({
    id,
    outcome: "replaced",
  });
  expect((await post(TOKEN, "replace", "the server's")).status).toBe(200);
  expect(await getJob(id)).toMatchObject({ payload: "the server's", actor: null });
});

it("what a token is refused does not fill the audit log: what it changes is noted all the same", async () => {
  const { token, id } = await made({ role: "operator" });
  const app = appWith();
  for (let times = 0; times < 30; times++) await askAs(token, "/v1/tokens", { body: {}, fetch: app });
  await askAs(token, "/v1/queues/q-att-7/pause", { method: "POST", fetch: app });
  const by = (await entries()).filter(({ tokenId }) => tokenId === id);
  expect(by.filter(({ status }) => status === 403)).toHaveLength(20);
  expect(by[0]).toMatchObject({ action: "POST /v1/queues/q-att-7/pause", status: 200 });
  const minute = 60_000;
  let clock = 10 * minute;
  const room = createRoom(() => clock);
  const refused = () => room({ caller: { scope: id } as Caller, status: 403 });
  expect(Array.from({ length: 21 }, refused).filter(Boolean)).toHaveLength(20);
  clock += minute;
  expect(refused()).toBe(true);
});

it("the bearer of one token does not take all sockets of a queue", async () => {
  await enqueue("q-att-8", { task: "any", delay: "1h" });
  const [one, other] = [await made({ role: "viewer" }), await made({ role: "viewer" })];
  await runInDurableObject(stubOf("q-att-8") as unknown as DurableObjectStub, (_object, state) => {
    for (let sockets = 0; sockets < 4_000; sockets++) {
      state.acceptWebSocket(new WebSocketPair()[1], ["watcher", bearerTag(one.id)]);
    }
  });
  const path = "/v1/queues/q-att-8/events";
  await problem(await askAs(one.token, path, { fetch }), 503, "unavailable");
  const stream = await askAs(other.token, path, { fetch });
  expect(stream.status).toBe(200);
  await stream.body!.cancel();
});

it("HEAD opens no socket", async () => {
  const { token } = await made({ role: "worker" });
  const about = { method: "HEAD", headers: { upgrade: "websocket" }, fetch };
  const { status } = await askAs(token, "/v1/queues/q-att-9/connect", about);
  expect(status).toBe(400);
  await enqueue("q-att-9", { task: "any", delay: "1h" });
  const viewer = await made({ role: "viewer" });
  expect((await askAs(viewer.token, "/v1/queues/q-att-9/events", about)).webSocket).toBeNull();
  expect((await stubOf("q-att-9").describe())!.sockets).toEqual({ workers: 0, watchers: 0 });
});

it("blanks are no secret", async () => {
  const blank = " ".repeat(64);
  const keys = createKeyring();
  expect(await keys({ token: blank, signing: undefined, previous: undefined })).toMatchObject({ ok: false });
  expect(await keys({ token: TOKEN, signing: blank, previous: undefined })).toMatchObject({ ok: false });
  const app = appWith({ token: () => blank });
  await problem(await ask("/v1/queues", { fetch: app }), 503, "not_configured");
});
