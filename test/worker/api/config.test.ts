import { describe, expect, it } from "vitest";
import { defineTask } from "../../../client/task.ts";
import { type MillraceConfig, pushes, queueSettings, readConfig } from "../../../worker/config.ts";
import { lineOf } from "../../../worker/log.ts";
import { readSchedules } from "../../../worker/schedules.ts";

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
    ["a timeout for a remote worker", { tasks: [defineTask({ name: "b", timeout: "14m" })] }, /"default".*at most 13m/],
    [
      "the same of a handler, where consumers work too",
      {
        tasks: [defineTask({ name: "b", timeout: "14m", queue: "video" }).handler(() => {})],
        queues: { video: { delivery: "both" } },
      },
      /Task "b" has a timeout of 14m.*the task no handler here/,
    ],
    ["an unknown key", { queue: {} }, /"queue".*There are: tasks, queues/],
    ["a bad name of a queue", { queues: { Mail: {} } }, /queues\["Mail"\]/],
    ["a bad pattern", { queues: { "*A": {} } }, /queues\["\*A"\]/],
    ["another wildcard", { queues: { "a?": {} } }, /queues\["a\?"\]/],
    [
      "another delivery",
      { queues: { video: { delivery: "poll" } } },
      /delivery is "push", "pull" or "both", not "poll"/,
    ],
    ["no delivery at all", { queues: { video: { delivery: null } } }, /delivery is "push", "pull" or "both", not null/],
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

describe("delivery", () => {
  const encode = defineTask({ name: "encode", queue: "video", timeout: "7d" });
  const light = defineTask({ name: "light", queue: "video" }).handler(() => {});
  const config = (delivery: "push" | "pull" | "both", tasks: MillraceConfig["tasks"] = [light]) =>
    readConfig({ tasks, queues: { video: { delivery }, "v-*": { delivery } } });

  it.each([
    ["push", ["light", "encode", "unheard-of"]],
    ["pull", []],
    ["both", ["light"]],
  ] as const)("%s is for consumers: %j", (delivery, expected) => {
    const tasks = delivery === "push" ? [light, defineTask({ name: "encode" })] : [light, encode];
    const names = ["light", "encode", "unheard-of"];
    const read = config(delivery, tasks);
    for (const queue of ["video", "v-1"]) {
      expect(names.filter((name) => pushes(read, queue, name))).toEqual(expected);
    }
  });

  it("lets attempts of remote workers take long, and those of schedules", () => {
    for (const delivery of ["pull", "both"] as const) {
      const read = config(delivery, [encode]);
      expect(read.tasks.get("encode")).toMatchObject({ timeoutMs: 7 * 86_400_000 });
      const nightly = { task: "encode", cron: "@daily" };
      expect([...readSchedules(read, { nightly }).keys()]).toEqual(["video"]);
      expect(() => readSchedules(read, { nightly: { ...nightly, queue: "default" } })).toThrow(
        /schedules\["nightly"\]:.*options.timeout is over 13m, and queue "default" runs task "encode"/,
      );
    }
    const handled = encode.handler(() => {});
    expect(config("pull", [handled]).tasks.get("encode")).toMatchObject({ timeoutMs: 7 * 86_400_000 });
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
