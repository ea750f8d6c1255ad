import { describe, expect, it } from "vitest";
import { createClient } from "../../../client/client.ts";
import { defineTask } from "../../../client/task.ts";
import type { EffectiveConfig, Explanation, KeyState, Page, Queue } from "../../../client/types.ts";
import type { ExplainReply, JobRecord, KeyReport, QueueRpc } from "../../../client/wire.ts";
import { type MillraceConfig, queueSettings, readConfig } from "../../../worker/config.ts";
import { type Ask, answer, appWith, ask, DEPS, enqueue, migrated, problem, stubOf, TOKEN, work } from "./support.ts";

migrated();

const RATE = { limit: 10, per: "1s" } as const;
const FULL_RATE = { ...RATE, burst: 10 };

/** The example of the contract. */
const HOOKS = { customer: { concurrency: 5, rateLimit: RATE, values: { "big-co": { concurrency: 50 } } } };

const patch = (body: unknown, queue = "q-limits", fetch?: Ask["fetch"]) =>
  ask(`/v1/queues/${queue}/config`, { method: "PATCH", body, fetch });
const patched = async (body: unknown, queue = "q-limits") => answer<EffectiveConfig>(await patch(body, queue));
const names = (count: number, value: object | number) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`n${n}`, value]));

describe("limits in code", () => {
  const read = (queue: object) =>
    readConfig({
      tasks: [defineTask({ name: "encode" }), defineTask({ name: "constructor" })],
      queues: { hooks: queue },
    } as MillraceConfig);

  it("are taken as the contract writes them, in the units of the object", () => {
    const rate = { limit: 10, perMs: 1_000, burst: 10 };
    const config = read({
      rateLimit: { limit: 600, per: "1m", burst: 20 },
      tasks: { encode: { concurrency: 2 }, constructor: { rateLimit: RATE } },
      limits: HOOKS,
      fairness: { weights: { acme: 2.5 } },
      ageing: { per: "1m", priority: 1 },
    });
    expect(queueSettings(config, "hooks")).toEqual({
      rateLimit: { limit: 600, perMs: 60_000, burst: 20 },
      tasks: { encode: { concurrency: 2 }, constructor: { rateLimit: rate } },
      limits: { customer: { concurrency: 5, rateLimit: rate, values: { "big-co": { concurrency: 50 } } } },
      weights: { acme: 2.5 },
      ageing: { perMs: 60_000, priority: 1 },
    });
    for (const nothing of [{ limits: {} }, { fairness: {} }, { tasks: { encode: {} } }]) read(nothing);
  });

  it.each<[string, object, RegExp]>([
    ["a task nearly known", { tasks: { encod: { concurrency: 1 } } }, /tasks\.encod limits .* did you mean "encode"\?/],
    ["an unknown task", { tasks: { sendmail: { concurrency: 1 } } }, /tasks\.sendmail .*give it to createMillrace/],
    ["a part of a rate", { rateLimit: { limit: 10 } }, /rateLimit\.per is missing/],
    ["a burst that never fills", { rateLimit: { limit: 1, per: "1d", burst: 367 } }, /rateLimit\.burst contradicts/],
    ["a kind that is no name", { limits: { "a:b": {} } }, /limits\.a:b is a kind of key/],
    ["a null", { limits: { tenant: { concurrency: null } } }, /limits\.tenant\.concurrency is a whole number/],
    [
      "many values",
      { limits: { a: { values: names(1_001, {}) } } },
      /limits\.a\.values holds at most 1000 values, not 1001/,
    ],
    ["a weight too heavy", { fairness: { weights: { a: 1_001 } } }, /fairness\.weights\.a is a number from 0\.001/],
    ["ageing to nothing", { ageing: { per: "1m" } }, /ageing\.priority is missing/],
    ["a slip of the pen", { limit: {} }, /limit is not known; did you mean "limits"/],
  ])("stop the program at %s", (_, queue, message) => {
    expect(() => read(queue)).toThrow(TypeError);
    expect(() => read(queue)).toThrow(message);
  });
});

describe("limits through the API", () => {
  it("are merged leaf by leaf, each shown with its origin, and taken back by null", async () => {
    const all = { rateLimit: { ...RATE, burst: 30 }, ageing: { per: "60s", priority: 2 }, limits: HOOKS };
    const first = await patched({ ...all, tasks: { any: { concurrency: 3 } }, fairness: { weights: { acme: 2 } } });
    expect(first).toMatchObject({
      rateLimit: { value: { ...RATE, burst: 30 }, origin: "api" },
      ageing: { value: { per: "1m", priority: 2 }, origin: "api" },
      tasks: { any: { concurrency: { value: 3, origin: "api" } } },
      limits: {
        customer: {
          concurrency: { value: 5, origin: "api" },
          rateLimit: { value: FULL_RATE, origin: "api" },
          values: { "big-co": { concurrency: { value: 50, origin: "api" } } },
        },
      },
      fairness: { weights: { acme: { value: 2, origin: "api" } } },
    });
    const next = await patched({
      rateLimit: null,
      ageing: null,
      tasks: null,
      fairness: null,
      limits: { customer: { rateLimit: null, values: { tiny: { rateLimit: RATE } } }, vendor: { concurrency: 1 } },
    });
    expect(next).toMatchObject({ rateLimit: { value: null, origin: "default" }, ageing: { value: null }, tasks: {} });
    expect(next.fairness).toEqual({ weights: {} });
    expect(next.limits).toEqual({
      customer: {
        concurrency: { value: 5, origin: "api" },
        values: {
          "big-co": { concurrency: { value: 50, origin: "api" } },
          tiny: { rateLimit: { value: FULL_RATE, origin: "api" } },
        },
      },
      vendor: { concurrency: { value: 1, origin: "api" }, values: {} },
    });
    expect((await answer<Queue>(await ask("/v1/queues/q-limits"))).config).toEqual(next);
    expect((await patched({ limits: { customer: null, vendor: { concurrency: null } } })).limits).toEqual({});
  });

  it("take keys of any name", async () => {
    const raw = '{ "limits": { "constructor": { "values": { "__proto__": { "concurrency": 2 } } } } }';
    const sent = await ask("/v1/queues/q-strange/config", { method: "PATCH", raw });
    const shown = await sent.text();
    expect(sent.status, shown).toBe(200);
    expect(shown).toContain('"constructor":{"values":{"__proto__":{"concurrency":{"value":2,"origin":"api"}}}}');
    const back = await ask("/v1/queues/q-strange/config", {
      method: "PATCH",
      raw: '{ "limits": { "constructor": { "values": { "__proto__": null } } } }',
    });
    expect((await answer<EffectiveConfig>(back)).limits).toEqual({});
  });

  it.each<[string, unknown, string]>([
    ["a limit of 0", { limits: { tenant: { concurrency: 0 } } }, "limits.tenant.concurrency"],
    ["a negative limit", { tasks: { any: { concurrency: -1 } } }, "tasks.any.concurrency"],
    ["half a job", { tasks: { any: { concurrency: 1.5 } } }, "tasks.any.concurrency"],
    ["a rate of 0", { rateLimit: { limit: 0, per: "1s" } }, "rateLimit.limit"],
    ["an absurd rate", { rateLimit: { limit: 1_000_001, per: "1s" } }, "rateLimit.limit"],
    ["a rate within nothing", { rateLimit: { limit: 1, per: "0s" } }, "rateLimit.per"],
    ["a rate within a year", { rateLimit: { limit: 1, per: "366d" } }, "rateLimit.per"],
    ["a rate within no time that there is", { rateLimit: { limit: 1, per: "soon" } }, "rateLimit.per"],
    [
      "the same with a burst",
      { tasks: { any: { rateLimit: { limit: 1, per: "1", burst: 2 } } } },
      "tasks.any.rateLimit.per",
    ],
    ["a burst of 0", { rateLimit: { ...RATE, burst: 0 } }, "rateLimit.burst"],
    ["a burst that never fills", { rateLimit: { limit: 1, per: "31d", burst: 13 } }, "rateLimit.burst"],
    ["a part of a rate", { limits: { tenant: { rateLimit: { limit: 5 } } } }, "limits.tenant.rateLimit.per"],
    ["a rate that is none", { rateLimit: "10/s" }, "rateLimit"],
    ["a kind that is no name", { limits: { "a b": { concurrency: 1 } } }, "limits.a b"],
    ["a kind named as nothing", { limits: { "": { concurrency: 1 } } }, "limits."],
    ["a kind that is no limit", { limits: { tenant: 5 } }, "limits.tenant"],
    ["kinds in a list", { limits: [] }, "limits"],
    ["an unknown field of a kind", { limits: { tenant: { vals: {} } } }, "limits.tenant.vals"],
    ["values inside of a value", { limits: { a: { values: { b: { values: {} } } } } }, "limits.a.values.b.values"],
    ["a value that is too long", { limits: { a: { values: { ["x".repeat(256)]: {} } } } }, "limits.a.values.x"],
    ["too many kinds", { limits: names(33, { concurrency: 1 }) }, "limits"],
    ["too many values", { limits: { a: { values: names(1_001, { concurrency: 1 }) } } }, "limits.a.values"],
    ["too many tasks", { tasks: names(201, { concurrency: null }) }, "tasks"],
    ["too many weights", { fairness: { weights: names(1_001, 1) } }, "fairness.weights"],
    ["a weight of 0", { fairness: { weights: { acme: 0 } } }, "fairness.weights.acme"],
    ["a weight that is a text", { fairness: { weights: { acme: "2" } } }, "fairness.weights.acme"],
    ["an unknown fairness", { fairness: { weight: {} } }, "fairness.weight"],
    ["ageing without priority", { ageing: { per: "1m" } }, "ageing.priority"],
    ["ageing backwards", { ageing: { per: "1m", priority: -1 } }, "ageing.priority"],
  ])("refuse %s, and all that came with it", async (_, wrong, path) => {
    const { errors } = await problem(await patch({ slots: 7, ...(wrong as object) }), 400, "invalid_request");
    expect(errors![0]!.path).toContain(path);
    expect((await patched({})).slots.origin).toBe("default");
  });

  it("say of a rate of 0 what is wrong with it, and nothing of a burst that nobody gave", async () => {
    const refused = await problem(await patch({ rateLimit: { limit: 0, per: "1s" } }), 400, "invalid_request");
    expect(refused.errors!.map(({ path }) => path)).toEqual(["rateLimit.limit"]);
  });

  it("refuse a task that is not known with 422, but let go of one that is gone", async () => {
    const refused = await problem(await patch({ slots: 7, tasks: { gret: { concurrency: 1 } } }), 422, "unknown_task");
    expect(refused.errors).toEqual([{ path: "tasks.gret", message: 'is not known; did you mean "greet"?' }]);
    expect((await patched({ tasks: { gret: null, other: { concurrency: null } } })).slots.origin).toBe("default");
  });

  it("refuse more than a queue holds, also bit by bit", async () => {
    const some = (from: number) =>
      Object.fromEntries(Array.from({ length: 600 }, (_, n) => [`k${from + n}`, { concurrency: 1 }]));
    await patched({ limits: { tenant: { values: some(0) } } }, "q-many");
    const refused = await patch({ slots: 7, limits: { tenant: { values: some(600) } } }, "q-many");
    expect((await problem(refused, 400, "invalid_request")).detail).toContain("would name 1200");
    expect((await patched({}, "q-many")).slots.origin).toBe("default");
  });
});

/** An app whose objects answer as they are told; what they were asked is kept. */
function told(replies: Partial<{ [Method in keyof QueueRpc]: unknown }>) {
  const asked: unknown[][] = [];
  const stub = (_env: unknown, queue: string) =>
    new Proxy({} as QueueRpc, {
      get:
        (_, method: keyof QueueRpc) =>
        async (...args: unknown[]) => {
          asked.push([queue, method, ...args]);
          return method in replies
            ? replies[method]
            : (stubOf(queue)[method] as (...args: unknown[]) => unknown)(...args);
        },
    });
  return { asked, stub, fetch: appWith({ stub }) };
}

const REPORT: KeyReport = {
  kind: "tenant",
  value: "a/b é",
  holders: 2,
  waiters: 7,
  concurrency: 3,
  rateLimit: { limit: 10, perMs: 1_000, burst: 20 },
  tokens: 1.5,
  paused: { until: Date.UTC(2026, 10, 22), reason: "limits of theirs" },
};
const STATE: KeyState = {
  ...REPORT,
  rateLimit: { limit: 10, per: "1s", burst: 20 },
  paused: { until: "2026-11-22T00:00:00.000Z", reason: "limits of theirs" },
};

describe("keys", () => {
  it("are listed, of one kind or of all", async () => {
    const { asked, fetch } = told({ keys: [REPORT, { ...REPORT, rateLimit: null, tokens: null, paused: null }] });
    const page = await answer<Page<KeyState>>(await ask("/v1/queues/q-keys/limits?kind=tenant", { fetch }));
    expect(page).toEqual({
      items: [STATE, { ...STATE, rateLimit: null, tokens: null, paused: null }],
      nextCursor: null,
    });
    await answer(await ask("/v1/queues/q-keys/limits", { fetch }));
    expect(asked).toEqual([
      ["q-keys", "keys", "tenant", null, 51],
      ["q-keys", "keys", null, null, 51],
    ]);
  });

  it("are listed page by page, by name, whatever they are called", async () => {
    const values = ["a", "a:b", "b".repeat(255), "é", "\u0000", "😀".repeat(127)];
    for (const value of values) {
      const path = `/v1/queues/q-paged/limits/tenant/${encodeURIComponent(value)}/pause`;
      await answer(await ask(path, { method: "PUT", body: { for: "1h" } }));
    }
    const seen: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const from: string = cursor === "" ? "" : `&cursor=${cursor}`;
      const page: Page<KeyState> = await answer(await ask(`/v1/queues/q-paged/limits?limit=1${from}`));
      expect(page.items).toHaveLength(1);
      seen.push(page.items[0]!.value);
      cursor = page.nextCursor;
    }
    expect(seen).toEqual([...values].sort());
    const client = createClient({ url: "https://millrace.test", token: TOKEN, fetch: appWith() });
    expect((await client.queue("q-paged").keys()).map(({ value }) => value)).toEqual(seen);
    await problem(await ask("/v1/queues/q-paged/limits?cursor=bad"), 400, "invalid_request");
  });

  it("are listed to the last, by cursor, however many wait", async () => {
    const queue = "q-many-keys";
    const values = Array.from({ length: 1_200 }, (_, n) => `k${n}`);
    for (const part of [values.slice(0, 600), values.slice(600)]) {
      const jobs = part.map((value) => ({ task: "any", keys: { tenant: value } }));
      await answer(await ask(`/v1/queues/${queue}/jobs`, { method: "POST", body: { jobs } }), 201);
    }
    const client = createClient({ url: "https://millrace.test", token: TOKEN, fetch: appWith() });
    const keys = await client.queue(queue).keys({ kind: "tenant" });
    expect(keys.map(({ value }) => value)).toEqual([...values].sort());
    expect(keys.every(({ waiters }) => waiters === 1)).toBe(true);
    expect(await client.queue(queue).keys({ kind: "other" })).toEqual([]);
  });

  it("are listed page by page of an object that knows no pages", async () => {
    const reports = ["a", "b", "c"].map((value) => ({ ...REPORT, value }));
    const { fetch } = told({ keys: reports });
    const list = async (cursor: string) =>
      answer<Page<KeyState>>(await ask(`/v1/queues/q-older/limits?limit=2${cursor}`, { fetch }));
    const first = await list("");
    expect(first.items.map(({ value }) => value)).toEqual(["a", "b"]);
    const { items, nextCursor } = await list(`&cursor=${first.nextCursor}`);
    expect(items.map(({ value }) => value)).toEqual(["c"]);
    expect(nextCursor).toBeNull();
  });

  it("that have only spent of their rate are listed", async () => {
    const queue = "q-spent";
    await patched({ limits: { tenant: { rateLimit: { limit: 5, per: "1h" } } } }, queue);
    for (let n = 0; n < 5; n += 1) await enqueue(queue, { task: "any", keys: { tenant: "acme" } });
    expect(await work(queue)).toHaveLength(5);
    const { items } = await answer<Page<KeyState>>(await ask(`/v1/queues/${queue}/limits`));
    expect(items).toMatchObject([{ kind: "tenant", value: "acme", holders: 0, waiters: 0, tokens: 0 }]);
  });

  it("are closed for a time, and opened; the value is what was encoded", async () => {
    const { asked, fetch } = told({ pauseKey: { ok: true, key: REPORT } });
    const path = `/v1/queues/q-keys/limits/tenant/${encodeURIComponent("a/b é")}/pause`;
    const put = (body: object) => ask(path, { method: "PUT", body, fetch });
    expect(await answer(await put({ for: "30m", reason: "limits of theirs" }))).toEqual(STATE);
    await answer(await put({ for: "0s" }));
    await answer(await ask(path, { method: "DELETE", fetch }));
    const key = ["q-keys", "pauseKey", "tenant", "a/b é"];
    expect(asked).toEqual([
      [...key, 1_800_000, "limits of theirs"],
      [...key, 0, null],
      [...key, 0, null],
    ]);
  });

  it("that are closed start nothing, are listed, and go on when opened", async () => {
    const queue = "q-closed";
    const path = `/v1/queues/${queue}/limits/tenant/acme/pause`;
    expect(await answer<Page<KeyState>>(await ask(`/v1/queues/${queue}/limits`))).toEqual({
      items: [],
      nextCursor: null,
    });
    await patched({ limits: { tenant: { concurrency: 5, values: { acme: { rateLimit: RATE } } } } }, queue);
    await answer(await ask(path, { method: "PUT", body: { for: "1h", reason: "down" } }));
    await enqueue(queue, { task: "any", keys: { tenant: "acme" } });
    await enqueue(queue, { task: "any", keys: { tenant: "other" } });
    expect(await work(queue)).toEqual([2]);
    const { items } = await answer<Page<KeyState>>(await ask(`/v1/queues/${queue}/limits?kind=tenant`));
    expect(items).toEqual([
      {
        ...{ kind: "tenant", value: "acme", holders: 0, waiters: 1, concurrency: 5, rateLimit: FULL_RATE, tokens: 10 },
        paused: { until: expect.stringMatching(/Z$/), reason: "down" },
      },
    ]);
    expect(await answer(await ask(path, { method: "DELETE" }))).toMatchObject({ value: "acme", paused: null });
    expect(await work(queue)).toEqual([1]);
  });

  it.each<[string, string, unknown]>([
    ["no time", "tenant/acme", {}],
    ["more than a month", "tenant/acme", { for: "32d" }],
    ["a number", "tenant/acme", { for: 30 }],
    ["an unknown field", "tenant/acme", { for: "1m", why: "x" }],
    ["an empty reason", "tenant/acme", { for: "1m", reason: "" }],
    ["a kind that is none", "ten%20ant/acme", { for: "1m" }],
    ["a value that is too long", `tenant/${"x".repeat(256)}`, { for: "1m" }],
    ["a value that is no UTF-8", "tenant/%ff", { for: "1m" }],
  ])("are not closed with %s", async (_, key, body) => {
    const { asked, fetch } = told({ pauseKey: { ok: true, key: REPORT } });
    const sent = await ask(`/v1/queues/q-keys/limits/${key}/pause`, { method: "PUT", body, fetch });
    await problem(sent, 400, "invalid_request");
    expect(asked).toEqual([]);
  });

  it("are of queues that are declared", async () => {
    const path = "/v1/queues/elsewhere/limits";
    await problem(await ask(path), 404, "not_found");
    await problem(await ask(`${path}/a/b/pause`, { method: "PUT", body: { for: "1m" } }), 404, "not_found");
    await problem(await ask(`${path}/a/b/pause`, { method: "DELETE" }), 404, "not_found");
    await problem(await ask("/v1/queues/q-keys/limits?kind=a:b"), 400, "invalid_request");
    await problem(await ask("/v1/queues/q-keys/limits?kinds=a"), 400, "invalid_request");
  });
});

describe("explain", () => {
  const explanation: ExplainReply = {
    runnable: false,
    gates: [{ gate: "rate", detail: "…", since: null, until: Date.UTC(2026, 10, 22) }],
    position: 3,
    etaMs: null,
  };

  it("answers what the object says, without what nobody knows", async () => {
    const { fetch } = told({ explain: { ok: true, explanation } });
    const answered = await answer(await ask("/v1/jobs/q-explain:0:1/explain", { fetch }));
    expect(answered).toEqual({
      runnable: false,
      gates: [{ gate: "rate", detail: "…", until: "2026-11-22T00:00:00.000Z" }],
      position: 3,
    });
    const none = { runnable: true, gates: [], position: null, etaMs: 0 };
    const open = told({ explain: { ok: true, explanation: none } });
    const free = await answer(await ask("/v1/jobs/q-explain:0:1/explain", { fetch: open.fetch }));
    expect(free).toEqual({ runnable: true, gates: [], etaMs: 0 });
  });

  it("says of a job that has ended that it is final, wherever it is kept", async () => {
    const { id } = await enqueue("q-explain", { task: "any", delay: "1h" });
    await answer(await ask(`/v1/jobs/${id}/cancel`, { method: "POST" }));
    const here = await answer<Explanation>(await ask(`/v1/jobs/${id}/explain`));
    expect(here).toMatchObject({ runnable: false, gates: [{ gate: "final", since: expect.any(String) }] });

    const record = await stubOf("q-explain").get(1);
    const { stub } = told({ explain: { ok: false, code: "not_found", detail: "" }, get: null });
    const history = () => ({ ...DEPS.history({}), job: async () => record as JobRecord });
    const fetch = appWith({ stub, history });
    const { gates } = await answer<Explanation>(await ask(`/v1/jobs/${id}/explain`, { fetch }));
    expect(gates).toEqual([
      {
        gate: "final",
        detail: expect.stringContaining("cancelled (cancelled_by_user)"),
        since: expect.stringMatching(/Z$/),
      },
    ]);
  });

  it("asks again for a job that was retried in between", async () => {
    const { id } = await enqueue("q-explain", { task: "any", delay: "1h" });
    const { stub, fetch } = told({ explain: { ok: false, code: "not_found", detail: "" } });
    await problem(await ask(`/v1/jobs/${id}/explain`, { fetch }), 503, "unavailable");
    let asked = 0;
    const later = appWith({
      stub: (env, queue) =>
        asked++ === 2 ? told({ explain: { ok: true, explanation } }).stub(env, queue) : stub(env, queue),
    });
    expect(await answer(await ask(`/v1/jobs/${id}/explain`, { fetch: later }))).toMatchObject({ position: 3 });
  });

  it("knows no job that was never made or was deleted", async () => {
    await problem(await ask("/v1/jobs/q-explain:0:99999/explain"), 404, "not_found");
    await problem(await ask("/v1/jobs/elsewhere:0:1/explain"), 404, "not_found");
    await problem(await ask("/v1/jobs/q-explain/explain"), 400, "invalid_request");
    const { id } = await enqueue("q-explain", { task: "any", delay: "1h" });
    expect((await ask(`/v1/jobs/${id}`, { method: "DELETE" })).status).toBe(204);
    await problem(await ask(`/v1/jobs/${id}/explain`), 404, "not_found");
  });
});

it("is all within reach of the SDK", async () => {
  const { asked, fetch } = told({
    keys: [REPORT],
    pauseKey: { ok: true, key: REPORT },
    explain: { ok: true, explanation: { runnable: true, gates: [], position: 0, etaMs: null } },
  });
  const client = createClient({ url: "https://millrace.test", token: TOKEN, fetch });
  const queue = client.queue("q-sdk-limits");
  const config = await queue.configure({ limits: HOOKS, fairness: { weights: { acme: 2 } }, rateLimit: null });
  expect(config.limits.customer!.values["big-co"]).toEqual({ concurrency: { value: 50, origin: "api" } });
  await queue.configure({ limits: { customer: { values: { "big-co": null }, concurrency: null } }, fairness: null });
  expect(await queue.keys()).toEqual([STATE]);
  expect(await queue.keys({ kind: "tenant" })).toEqual([STATE]);
  expect(await queue.pauseKey("tenant", "a/b é", { for: "1m", reason: "theirs" })).toEqual(STATE);
  expect(await queue.resumeKey("tenant", "a/b é")).toEqual(STATE);
  expect(await client.job("q-sdk-limits:0:1").explain()).toEqual({ runnable: true, gates: [], position: 0 });
  expect(asked.filter(([, method]) => method !== "configure")).toEqual([
    ["q-sdk-limits", "keys", null, null, 201],
    ["q-sdk-limits", "keys", "tenant", null, 201],
    ["q-sdk-limits", "pauseKey", "tenant", "a/b é", 60_000, "theirs"],
    ["q-sdk-limits", "pauseKey", "tenant", "a/b é", 0, null],
    ["q-sdk-limits", "explain", 1],
  ]);
});
