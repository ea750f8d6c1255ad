import { describe, expect, it } from "vitest";
import type { ConnectFrame } from "../../client/types.ts";
import { freshWorld } from "../object/support.ts";
import { connect } from "./remote-connection.ts";
import { answer, ask, enqueue, getJob, problem, settled, TOKEN, worker } from "./remote-support.ts";

freshWorld();

type Push = Extract<ConnectFrame, { type: "push" }>;

const HAND = { name: "hand", runtime: "test" };
const says = (n: number, more: object = {}) => ({ session: "stay-1", n, worker: HAND, holding: [], want: 5, ...more });
const PATH = "/v1/queues/pull-a/connect";

const tokenFor = async (request: object): Promise<string> => {
  const body = { name: "a worker", role: "worker", ...request };
  return (await answer<{ token: string }>(await ask("/v1/tokens", { body }), 201)).token;
};

describe("a worker's WebSocket", () => {
  it("brings jobs as they are enqueued, and takes what became of them", async () => {
    await enqueue("pull-a", "before");
    const socket = await connect("pull-a");
    expect(socket.response.headers.get("x-request-id")).toBeTruthy();
    socket.send(says(1));
    const first = await socket.next();
    expect(first).toMatchObject({ type: "answer", n: 1, jobs: [{ payload: "before", task: "elsewhere" }], lost: [] });
    const id = await enqueue("pull-a", { later: true });
    const push = (await socket.next()) as Push;
    expect(push).toEqual({ type: "push", n: 1, cancel: [], jobs: [expect.objectContaining({ id, fence: 1 })] });
    expect(push.jobs[0]!.payload).toEqual({ later: true });

    const holding = [[id, 1]];
    const jobs = first.type === "answer" ? first.jobs : [];
    socket.send(says(2, { settle: [settled(jobs[0]!, { result: 7 })], holding, want: 4 }));
    expect(await socket.next()).toMatchObject({ type: "answer", n: 2, jobs: [], refused: [], cancel: [] });
    expect(await getJob(jobs[0]!.id)).toMatchObject({ state: "completed", result: 7 });
    await answer(await ask(`/v1/jobs/${id}/cancel`, { method: "POST" }));
    expect(await socket.next()).toEqual({ type: "push", n: 2, jobs: [], cancel: [id] });
    socket.send(says(3, { settle: [settled(push.jobs[0]!, { outcome: "cancelled" })] }));
    expect(await socket.next()).toMatchObject({ type: "answer", n: 3 });
    expect(await getJob(id)).toMatchObject({ state: "cancelled", reason: "cancelled_by_user" });
    socket.close();
  });

  it("is answered a ping without a word to the queue", async () => {
    const socket = await connect("pull-a");
    socket.send("ping");
    expect(await socket.text()).toBe("pong");
    socket.close();
  });

  it("goes on over another socket, and over HTTP, under the same session", async () => {
    const ids = [await enqueue("pull-a", 1)];
    const first = await connect("pull-a");
    first.send(says(1, { want: 1 }));
    expect(await first.next()).toMatchObject({ type: "answer", jobs: [{ id: ids[0] }] });
    first.close();
    const second = await connect("pull-a");
    second.send(says(2, { holding: [[ids[0], 1]] }));
    expect(await second.next()).toMatchObject({ type: "answer", n: 2, jobs: [], lost: [] });
    ids.push(await enqueue("pull-a", 2));
    expect(await second.next()).toMatchObject({ type: "push", n: 2, jobs: [{ id: ids[1] }] });
    second.close();
    const settle = ids.map((id) => ({ id, fence: 1, outcome: "completed" }));
    const body = says(3, { settle, want: 0 });
    expect(await answer(await ask("/v1/queues/pull-a/exchange", { body }))).toMatchObject({ n: 3, refused: [] });
    expect((await getJob(ids[1]!)).state).toBe("completed");
  });

  it("is chosen a subprotocol of those that it offers", async () => {
    const choose = async (offered?: string) => {
      const headers: Record<string, string> = offered === undefined ? {} : { "sec-websocket-protocol": offered };
      const { response, close } = await connect("pull-a", { headers });
      close();
      return response.headers.get("sec-websocket-protocol");
    };
    expect(await choose()).toBeNull();
    expect(await choose("something")).toBeNull();
    expect(await choose("something, millrace")).toBe("millrace");
    expect(await choose(`bearer.${TOKEN}, millrace`)).toBe("millrace");
    expect(await choose(`bearer.${TOKEN}`)).toBe(`bearer.${TOKEN}`);
  });
});

describe("the way to a WebSocket", () => {
  const upgrade = { upgrade: "websocket" };

  it("is refused to what asks for none, and where no remote worker may come", async () => {
    expect((await problem(await ask(PATH), 400, "invalid_request")).detail).toMatch(/Upgrade: websocket/);
    await problem(await ask(PATH, { method: "POST", headers: upgrade, body: {} }), 405, "method_not_allowed");
    const path = "/v1/queues/default/connect";
    expect((await problem(await ask(path, { headers: upgrade }), 409, "conflict")).detail).toMatch(/"pull" or "both"/);
    await problem(await ask("/v1/queues/A/connect", { headers: upgrade }), 400, "invalid_request");
    await problem(await ask(PATH, { headers: upgrade, token: "x".repeat(40) }), 401, "unauthorized");
  });

  it("is for tokens of workers, and for their queues", async () => {
    const viewer = await tokenFor({ role: "viewer" });
    await problem(await ask(PATH, { headers: upgrade, token: viewer }), 403, "forbidden");
    const elsewhere = await tokenFor({ queues: ["pull-b"] });
    await problem(await ask(PATH, { headers: upgrade, token: elsewhere }), 403, "forbidden");
    await problem(await ask("/v1/queues/pull-a/exchange", { body: says(1), token: elsewhere }), 403, "forbidden");
  });
});

describe("a token's tasks", () => {
  it("are all that its worker is given, over HTTP and WebSocket", async () => {
    const token = await tokenFor({ tasks: ["elsewhere"] });
    const ids = [await enqueue("pull-a", 1), await enqueue("pull-a", 2)];
    await enqueue("pull-a", 3, { task: "echo" });
    const hand = worker("pull-a");
    const all = { ...HAND, tasks: ["elsewhere", "echo"] };
    expect(await answer(await hand.next({ want: 1, worker: all }, { token }))).toMatchObject({
      jobs: [{ id: ids[0] }],
    });
    const socket = await connect("pull-a", { token });
    socket.send(says(1));
    expect(await socket.next()).toMatchObject({ type: "answer", jobs: [{ id: ids[1] }] });
    await enqueue("pull-a", 4, { task: "echo" });
    const mine = await enqueue("pull-a", 5);
    expect(await socket.next()).toMatchObject({ type: "push", jobs: [{ id: mine }] });
    socket.send(says(2, { worker: { ...HAND, tasks: ["echo"] } }));
    expect(await socket.next()).toMatchObject({ type: "problem", n: 2, problem: { status: 403, code: "forbidden" } });
    socket.close();
    const other = { worker: { ...HAND, tasks: ["echo"] } };
    await problem(await hand.next(other, { token }), 403, "forbidden");
  });

  it("and its queues hold for the jobs that its worker makes", async () => {
    const token = await tokenFor({ queues: ["pull-*"], tasks: ["elsewhere"] });
    const asks = [
      { task: "elsewhere", queue: "pull-b" },
      { task: "elsewhere", queue: "both-b", timeout: "1m" },
      { task: "echo", queue: "pull-b" },
    ];
    for (const [at] of asks.entries()) await enqueue("pull-a", at);
    const hand = worker("pull-a");
    const { jobs } = await answer<{ jobs: { id: string; fence: number }[] }>(await hand.next({ want: 3 }, { token }));
    const settle = jobs.map(({ id, fence }, at) => ({ id, fence, outcome: "completed", enqueue: [asks[at]] }));
    await answer(await hand.next({ settle }, { token }));
    const ended = await Promise.all(jobs.map(({ id }) => getJob(id)));
    expect(ended.map(({ state }) => state)).toEqual(["completed", "scheduled", "scheduled"]);
    expect(ended[1]!.error).toMatchObject({ name: "FollowUpError", message: expect.stringMatching(/queue "both-b"/) });
    expect(ended[2]!.error).toMatchObject({ name: "FollowUpError", message: expect.stringMatching(/task "echo"/) });
  });
});
