/**
 * Operations: one thing done to many jobs, in steps, by the server.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import { MillraceError } from "./errors.ts";
import type { CallOptions } from "./job-handle.ts";
import { type Send, sleep } from "./request.ts";
import type { Duration, FinalState, JobState, Operation } from "./types.ts";

/** Which jobs an operation is for, as `client.jobs` takes it. At least one field. */
export interface OperationFilter {
  /** With it: any states. Without: dead and cancelled jobs, of all queues. */
  queue?: string;
  /** @default what the action is for: dead jobs for a retry, those that wait or run for a cancel */
  state?: JobState | "retrying" | readonly (JobState | "retrying")[];
  task?: string;
  tag?: string;
  /** On `createdAt` with `queue`, on `finishedAt` without. Inclusive. */
  from?: string | Date;
  /** Exclusive. */
  to?: string | Date;
  /** Of the error, as `client.errors` groups them. */
  fingerprint?: string;
}

/** How an operation goes about it. */
export interface OperationOptions extends CallOptions {
  /** Most jobs in each `per`, on average. */
  rate?: { limit: number; per: Duration };
  /** Counts what matches and changes nothing. */
  dryRun?: boolean;
}

/** How a redrive goes about it. */
export interface RedriveOptions extends OperationOptions {
  /** So many go ahead; the rest waits until they have ended, and stays dead unless this share of them completed. */
  canary?: { count: number; minSuccess: number };
}

/** What to do to each job that the filter finds. */
export type OperationRequest = { filter: OperationFilter } & (
  | (RedriveOptions & { action: "retry" })
  | (OperationOptions &
      (
        | { action: "cancel" | "delete" }
        | { action: "reschedule"; args: { runAt: string | Date } | { delay: Duration } }
        | { action: "setPriority"; args: { priority: number } }
      ))
);

/** For calls that empty a queue: its name once more, because nothing can bring back what goes. */
export interface EmptyOptions<State> extends CallOptions {
  confirm: string;
  states?: readonly State[];
}
/** Which of the jobs that wait to cancel. */
export type DrainOptions = EmptyOptions<"scheduled" | "retrying" | "blocked" | "ready">;
/** Which of the jobs that do not run to delete. */
export type PurgeOptions = EmptyOptions<"scheduled" | "retrying" | "blocked" | "ready" | FinalState>;

const FIRST_LOOK_MS = 100;
const LONGEST_LOOK_MS = 2_000;

/** One operation. Every method rejects with a {@link MillraceError} when the server refuses or cannot be reached. */
export class OperationHandle {
  readonly id: string;
  readonly #send: Send;

  constructor(send: Send, id: string) {
    this.#send = send;
    this.id = id;
  }

  /** How far it has come. */
  get({ signal }: CallOptions = {}): Promise<Operation> {
    return this.#send({ method: "GET", path: this.#path(), signal });
  }

  /** Stops it; what it has changed stays so. Resolves to the operation as it then is. */
  stop({ signal }: CallOptions = {}): Promise<Operation> {
    return this.#send({ method: "DELETE", path: this.#path(), signal });
  }

  /**
   * Waits until it is over and resolves to it, however it ended: look at `state`.
   *
   * @param options.timeout how long to wait. Without: until it is over.
   * @throws {MillraceError} `timeout` when it is not over in time; it goes on all the same
   * @example
   * const { state, changed } = await op.done();
   */
  async done({ timeout, signal }: CallOptions & { timeout?: Duration } = {}): Promise<Operation> {
    const endsAt = timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + parseDuration(timeout);
    for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_LOOK_MS)) {
      const operation = await this.get({ signal });
      if (operation.state !== "running") return operation;
      if (Date.now() + pauseMs > endsAt) {
        throw new MillraceError(`Operation ${this.id} is still running after ${timeout}.`, {
          code: "timeout",
          retryable: true,
        });
      }
      await sleep(pauseMs, signal);
    }
  }

  #path(): string {
    return `/v1/operations/${encodeURIComponent(this.id)}`;
  }
}

/** Begins what a request asks for. Not sent again where it may have begun: a second redrive is not the first. */
export async function begin(
  send: Send,
  call: { method: "POST" | "DELETE"; path: string },
  body: object,
  signal?: AbortSignal,
): Promise<OperationHandle> {
  const { id } = await send<Operation>({ ...call, body: JSON.stringify(body), idempotent: false, signal });
  return new OperationHandle(send, id);
}

/** A filter as the API takes it: texts. */
export function filterTexts(filter: object): { [field: string]: string } {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    given.map(([name, value]) => [name, value instanceof Date ? value.toISOString() : String(value)]),
  );
}
