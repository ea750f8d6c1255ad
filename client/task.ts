/**
 * Tasks: a declaration says what a job of this name takes and how it is run; a handler is attached where it runs.
 *
 * @module
 */
import type { Ctx } from "./context.ts";
import type { Cancel, Snooze } from "./control.ts";
import type { SchemaInput, SchemaOutput, StandardSchemaV1 } from "./standard-schema.ts";
import type { Take, TakeCtx, Taken, TakenJob, TakenResult } from "./take.ts";
import { checkTask } from "./task-check.ts";
import type { Backoff, Duration, Json, Keys, Unique } from "./types.ts";

/** Decides how long to wait after a failure: a duration, or milliseconds. `failures` counts this one. */
export type BackoffFunction = (info: { attempt: number; failures: number; error: unknown }) => Duration | number;

/**
 * An option of all jobs of a task: a value, or a function that makes it of each payload; undefined: none.
 *
 * The function gets the payload as the task's schema gives it back, defaults and conversions done. It runs in the
 * Worker when the job is enqueued, is synchronous and depends on the payload alone. One that throws, or makes what the
 * option cannot be, refuses the enqueue (`invalid_request`, at `payload`). An option of the job itself goes before it.
 */
export type OfPayload<Value, Payload> = Value | ((payload: Payload) => Value | undefined);

/** What {@link defineTask} takes. Whatever a job does not say itself comes from here, then from its queue. */
export interface TaskOptions<Name extends string = string, Schema extends StandardSchemaV1 = StandardSchemaV1> {
  /** 1 to 128 of letters, digits and `. _ : / -`, beginning with a letter or digit. */
  name: Name;
  /** Checks the payload at enqueue and before each attempt. Any Standard Schema. Without: any JSON. */
  input?: Schema;
  /** The queue its jobs go to: 1 to 128 of `a-z 0-9 . _ -`. @default {"default"} */
  queue?: string;
  /** Higher runs sooner. Integer, -32,768 to 32,767. @default {0} */
  priority?: number;
  /** Tries before the job is dead, 1 to 100. @default {8} */
  maxAttempts?: number;
  /** @default 1 min, 2, 4, 8 … at most 6 h */
  backoff?: Backoff | BackoffFunction;
  /** Time for one attempt, 1 s to 7 d; over 13 min needs a remote worker. @default {"5m"} */
  timeout?: Duration;
  /** Not started by then: cancelled with reason `expired`. */
  expiresIn?: Duration;
  /** At most 16 of at most 64 characters. */
  tags?: readonly string[];
  /** Up to 4 KiB, shown with the job and handed to the handler. */
  meta?: { readonly [key: string]: Json };
  /** What its jobs touch, by kind, at most 8: `(payload) => ({ customer: payload.customer })`. */
  keys?: OfPayload<Keys, SchemaOutput<Schema>>;
  /** How much a job takes of the rate limits of its kinds, 1 to 1,000,000; counts for the kinds that it has. @default 1 of each */
  cost?: OfPayload<{ [kind: string]: number }, SchemaOutput<Schema>>;
  /** Jobs of a queue with the same one run one at a time, in order of acceptance. */
  orderingKey?: OfPayload<string, SchemaOutput<Schema>>;
  /** Keys of a queue get the same share of its starts. */
  fairKey?: OfPayload<string, SchemaOutput<Schema>>;
  /** At most one job of a queue for a key. */
  unique?: OfPayload<Unique, SchemaOutput<Schema>>;
  /** Its jobs are over so long after acceptance, 1 s to 366 d; a function may also name an instant. */
  deadline?: Duration | ((payload: SchemaOutput<Schema>) => Duration | string | Date | undefined);
  /** Of the task's code; stored with each job. */
  version?: string;
}

/** What {@link defineTask} takes for a task whose handler takes jobs many at a time. */
export interface TakeOptions<Name extends string = string, Schema extends StandardSchemaV1 = StandardSchemaV1>
  extends TaskOptions<Name, Schema> {
  take: Take;
}

/** A task by name and type, without its handler: it may be imported anywhere. Made by {@link defineTask}. */
export interface TaskDeclaration<Name extends string = string, Input = unknown, Output = Input, Result = Json>
  extends Readonly<TaskOptions<Name, StandardSchemaV1<Input, Output>>> {
  readonly take?: undefined;
  /**
   * This task with the code that runs it. The declaration itself stays as it is.
   *
   * The handler may be called more than once for a job (at least once): give `ctx.job.id` or `ctx.fence` to what must
   * not happen twice. What it returns is the job's result (JSON), or {@link snooze} or {@link cancel}; what it throws
   * is a failure, unless it is a {@link NonRetryableError} or {@link RetryAfterError}.
   */
  handler<Returned, Env = unknown>(
    run: (input: Output, ctx: Ctx<Env>) => Returned,
  ): Task<Name, Input, Exclude<Awaited<Returned>, Snooze | Cancel>, Env, Output>;
  /** For types only; never there at run time. */
  readonly "~types"?: { readonly input: Input; readonly output: Output; readonly result: Result };
}

/** A task whose handler takes jobs many at a time. Made by {@link defineTask} where `take` is given. */
export interface TakeDeclaration<Name extends string = string, Input = unknown, Output = Input, Result = Json>
  extends Readonly<TakeOptions<Name, StandardSchemaV1<Input, Output>>> {
  /**
   * This task with the code that runs it: called once for 1 to `take.max` jobs, each of which is settled on its own.
   *
   * Nothing returned completes those that the handler has not settled; an array gives each its result, in place; what
   * is thrown fails those not settled. A payload that does not fit is not among them: its job is dead.
   *
   * @example
   * .handler(async (jobs) => {
   *   const answers = await index.upsert(jobs.map((job) => job.input));
   *   for (const [at, job] of jobs.entries()) if (!answers[at].ok) job.fail(new Error(answers[at].why));
   * });
   */
  handler<Returned extends Taken | Promise<Taken>, Env = unknown>(
    run: (jobs: readonly TakenJob<Output>[], ctx: TakeCtx<Env>) => Returned,
  ): TakeTask<Name, Input, TakenResult<Returned, Json>, Env, Output>;
  /** For types only; never there at run time. */
  readonly "~types"?: { readonly input: Input; readonly output: Output; readonly result: Result };
}

/** Such a declaration with its handler attached. */
export interface TakeTask<Name extends string = string, Input = unknown, Result = Json, Env = unknown, Output = Input>
  extends TakeDeclaration<Name, Input, Output, Result> {
  readonly run: (jobs: readonly TakenJob<Output>[], ctx: TakeCtx<Env>) => Taken | Promise<Taken>;
}

/** A declaration with its handler attached. */
export interface Task<Name extends string = string, Input = unknown, Result = Json, Env = unknown, Output = Input>
  extends TaskDeclaration<Name, Input, Output, Result> {
  readonly run: (input: Output, ctx: Ctx<Env>) => Result | Snooze | Cancel | Promise<Result | Snooze | Cancel>;
}

/** A declaration of whatever types. */
export type AnyTaskDeclaration<Name extends string = string> =
  // biome-ignore lint/suspicious/noExplicitAny: tasks of all types stand side by side in one list
  TaskDeclaration<Name, any, any, any> | TakeDeclaration<Name, any, any, any>;
/** A task of whatever types. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export type AnyTask = Task<string, any, any, any, any>;

/**
 * Declares a task whose handler takes jobs many at a time.
 *
 * @throws {TypeError | RangeError} at once, when the name or an option is not what it should be
 * @example
 * export const index = defineTask({ name: "index", input: Doc, take: { max: 100, wait: "2s" } })
 *   .handler(async (jobs) => { await search.upsert(jobs.map((job) => job.input)); });
 */
export function defineTask<
  const Name extends string,
  Schema extends StandardSchemaV1 = StandardSchemaV1<Json | undefined, Json>,
>(options: TakeOptions<Name, Schema>): TakeDeclaration<Name, SchemaInput<Schema>, SchemaOutput<Schema>>;
/**
 * Declares a task.
 *
 * @throws {TypeError | RangeError} at once, when the name or an option is not what it should be
 * @example
 * export const resize = defineTask({ name: "resize", input: z.object({ key: z.string() }), timeout: "1m" })
 *   .handler(async ({ key }, ctx) => ({ bytes: await resizeTo(key, ctx.signal) }));
 */
export function defineTask<
  const Name extends string,
  Schema extends StandardSchemaV1 = StandardSchemaV1<Json | undefined, Json>,
>(options: TaskOptions<Name, Schema>): TaskDeclaration<Name, SchemaInput<Schema>, SchemaOutput<Schema>>;
export function defineTask(options: TaskOptions | TakeOptions): never {
  checkTask(options);
  const declaration = {
    ...options,
    handler(run: unknown) {
      if (typeof run !== "function") {
        throw new TypeError(`The handler of task "${options.name}" must be a function, not ${typeof run}.`);
      }
      return Object.freeze({ ...declaration, run });
    },
  };
  return Object.freeze(declaration) as never;
}

/** Whether a handler is attached. */
export function hasHandler(task: AnyTaskDeclaration): task is AnyTask {
  return typeof (task as AnyTask).run === "function";
}
