/**
 * One attempt: find the task, check the payload, run the handler, say how it ended. Exactly one outcome comes of it,
 * whatever the handler does: throw anything, return what JSON cannot hold, never return, ignore its signal.
 *
 * @module
 */
import type { Ctx, JobInfo, Log } from "./context.ts";
import { controlOf } from "./control.ts";
import { parseDuration } from "./duration.ts";
import { isNonRetryable, retryAfterMs, toJobError } from "./errors.ts";
import { type AnyTask, type AnyTaskDeclaration, hasHandler } from "./task.ts";
import type { Json, LeasedJob, Outcome, Progress } from "./types.ts";

/** What attempts need of the worker that runs them. */
export interface AttemptPorts {
  tasks: ReadonlyMap<string, AnyTaskDeclaration>;
  env: unknown;
  /** Results over this many bytes of JSON are dropped, and the job says so. */
  maxResultBytes: number;
  log(level: "info" | "warn" | "error", message: string, job: LeasedJob, fields?: { [key: string]: unknown }): void;
}

type Ending = Outcome extends infer One ? (One extends Outcome ? Omit<One, "id" | "fence"> : never) : never;

/** A running attempt, in the hands of a session. */
export class Attempt {
  readonly job: LeasedJob;
  /** The latest progress that has not been sent. */
  progress: Progress | null = null;
  readonly #ports: AttemptPorts;
  readonly #onEnd: (attempt: Attempt, outcome: Outcome) => void;
  #controller: AbortController | null = null;
  #aborted: unknown = null;
  #over = false;

  constructor(job: LeasedJob, ports: AttemptPorts, onEnd: (attempt: Attempt, outcome: Outcome) => void) {
    this.job = job;
    this.#ports = ports;
    this.#onEnd = onEnd;
  }

  /** Runs the handler; `onEnd` is called once with the outcome, unless the attempt is lost before. */
  start(): void {
    this.#run().then(
      (ending) => this.#end(ending),
      (error) => this.#end(this.#failed(error, null)),
    );
  }

  /** The time for this attempt is over: its outcome is a failure, whatever the handler still does. */
  timeOut(): void {
    const message = `The attempt took longer than its timeout of ${this.job.timeoutMs} ms`;
    const error = new DOMException(message, "TimeoutError");
    this.#abort(error);
    this.#end({ outcome: "failed", error: { name: "TimeoutError", message, stack: null } });
  }

  /** Somebody asked to cancel the job: the handler is told, and may still complete. */
  cancel(): void {
    this.#abort(new DOMException("The job was cancelled", "AbortError"));
  }

  /** The worker has to stop: the handler is told, and the job goes back as it was. */
  interrupt(): void {
    this.#abort(new DOMException("The worker is stopping", "AbortError"));
    this.#end({ outcome: "released" });
  }

  /** The job is not this worker's any more: nothing that the handler still does counts. */
  lose(): void {
    this.#over = true;
    this.#abort(new DOMException("The job was lost: its lease is over", "AbortError"));
  }

  async #run(): Promise<Ending> {
    const task = this.#ports.tasks.get(this.job.task);
    if (!task || !hasHandler(task)) return { outcome: "declined", code: "unknown_task" };
    let input: unknown = this.job.payload;
    if (task.input) {
      const checked = task.input["~standard"].validate(input);
      const result = isThenable(checked) ? await checked : checked;
      if (result.issues) return { outcome: "dead", error: invalidInput(task.name, result.issues) };
      input = result.value;
    }
    return this.#handle(task, input);
  }

  async #handle(task: AnyTask, input: unknown): Promise<Ending> {
    try {
      const returned = task.run(input, this.#context());
      // No await for a handler that is done: a microtask a job is felt at tens of thousands a second.
      const value = isThenable(returned) ? await returned : returned;
      return controlOf(value) ?? this.#completed(value);
    } catch (error) {
      return this.#failed(error, task);
    }
  }

  #completed(value: unknown): Ending {
    if (value === undefined || value === null) return { outcome: "completed" };
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch (error) {
      const cause = toJobError(error);
      const message = `The task ${this.job.task} completed with a result that JSON cannot hold: ${cause.message}`;
      return { outcome: "dead", error: { name: "ResultError", message, stack: cause.stack } };
    }
    if (text === undefined) return { outcome: "completed" };
    if (text.length * 3 > this.#ports.maxResultBytes && utf8Bytes(text) > this.#ports.maxResultBytes) {
      return { outcome: "completed", reason: "result_too_large" };
    }
    // As it is now: the handler may keep what it returned and change it, and JSON may not hold that.
    return { outcome: "completed", result: typeof value === "object" ? JSON.parse(text) : (value as Json) };
  }

  #failed(thrown: unknown, task: AnyTaskDeclaration | null): Ending {
    const error = toJobError(thrown);
    if (isNonRetryable(thrown)) return { outcome: "dead", error };
    const retryInMs = retryAfterMs(thrown) ?? this.#ownBackoffMs(thrown, task);
    return retryInMs === null ? { outcome: "failed", error } : { outcome: "failed", error, retryInMs };
  }

  /** The task's own function decides, unless the job was enqueued with a policy; policies are the object's to apply. */
  #ownBackoffMs(error: unknown, task: AnyTaskDeclaration | null): number | null {
    const { attempt, failures, backoff } = this.job;
    if (backoff || typeof task?.backoff !== "function") return null;
    try {
      const delay = task.backoff({ attempt, failures: failures + 1, error });
      const ms = typeof delay === "number" ? delay : parseDuration(delay);
      return Number.isFinite(ms) && ms >= 0 ? ms : null;
    } catch (wrong) {
      this.#ports.log("error", "backoff_failed", this.job, { error: toJobError(wrong).message });
      return null;
    }
  }

  #end(ending: Ending): void {
    if (this.#over) return;
    this.#over = true;
    this.#onEnd(this, { id: this.job.id, fence: this.job.fence, ...ending } as Outcome);
  }

  #abort(reason: unknown): void {
    this.#aborted ??= reason;
    this.#controller?.abort(this.#aborted);
  }

  /** Made when a handler first looks: most never do. */
  #signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  /** Most handlers look at little of this, so its parts are made when they are asked for. */
  #context(): Ctx {
    const self = this;
    const { job } = this;
    let info: JobInfo | null = null;
    let log: Ctx["log"] | null = null;
    return {
      get job() {
        info ??= jobInfo(job);
        return info;
      },
      attempt: job.attempt,
      fence: job.fence,
      get signal() {
        return self.#signal();
      },
      env: this.#ports.env,
      scheduledFor: job.schedule ? new Date(job.schedule.instant) : null,
      get log() {
        log ??= self.#log();
        return log;
      },
      progress(progress) {
        self.progress = cleanProgress(progress);
      },
    };
  }

  #log(): Ctx["log"] {
    const log =
      (level: "info" | "warn" | "error"): Log =>
      (message, fields) =>
        this.#ports.log(level, message, this.job, fields);
    return { info: log("info"), warn: log("warn"), error: log("error") };
  }
}

function jobInfo({ id, createdAt, tags, meta, reopenedFence, actor }: LeasedJob): JobInfo {
  return { id, queue: id.slice(0, id.indexOf(":")), createdAt: new Date(createdAt), tags, meta, reopenedFence, actor };
}

/** Query builders are thenables of their own: `instanceof Promise` would leave them unrun. */
function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof (value as PromiseLike<Value> | null | undefined)?.then === "function";
}

const NOTE_CHARS_MAX = 1_000;

function cleanProgress({ percent, note }: Partial<Progress>): Progress {
  const known = typeof percent === "number" && Number.isFinite(percent);
  return {
    percent: known ? Math.min(100, Math.max(0, percent)) : null,
    note: typeof note === "string" ? note.slice(0, NOTE_CHARS_MAX).toWellFormed() : null,
  };
}

function invalidInput(task: string, issues: readonly { message: string; path?: readonly unknown[] | undefined }[]) {
  const shown = issues.slice(0, 5).map(({ path, message }) => {
    const keys = (path ?? []).map((part) => (typeof part === "object" && part ? (part as { key: unknown }).key : part));
    return keys.length === 0 ? message : `${keys.join(".")}: ${message}`;
  });
  const message = `The payload does not fit the input of task ${task}: ${shown.join("; ")}`;
  return { name: "InvalidInput", message: message.slice(0, 4096), stack: null };
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
