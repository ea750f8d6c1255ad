/**
 * What a handler is given beside its input.
 *
 * @module
 */
import type { FollowUpOptions } from "./follow-ups.ts";
import type { AnyTaskDeclaration } from "./task.ts";
import type { InputOf } from "./task-types.ts";
import type { Duration, JobId, Json, Progress } from "./types.ts";

/** The job that a handler is running, as far as handlers need it. */
export interface JobInfo {
  /** The same at every attempt: a good idempotency key for calls to others. */
  readonly id: JobId;
  readonly queue: string;
  readonly createdAt: Date;
  readonly tags: readonly string[];
  readonly meta: { readonly [key: string]: Json };
  /** The fence at the latest manual retry or redrive; 0: never. The same at every automatic attempt. */
  readonly reopenedFence: number;
  /** Who enqueued it, where tokens name an actor. */
  readonly actor: string | null;
}

/** The payload may be left out where the task takes none. */
type FollowUpArguments<Input> = undefined extends Input
  ? [payload?: Input, options?: FollowUpOptions]
  : [payload: Input, options?: FollowUpOptions];

/** Makes a job together with the completion of this one; see {@link Ctx.enqueue}. */
export interface EnqueueFollowUp {
  <Task extends AnyTaskDeclaration>(task: Task, ...args: FollowUpArguments<InputOf<Task>>): void;
  (task: string, payload?: unknown, options?: FollowUpOptions): void;
}

/**
 * Writes one line to the log of the worker, with the job's id, attempt and fence, and adds it to the job's own log, which
 * is shown with the job about two seconds later: of a job the latest 1,000 lines are kept, up to 128 KiB. There the
 * message is cut at 2,000 characters, and fields hold up to 4 KiB as JSON; what does not fit says so. Never throws.
 */
export type Log = (message: string, fields?: { [key: string]: unknown }) => void;

/** The second argument of a handler. `Env` is the worker's environment: bindings and secrets. */
export interface Ctx<Env = unknown> {
  readonly job: JobInfo;
  /** Which try this is: 1 to `maxAttempts`. */
  readonly attempt: number;
  /** Grows with every claim of this job. Store it with your own writes and refuse a smaller one: a late attempt then changes nothing. */
  readonly fence: number;
  /** Aborted when the attempt is over: timed out, cancelled, lost, or the worker stops. Hand it to `fetch`. */
  readonly signal: AbortSignal;
  readonly env: Env;
  /** The instant for which a schedule meant this job; null when no schedule made it. */
  readonly scheduledFor: Date | null;
  readonly log: { readonly info: Log; readonly warn: Log; readonly error: Log };
  /**
   * Shown with the job, sent with the next exchange; the latest call wins. `percent` is 0 to 100. At most 4 KiB as JSON:
   * of a longer note the beginning is kept.
   */
  progress(progress: Partial<Progress>): void;
  /**
   * Makes a job when this attempt completes, together with its completion or not at all: an attempt that fails,
   * snoozes, is cancelled, lost or tried again makes none, and none is made twice. At most 1,000 an attempt, of 4 MiB.
   *
   * It may go into any queue; its `parent` is this job. What the options leave open is resolved as for any enqueue. A
   * job that the queue would refuse (a wrong payload, an unknown task or queue) makes the attempt a failure,
   * `FollowUpError`. A `unique` that would be rejected counts as `return`.
   *
   * @throws {TypeError} when the payload cannot be sent as JSON
   * @throws {RangeError} when it is too much
   * @throws {Error} when the attempt is over
   * @example
   * for (const what of PARTS) ctx.enqueue(wipe, { userId, what });
   */
  readonly enqueue: EnqueueFollowUp;
  /**
   * Closes the job's own key of this kind for `wait`, for all jobs that have it, and ends this attempt: the job runs
   * again after `wait`, and it is no failure. Nothing after the call runs: it throws what must not be caught.
   *
   * @throws {RangeError} when `wait` is not a duration, or the job has no key of this kind: that is a failure
   * @example
   * if (response.status === 429) ctx.rateLimited("customer", "30s");
   */
  rateLimited(kind: string, wait: Duration): never;
}
