import { cancel, snooze } from "../../client/control.ts";
import { type AnyTask, defineTask } from "../../client/task.ts";
import { NonRetryableError, RetryAfterError } from "../../client/thrown.ts";
import type { Random } from "./random.ts";

/** What handlers need of the worker that runs them: time, which stops with it, and luck. */
export interface Workplace {
  random: Random;
  sleep(ms: number): Promise<void>;
}

/** A handler by name; jobs of task `nobody` have none. */
const RUNS: Record<string, (place: Workplace, signal: () => AbortSignal) => unknown> = {
  quick: () => "done",
  works: async ({ random, sleep }) => {
    await sleep(random.int(1, 3_000));
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

export const TASK_NAMES = [...Object.keys(RUNS), "nobody"];

export function simTasks(): ReadonlyMap<string, AnyTask> {
  return new Map(
    Object.entries(RUNS).map(([name, run]) => [
      name,
      defineTask({ name }).handler((_input, ctx) => run(ctx.env as Workplace, () => ctx.signal)) as unknown as AnyTask,
    ]),
  );
}
