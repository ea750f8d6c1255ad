import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import {
  type AnyTaskDeclaration,
  cancel,
  defineTask,
  NonRetryableError,
  RetryAfterError,
  snooze,
  type TakenJob,
} from "../../client/index.ts";
import { finish, openQueue, pass } from "./shift.ts";

beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 5, 1) }));
afterEach(() => void vi.useRealTimers());

/** The inputs of each call. */
let calls: unknown[][];
beforeEach(() => {
  calls = [];
});

type Handler = (jobs: readonly TakenJob<unknown>[], ctx: { env: unknown; signal: AbortSignal }) => never;

function taker(handler: unknown = () => {}, take = { max: 100, wait: "2s" as const }, more: object = {}) {
  return defineTask({ name: "take", queue: "work", take, maxAttempts: 3, ...more }).handler(((jobs, ctx) => {
    calls.push(jobs.map(({ input }) => input));
    return (handler as Handler)(jobs, ctx);
  }) as Handler) as AnyTaskDeclaration;
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("gathering", () => {
  it("takes as many as there are, up to max, in one call each, and fills one slot with it", async () => {
    const queue = openQueue([taker(async () => void (await sleep(100)))]);
    const seqs = await queue.add("take", numbers(250));
    const summary = await finish(queue.session({ slots: 1 }));
    expect(calls.map(({ length }) => length)).toEqual([100, 100, 50]);
    expect(calls.flat()).toEqual(numbers(250));
    expect(summary).toMatchObject({ claimed: 250, settled: 250, refused: 0, lost: 0 });
    for (const seq of seqs) expect(queue.job(seq)).toMatchObject({ state: "completed", result: null, fence: 2 });
  });

  it("waits for more after the first, not longer than said; nobody else is sent for meanwhile", async () => {
    const queue = openQueue([taker()]);
    await queue.add("take", ["first"]);
    const session = queue.session({ channel: "long" });
    await pass(0);
    queue.tickets.length = 0;
    for (const late of ["a", "b", "c"]) {
      await pass(600);
      await queue.add("take", [late]);
    }
    expect(calls).toEqual([]);
    expect(queue.tickets).toEqual([]);
    await pass(200);
    expect(calls).toEqual([["first", "a", "b"]]);
    await finish(session);
    expect(calls.flat().sort()).toEqual(["a", "b", "c", "first"]);
  });

  it("does not wait without being told to, but for what is there", async () => {
    const queue = openQueue([taker(() => {}, { max: 50 } as never)]);
    await queue.add("take", numbers(70));
    const session = queue.session();
    await pass(0);
    expect(calls.map(({ length }) => length)).toEqual([50, 20]);
    await finish(session);
  });

  it("does not keep other tasks from running, nor others' jobs from being sent for", async () => {
    const done: number[] = [];
    const plain = defineTask({ name: "plain" }).handler(() => void done.push(Date.now()));
    const queue = openQueue([taker(), plain as never]);
    await queue.add("take", [1]);
    const session = queue.session({ channel: "long" });
    await pass(0);
    queue.tickets.length = 0;
    const from = Date.now();
    await queue.add("plain", [2]);
    expect(queue.tickets).toEqual(["long"]);
    await pass(600);
    expect(calls).toEqual([]);
    expect(done[0]! - from).toBeLessThanOrEqual(500);
    await finish(session);
    expect(calls).toEqual([[1]]);
  });

  it("starts when half of a job's timeout is over, whatever it waits for", async () => {
    const queue = openQueue([taker(() => {}, { max: 10, wait: "20s" as never })]);
    await queue.add("take", [1], { timeout: "4s" });
    const session = queue.session();
    await pass(1_900);
    expect(calls).toEqual([]);
    await pass(200);
    expect(calls).toEqual([[1]]);
    await finish(session);
  });

  it("gives back what it gathered when the stay is over, and takes at once what it has when the shift is", async () => {
    const queue = openQueue([taker(() => {}, { max: 10, wait: "20s" as never })]);
    const [seq] = await queue.add("take", [1]);
    await finish(queue.session({ stayMs: 3_000 }));
    expect(queue.job(seq!)).toMatchObject({ state: "ready", failures: 0, reason: "released" });
    expect(calls).toEqual([]);
    await finish(queue.session({ claimForMs: 3_000 }));
    expect(queue.job(seq!)).toMatchObject({ state: "completed" });
  });

  it("drops a job that is cancelled while it waits", async () => {
    const queue = openQueue([taker()]);
    const [one, two] = await queue.add("take", [1, 2]);
    const session = queue.session();
    await pass(100);
    queue.cancel(one!);
    await finish(session);
    expect(calls).toEqual([[2]]);
    expect(queue.job(one!)).toMatchObject({ state: "cancelled" });
    expect(queue.job(two!)).toMatchObject({ state: "completed" });
  });

  it("loses nothing when every answer is lost once", async () => {
    const queue = openQueue([taker()]);
    const seqs = await queue.add("take", numbers(30));
    const heard = new Set<number>();
    const summary = await finish(
      queue.session({}, async (request, real) => {
        const answer = await real();
        if (heard.has(request.n)) return answer;
        heard.add(request.n);
        throw new Error("the answer was lost");
      }),
    );
    expect(summary).toMatchObject({ claimed: 30, settled: 30, lost: 0, refused: 0 });
    for (const seq of seqs) expect(queue.job(seq)).toMatchObject({ state: "completed", fence: 2 });
  });
});

describe("each job is settled on its own", () => {
  it("by its verbs, of which the first counts; the rest by what is returned", async () => {
    const queue = openQueue([
      taker((jobs: TakenJob[]) => {
        const [done, failed, dead, later, asleep, gone, big] = jobs;
        done!.complete({ n: 1 });
        done!.fail(new Error("too late"));
        failed!.fail(new TypeError("broken"));
        dead!.fail(new NonRetryableError("never"));
        later!.fail(new RetryAfterError("7m"));
        asleep!.snooze("5m");
        gone!.cancel("not wanted");
        big!.complete(1n);
      }),
    ]);
    const seqs = await queue.add("take", numbers(8));
    const now = Date.now();
    await finish(queue.session());
    const [done, failed, dead, later, asleep, gone, big, rest] = seqs.map((seq) => queue.job(seq));
    expect(done).toMatchObject({ state: "completed", result: '{"n":1}' });
    expect(failed).toMatchObject({ state: "scheduled", reason: "retrying", failures: 1 });
    expect(JSON.parse(failed!.error!)).toMatchObject({ name: "TypeError", message: "broken" });
    expect(dead).toMatchObject({ state: "dead", reason: "non_retryable" });
    expect(later!.runAt - now).toBeGreaterThanOrEqual(7 * 60_000);
    expect(asleep).toMatchObject({ state: "scheduled", reason: "snoozed", failures: 0 });
    expect(gone).toMatchObject({ state: "cancelled" });
    expect(big).toMatchObject({ state: "dead" });
    expect(JSON.parse(big!.error!)).toMatchObject({ name: "ResultError" });
    expect(rest).toMatchObject({ state: "completed", result: null });
  });

  it.each([
    ["an array", () => ["a", snooze("1m"), cancel(), { n: 4 }], ["completed", "scheduled", "cancelled", "completed"]],
    ["one control for all", () => snooze("1m"), Array(4).fill("scheduled")],
    ["nothing", () => undefined, Array(4).fill("completed")],
    ["an array of another length", () => ["a"], Array(4).fill("dead")],
    ["what is no array", async () => ({ 0: "a" }), Array(4).fill("dead")],
  ])("by the return of %s", async (_, handler, states) => {
    const queue = openQueue([taker(handler)]);
    const seqs = await queue.add("take", numbers(4));
    await finish(queue.session());
    expect(seqs.map((seq) => queue.job(seq).state)).toEqual(states);
    if (states[0] === "dead") expect(JSON.parse(queue.job(seqs[0]!).error!).message).toContain("took 4 jobs");
    if (states[3] === "completed" && states[1] === "scheduled") expect(queue.job(seqs[3]!).result).toBe('{"n":4}');
  });

  it.each([
    [new Error("down"), "scheduled"],
    [new NonRetryableError("never"), "dead"],
    [null, "scheduled"],
  ])("by what is thrown, %s: those that are left", async (thrown, state) => {
    const queue = openQueue([
      taker(async ([first]: TakenJob[]) => {
        first!.complete("done");
        await sleep(10);
        throw thrown;
      }),
    ]);
    const seqs = await queue.add("take", numbers(3));
    await finish(queue.session());
    expect(seqs.map((seq) => queue.job(seq).state)).toEqual(["completed", state, state]);
  });

  it("by its payload: one that does not fit is not among them, and one whose schema breaks fails alone", async () => {
    const input = z.number().refine((n) => {
      if (n === 13) throw new Error("the schema broke");
      return !strict || n < 100;
    });
    let strict = false;
    const queue = openQueue([taker(undefined, undefined, { input })]);
    const good = await queue.add("take", [1, 500, 2]);
    strict = true;
    await finish(queue.session());
    expect(calls).toEqual([[1, 2]]);
    expect(queue.job(good[1]!)).toMatchObject({ state: "dead" });
    expect(JSON.parse(queue.job(good[1]!).error!)).toMatchObject({ name: "InvalidInput" });
  });

  it("in time: a timeout from the claim on, a cancel and a loss are of one job; the signal of all is for when none is left", async () => {
    const aborted: unknown[] = [];
    let all: AbortSignal;
    const queue = openQueue([
      taker(
        (jobs: TakenJob[], ctx: { signal: AbortSignal }) => {
          all = ctx.signal;
          for (const { input, signal } of jobs) {
            signal.addEventListener("abort", () => aborted.push([input, (signal.reason as Error).name]));
          }
          return new Promise(() => {});
        },
        { max: 3, wait: "400ms" as never },
      ),
    ]);
    const [short] = await queue.add("take", ["short"], { timeout: "2s" });
    const [unwanted] = await queue.add("take", ["unwanted"], { timeout: "30s" });
    const [long] = await queue.add("take", ["long"], { timeout: "15s" });
    const session = queue.session();
    await pass(1_900);
    expect(aborted).toEqual([]);
    await pass(200);
    expect(aborted).toEqual([["short", "TimeoutError"]]);
    queue.cancel(unwanted!);
    await pass(11_000);
    expect(aborted).toEqual([
      ["short", "TimeoutError"],
      ["unwanted", "AbortError"],
    ]);
    expect(all!.aborted).toBe(false);
    await pass(2_000);
    expect(aborted).toHaveLength(3);
    expect(queue.job(short!)).toMatchObject({ state: "scheduled", failures: 1 });
    expect(queue.job(long!)).toMatchObject({ state: "scheduled", failures: 1 });
    expect(queue.job(unwanted!).state).toBe("running");
    await finish(session);
    expect(all!.aborted).toBe(true);
    expect(queue.job(unwanted!)).toMatchObject({ state: "cancelled" });
  });

  it("with what it makes and says: follow-up jobs of its own completion, progress, log", async () => {
    const queue = openQueue([
      taker((jobs: TakenJob[]) => {
        for (const job of jobs) {
          job.enqueue("take", { after: job.input }, { delay: "1h" });
          job.log.info("seen");
          expect([job.attempt, job.fence, job.scheduledFor]).toEqual([1, 1, null]);
        }
        jobs[1]!.snooze("1m");
      }),
    ]);
    await queue.add("take", [1, 2, 3]);
    await finish(queue.session());
    expect(queue.rows("SELECT payload FROM jobs WHERE state = 'scheduled' AND payload LIKE '{%'")).toEqual([
      { payload: '{"after":1}' },
      { payload: '{"after":3}' },
    ]);
    expect(queue.logged).toMatchObject([{ job: "work:0:1" }, { job: "work:0:2" }, { job: "work:0:3" }]);
  });
});

describe("take, as it is declared", () => {
  it.each([
    [{ max: 0 }, "take.max is an integer from 1 to 500"],
    [{ max: 501 }, "take.max is an integer from 1 to 500"],
    [{ wait: "1s" }, "take.max is an integer"],
    [{ max: 5, wait: "31s" }, "take.wait must be at most 30s"],
    [{ max: 5, wait: "2" }, "take.wait"],
    [{ max: 5, every: "2s" }, 'take has no "every"'],
    [5, "take is { max, wait? }"],
    [null, "take is { max, wait? }"],
    [[], "take is { max, wait? }"],
  ])("%j is refused", (take, message) => {
    expect(() => defineTask({ name: "x", take: take as never })).toThrow(message);
  });

  it("leaves at least half of the timeout to the handler", () => {
    expect(() => defineTask({ name: "x", timeout: "10s", take: { max: 5, wait: "6s" } })).toThrow(
      "half of the timeout",
    );
    expect(defineTask({ name: "x", timeout: "10s", take: { max: 5, wait: "5s" } }).take).toEqual({
      max: 5,
      wait: "5s",
    });
  });
});
