import { describe, expect, it } from "vitest";
import { defineTask } from "../../../client/task.ts";
import { type MillraceConfig, queueSettings, readConfig } from "../../../worker/config.ts";
import { lineOf } from "../../../worker/log.ts";

const task = defineTask({ name: "a" });
const read = (more: object) => readConfig({ tasks: [task], ...more } as MillraceConfig);

describe("readConfig", () => {
  it("has a default for everything", () => {
    const config = readConfig({ tasks: [] });
    expect(config).toMatchObject({
      bindings: { object: "MILLRACE", tickets: "TICKETS", ticketsLong: "TICKETS_LONG", history: "DB" },
      ...{ basePath: "", maxPayloadBytes: 131_072, log: { jobs: false } },
    });
    expect([...config.queues.keys()]).toEqual(["default"]);
  });

  it("takes what it is given", () => {
    const more = { basePath: "/a/jobs", bindings: { history: "HISTORY", object: undefined }, maxPayloadBytes: 524_288 };
    expect(read({ ...more, log: { jobs: true }, queues: { a: { delivery: "push" } } })).toMatchObject({
      bindings: { object: "MILLRACE", history: "HISTORY" },
      ...{ basePath: "/a/jobs", maxPayloadBytes: 524_288, log: { jobs: true } },
    });
  });

  it.each<[string, object, RegExp]>([
    ["tasks that are no list", { tasks: {} }, /list of what defineTask makes/],
    ["what defineTask did not make", { tasks: [{ name: "a" }] }, /tasks\[0\]/],
    ["two of a name", { tasks: [task, defineTask({ name: "a" })] }, /"a".*unique/],
    ["a timeout for a remote worker", { tasks: [defineTask({ name: "b", timeout: "14m" })] }, /at most 13m/],
    ["an unknown key", { queue: {} }, /"queue".*There are: tasks, queues/],
    ["a bad name of a queue", { queues: { Mail: {} } }, /queues\["Mail"\]/],
    ["a bad pattern", { queues: { "*A": {} } }, /queues\["\*A"\]/],
    ["another wildcard", { queues: { "a?": {} } }, /queues\["a\?"\]/],
    ["a pull queue", { queues: { video: { delivery: "pull" } } }, /not built yet/],
    ["a queue that is no object", { queues: { a: 5 } }, /is an object/],
    ["an unknown setting", { queues: { a: { slot: 1 } } }, /queues\["a"\]: slot is not known; did you mean "slots"/],
    ["a setting out of range", { queues: { "a-*": { lease: "1s" } } }, /lease is a duration from "5s" to "10m"/],
    ["a setting in history", { queues: { a: { history: { keep: 5 } } } }, /history\.keep is a duration/],
    ["a base path with a slash at its end", { basePath: "/jobs/" }, /without a slash/],
    ["a base path without one before", { basePath: "jobs" }, /basePath/],
    ["a base path with a pattern", { basePath: "/:a" }, /basePath/],
    ["a binding that is no name", { bindings: { history: {} } }, /bindings\.history/],
    ["an unknown binding", { bindings: { db: "DB" } }, /"db"/],
    ["too large payloads", { maxPayloadBytes: 524_289 }, /524288/],
    ["an unknown log", { log: { job: true } }, /"job"/],
  ])("refuses %s", (_, more, message) => {
    expect(() => read(more)).toThrow(message);
  });
});

describe("queueSettings", () => {
  const config = readConfig({
    tasks: [defineTask({ name: "a", queue: "own" }), defineTask({ name: "b", queue: "tenant-b" })],
    queues: {
      "tenant-*": { slots: 1 },
      "*": { slots: 2 },
      "tenant-a": { slots: 3, lease: "1m", history: { completed: "none", keepDead: "1d" } },
      "tenant-*-eu": { slots: 4 },
      "v1.*": { slots: 5 },
    },
  });

  it.each([
    ["tenant-a", 3],
    ["tenant-b", 1],
    ["tenant-", 1],
    ["tenant-x-eu", 4],
    ["other", 2],
    ["own", 2],
    ["default", 2],
    ["v1.x", 5],
    ["v1x", 2],
  ])("finds those of %s: an exact name, then the longest pattern", (queue, slots) => {
    expect(queueSettings(config, queue)?.slots).toBe(slots);
  });

  it("converts to the units of the object", () => {
    expect(queueSettings(config, "tenant-a")).toEqual({
      ...{ slots: 3, leaseMs: 60_000, historyCompleted: "none", historyKeepDeadMs: 86_400_000 },
    });
  });

  it("finds none for what is not declared, or no name", () => {
    const strict = readConfig({ tasks: [defineTask({ name: "a", queue: "own" })], queues: { "q-*": {} } });
    expect(["own", "default", "q-1"].map((queue) => queueSettings(strict, queue))).toEqual([{}, {}, {}]);
    for (const queue of ["q", "Q-1", "q-*", "q-ä", `q-${"x".repeat(130)}`, "q-\n", "__proto__", "constructor"]) {
      expect(queueSettings(strict, queue), queue).toBeNull();
    }
    for (const queue of ["A", "", "a b", "a:0"]) expect(queueSettings(config, queue), queue).toBeNull();
  });
});

describe("a log line", () => {
  it("is one line of JSON, whatever is logged", () => {
    const loop: Record<string, unknown> = {};
    loop.loop = loop;
    const fields = { requestId: "r", error: new Error("two\nlines"), big: 5n, long: "x".repeat(5_000) };
    for (const line of [lineOf("error", "failed", fields), lineOf("info", "looped", { loop })]) {
      expect(line).not.toContain("\n");
      expect(line.length).toBeLessThan(6_000);
    }
    expect(JSON.parse(lineOf("error", "failed", fields))).toMatchObject({
      ...{ level: "error", event: "failed", requestId: "r", big: "5" },
      error: expect.stringContaining("two"),
    });
    expect(JSON.parse(lineOf("info", "looped", { loop }))).toMatchObject({ event: "looped", unshown: ["loop"] });
  });
});
