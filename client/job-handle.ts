/**
 * A job by its id: look at it, watch it, wait for it, act on it.
 *
 * @module
 */
import { formatDuration, parseDuration } from "./duration.ts";
import { JobFailedError, MillraceError } from "./errors.ts";
import { type Call, type Send, sleep } from "./request.ts";
import { type JobStore, jobStore } from "./store.ts";
import type { Duration, EnqueuedJob, EnqueueOutcome, Explanation, Job, JobId, JobState, Json } from "./types.ts";
import { type JobView, type NumberedLine, watchJob } from "./watch.ts";

const LONGEST_WAIT_MS = 25_000;
/** Between two looks when the server does not hold them back itself. */
const LOOK_EVERY_MS = 500;
/** Beyond the wait that was asked for, so that a slow network does not cut it off. */
const ANSWER_GRACE_MS = 5_000;

/** Options of every call that has no others. */
export interface CallOptions {
  /** Stops waiting and sending, and rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** A job's log: the lines that are kept, oldest first, of `count` in all. */
export interface JobLog {
  items: NumberedLine[];
  count: number;
}

/**
 * One job. Made without a request: an id that names nothing shows at the first call, as `not_found`.
 * Every method rejects with a {@link MillraceError} when the server refuses or cannot be reached.
 */
export class JobHandle<Result = Json> {
  readonly id: JobId;
  readonly #send: Send;

  constructor(send: Send, id: JobId) {
    this.#send = send;
    this.id = id;
  }

  /** The job as it is now, live or from history. */
  get({ signal }: CallOptions = {}): Promise<Job> {
    return this.#call({ method: "GET", signal });
  }

  /**
   * Why it is not running: the gates that are closed to it, its place in line, about how long until it starts. A job
   * that has ended names the gate `final`.
   *
   * @example
   * const { gates } = await client.job("mail:0:4711").explain();
   * for (const { gate, detail } of gates) console.log(gate, detail);
   */
  explain({ signal }: CallOptions = {}): Promise<Explanation> {
    return this.#call({ method: "GET", signal }, "/explain");
  }

  /**
   * Cancels it. Not running: it never starts. Running: its signal is aborted, and unless it completes first it ends
   * cancelled. Completed or dead: `conflict`. Resolves to the job as it then is.
   */
  cancel({ signal }: CallOptions = {}): Promise<Job> {
    return this.#call({ method: "POST", signal }, "/cancel");
  }

  /**
   * Puts a job that has ended back in line with all its tries; makes a scheduled one due now. Running or blocked:
   * `conflict`. Resolves to the job as it then is.
   */
  retry({ signal }: CallOptions = {}): Promise<Job> {
    // Carried out twice, it could reopen a job that has completed in between.
    return this.#call({ method: "POST", idempotent: false, signal }, "/retry");
  }

  /** Forgets everything of it, history too. Running: `conflict`. */
  async delete({ signal }: CallOptions = {}): Promise<void> {
    await this.#call({ method: "DELETE", goneIsDone: true, signal });
  }

  /**
   * Waits until the job is final and resolves to its result.
   *
   * @param options.timeout how long to wait. Without: until it is final, however long that takes.
   * @throws {JobFailedError} with the job, when it is dead or cancelled
   * @throws {MillraceError} `timeout` when it is not final in time; it goes on all the same
   * @example
   * const { bytes } = await job.result({ timeout: "30s" });
   */
  async result(options: CallOptions & { timeout?: Duration } = {}): Promise<Result> {
    const { timeout, signal } = options;
    const endsAt = timeout === undefined ? Number.POSITIVE_INFINITY : Date.now() + parseDuration(timeout);
    for (;;) {
      const askedAt = Date.now();
      const waitMs = Math.max(0, Math.min(LONGEST_WAIT_MS, endsAt - askedAt));
      const job = await this.#call<Job>(
        { method: "GET", signal, answerInMs: waitMs + ANSWER_GRACE_MS, retryForMs: endsAt - askedAt },
        waitMs > 0 ? `?wait=${formatDuration(waitMs)}` : "",
      );
      if (job.state === "completed") return job.result as Result;
      if (job.state === "dead" || job.state === "cancelled") throw new JobFailedError(job);
      if (Date.now() >= endsAt) {
        throw new MillraceError(`Job ${job.id} (${job.task}) is still ${job.state} after ${timeout}.`, {
          code: "timeout",
          retryable: true,
        });
      }
      const earlyMs = Math.min(LOOK_EVERY_MS, waitMs) - (Date.now() - askedAt);
      if (earlyMs > 0) await sleep(earlyMs, signal);
    }
  }

  /**
   * What happens to the job, from how it stands now until it has ended; its log from the first line that is kept. Lost
   * connections are made again, and it goes on where it was. To leave the loop closes the stream.
   *
   * @throws {MillraceError} when the server refuses (`not_found`, `forbidden` …), or cannot be reached for two minutes
   * @example
   * for await (const e of client.job(id).watch()) {
   *   if (e.event === "result") console.log(e.state, e.result);
   *   else bar(e.percent);
   * }
   */
  watch(options: CallOptions = {}): AsyncIterableIterator<JobView<Result>> {
    return watchJob(this.#send, this.#path("/events"), options);
  }

  /**
   * The same as a store, for pages: `subscribe` and `getSnapshot` fit React's `useSyncExternalStore`, and `subscribe`
   * keeps Svelte's contract. It gets over lost connections for as long as somebody has subscribed. Makes no request.
   *
   * @example
   * const store = client.job(id).store();
   * const { state, percent } = useSyncExternalStore(store.subscribe, store.getSnapshot);
   */
  store(): JobStore<Result> {
    return jobStore(this.#send, this.#path("/events"), this.id);
  }

  /** What its handlers logged: the latest 1,000 lines, up to 128 KiB, of `count` that there were. */
  logs({ signal }: CallOptions = {}): Promise<JobLog> {
    return this.#call({ method: "GET", signal }, "/logs");
  }

  #call<Answer>(call: Omit<Call, "path">, rest = ""): Promise<Answer> {
    return this.#send<Answer>({ ...call, path: this.#path(rest) });
  }

  #path(rest: string): string {
    // Colons are at home in a path, and ids are easier to read with them.
    return `/v1/jobs/${encodeURIComponent(this.id).replaceAll("%3A", ":")}${rest}`;
  }
}

/** A job that was just enqueued: its handle, and what the answer said. */
export class EnqueuedJobHandle<Result = Json> extends JobHandle<Result> {
  /** At the moment of acceptance. */
  readonly state: JobState;
  readonly outcome: EnqueueOutcome;

  constructor(send: Send, made: EnqueuedJob) {
    super(send, made.id);
    this.state = made.state;
    this.outcome = made.outcome;
  }
}
