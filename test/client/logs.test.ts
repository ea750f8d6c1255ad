import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Ctx, defineTask, type ExchangeRequest, type LogLine } from "../../client/index.ts";
import { JobLogs, toLogLine } from "../../client/logs.ts";
import type { LeasedJob, Outcome } from "../../client/types.ts";
import type { LogTuple } from "../../client/wire.ts";
import { finish, openQueue, pass } from "./shift.ts";

const AT = Date.UTC(2026, 5, 1);
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;

describe("a line", () => {
  const fieldsOf = (fields: unknown) => toLogLine("info", "x", fields, AT).fields;
  const cycle: { [key: string]: unknown } = { a: 1 };
  cycle.self = cycle;
  const hostile = {
    get boom() {
      throw new Error("no");
    },
    fine: 1,
  };
  const nested = (depth: number) => JSON.parse("[".repeat(depth) + "]".repeat(depth));

  it("is what was logged", () => {
    const fields = { n: 1, list: ["é", null], at: new Date(AT), deep: { a: true } };
    expect(toLogLine("warn", "50 % of disk", fields, AT)).toEqual({
      at: "2026-06-01T00:00:00.000Z",
      level: "warn",
      message: "50 % of disk",
      fields: { n: 1, list: ["é", null], at: "2026-06-01T00:00:00.000Z", deep: { a: true } },
    });
    expect(fieldsOf(undefined)).toBeNull();
    expect(fieldsOf({})).toBeNull();
  });

  it.each([
    ["a cycle", { ok: 1, cycle }, { ok: 1, cycle: "(cannot be shown)" }],
    ["a cycle at the top", cycle, { a: 1, self: "(cannot be shown)" }],
    ["a getter that throws", hostile, { boom: "(cannot be shown)", fine: 1 }],
    ["a BigInt", { n: 10n ** 20n, in: [1n] }, { n: "100000000000000000000", in: ["1"] }],
    [
      "what JSON leaves out",
      { f: () => {}, u: undefined, s: Symbol("x"), nan: Number.NaN },
      { f: null, u: null, s: null, nan: null },
    ],
    ["lone surrogates", { a: "\ud800", "\udc00": "\\ud800" }, { a: "\ufffd", "\ufffd": "\\ud800" }],
    ["whole surrogate pairs", { a: "😀" }, { a: "😀" }],
    ["deep nesting", { deep: nested(33), fine: nested(32) }, { deep: "(nested too deeply)", fine: nested(32) }],
    ["brackets in texts", { a: '[[["'.repeat(100) }, { a: '[[["'.repeat(100) }],
    ["names of Object", JSON.parse('{"__proto__":1,"constructor":2}'), JSON.parse('{"__proto__":1,"constructor":2}')],
    ["a text in place of fields", "text", null],
    ["a proxy without an object", Proxy.revocable({}, {}).proxy, null],
  ])("holds %s", (_, fields, shown) => {
    expect(fieldsOf(fields)).toEqual(shown);
  });

  it("says so where a value is nested deeper than can be written", () => {
    expect(fieldsOf({ deep: nested(50_000), fine: 1 })).toEqual({ deep: expect.stringMatching(/^\(/), fine: 1 });
  });

  it("shows an error with its stack", () => {
    expect(fieldsOf({ error: new TypeError("gone") })).toEqual({
      error: expect.stringMatching(/^TypeError: gone\n +at /),
    });
  });

  it("keeps what fits in 4 KiB, and says how large the rest was", () => {
    const made = fieldsOf({ small: 1, large: "é".repeat(3_000), after: true });
    expect(made).toEqual({ small: 1, large: "(6002 bytes)", after: true });
    const many = fieldsOf(Object.fromEntries(Array.from({ length: 2_000 }, (_, n) => [`key${n}`, "é".repeat(n % 50)])));
    expect(bytes(many)).toBeLessThanOrEqual(4_096);
    expect(bytes(many)).toBeGreaterThan(4_000);
    expect(bytes(fieldsOf({ ["k".repeat(5_000)]: 1 }))).toBeLessThanOrEqual(4_096);
  });

  it.each([
    ["is cut", "é".repeat(3_000), "é".repeat(2_000)],
    ["is not cut inside of a character", `${"a".repeat(1_999)}😀`, `${"a".repeat(1_999)}\ufffd`],
    ["is well-formed", "a\ud800b", "a\ufffdb"],
    ["may be an error", new RangeError("too far"), "RangeError: too far"],
    ["may be an object", { a: 1 }, '{"a":1}'],
    ["may be a symbol", Symbol("s"), "Symbol(s)"],
    ["may be nothing", undefined, "undefined"],
    ["may be a cycle", cycle, "(cannot be shown)"],
    [
      "may refuse",
      Object.assign(() => {}, {
        toString: () => {
          throw new Error("no");
        },
      }),
      "(cannot be shown)",
    ],
  ])("has a message that %s", (_, message, shown) => {
    expect(toLogLine("info", message, null, AT).message).toBe(shown);
  });
});

describe("lines that wait", () => {
  const job = (n: number, fence = 1) => ({ id: `q:0:${n}`, fence }) as LeasedJob;
  const end = (n: number, fence = 1): Outcome => ({ id: `q:0:${n}`, fence, outcome: "released" });
  const line = (message: string): LogLine => toLogLine("info", message, null, AT);
  const fill = (logs: JobLogs, n: number, count: number, chars = 1_900) => {
    for (let index = 0; index < count; index++) logs.add(job(n), line(`${index} ${"x".repeat(chars)}`));
  };
  const idsOf = (taken: ReturnType<JobLogs["take"]>) => taken.map(({ id }) => id);
  const messagesOf = (taken: ReturnType<JobLogs["take"]>) =>
    taken.flatMap(({ lines }) => lines.map(({ message }) => message.split(" ")[0]));

  it("are the latest 1,000 of an attempt", () => {
    const logs = new JobLogs();
    for (let n = 1; n <= 2_500; n++) logs.add(job(1), line(`${n}`));
    const [taken] = logs.take([]);
    expect(taken!.lines.map(({ message }) => Number(message))).toEqual(
      Array.from({ length: 1_000 }, (_, n) => 1_501 + n),
    );
    expect(logs.empty).toBe(true);
    expect(logs.take([])).toEqual([]);
  });

  it("are up to 128 KiB of an attempt", () => {
    const logs = new JobLogs();
    fill(logs, 1, 200);
    const taken = logs.take([]);
    expect(bytes(taken[0]!.lines)).toBeLessThanOrEqual(128 * 1024 + 1_000);
    expect(bytes(taken[0]!.lines)).toBeGreaterThan(120 * 1024);
    expect(messagesOf(taken).at(-1)).toBe("199");
  });

  it("go 256 KiB at a time, in order, those that waited longest first", () => {
    const logs = new JobLogs();
    for (const n of [1, 2, 3]) fill(logs, n, 60);
    const first = logs.take([]);
    expect(idsOf(first)).toEqual(["q:0:1", "q:0:2", "q:0:3"]);
    expect(bytes(first)).toBeLessThanOrEqual(256 * 1024 + 1_000);
    fill(logs, 1, 60);
    const second = logs.take([]);
    expect(idsOf(second)).toEqual(["q:0:3", "q:0:1"]);
    const third = [...messagesOf(first.slice(2)), ...messagesOf(second.slice(0, 1))];
    expect(third).toEqual(Array.from({ length: 60 }, (_, n) => `${n}`));
    expect(logs.empty).toBe(true);
  });

  it("of attempts that are settled go with that; fewer are settled where they do not fit", () => {
    const logs = new JobLogs();
    for (const n of [1, 2, 3, 4]) fill(logs, n, 60);
    const ended = [end(9), end(4), end(3), end(2)];
    expect(logs.settleable(ended)).toBe(3);
    const taken = logs.take(ended.slice(0, 3));
    expect(idsOf(taken)).toEqual(["q:0:4", "q:0:3", "q:0:1"]);
    expect(taken.map(({ lines }) => lines.length).slice(0, 2)).toEqual([60, 60]);
    expect(logs.settleable([end(2)])).toBe(1);
    expect(idsOf(logs.take([end(2)]))[0]).toBe("q:0:2");
    expect(new JobLogs().settleable(ended)).toBe(4);
  });

  it("are of one attempt: not of the one before it, and none of one that was lost", () => {
    const logs = new JobLogs();
    logs.add(job(1, 1), line("old"));
    logs.add(job(1, 3), line("new"));
    logs.drop("q:0:1", 1);
    expect(logs.take([end(1, 1)])).toEqual([{ id: "q:0:1", fence: 3, lines: [line("new")] }]);
    logs.add(job(1, 3), line("lost"));
    logs.drop("q:0:1", 3);
    expect(logs.take([])).toEqual([]);
  });
});

describe("a session", () => {
  beforeEach(() => void vi.useFakeTimers({ now: AT }));
  afterEach(() => void vi.useRealTimers());
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const task = (run: (ctx: Ctx) => unknown, more: object = {}) =>
    defineTask({ name: "talk", queue: "work", ...more }).handler((_, ctx) => run(ctx) as never);
  const linesOf = ({ logs }: Pick<ExchangeRequest, "logs">) =>
    (logs ?? []).flatMap(({ id, fence, lines }) =>
      lines.map(({ level, message }) => `${id}/${fence} ${level} ${message}`),
    );

  it("sends lines with the exchange that settles their job, and the worker's log has them too", async () => {
    const queue = openQueue([
      task((ctx) => {
        ctx.log.info("one", { n: 1 });
        ctx.log.error("two");
      }),
    ]);
    await queue.add("talk", [null]);
    await finish(queue.session());
    const settling = queue.asked.find(({ settle }) => settle.length > 0)!;
    expect(linesOf(settling)).toEqual(["work:0:1/1 info one", "work:0:1/1 error two"]);
    expect(settling.logs![0]!.lines[0]).toEqual({
      at: new Date(AT).toISOString(),
      level: "info",
      message: "one",
      fields: { n: 1 },
    });
    expect(queue.asked.filter(({ logs }) => logs)).toHaveLength(1);
    expect(queue.logged.map(({ event }) => event)).toEqual(["one", "two"]);
  });

  it("leaves with the job what all of its attempts logged, in order", async () => {
    const queue = openQueue([
      task((ctx) => {
        ctx.log.info(`attempt ${ctx.attempt}`);
        if (ctx.attempt < 3) throw new Error("once more");
      }),
    ]);
    const [seq] = await queue.add("talk", [null]);
    await finish(queue.session());
    for (let again = 1; again <= 2; again++) {
      queue.retry(seq!);
      await finish(queue.session());
    }
    const [count, lines] = JSON.parse(queue.job(seq!).logs!);
    expect(count).toBe(3);
    expect(lines.map(([, , message]: LogTuple) => message)).toEqual(["attempt 1", "attempt 2", "attempt 3"]);
  });

  it("sends lines and progress of what runs two seconds later, and nothing when there is none", async () => {
    const queue = openQueue([
      task(async (ctx) => {
        await sleep(4_000);
        ctx.log.info("after 4 s");
        ctx.progress({ percent: 40 });
        await sleep(4_500);
        ctx.log.info("late");
      }),
    ]);
    await queue.add("talk", [null]);
    const session = queue.session();
    await pass(3_900);
    const before = queue.asked.length;
    await pass(200);
    expect(linesOf(queue.asked.at(-1)!)).toEqual(["work:0:1/1 info after 4 s"]);
    expect(queue.asked.at(-1)!.progress).toEqual([{ id: "work:0:1", fence: 1, progress: { percent: 40, note: null } }]);
    expect(queue.asked.length).toBe(before + 1);
    await pass(4_000);
    expect(queue.asked.length).toBe(before + 1);
    await finish(session);
    expect(queue.asked.flatMap(linesOf)).toEqual(["work:0:1/1 info after 4 s", "work:0:1/1 info late"]);
  });

  it("sends what a job says last with its end, and it stands in its record", async () => {
    const queue = openQueue([
      task((ctx) => {
        ctx.progress({ percent: 50 });
        ctx.progress({ percent: 100, note: `attempt ${ctx.attempt}` });
        if (ctx.attempt === 1) throw new Error("once more");
      }),
    ]);
    const [seq] = await queue.add("talk", [null]);
    await finish(queue.session());
    expect(queue.asked.flatMap(({ progress }) => progress)).toEqual([
      { id: "work:0:1", fence: 1, progress: { percent: 100, note: "attempt 1" } },
    ]);
    expect(JSON.parse(queue.job(seq!).progress!)).toEqual({ percent: 100, note: "attempt 1" });
    queue.retry(seq!);
    await finish(queue.session());
    expect(queue.job(seq!)).toMatchObject({ state: "completed", progress: '{"percent":100,"note":"attempt 2"}' });
  });

  it("sends at most one exchange in two seconds for a job that never stops talking", async () => {
    const queue = openQueue([
      task(async (ctx) => {
        for (let n = 0; n < 100; n++) {
          ctx.log.info(`${n}`);
          await sleep(100);
        }
      }),
    ]);
    await queue.add("talk", [null]);
    await finish(queue.session());
    expect(queue.asked.length).toBeLessThanOrEqual(9);
    expect(queue.asked.flatMap(linesOf).map((text) => text.split(" ")[2])).toEqual(
      Array.from({ length: 100 }, (_, n) => `${n}`),
    );
  });

  it("repeats an exchange with the same lines", async () => {
    const queue = openQueue([task((ctx) => ctx.log.info("once"))]);
    await queue.add("talk", [null]);
    let lost = 0;
    const done = queue.session({}, async (request, real) => {
      const answer = await real();
      if (request.logs && lost++ < 2) throw new Error("lost");
      return answer;
    });
    await finish(done);
    const telling = queue.asked.filter(({ logs }) => logs);
    expect(telling).toHaveLength(3);
    expect(new Set(telling.map((request) => JSON.stringify(request)))).toHaveLength(1);
  });

  it("sends the lines of each job that was taken with others, and none that come after the end", async () => {
    const after: (() => void)[] = [];
    const many = defineTask({ name: "many", queue: "work", take: { max: 10 } }).handler((jobs) => {
      for (const job of jobs) {
        job.log.warn(`n ${job.input}`);
        after.push(() => job.log.info("too late"));
        job.complete();
        job.log.info("too late");
      }
    });
    const queue = openQueue([many]);
    await queue.add("many", [1, 2, 3]);
    await finish(queue.session());
    for (const log of after) log();
    expect(queue.asked.flatMap(linesOf).map((text) => text.replace(/\/\d+/, ""))).toEqual([
      "work:0:1 warn n 1",
      "work:0:2 warn n 2",
      "work:0:3 warn n 3",
    ]);
    expect(queue.logged).toHaveLength(9);
  });
});
