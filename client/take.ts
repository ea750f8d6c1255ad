/**
 * Tasks that take jobs many at a time: what their handler is given, and how one call of it becomes an end for each job.
 *
 * @module
 */
import type { Ctx } from "./context.ts";
import { type Cancel, controlOf, type Snooze } from "./control.ts";
import { parseDuration } from "./duration.ts";
import type { Attempt } from "./execute.ts";
import type { AnyTaskDeclaration } from "./task.ts";
import type { Duration } from "./types.ts";

/** How many jobs one call of a handler takes. */
export interface Take {
  /** At most, 1 to 500. */
  max: number;
  /** How long to wait for more after the first, up to 30 s and half of the task's timeout. @default {"0s"} */
  wait?: Duration;
}

/**
 * One job of those that a handler took. The first of `complete`, `fail`, `snooze`, `cancel` and `rateLimited` counts,
 * and a job that is over (its signal says so) is not changed by any. What the handler leaves open is settled by what
 * it returns or throws.
 */
export interface TakenJob<Input = unknown>
  extends Pick<Ctx, "job" | "attempt" | "fence" | "signal" | "scheduledFor" | "log" | "progress" | "enqueue"> {
  readonly input: Input;
  complete(result?: unknown): void;
  /** As if a handler of this job alone had thrown it: {@link NonRetryableError} and {@link RetryAfterError} count. */
  fail(error: unknown): void;
  /** Run it again after `wait`. */
  snooze(wait: Duration): void;
  /** It is not wanted any more. */
  cancel(reason?: string): void;
  /** Closes the job's own key of this kind for all, and snoozes the job. Unlike {@link Ctx.rateLimited} it returns. */
  rateLimited(kind: string, wait: Duration): void;
}

/** The second argument of a handler that takes many. Its signal is aborted when no job of the call is left to settle. */
export interface TakeCtx<Env = unknown> extends Pick<Ctx<Env>, "env" | "signal"> {}

/** What such a handler may return: nothing, one control for all, or a result (or control) for each job in its place. */
// biome-ignore lint/suspicious/noConfusingVoidType: what a handler without a return statement returns
export type Taken = void | undefined | Snooze | Cancel | readonly unknown[];

/** The result of each job, by what the handler returns. */
export type TakenResult<Returned, Unknown> =
  Awaited<Returned> extends infer All
    ? All extends readonly (infer One)[]
      ? Exclude<One, Snooze | Cancel>
      : Unknown
    : never;

/** How the task takes jobs; null: one by one. */
export function takeOf(task: AnyTaskDeclaration | undefined): { max: number; waitMs: number } | null {
  const take = task?.take;
  return take ? { max: take.max, waitMs: parseDuration(take.wait ?? "0s") } : null;
}

type Run = (jobs: readonly TakenJob[], ctx: TakeCtx) => unknown;

/** One call of a handler that takes many. It fills one slot until all of its jobs are over. */
export class Batch {
  readonly #attempts: readonly Attempt[];
  readonly #env: unknown;
  #left: number;
  #controller: AbortController | null = null;
  #aborted: unknown = null;

  constructor(attempts: readonly Attempt[], env: unknown) {
    this.#attempts = attempts;
    this.#env = env;
    this.#left = attempts.length;
  }

  /** Runs the handler. Every attempt ends, unless it is lost before. Never rejects. */
  async start(run: Run): Promise<void> {
    const opened = await Promise.all(this.#attempts.map((attempt) => attempt.open()));
    const attempts = this.#attempts.filter((_, index) => opened[index]);
    if (attempts.length === 0) return;
    try {
      const jobs = opened.filter((job) => job !== null);
      this.#settle(attempts, await run(jobs, this.#context()));
    } catch (error) {
      for (const attempt of attempts) attempt.fail(error);
    }
  }

  /** One of its jobs is over; true when it was the last. `aborted`: why, when that was not the handler's doing. */
  leave(aborted: unknown): boolean {
    this.#left -= 1;
    if (this.#left > 0) return false;
    this.#aborted = aborted;
    if (aborted) this.#controller?.abort(aborted);
    return true;
  }

  #settle(attempts: Attempt[], returned: unknown): void {
    const all = returned === undefined || returned === null || controlOf(returned) !== null;
    if (!all && !(Array.isArray(returned) && returned.length === attempts.length)) {
      const what = Array.isArray(returned) ? `an array of ${returned.length}` : `a ${typeof returned}`;
      for (const attempt of attempts) attempt.misreturn(attempts.length, what);
      return;
    }
    for (const [index, attempt] of attempts.entries()) {
      attempt.settle(all ? returned : (returned as unknown[])[index]);
    }
  }

  #context(): TakeCtx {
    const self = this;
    return {
      env: this.#env,
      get signal() {
        self.#controller ??= new AbortController();
        if (self.#aborted) self.#controller.abort(self.#aborted);
        return self.#controller.signal;
      },
    };
  }
}
