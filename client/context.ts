/**
 * What a handler is given beside its input.
 *
 * @module
 */
import type { JobId, Json, Progress } from "./types.ts";

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

/** Writes one line to the log of the worker, with the job's id, attempt and fence. */
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
  /** Shown with the job, sent with the next exchange; the latest call wins. `percent` is 0 to 100. At most 4 KiB. */
  progress(progress: Partial<Progress>): void;
}
