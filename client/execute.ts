/**
 * One attempt: find the task, check the payload, run the handler, say how it ended. Exactly one outcome comes of it,
 * whatever the handler does: throw anything, return what JSON cannot hold, never return, ignore its signal.
 *
 * @module
 */
import type { Ctx, JobInfo, Log } from "./context.ts";
import { cancel, controlOf, RateLimitedSignal, snooze, thrownControl } from "./control.ts";
import { parseDuration } from "./duration.ts";
import { bytesOf } from "./enqueue.ts";
import { type FollowUpOptions, FollowUps } from "./follow-ups.ts";
import { checkPayload, isThenable } from "./payload.ts";
import { toProgress } from "./progress.ts";
import type { TakenJob } from "./take.ts";
import { type AnyTask, type AnyTaskDeclaration, hasHandler } from "./task.ts";
import { isNonRetryable, retryAfterMs, toJobError } from "./thrown.ts";
import type { Json, LeasedJob, LogLevel, Outcome, Progress } from "./types.ts";

/** What attempts need of the worker that runs them. */
export interface AttemptPorts {
  tasks: ReadonlyMap<string, AnyTaskDeclaration>;
  env: unknown;
  /** Results over this many bytes of JSON are dropped, and the job says so. */
  maxResultBytes: number;
  log(level: LogLevel, message: string, job: LeasedJob, fields?: { [key: string]: unknown }): void;
}

/** What an attempt tells of itself while it runs, and how it ended. Told nothing once it is over. */
export interface AttemptListener {
  ended(attempt: Attempt, outcome: Outcome): void;
  progressed(attempt: Attempt): void;
  logged(attempt: Attempt, level: LogLevel, message: unknown, fields: unknown): void;
}

type Ending = Outcome extends infer One ? (One extends Outcome ? Omit<One, "id" | "fence"> : never) : never;

/** A running attempt, in the hands of a session. */
export class Attempt {
  readonly job: LeasedJob;
  /** The latest progress that has not been sent. */
  progress: Progress | null = null;
  readonly #ports: AttemptPorts;
  readonly #listener: AttemptListener;
  #controller: AbortController | null = null;
  #aborted: unknown = null;
  #followUps: FollowUps | null = null;
  #over = false;

  constructor(job: LeasedJob, ports: AttemptPorts, listener: AttemptListener) {
    this.job = job;
    this.#ports = ports;
    this.#listener = listener;
  }

  /** Runs the handler; `ended` is called once with the outcome, unless the attempt is lost before. */
  start(): void {
    this.#run().then(
      (ending) => this.#end(ending),
      (error) => this.#end(this.#failed(error, undefined)),
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

  /** Why it was aborted, if it was. */
  get aborted(): unknown {
    return this.#aborted;
  }

  /** The job for a handler that takes many; null when it has ended for its payload, or is over. */
  async open(): Promise<TakenJob | null> {
    try {
      const checked = await checkPayload(this.#ports.tasks.get(this.job.task)!, this.job.payload);
      if (checked.ok) return this.#over ? null : this.#taken(checked.input);
      this.#end({ outcome: "dead", error: checked.error });
    } catch (error) {
      this.fail(error);
    }
    return null;
  }

  /** Ends as what a handler returned says. */
  settle(returned: unknown): void {
    if (this.#over) return;
    try {
      this.#end(controlOf(returned) ?? this.#completed(returned));
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends as what a handler threw says. */
  fail(thrown: unknown): void {
    if (!this.#over) this.#end(thrownControl(thrown) ?? this.#failed(thrown, this.#ports.tasks.get(this.job.task)));
  }

  /** Its handler took many, and returned what says nothing about each. Trying again would come to the same end. */
  misreturn(jobs: number, what: string): void {
    const message = `The handler of task ${this.job.task} took ${jobs} jobs and returned ${what}: return nothing, or an array with a result for each job in its place`;
    this.#end({ outcome: "dead", error: { name: "ResultError", message, stack: null } });
  }

  async #run(): Promise<Ending> {
    const task = this.#ports.tasks.get(this.job.task);
    if (!task || !hasHandler(task)) return { outcome: "declined", code: "unknown_task" };
    const checking = checkPayload(task, this.job.payload);
    const checked = isThenable(checking) ? await checking : checking;
    return checked.ok ? this.#handle(task, checked.input) : { outcome: "dead", error: checked.error };
  }

  async #handle(task: AnyTask, input: unknown): Promise<Ending> {
    try {
      const returned = task.run(input, this.#context());
      // No await for a handler that is done: a microtask a job is felt at tens of thousands a second.
      const value = isThenable(returned) ? await returned : returned;
      return controlOf(value) ?? this.#completed(value);
    } catch (error) {
      return thrownControl(error) ?? this.#failed(error, task);
    }
  }

  #completed(value: unknown): Ending {
    const ending = this.#resulting(value);
    const made = this.#followUps?.list ?? [];
    return ending.outcome === "completed" && made.length > 0 ? { ...ending, enqueue: made } : ending;
  }

  #resulting(value: unknown): Ending {
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
    if (text.length * 3 > this.#ports.maxResultBytes && bytesOf(text) > this.#ports.maxResultBytes) {
      return { outcome: "completed", reason: "result_too_large" };
    }
    // As it is now: the handler may keep what it returned and change it, and JSON may not hold that.
    return { outcome: "completed", result: typeof value === "object" ? JSON.parse(text) : (value as Json) };
  }

  #failed(thrown: unknown, task: AnyTaskDeclaration | undefined): Ending {
    const error = toJobError(thrown);
    if (isNonRetryable(thrown)) return { outcome: "dead", error };
    const retryInMs = retryAfterMs(thrown) ?? this.#ownBackoffMs(thrown, task);
    return retryInMs === null ? { outcome: "failed", error } : { outcome: "failed", error, retryInMs };
  }

  /** The task's own function decides, unless the job was enqueued with a policy; policies are the object's to apply. */
  #ownBackoffMs(error: unknown, task: AnyTaskDeclaration | undefined): number | null {
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
    this.#listener.ended(this, { id: this.job.id, fence: this.job.fence, ...ending } as Outcome);
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
        self.progress = readProgress(progress);
        if (!self.#over) self.#listener.progressed(self);
      },
      enqueue: (task: string | AnyTaskDeclaration, payload?: unknown, options: FollowUpOptions = {}) =>
        self.#enqueue(task, payload, options),
      rateLimited(kind, wait) {
        throw new RateLimitedSignal(kind, wait, job.keys);
      },
    };
  }

  /** The same for a handler that takes many, with the ends that it may give this job. */
  #taken(input: unknown): TakenJob {
    const { env: _env, ...context } = Object.getOwnPropertyDescriptors(this.#context());
    const verbs: Pick<TakenJob, "input" | "complete" | "fail" | "snooze" | "cancel" | "rateLimited"> = {
      input,
      complete: (result) => this.settle(result),
      fail: (error) => this.fail(error),
      snooze: (wait) => this.settle(snooze(wait)),
      cancel: (reason) => this.settle(cancel(reason)),
      rateLimited: (kind, wait) => this.fail(new RateLimitedSignal(kind, wait, this.job.keys)),
    };
    return Object.assign(Object.defineProperties({}, context), verbs) as TakenJob;
  }

  #enqueue(task: string | AnyTaskDeclaration, payload: unknown, options: FollowUpOptions): void {
    const name = typeof task === "string" ? task : task?.name;
    if (this.#over)
      throw new Error(`ctx.enqueue("${name}"): job ${this.job.id} makes no more jobs, its attempt is over.`);
    this.#followUps ??= new FollowUps();
    this.#followUps.add(name, payload, options);
  }

  #log(): Ctx["log"] {
    const log =
      (level: LogLevel): Log =>
      (message, fields) => {
        this.#ports.log(level, message, this.job, fields);
        if (!this.#over) this.#listener.logged(this, level, message, fields);
      };
    return { info: log("info"), warn: log("warn"), error: log("error") };
  }
}

function jobInfo({ id, createdAt, tags, meta, reopenedFence, actor }: LeasedJob): JobInfo {
  return { id, queue: id.slice(0, id.indexOf(":")), createdAt: new Date(createdAt), tags, meta, reopenedFence, actor };
}

/** Whatever a handler said. */
function readProgress({ percent, note }: Partial<Progress>): Progress {
  const known = typeof percent === "number" && Number.isFinite(percent);
  return toProgress(known ? percent : null, typeof note === "string" ? note : null);
}
