import { describe, expect, it } from "vitest";
import { BEARER_HEADER } from "../../../durable-objects/queue-object.ts";
import { createSweep } from "../../../worker/scheduled.ts";
import { ask, DEPS, db, enqueue, migrated, stubOf } from "../api/support.ts";
import { askAs, fetchBoth as fetch, made } from "./support.ts";

migrated();

/** An open socket; `closed` resolves to the code that it was closed with. */
function opened(response: Response): { socket: WebSocket; closed: Promise<number> } {
  expect(response.status).toBe(101);
  const socket = response.webSocket!;
  const closed = new Promise<number>((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
  socket.accept();
  return { socket, closed };
}

const upgrade = { upgrade: "websocket" };
const connect = async (token: string, queue: string) =>
  opened(await askAs(token, `/v1/queues/${queue}/connect`, { fetch, headers: upgrade }));
const watch = async (queue: string, bearer?: object) =>
  opened(
    await DEPS.upgrade({}, queue, "/watch", bearer === undefined ? {} : { [BEARER_HEADER]: JSON.stringify(bearer) }),
  );

const scheduled = createSweep<unknown>({
  schedules: new Map(),
  database: () => db,
  stub: (_env, queue) => stubOf(queue),
  retention: () => ({ keepMs: 86_400_000, keepDeadMs: 86_400_000 }),
  operations: async () => {},
  log: () => {},
});
const sweep = () => scheduled({} as ScheduledController, {}, {} as ExecutionContext);

describe("sockets of a token", () => {
  it("are closed when it is revoked, at every queue, and no others", async () => {
    const [mine, other] = [await made({ role: "worker" }), await made({ role: "worker" })];
    for (const queue of ["q-sock-1", "q-sock-2"]) await enqueue(queue, { task: "any", delay: "1h" });
    const sockets = [await connect(mine.token, "q-sock-1"), await connect(mine.token, "q-sock-2")];
    const theirs = await connect(other.token, "q-sock-1");
    const watcher = await watch("q-sock-1", { id: mine.id, until: Date.now() + 60_000 });
    expect((await ask(`/v1/tokens/${mine.id}`, { method: "DELETE", fetch })).status).toBe(204);
    for (const { closed } of [...sockets, watcher]) expect(await closed).toBe(4001);
    expect(theirs.socket.readyState).toBe(WebSocket.OPEN);
    expect((await stubOf("q-sock-1").describe())!.sockets).toEqual({ workers: 1, watchers: 0 });
    theirs.socket.close();
  });

  it("are closed by the sweep too, where an isolate had not heard of it when it let them in", async () => {
    const { id } = await made({ role: "viewer" });
    await enqueue("q-sock-3", { task: "any", delay: "1h" });
    await ask(`/v1/tokens/${id}`, { method: "DELETE" });
    const late = await watch("q-sock-3", { id, until: Date.now() + 60_000 });
    await sweep();
    expect(await late.closed).toBe(4001);
  });

  it("are closed when it has expired, as soon as something is said", async () => {
    await enqueue("q-sock-4", { task: "any", delay: "1h" });
    const brief = { id: "tok-brief", until: Date.now() + 400 };
    const [watcher, worker] = [await watch("q-sock-4", brief), await watch("q-sock-4", brief)];
    const lasting = await watch("q-sock-4");
    await new Promise((resolve) => setTimeout(resolve, 500));
    worker.socket.send("{}");
    expect(await worker.closed).toBe(4001);
    await enqueue("q-sock-4", { task: "any" });
    expect(await watcher.closed).toBe(4001);
    expect(lasting.socket.readyState).toBe(WebSocket.OPEN);
    lasting.socket.close();
  });
});

it("the sweep forgets tokens that have expired, and the audit log of over 90 days ago", async () => {
  const { id } = await made({ role: "viewer" });
  const old = Date.now() - 91 * 86_400_000;
  const { tokens, audit } = DEPS.history({});
  const about = { name: "old", role: "viewer" as const };
  const oldId = "tok-000000000-00000000000000bb";
  await tokens.create({ id: oldId, about, createdAt: old, expiresAt: Date.now() - 1 });
  const entry = {
    who: "admin",
    tokenId: null,
    role: "admin" as const,
    action: "POST /old",
    status: 200,
    requestId: "r",
  };
  await audit.note({ ...entry, at: old });
  await audit.note({ ...entry, at: old + 2 * 86_400_000, action: "POST /kept" });
  await sweep();
  const { results } = await db.prepare("SELECT id FROM tokens").all<{ id: string }>();
  const ids = results.map((row) => row.id);
  expect(ids).toContain(id);
  expect(ids).not.toContain(oldId);
  const actions = (await audit.list({ before: null, from: null, to: null, limit: 200 })).map(({ action }) => action);
  expect(actions).toContain("POST /kept");
  expect(actions).not.toContain("POST /old");
});
