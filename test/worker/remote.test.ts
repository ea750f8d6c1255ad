import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { ExchangeResponse } from "../../client/types.ts";
import type { Stub } from "../object/support.ts";
import { env, freshWorld, until } from "../object/support.ts";
import { answer, ask, enqueue, getJob, problem, settled, worker } from "./remote-support.ts";

// The object, D1 and the Worker are real; the worker speaks HTTP by hand.
freshWorld();

const EMPTY = { jobs: [], lost: [], refused: [], cancel: [] };

/** So many workers that wait are in the line at the object. */
async function standing(count: number): Promise<void> {
  const stub = env.MILLRACE.getByName("pull-a:0");
  const kept = () =>
    runInDurableObject(stub, (_object, state) =>
      state.getWebSockets("worker").map((socket) => socket.deserializeAttachment()?.standing ?? null),
    );
  await until(async () => (await kept()).filter((want) => want !== null).length === count);
}

describe("an exchange over HTTP", () => {
  it("takes a job from its enqueue to the history", async () => {
    const id = await enqueue("pull-a", { key: "v" }, { tags: ["x"], meta: { m: 1 }, priority: 3 });
    const { exchange } = worker("pull-a");
    const first = await exchange({ want: 5 });
    expect(first).toEqual({
      ...EMPTY,
      ...{ n: 1, leaseMs: 30_000, slots: 6, retryInMs: null },
      jobs: [
        {
          ...{ id, task: "elsewhere", payload: { key: "v" }, encoding: "json" },
          ...{ attempt: 1, fence: 1, reopenedFence: 0, failures: 0, maxAttempts: 8, timeoutMs: 7_200_000 },
          ...{ backoff: null, createdAt: expect.stringMatching(/Z$/), runAt: expect.stringMatching(/Z$/) },
          ...{ tags: ["x"], meta: { m: 1 }, actor: null, schedule: null, keys: {}, version: null, traceparent: null },
        },
      ],
    });
    const [job] = first.jobs;
    const progress = [{ id, fence: 1, progress: { percent: 40, note: "half" } }];
    expect(await exchange({ holding: [[id, 1]], progress })).toMatchObject({ ...EMPTY, n: 2 });
    expect(await getJob(id)).toMatchObject({ state: "running", progress: { percent: 40, note: "half" } });

    const enqueues = [
      { task: "elsewhere", payload: 2 },
      { task: "child", payload: 3, queue: "pull-b" },
    ];
    const done = settled(job!, { result: { ok: ["ä", null] }, enqueue: enqueues });
    expect(await exchange({ settle: [done] })).toMatchObject({ ...EMPTY, n: 3 });
    const ended = await getJob(id);
    expect(ended).toMatchObject({ state: "completed", reason: null, result: { ok: ["ä", null] } });
    expect(ended.attempts).toMatchObject([{ attempt: 1, outcome: "completed", worker: "hand" }]);

    const { jobs: made } = await worker("pull-elsewhere").exchange({ want: 5 });
    expect(made).toMatchObject([{ payload: 2 }]);
    const other = worker("pull-b");
    await until(async () => (await other.exchange({ want: 1 })).jobs.length === 1);
    await until(async () => {
      const { items } = await answer<{ items: { id: string }[] }>(await ask("/v1/jobs"));
      return items.some((item) => item.id === id);
    });
  });

  it("takes every outcome, in the contract's words and in milliseconds", async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, (_, n) => enqueue("pull-a", n, { keys: { k: "v" } })));
    const { exchange } = worker("pull-a");
    const { jobs } = await exchange({ want: 8 });
    const byPayload = jobs.toSorted((a, b) => Number(a.payload) - Number(b.payload));
    const error = { name: "TypeError", message: "broken", stack: "at x" };
    const endings = [
      { outcome: "failed", error, retryIn: "1h" },
      { outcome: "failed", error: { message: "bare" }, retryInMs: 60_000 },
      { outcome: "dead", error },
      { outcome: "snoozed", for: "5m" },
      { outcome: "snoozed", forMs: 60_000, rateLimited: { kind: "k", for: "1m" } },
      { outcome: "released" },
      { outcome: "declined", code: "unknown_task" },
      { outcome: "cancelled", reason: "no more" },
    ];
    expect(await exchange({ settle: byPayload.map((job, at) => settled(job, endings[at])) })).toMatchObject(EMPTY);
    const all = await Promise.all(ids.map(getJob));
    expect(all.map(({ state, reason }) => [state, reason])).toEqual([
      ["scheduled", "retrying"],
      ["scheduled", "retrying"],
      ["dead", "non_retryable"],
      ["scheduled", "snoozed"],
      ["scheduled", "snoozed"],
      ["ready", "released"],
      ["scheduled", "declined"],
      ["cancelled", "cancelled_by_user"],
    ]);
    const inMinutes = (at: number) => Math.round((Date.parse(all[at]!.runAt) - Date.now()) / 60_000);
    expect([0, 1, 3, 4].map(inMinutes)).toEqual([60, 1, 5, 1]);
    expect(all[0]!.error).toMatchObject(error);
    expect(all[1]!.error).toMatchObject({ name: "Error", message: "bare", stack: null });
    const { items } = await answer<{ items: object[] }>(await ask("/v1/queues/pull-a/limits?kind=k"));
    expect(items).toMatchObject([{ value: "v", paused: { until: expect.any(String) } }]);
  });

  it("names in the first answer of a session the tasks that nobody can enqueue, and the name that was meant", async () => {
    const hand = worker("pull-a");
    const about = { worker: { name: "hand", runtime: "test", tasks: ["echo", "elsewere", "constructor"] } };
    const unknownTasks = [
      { task: "elsewere", didYouMean: "elsewhere" },
      { task: "constructor", didYouMean: null },
    ];
    expect(await hand.exchange(about)).toMatchObject({ n: 1, unknownTasks });
    expect(await answer(await hand.again(about))).toMatchObject({ n: 1, unknownTasks });
    expect(await hand.exchange(about)).not.toHaveProperty("unknownTasks");
    const known = { worker: { ...about.worker, tasks: ["echo"] } };
    expect(await worker("pull-a").exchange(known)).not.toHaveProperty("unknownTasks");
    const many = { worker: { ...about.worker, tasks: Array.from({ length: 50 }, (_, n) => `far-from-all-${n}`) } };
    expect((await worker("pull-a").exchange(many)).unknownTasks).toHaveLength(10);
  });

  it("is answered from the books when it is repeated, and refused when it is old", async () => {
    const id = await enqueue("pull-a");
    const hand = worker("pull-a");
    const first = await hand.exchange({ want: 1 });
    expect(await answer(await hand.again({ want: 1 }))).toEqual(first);
    const settle = [settled(first.jobs[0]!, { result: 1 })];
    await hand.exchange({ settle });
    expect(await answer(await hand.again({ settle }))).toMatchObject(EMPTY);
    expect((await getJob(id)).attempts).toHaveLength(1);
    await problem(await hand.again({ n: 1 }), 409, "conflict");
  });

  it("tells of what another queue has, of what is not held, and of outcomes that are none: each alone", async () => {
    const foreign = await enqueue("pull-b");
    const ids = [await enqueue("pull-a", 1), await enqueue("pull-a", 2)];
    const { exchange } = worker("pull-a");
    const { jobs } = await exchange({ want: 2 });
    const unknown = { id: "pull-a:0:99999", fence: 1, outcome: "completed" };
    const response = await exchange({
      holding: [
        ["pull-b:0:7", 1],
        ["pull-a:0:99998", 4],
      ],
      settle: [
        { id: foreign, fence: 1, outcome: "completed" },
        unknown,
        settled(jobs[0]!, { outcome: "exploded" }),
        settled(jobs[1]!, { result: "fine" }),
      ],
    });
    expect(response.lost).toEqual(
      expect.arrayContaining([
        ["pull-b:0:7", 1],
        ["pull-a:0:99998", 4],
      ]),
    );
    expect(response.refused).toHaveLength(3);
    expect(response.refused).toEqual(
      expect.arrayContaining([
        { id: foreign, fence: 1, code: "not_held" },
        { id: unknown.id, fence: 1, code: "not_held" },
        { id: ids[0], fence: 1, code: "invalid_outcome" },
      ]),
    );
    // It is held still, and comes again once nobody names it.
    expect(response.jobs).toEqual([]);
    expect((await exchange()).jobs).toMatchObject([{ id: ids[0], fence: 1 }]);
    expect(await getJob(ids[1]!)).toMatchObject({ state: "completed", result: "fine" });
    expect(await getJob(foreign)).toMatchObject({ state: "ready" });
    const described = await (env.MILLRACE.getByName("pull-a:0") as unknown as Stub).describe();
    expect(described?.metrics.settlesRefused).toBe(3);
  });

  it("keeps 4 KiB of a job's progress as JSON, and of its note what fits", async () => {
    const id = await enqueue("pull-a");
    const { exchange } = worker("pull-a");
    await exchange({ want: 1 });
    for (const note of ["€".repeat(1_300), "\u0001".repeat(100_000)]) {
      await exchange({ holding: [[id, 1]], progress: [{ id, fence: 1, progress: { percent: 12.5, note } }] });
      const { progress } = await getJob(id);
      const size = new TextEncoder().encode(JSON.stringify(progress)).length;
      expect(note.startsWith(progress!.note!)).toBe(true);
      expect(size).toBeGreaterThan(3_900);
      expect(size).toBeLessThanOrEqual(4_096);
    }
  });

  it("ends a job for good whose result no row can keep, and drops a result that is too large", async () => {
    await Promise.all([1, 2, 3].map((n) => enqueue("pull-a", n)));
    const { exchange } = worker("pull-a");
    const { jobs } = await exchange({ want: 3 });
    const deep = JSON.parse("[".repeat(300) + "]".repeat(300));
    const endings = [{ result: deep }, { result: "x".repeat(131_072) }, { result: "\ud800" }];
    expect(await exchange({ settle: jobs.map((job, at) => settled(job, endings[at])) })).toMatchObject(EMPTY);
    const [nested, large, half] = await Promise.all(jobs.map(({ id }) => getJob(id)));
    expect(nested).toMatchObject({ state: "dead", error: { name: "ResultError" } });
    expect(large).toMatchObject({ state: "completed", reason: "result_too_large", result: null });
    expect(half).toMatchObject({ state: "completed", result: "\ud800" });
  });

  it("makes follow-up jobs that are refused a failure", async () => {
    const id = await enqueue("pull-a");
    const { exchange } = worker("pull-a");
    const { jobs } = await exchange({ want: 1 });
    await exchange({ settle: [settled(jobs[0]!, { enqueue: [{ task: "elsewear" }] })] });
    const { state, error } = await getJob(id);
    expect([state, error?.name, error?.message]).toEqual([
      "scheduled",
      "FollowUpError",
      expect.stringMatching(/elsewear/),
    ]);
  });

  it("gives a worker the tasks that it names, and those only", async () => {
    await enqueue("pull-a", "mine");
    await enqueue("pull-a", "not mine", { task: "echo" });
    const only = (tasks: string[]) => ({ name: "hand", runtime: "test", tasks });
    const hand = worker("pull-a");
    expect((await hand.exchange({ want: 9, worker: only([]) })).jobs).toEqual([]);
    expect((await hand.exchange({ want: 9, worker: only(["elsewhere", "nothing"]) })).jobs).toMatchObject([
      { payload: "mine" },
    ]);
  });

  it("ignores fields that it does not know, and `null` where something may be left out", async () => {
    const id = await enqueue("pull-a");
    const hand = worker("pull-a");
    const raw = `{"session":"s","n":1,"worker":{"name":"w","runtime":"r","__proto__":{"tasks":[]},"constructor":1},
      "holding":[],"want":1,"settle":[],"future":{"deep":[1]},"__proto__":{"want":500}}`;
    const { jobs } = await answer<ExchangeResponse>(await ask("/v1/queues/pull-a/exchange", { raw }));
    expect(jobs).toMatchObject([{ id }]);
    expect(await hand.exchange({ want: 1 })).toMatchObject(EMPTY);
  });

  it("names the queue's and the worker's limits of who may come", async () => {
    expect((await problem(await worker("default").next({ want: 1 }), 409, "conflict")).detail).toMatch(/delivery/);
    await problem(await worker("Not-A-Queue").next(), 400, "invalid_request");
    await problem(await ask("/v1/queues/pull-a/exchange", { raw: "{}", token: "x".repeat(40) }), 401, "unauthorized");
  });
});

describe("wait", () => {
  it("holds the answer until a job is enqueued, and brings it at once", async () => {
    await enqueue("pull-a", "before");
    const hand = worker("pull-a");
    const first = await hand.exchange({ want: 1, wait: "20s" });
    expect(first.jobs).toMatchObject([{ payload: "before" }]);

    const done = settled(first.jobs[0]!);
    const waiting = hand.exchange({ settle: [done], want: 1, wait: "20s" });
    let answeredAt = 0;
    const noted = waiting.then((response) => {
      answeredAt = Date.now();
      return response;
    });
    await standing(1);
    expect(answeredAt).toBe(0);
    expect(await getJob(done.id)).toMatchObject({ state: "completed" });
    await enqueue("pull-a", "later");
    const enqueuedAt = Date.now();
    expect(await noted).toMatchObject({ ...EMPTY, n: 2, jobs: [{ payload: "later", fence: 1 }], leaseMs: 30_000 });
    expect(answeredAt - enqueuedAt).toBeLessThan(500);
  });

  it("ends with nothing when nothing comes, and does not hold what says something", async () => {
    const id = await enqueue("pull-a");
    const hand = worker("pull-a");
    await hand.exchange({ want: 1 });
    const took = async (said: Parameters<typeof hand.exchange>[0]) => {
      const startedAt = Date.now();
      return { response: await hand.exchange(said), tookMs: Date.now() - startedAt };
    };
    const empty = await took({ want: 1, holding: [[id, 1]], wait: "400ms" });
    expect(empty.response).toMatchObject({ ...EMPTY, n: 2 });
    expect(empty.tookMs).toBeGreaterThanOrEqual(390);
    const busy = { holding: [[id, 1]] as [string, number][], wait: "10s" };
    expect((await took(busy)).tookMs).toBeLessThan(2_000);
    const told = await took({
      ...busy,
      want: 1,
      holding: [
        [id, 1],
        ["pull-a:0:77777", 1],
      ],
    });
    expect(told.response.lost).toEqual([["pull-a:0:77777", 1]]);
    expect(told.tookMs).toBeLessThan(2_000);
  });

  it("brings a cancel of what the worker holds", async () => {
    const id = await enqueue("pull-a");
    const hand = worker("pull-a");
    await hand.exchange({ want: 1 });
    const waiting = hand.exchange({ want: 1, holding: [[id, 1]], wait: "8s" });
    await standing(1);
    await answer(await ask(`/v1/jobs/${id}/cancel`, { method: "POST" }));
    expect(await waiting).toMatchObject({ ...EMPTY, cancel: [id] });
  });

  it("lets a worker go away: what was told to nobody is granted again", async () => {
    const hand = worker("pull-a");
    await hand.exchange({ want: 1 });
    const gone = new AbortController();
    const waiting = hand.next({ want: 1, wait: "20s" }, { signal: gone.signal }).catch(() => null);
    await standing(1);
    // The job is told to the socket that stands for the worker in the same moment in which that goes.
    const id = await enqueue("pull-a");
    gone.abort();
    await waiting;
    const { jobs } = await answer<ExchangeResponse>(await hand.again({ want: 1 }));
    expect(jobs).toMatchObject([{ id, fence: 1 }]);
    await hand.exchange({ settle: [settled(jobs[0]!)] });
    expect((await getJob(id)).attempts).toMatchObject([{ attempt: 1, outcome: "completed" }]);
  });

  it("takes a worker that has gone away out of the line", async () => {
    const other = worker("pull-a");
    await enqueue("pull-a", "first");
    const [first] = (await other.exchange({ want: 1 })).jobs;
    const gone = new AbortController();
    const waiting = worker("pull-a").next({ want: 1, wait: "20s" }, { signal: gone.signal });
    await standing(1);
    gone.abort();
    await waiting;
    await standing(0);
    const waits = other.exchange({ want: 1, settle: [settled(first!)], wait: "5s" });
    await standing(1);
    const id = await enqueue("pull-a", "second");
    expect((await waits).jobs).toMatchObject([{ id, fence: 1 }]);
  });

  it("brings one job to one of many that wait", async () => {
    const hands = Array.from({ length: 5 }, () => worker("pull-a"));
    await enqueue("pull-a", "first");
    const [first] = (await hands[0]!.exchange({ want: 1 })).jobs;
    await hands[0]!.exchange({ settle: [settled(first!)] });
    const waiting = hands.map((hand) => hand.exchange({ want: 1, wait: "2s" }));
    await standing(5);
    const ids = [await enqueue("pull-a", 1), await enqueue("pull-a", 2)];
    const granted = (await Promise.all(waiting)).flatMap(({ jobs }) => jobs);
    expect(granted.map(({ id }) => id).sort()).toEqual(ids.sort());
  });
});
