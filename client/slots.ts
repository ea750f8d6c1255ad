/**
 * What a session runs side by side: each slot is filled by one job, or by one call that took many.
 *
 * @module
 */
import { Attempt, type AttemptListener, type AttemptPorts } from "./execute.ts";
import { JobLogs, toLogLine } from "./logs.ts";
import type { SlotPool } from "./pool.ts";
import { settleable } from "./settleable.ts";
import { Batch } from "./take.ts";
import type { TakeTask } from "./task.ts";
import type { ExchangeRequest, Held, LeasedJob, Outcome } from "./types.ts";
import type { Unit } from "./waiting.ts";

export interface SlotPorts extends AttemptPorts {
  now(): number;
  /** Told of each attempt, for logs. */
  watch?: {
    started(job: LeasedJob): void;
    ended(job: LeasedJob, outcome: Outcome, ranMs: number): void;
    lost?(job: LeasedJob): void;
  };
}

interface Running {
  attempt: Attempt;
  /** Its timeout counts from then. */
  startedAt: number;
  slot: { startedAt: number; batch: Batch | null };
}

export interface SlotListener {
  /** How an attempt ended, and, when it was the last of its slot, how long that was filled. */
  ended(outcome: Outcome, slotMs: number | null): void;
  /** There is progress or a line of a log to send, and was none. */
  news(): void;
}

export class Slots {
  readonly #ports: SlotPorts;
  readonly #pool: SlotPool;
  readonly #listener: SlotListener;
  readonly #running = new Map<string, Running>();
  readonly #logs = new JobLogs();
  /** Of attempts that have ended since the latest exchange. */
  #progress: ExchangeRequest["progress"] = [];
  #news = false;
  readonly #attempts: AttemptListener = {
    ended: (attempt, outcome) => this.#end(attempt, outcome),
    progressed: () => this.#tell(),
    logged: ({ job }, level, message, fields) => {
      this.#logs.add(job, toLogLine(level, message, fields, this.#ports.now()));
      this.#tell();
    },
  };

  constructor(ports: SlotPorts, pool: SlotPool, listener: SlotListener) {
    this.#ports = ports;
    this.#pool = pool;
    this.#listener = listener;
  }

  /** Jobs that run. */
  get size(): number {
    return this.#running.size;
  }

  held(): Held[] {
    return [...this.#running.values()].map(({ attempt: { job } }): Held => [job.id, job.fence]);
  }

  startedAt(): number[] {
    return [...this.#running.values()].map(({ slot }) => slot.startedAt);
  }

  start({ jobs, many }: Unit): void {
    const now = this.#ports.now();
    const attempts = jobs.map(({ job }) => new Attempt(job, this.#ports, this.#attempts));
    const slot = { startedAt: now, batch: many ? new Batch(attempts, this.#ports.env) : null };
    this.#pool.take();
    for (const [index, attempt] of attempts.entries()) {
      const { job, at } = jobs[index]!;
      // What was gathered has its timeout from the claim on; half of it is left, however late a slot came free.
      const startedAt = many ? Math.max(at, now - job.timeoutMs / 2) : now;
      this.#running.set(job.id, { attempt, startedAt, slot });
      this.#ports.watch?.started(job);
    }
    if (slot.batch) void slot.batch.start((this.#ports.tasks.get(jobs[0]!.job.task) as TakeTask).run);
    else attempts[0]!.start();
  }

  /**
   * Progress and lines of logs that have not been sent: all of the attempts that are settled, of others as many lines as
   * one exchange carries.
   */
  takeNews(settled: readonly Outcome[]): Pick<ExchangeRequest, "progress" | "logs"> {
    for (const { attempt } of this.#running.values()) this.#noteProgress(attempt);
    const progress = this.#progress;
    this.#progress = [];
    const logs = this.#logs.take(settled);
    this.#news = !this.#logs.empty;
    return logs.length > 0 ? { progress, logs } : { progress };
  }

  /** How many of these, from the first, one exchange may settle with what they have logged. */
  settleable(ended: readonly Outcome[]): number {
    return Math.min(settleable(ended), this.#logs.settleable(ended));
  }

  /** Whether there is something for `takeNews`. */
  get hasNews(): boolean {
    return this.#news;
  }

  cancel(id: string): void {
    this.#running.get(id)?.attempt.cancel();
  }

  lose(id: string, fence: number): void {
    this.#logs.drop(id, fence);
    const running = this.#running.get(id);
    if (running?.attempt.job.fence !== fence) return;
    running.attempt.lose();
    this.#ports.watch?.lost?.(running.attempt.job);
    this.#leave(running);
  }

  /** Nothing that runs counts any more: the queue has not been heard of until the lease was over. */
  abandon(error: unknown): void {
    for (const { attempt } of [...this.#running.values()]) {
      this.#ports.log("warn", "session_abandoned", attempt.job, { error: String(error) });
      this.lose(attempt.job.id, attempt.job.fence);
    }
  }

  nextTimeout(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const { attempt, startedAt } of this.#running.values()) at = Math.min(at, startedAt + attempt.job.timeoutMs);
    return at;
  }

  /** Times out attempts that are past their time; `all`: gives the others back. */
  stopOverdue(now: number, all: boolean): void {
    for (const { attempt, startedAt } of [...this.#running.values()]) {
      if (now - startedAt >= attempt.job.timeoutMs) attempt.timeOut();
      else if (all) attempt.interrupt();
    }
  }

  #tell(): void {
    if (this.#news) return;
    this.#news = true;
    this.#listener.news();
  }

  #noteProgress(attempt: Attempt): void {
    const { id, fence } = attempt.job;
    if (attempt.progress) this.#progress.push({ id, fence, progress: attempt.progress });
    attempt.progress = null;
  }

  #end(attempt: Attempt, outcome: Outcome): void {
    const running = this.#running.get(attempt.job.id)!;
    this.#noteProgress(attempt);
    const ranMs = this.#ports.now() - running.slot.startedAt;
    this.#ports.watch?.ended(attempt.job, outcome, ranMs);
    this.#listener.ended(outcome, this.#leave(running) ? ranMs : null);
  }

  /** An attempt is over; says whether its slot is free. */
  #leave({ attempt, slot }: Running): boolean {
    this.#running.delete(attempt.job.id);
    if (slot.batch && !slot.batch.leave(attempt.aborted)) return false;
    this.#pool.giveBack();
    return true;
  }
}
