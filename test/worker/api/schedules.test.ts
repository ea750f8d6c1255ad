import { describe, expect, it } from "vitest";
import { defineTask } from "../../../client/task.ts";
import type { Schedule } from "../../../client/types.ts";
import { readConfig } from "../../../worker/config.ts";
import { readSchedules } from "../../../worker/schedules.ts";
import { answer, ask, CONFIG, getJob, listJobs, migrated, problem } from "./support.ts";

migrated();

const PATH = "/v1/queues/q-plan/schedules";
const put = (name: string, spec: object, path = PATH) => ask(`${path}/${name}`, { method: "PUT", body: spec });
const NIGHTLY = { cron: "30 2 * * *", timezone: "Europe/Berlin", task: "any", payload: { a: 1 } };

describe("schedules over HTTP", () => {
  it("are made with 201, shown with their next instants, and the same again is 200", async () => {
    const made = await answer<Schedule>(await put("nightly", { ...NIGHTLY, overlap: "skip" }), 201);
    expect(made).toMatchObject({
      ...{ name: "nightly", queue: "q-plan", origin: "api", paused: false, pauseReason: null, last: null },
      ...{ ...NIGHTLY, overlap: "skip", jitter: "0s", catchUp: { window: "1d", max: 1 } },
    });
    expect(made.next).toHaveLength(5);
    expect(made.next.every((at) => /T0[01]:30:00\.000Z$/.test(at))).toBe(true);
    expect(await answer(await put("nightly", { overlap: "skip", ...NIGHTLY }), 200)).toEqual(made);
    expect(await answer(await ask(`${PATH}/nightly`))).toEqual(made);
  });

  it("are shown with null for what they do not have, and can be put again as they are shown", async () => {
    const bare = await answer<Schedule>(await put("bare", { every: "1h", task: "any" }), 201);
    const { name, queue, origin, pauseReason, next, last, ...spec } = bare;
    expect(spec).toEqual({
      ...{ cron: null, every: "1h", timezone: null, task: "any", payload: null, options: null },
      ...{
        overlap: "allow",
        catchUp: { window: "1d", max: 1 },
        jitter: "0s",
        startAt: null,
        endAt: null,
        paused: false,
      },
    });
    expect({ name, queue, origin, pauseReason, last }).toEqual({
      ...{ name: "bare", queue: "q-plan", origin: "api", pauseReason: null, last: null },
    });
    expect(await answer(await put("bare", spec), 200)).toEqual({ ...bare, next: expect.any(Array) });
    expect(await answer(await put("bare", { ...spec, every: null, cron: "@daily" }), 200)).toMatchObject({
      ...{ every: null, cron: "@daily", timezone: "UTC" },
    });
  });

  it("are listed by name, page by page", async () => {
    for (const name of ["c", "a", "b"]) await answer(await put(name, NIGHTLY, "/v1/queues/q-list/schedules"), 201);
    const page = await answer<{ items: Schedule[]; nextCursor: string }>(
      await ask("/v1/queues/q-list/schedules?limit=2"),
    );
    expect(page.items.map(({ name }) => name)).toEqual(["a", "b"]);
    const rest = await answer(await ask(`/v1/queues/q-list/schedules?limit=2&cursor=${page.nextCursor}`));
    expect(rest).toMatchObject({ items: [{ name: "c" }], nextCursor: null });
    expect(await answer(await ask("/v1/queues/q-none/schedules"))).toEqual({ items: [], nextCursor: null });
    await problem(await ask("/v1/queues/q-list/schedules?cursor=x"), 400, "invalid_request");
  });

  it("run now, are paused with a reason, resumed and deleted", async () => {
    await answer(await put("acts", NIGHTLY), 201);
    const { id } = await answer<{ id: string }>(await ask(`${PATH}/acts/run`, { method: "POST" }), 201);
    expect(await getJob(id)).toMatchObject({ schedule: "acts", task: "any", payload: { a: 1 } });
    const paused = await ask(`${PATH}/acts/pause`, { body: { reason: "month's end" } });
    expect(await answer(paused)).toMatchObject({ paused: true, pauseReason: "month's end" });
    expect(await answer(await ask(`${PATH}/acts/resume`, { method: "POST" }))).toMatchObject({ paused: false });
    expect((await ask(`${PATH}/acts`, { method: "DELETE" })).status).toBe(204);
    for (const method of ["GET", "DELETE"]) await problem(await ask(`${PATH}/acts`, { method }), 404, "not_found");
  });

  it("make up for the past, each instant once", async () => {
    await answer(await put("past", { ...NIGHTLY, options: { tags: ["backfilled"] } }), 201);
    const range = { from: "2026-03-28T00:00:00+01:00", to: "2026-03-31T00:00:00+02:00" };
    const made = await answer<{ jobs: string[] }>(await ask(`${PATH}/past/backfill`, { body: range }));
    expect(made).toEqual({ jobs: expect.any(Array), already: 0 });
    expect(made.jobs).toHaveLength(3);
    expect((await listJobs("queue=q-plan&tag=backfilled")).items).toHaveLength(3);
    const again = await answer(await ask(`${PATH}/past/backfill`, { body: range }));
    expect(again).toEqual({ jobs: [], already: 3 });
    const ahead = { from: range.from, to: "2099-01-01T00:00:00Z" };
    await problem(await ask(`${PATH}/past/backfill`, { body: ahead }), 400, "invalid_request");
  });

  it.each<[what: string, spec: unknown, path: string | RegExp]>([
    ["no spec", [], /object/],
    ["neither cron nor every", { task: "any" }, /either cron or every/],
    ["both", { task: "any", cron: "@daily", every: "1h" }, /either cron or every/],
    ["cron nonsense", { task: "any", cron: "99 * * * *" }, /Invalid value for minute/],
    ["a day that never comes", { task: "any", cron: "0 0 30 2 *" }, /four years/],
    ["an unknown zone", { task: "any", cron: "@daily", timezone: "Mars/Olympus" }, /no IANA time zone/],
    ["a zone that no instant asks for", { task: "any", every: "1h", timezone: "UTC" }, "timezone"],
    ["too often", { task: "any", every: "999ms" }, "every"],
    ["absurd jitter", { task: "any", every: "1h", jitter: "9999d" }, "jitter"],
    ["absurd catchUp", { task: "any", every: "1h", catchUp: { window: "1d", max: 1e9 } }, "catchUp.max"],
    [
      "an end before the start",
      { task: "any", every: "1h", startAt: "2020-01-01T00:00:00Z", endAt: "2019-01-01T00:00:00Z" },
      /endAt is not after startAt/,
    ],
    ["a start that no alarm reaches", { task: "any", every: "1h", startAt: "9999-12-31T00:00:00Z" }, "startAt"],
    ["an unknown field", { task: "any", every: "1h", corn: "x" }, "corn"],
    ["an unknown policy", { task: "any", every: "1h", overlap: "queue" }, "overlap"],
    ["a start of its jobs", { task: "any", every: "1h", options: { delay: "1m" } }, "options.delay"],
    ["options that jobs cannot have", { task: "any", every: "1h", options: { priority: 1e9 } }, "options.priority"],
    ["options that contradict themselves", { task: "any", every: "1h", options: { cost: { a: 2 } } }, "options.cost.a"],
    [
      "a deadline that later jobs are past",
      { task: "any", every: "1h", options: { deadline: new Date(Date.now() + 9e8).toISOString() } },
      "options.deadline",
    ],
    ["a payload that the task does not take", { task: "greet", every: "1h", payload: { name: 5 } }, "payload.name"],
    ["the same, checked later", { task: "later", every: "1h", payload: { n: 12 } }, "payload"],
  ])("refuse %s, and nothing is made", async (_, spec, where) => {
    const refused = await problem(await put("wrong", spec as object), 400, "invalid_request");
    if (typeof where === "string") expect(refused.errors?.map(({ path }) => path)).toContain(where);
    else expect(JSON.stringify(refused)).toMatch(where);
    await problem(await ask(`${PATH}/wrong`), 404, "not_found");
  });

  it("refuse unknown tasks, queues and names", async () => {
    await problem(await put("a", { task: "ani", every: "1h" }), 422, "unknown_task");
    await problem(await put("a", NIGHTLY, "/v1/queues/undeclared/schedules"), 404, "not_found");
    for (const name of ["A", "%20", "a".repeat(129)]) await problem(await put(name, NIGHTLY), 400, "invalid_request");
    for (const act of ["run", "pause", "resume"]) {
      await problem(await ask(`${PATH}/nothing/${act}`, { method: "POST" }), 404, "not_found");
    }
  });
});

describe("schedules in code", () => {
  const config = readConfig(CONFIG);
  const read = (schedules: object) => readSchedules(config, schedules as never);

  it("belong to the queue of their task, or to the one that they name, and tell when they change", () => {
    const nightly = { cron: "@daily", task: "tuned" };
    const all = read({ nightly, other: { ...nightly, queue: "q-x" } });
    expect([...all].map(([queue, { inputs }]) => [queue, [...inputs.keys()]])).toEqual([
      ["tuned", ["nightly"]],
      ["q-x", ["other"]],
    ]);
    expect(all.get("tuned")!.inputs.get("nightly")).toMatchObject({
      ...{ cron: "@daily", timezone: "UTC", template: { priority: 5, timeoutMs: 20_000 } },
    });
    expect(read({ nightly }).get("tuned")!.version).toBe(all.get("tuned")!.version);
    expect(read({ nightly: { ...nightly, payload: 1 } }).get("tuned")!.version).not.toBe(all.get("tuned")!.version);
  });

  it.each<[what: string, schedules: object, message: RegExp]>([
    ["a bad name", { Nightly: { cron: "@daily", task: "any" } }, /schedules\["Nightly"\] is a schedule's name/],
    ["a list", [], /by the names/],
    ["nothing", { a: null }, /schedules\["a"\]:/],
    ["an unknown task", { a: { cron: "@daily", task: "ani" } }, /There is no task "ani". Did you mean "any"/],
    ["cron nonsense", { a: { cron: "@fortnightly", task: "any" } }, /schedules\["a"\]: "@fortnightly" is no cron/],
    ["an unknown zone", { a: { cron: "@daily", timezone: "Berlin", task: "any" } }, /no IANA time zone/],
    ["a zone beside every", { a: { every: "1h", timezone: "UTC", task: "any" } }, /\["a"\]:.* timezone is for cron/],
    ["an unknown field", { a: { corn: "@daily", task: "any" } }, /corn is not known; did you mean "cron"/],
    ["an undeclared queue", { a: { cron: "@daily", task: "any", queue: "nowhere" } }, /"nowhere" is not declared/],
    ["a wrong payload", { a: { cron: "@daily", task: "greet", payload: {} } }, /payload\.name/],
    ["what cannot be checked at once", { a: { cron: "@daily", task: "later", payload: { n: 1 } } }, /asynchronously/],
  ])("refuse %s at once", (_, schedules, message) => {
    expect(() => read(schedules)).toThrow(message);
  });

  it("may be of a task called constructor", () => {
    const odd = readConfig({ tasks: [defineTask({ name: "constructor" })] });
    expect(readSchedules(odd, { constructor: { every: "1h", task: "constructor" } } as never).size).toBe(1);
  });
});
