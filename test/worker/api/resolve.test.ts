import { describe, expect, it } from "vitest";
import type { StandardSchemaV1 } from "../../../client/standard-schema.ts";
import { defineTask } from "../../../client/task.ts";
import type { NewJob } from "../../../client/types.ts";
import { readConfig } from "../../../worker/config.ts";
import { parseInstant } from "../../../worker/instant.ts";
import { nearest } from "../../../worker/issues.ts";
import { isDeeperThan } from "../../../worker/json.ts";
import { isOutage } from "../../../worker/problem.ts";
import { type ResolveInput, resolveJobs } from "../../../worker/resolve.ts";

const schema = (validate: (value: unknown) => unknown): StandardSchemaV1 => ({
  "~standard": { version: 1, vendor: "test", validate: validate as StandardSchemaV1["~standard"]["validate"] },
});
const seen: unknown[] = [];
const config = readConfig({
  tasks: [
    defineTask({ name: "any" }),
    defineTask({
      name: "sees",
      input: schema((value) => {
        seen.push(value);
        return { value: "changed" };
      }),
    }),
    defineTask({
      name: "throws",
      input: schema(() => {
        throw new Error("SECRET");
      }),
    }),
    defineTask({
      name: "rejects",
      input: schema(async () => {
        throw new Error("SECRET");
      }),
    }),
    defineTask({ name: "chooses", backoff: () => 5, queue: "chosen" }),
  ],
  queues: { q: {} },
});

const resolve = (jobs: unknown[], more: Partial<ResolveInput> = {}) =>
  resolveJobs(config, { queue: "q", jobs: jobs as NewJob[], actor: null, ...more });

async function resolved(jobs: unknown[], more?: Partial<ResolveInput>) {
  const done = await resolve(jobs, more);
  if (!done.ok) throw new Error(JSON.stringify(done));
  return done;
}

describe("templates", () => {
  it("are shared by jobs that ask for the same, and only by those", async () => {
    const runAt = new Date(Date.now() + 1_000);
    const { templates, jobs } = await resolved([
      { task: "any", payload: 1 },
      { payload: 2, task: "any" },
      { task: "any", payload: 3, priority: undefined },
      { task: "any", priority: 1 },
      { task: "any", tags: ["a", "b"] },
      { task: "any", tags: ["a,b"] },
      { task: "any", runAt },
      { task: "any", runAt: new Date(runAt) },
      { task: "any", meta: { a: "1" } },
      { task: "any", meta: { a: 1 } },
      { task: "any" },
      { task: "any", priority: 1 },
    ]);
    expect(jobs.map(([template]) => template)).toEqual([0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 0, 1]);
    expect(jobs.slice(0, 4).map(([, payload]) => payload)).toEqual(["1", "2", "3", null]);
    expect(templates[4]!.runAt).toBe(runAt.getTime());
    expect(templates[0]).toEqual({
      ...{ task: "any", priority: 0, runAt: null, delayMs: 0, maxAttempts: 8, backoff: null, ownBackoff: false },
      ...{ timeoutMs: 300_000, expiresInMs: null, tags: [], meta: null, actor: null, version: null, traceparent: null },
    });
  });

  it.each(["anypriority1", "any8:prioritynumber1:1", "anyprioritynumber1"])(
    "cannot be feigned by a text that looks like two options: %s",
    async (task) => {
      const done = await resolve([{ task: "any", priority: 1 }, { task }]);
      expect(done).toMatchObject({ ok: false, code: "unknown_task" });
    },
  );

  it("leave a task's own function to decide, unless the job has a policy", async () => {
    const own = { type: "fixed", delay: "1s" };
    const { templates, queue } = await resolved([{ task: "chooses" }, { task: "chooses", backoff: own }], {
      queue: null,
    });
    expect(queue).toBe("chosen");
    expect(templates.map(({ backoff, ownBackoff }) => [backoff, ownBackoff])).toEqual([
      [null, false],
      [own, true],
    ]);
  });

  it("bear who asked", async () => {
    expect((await resolved([{ task: "any" }], { actor: "ada" })).templates[0]!.actor).toBe("ada");
  });
});

describe("payloads from memory", () => {
  it("are stored as they were given, and checked as they will be seen", async () => {
    seen.length = 0;
    const at = new Date("2026-11-22T00:00:00Z");
    const { jobs } = await resolved([{ task: "sees", payload: { at, gone: undefined } }, { task: "sees" }]);
    expect(jobs.map(([, payload]) => payload)).toEqual(['{"at":"2026-11-22T00:00:00.000Z"}', null]);
    expect(seen).toEqual([{ at: "2026-11-22T00:00:00.000Z" }, undefined]);
  });

  const loop: { loop?: unknown } = {};
  loop.loop = loop;
  let deep: unknown = 1;
  for (let depth = 0; depth < 5_000; depth++) deep = [deep];

  it.each<[string, unknown, string]>([
    ["a loop", loop, "cannot be sent as JSON"],
    ["a BigInt", { n: 1n }, "cannot be sent as JSON"],
    ["a function", () => 1, "is a function"],
    ["a symbol", Symbol("x"), "is a symbol"],
    ["deep nesting", deep, "nests deeper"],
    ["half a surrogate pair", { a: "\ud800" }, "surrogate"],
    ["half a pair in a name", { "\udfff": 1 }, "surrogate"],
    [
      "a toJSON that throws",
      {
        toJSON() {
          throw new Error("no");
        },
      },
      "cannot be sent as JSON",
    ],
  ])("refuses %s", async (_, payload, message) => {
    const done = await resolve([{ task: "any" }, { task: "any", payload }]);
    expect(done).toMatchObject({ ok: false, code: "invalid_request" });
    expect(JSON.stringify(done)).toContain(message);
    expect(JSON.stringify(done)).toContain("jobs[1].payload");
  });

  it("refuses nesting beyond any stack", async () => {
    let payload: unknown = 1;
    for (let depth = 0; depth < 500_000; depth++) payload = [payload];
    const done = await resolve([{ task: "any", payload }]);
    expect(done).toMatchObject({ ok: false, code: expect.stringMatching(/^(invalid_request|payload_too_large)$/) });
  });

  it("takes whole surrogate pairs, and backslashes before a u", async () => {
    const payload = ["😀", "\\ud800", "\\\\ud800", String.raw`\\\ud83d`];
    const { jobs } = await resolved([{ task: "any", payload }]);
    expect(JSON.parse(jobs[0]![1]!)).toEqual(payload);
  });

  it("refuses what no row can keep once it is escaped, whatever size is allowed", async () => {
    const large = readConfig({ tasks: [defineTask({ name: "any" })], maxPayloadBytes: 512 * 1024 });
    const ask = (payload: string) =>
      resolveJobs(large, { queue: null, jobs: [{ task: "any", payload }], actor: null, parsed: true });
    expect(await ask("x".repeat(500_000))).toMatchObject({ ok: true });
    expect(await ask('"'.repeat(180_000))).toMatchObject({ ok: true });
    expect(await ask('"'.repeat(250_000))).toMatchObject({ ok: false, code: "payload_too_large" });
  });

  it("refuses more than 8 MiB in one call", async () => {
    const payload = "x".repeat(130_000);
    const done = await resolve(Array.from({ length: 70 }, () => ({ task: "any", payload })));
    expect(done).toMatchObject({ ok: false, code: "payload_too_large" });
  });

  it.each(["throws", "rejects"])("refuses what a schema that %s cannot check, and does not tell why", async (task) => {
    const done = await resolve([{ task, payload: 1 }]);
    expect(done).toMatchObject({ ok: false, code: "invalid_request" });
    expect(JSON.stringify(done)).not.toContain("SECRET");
  });

  it("refuses an invalid Date, and options that are no JSON", async () => {
    for (const wrong of [{ runAt: new Date(Number.NaN) }, { meta: loop }, { priority: 1n }, { tags: new Set() }]) {
      expect(await resolve([{ task: "any", ...wrong }])).toMatchObject({ ok: false, code: "invalid_request" });
    }
  });
});

describe("parseInstant", () => {
  it.each([
    ["2026-11-22T05:39:00Z", "2026-11-22T05:39:00.000Z"],
    ["2026-11-22T05:39:00.1Z", "2026-11-22T05:39:00.100Z"],
    ["2026-11-22T05:39:00.123456789Z", "2026-11-22T05:39:00.123Z"],
    ["2026-11-22T05:39Z", "2026-11-22T05:39:00.000Z"],
    ["2026-11-22T05:39:00+01:00", "2026-11-22T04:39:00.000Z"],
    ["2026-11-22T05:39:00+0530", "2026-11-22T00:09:00.000Z"],
    ["2026-11-22T05:39:00-08", "2026-11-22T13:39:00.000Z"],
    ["2024-02-29T23:59:59-00:00", "2024-02-29T23:59:59.000Z"],
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"],
  ])("%s is %s", (text, iso) => {
    expect(new Date(parseInstant(text)!).toISOString()).toBe(iso);
  });

  it.each([
    "2026-02-29T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T05:39:60Z",
    "2026-11-22 05:39:00Z",
    "2026-11-22t05:39:00z",
    "1e3",
    "",
  ])("%s is none", (text) => {
    expect(parseInstant(text)).toBeNull();
  });
});

it("finds the name that was meant", () => {
  const known = ["send-welcome", "video.encode", "hook", "http"];
  const meant = ["sendwelcome", "Send-Welcome", "video-encode", "hok", "htp", "zzz", "", "account.delete"];
  expect(meant.map((name) => nearest(name, known))).toEqual([
    ...["send-welcome", "send-welcome", "video.encode", "hook", "http", null, null, null],
  ]);
});

it("counts depth outside of strings only", () => {
  expect(isDeeperThan('[["[[[[[[", "\\"[[[["]]', 2)).toBe(false);
  expect(isDeeperThan("[[[1]]]", 2)).toBe(true);
  expect(isDeeperThan("[],[],[],[]", 1)).toBe(false);
  expect(isDeeperThan('"[[[[', 1)).toBe(false);
});

it.each<[boolean, unknown]>([
  [true, Object.assign(new Error("x"), { retryable: true })],
  [true, Object.assign(new Error("x"), { overloaded: true })],
  [true, new Error("Network connection lost.")],
  [true, new Error("D1_ERROR: D1 DB is overloaded. Requests queued for too long.")],
  [true, new Error("Durable Object reset because its code was updated.")],
  [true, new Error("D1_ERROR: storage operation exceeded timeout which caused object to be reset.")],
  [false, new Error("D1_ERROR: no such table: history: SQLITE_ERROR")],
  [true, new Error("Failed query: select 1", { cause: new Error("Network connection lost.") })],
  [false, new Error("Failed query: select 1", { cause: new Error("D1_ERROR: no such table: a: SQLITE_ERROR") })],
  [false, new TypeError("x is not a function")],
  [false, new Error("Invariant broken: a lane was reset to nothing")],
  [false, undefined],
  [false, "text"],
])("isOutage: %s for %s", (outage, error) => {
  expect(isOutage(error)).toBe(outage);
});
