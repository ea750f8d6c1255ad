import { cancel, snooze } from "../../client/control.ts";
import type { TakenJob } from "../../client/take.ts";
import { type AnyTask, defineTask } from "../../client/task.ts";
import { NonRetryableError, RetryAfterError } from "../../client/thrown.ts";
import type { Random } from "./random.ts";

/** What handlers need of the worker that runs them: time, which stops with it, and luck. */
export interface Workplace {
  random: Random;
  sleep(ms: number): Promise<void>;
}

type Say = (line: string) => void;

/** A handler by name; jobs of task `nobody` have none. */
const RUNS: Record<string, (place: Workplace, signal: () => AbortSignal, say: Say) => unknown> = {
  quick: () => "done",
  works: async ({ random, sleep }, _signal, say) => {
    for (let n = 0; n < 3; n++) {
      say(String(n));
      await sleep(random.int(1, 1_000));
    }
    return { text: "ü€😀".repeat(random.int(0, 20)) };
  },
  flaky: async ({ random, sleep }) => {
    await sleep(random.int(0, 500));
    if (random.chance(0.5)) throw new Error("flaky \u0000 \ud800 error");
    return 1;
  },
  fails: () => {
    throw new TypeError("fails");
  },
  odd: async ({ random, sleep }) => {
    await sleep(random.int(0, 50));
    const thrown: unknown[] = [null, undefined, 0, "text", Symbol("odd"), { message: 1n }, Object.create(null)];
    throw random.pick(thrown);
  },
  unprintable: ({ random }) => random.pick<unknown>([1n, Symbol("x"), () => 1, Number.NaN, "\ud800", new Map()]),
  hangs: () => new Promise(() => {}),
  deaf: async ({ random, sleep }) => {
    await sleep(random.int(500, 30_000));
    return "heard nothing";
  },
  heeds: async ({ random, sleep }, signal) => {
    for (let i = random.int(1, 20); i > 0; i--) {
      await sleep(1_000);
      if (signal().aborted) throw signal().reason;
    }
    return "heard";
  },
  snoozes: ({ random }) => (random.chance(0.6) ? snooze(`${random.int(1, 20_000)}ms`) : "awake"),
  cancels: () => cancel("not wanted"),
  refuses: () => {
    throw new NonRetryableError("never");
  },
  later: ({ random }) => {
    if (random.chance(0.5)) throw new RetryAfterError(`${random.int(1, 30)}s`);
    return "later";
  },
};

/** One job of those that a handler took. */
function settleOne({ random }: Workplace, job: TakenJob): void {
  job.log.info(`${job.job.id}/${job.fence} taken`);
  const how = random.weighted({ complete: 4, open: 3, fail: 2, snooze: 1, cancel: 1 });
  if (how === "complete") job.complete("taken");
  if (how === "fail") job.fail(new Error("taken, and failed"));
  if (how === "snooze") job.snooze(`${random.int(1, 20_000)}ms`);
  if (how === "cancel") job.cancel("taken, and not wanted");
}

const TAKES = [
  defineTask({ name: "many", take: { max: 5, wait: "2s" } }).handler(async (jobs, ctx) => {
    const place = ctx.env as Workplace;
    await place.sleep(place.random.int(0, 3_000));
    for (const job of jobs) settleOne(place, job);
    if (place.random.chance(0.2)) throw new Error("many failed");
  }),
  defineTask({ name: "some", take: { max: 3 } }).handler(async (jobs, ctx) => {
    const { random, sleep } = ctx.env as Workplace;
    await sleep(random.int(0, 500));
    return jobs.map(({ input }) => input ?? null);
  }),
] as unknown as AnyTask[];

export const TASK_NAMES = [...Object.keys(RUNS), "nobody"];
/** Of tasks that take jobs many at a time. */
export const TAKE_NAMES = TAKES.map(({ name }) => name);

export function simTasks(): ReadonlyMap<string, AnyTask> {
  const singles = Object.entries(RUNS).map(
    ([name, run]) =>
      defineTask({ name }).handler((_input, { env, job, fence, log, ...ctx }) =>
        run(
          env as Workplace,
          () => ctx.signal,
          (line) => log.info(`${job.id}/${fence} ${line}`),
        ),
      ) as unknown as AnyTask,
  );
  return new Map([...singles, ...TAKES].map((task) => [task.name, task]));
}
