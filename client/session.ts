/**
 * The exchange loop: one worker's stay at a queue. It claims jobs, runs them side by side, and settles each with the
 * next exchange. One exchange is in flight at a time; what finishes meanwhile rides in the next.
 *
 * @module
 */
import { Attempt, type AttemptPorts } from "./execute.ts";
import { AHEAD_MS, Pace } from "./pace.ts";
import type { ExchangeRequest, ExchangeResponse, LeasedJob, Outcome, WorkerInfo } from "./types.ts";
import { type Timer, Waiter } from "./waiter.ts";

const WANT_MAX = 500;
const SETTLE_MAX = 1000;
/** Until the first answer says. */
const SLOTS_GUESS = 6;
const PROGRESS_MS = 2_000;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

export interface SessionPorts extends AttemptPorts {
  /** One exchange with the queue. Throws when it or its answer is lost: it is repeated under the same `n`. */
  exchange(request: ExchangeRequest): Promise<ExchangeResponse>;
  now(): number;
  timer: Timer;
  /** Told of each attempt, for logs. */
  watch?: { started(job: LeasedJob): void; ended(job: LeasedJob, outcome: Outcome, ranMs: number): void };
}

export interface SessionOptions {
  /** Random for each stay. */
  id: string;
  worker: WorkerInfo;
  /** Jobs to run side by side; absent: what the queue wants. */
  slots?: number;
  /** A shift: how long to claim, and how many jobs. What is held then is finished. */
  claimForMs: number;
  claimJobs: number;
  /** How long the stay may last in all: what runs then is given back. */
  stayMs: number;
}

/** What a stay came to. */
export interface SessionSummary {
  claimed: number;
  settled: number;
  lost: number;
  refused: number;
  exchanges: number;
  /** True when the queue could not be reached until the lease was over. */
  abandoned: boolean;
}

/** Works at a queue until its shift is over or there is nothing to do. Never rejects. */
export function runSession(options: SessionOptions, ports: SessionPorts): Promise<SessionSummary> {
  return new Session(options, ports).run();
}

class Session {
  readonly #options: SessionOptions;
  readonly #ports: SessionPorts;
  readonly #startedAt: number;
  readonly #running = new Map<string, { attempt: Attempt; startedAt: number }>();
  readonly #waiting: LeasedJob[] = [];
  readonly #summary: SessionSummary = { claimed: 0, settled: 0, lost: 0, refused: 0, exchanges: 0, abandoned: false };
  #ended: Outcome[] = [];
  #n = 0;
  readonly #pace = new Pace();
  #leaseMs = 30_000;
  #slots: number;
  #exchangedAt: number;
  #retryInMs: number | null = null;
  readonly #waiter: Waiter;

  constructor(options: SessionOptions, ports: SessionPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#waiter = new Waiter((ms, fire) => ports.timer(ms, fire));
    this.#slots = options.slots ?? SLOTS_GUESS;
    this.#startedAt = ports.now();
    this.#exchangedAt = this.#startedAt;
  }

  async run(): Promise<SessionSummary> {
    for (;;) {
      if (!(await this.#exchange())) break;
      this.#fill();
      if (this.#held() === 0 && this.#ended.length === 0 && !(await this.#linger())) break;
      await this.#untilDue();
    }
    return this.#summary;
  }

  #held(): number {
    return this.#running.size + this.#waiting.length;
  }

  #closing(): boolean {
    const { claimForMs, claimJobs } = this.#options;
    return this.#ports.now() - this.#startedAt >= claimForMs || this.#summary.claimed >= claimJobs;
  }

  #want(): number {
    if (this.#closing()) return 0;
    const { claimJobs } = this.#options;
    const room = Math.min(WANT_MAX, this.#ahead()) - this.#held();
    return Math.max(0, Math.min(room, claimJobs - this.#summary.claimed));
  }

  #ahead(): number {
    const startedAt = [...this.#running.values()].map((running) => running.startedAt);
    return this.#slots * this.#pace.jobsAhead(this.#ports.now(), startedAt);
  }

  /** Gives back what would wait here for long: jobs turned out slower than those before. */
  #releaseSurplus(): void {
    for (const { id, fence } of this.#waiting.splice(2 * this.#ahead()))
      this.#ended.push({ id, fence, outcome: "released" });
  }

  /** One exchange, repeated until it is answered; false when the lease was over before. */
  async #exchange(): Promise<boolean> {
    this.#n += 1;
    this.#releaseSurplus();
    const settle = this.#ended.slice(0, SETTLE_MAX);
    this.#ended = this.#ended.slice(settle.length);
    const request: ExchangeRequest = {
      session: this.#options.id,
      n: this.#n,
      worker: this.#options.worker,
      holding: this.#holding(),
      settle,
      progress: this.#takeProgress(),
      want: this.#want(),
    };
    for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
      try {
        const sentAt = this.#ports.now();
        const response = await this.#ports.exchange(request);
        this.#exchangedAt = sentAt;
        this.#take(response, settle.length);
        return true;
      } catch (error) {
        if (this.#ports.now() - this.#exchangedAt >= this.#leaseMs) {
          this.#abandon(error);
          return false;
        }
        await this.#waiter.pause(pauseMs);
        this.#stopOverdue(this.#ports.now());
      }
    }
  }

  #holding(): ExchangeRequest["holding"] {
    const ended = this.#ended.map(({ id, fence }): [string, number] => [id, fence]);
    const running = [...this.#running.values()].map(({ attempt }): [string, number] => [
      attempt.job.id,
      attempt.job.fence,
    ]);
    return [...ended, ...running, ...this.#waiting.map(({ id, fence }): [string, number] => [id, fence])];
  }

  #takeProgress(): ExchangeRequest["progress"] {
    const notes: ExchangeRequest["progress"] = [];
    for (const { attempt } of this.#running.values()) {
      if (!attempt.progress) continue;
      notes.push({ id: attempt.job.id, fence: attempt.job.fence, progress: attempt.progress });
      attempt.progress = null;
    }
    return notes;
  }

  #take(response: ExchangeResponse, settled: number): void {
    const { jobs, lost, refused, cancel, leaseMs, slots, retryInMs } = response;
    this.#leaseMs = leaseMs;
    this.#slots = this.#options.slots ?? slots;
    this.#retryInMs = retryInMs;
    this.#summary.exchanges += 1;
    this.#summary.settled += settled - refused.length;
    this.#summary.refused += refused.length;
    for (const [id, fence] of lost) this.#lose(id, fence);
    for (const id of cancel) this.#cancel(id);
    const known = jobs.length > 0 ? this.#known() : null;
    for (const job of jobs) {
      if (known?.has(job.id)) continue;
      this.#summary.claimed += 1;
      this.#waiting.push(job);
    }
  }

  /** Jobs that are here: one that is granted again because an answer crossed its start is not another. */
  #known(): Set<string> {
    const known = new Set(this.#running.keys());
    for (const { id } of this.#waiting) known.add(id);
    for (const { id } of this.#ended) known.add(id);
    return known;
  }

  #lose(id: string, fence: number): void {
    this.#summary.lost += 1;
    const running = this.#running.get(id);
    if (running?.attempt.job.fence === fence) {
      running.attempt.lose();
      this.#running.delete(id);
    }
    const waiting = this.#waiting.findIndex((job) => job.id === id && job.fence === fence);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    this.#ended = this.#ended.filter((end) => end.id !== id || end.fence !== fence);
  }

  #cancel(id: string): void {
    this.#running.get(id)?.attempt.cancel();
    const waiting = this.#waiting.findIndex((job) => job.id === id);
    if (waiting < 0) return;
    const [job] = this.#waiting.splice(waiting, 1);
    this.#ended.push({ id: job!.id, fence: job!.fence, outcome: "released" });
  }

  /** Starts what waits, as far as slots are free. */
  #fill(): void {
    while (this.#running.size < this.#slots && this.#waiting.length > 0) {
      const job = this.#waiting.shift()!;
      const attempt = new Attempt(job, this.#ports, (done, outcome) => this.#onEnd(done, outcome));
      this.#running.set(job.id, { attempt, startedAt: this.#ports.now() });
      this.#ports.watch?.started(job);
      attempt.start();
    }
  }

  #onEnd(attempt: Attempt, outcome: Outcome): void {
    const { id } = attempt.job;
    const ran = this.#ports.now() - (this.#running.get(id)?.startedAt ?? this.#ports.now());
    this.#pace.note(ran);
    this.#ports.watch?.ended(attempt.job, outcome, ran);
    this.#running.delete(id);
    this.#ended.push(outcome);
    this.#fill();
    if (this.#waiting.length === 0 || this.#ended.length >= SETTLE_MAX) this.#waiter.wake();
  }

  /** Nothing is held: true when the queue said that more is likely, after the pause that it named. */
  async #linger(): Promise<boolean> {
    if (this.#retryInMs === null || this.#closing()) return false;
    await this.#waiter.pause(this.#retryInMs);
    return true;
  }

  /** Waits until an exchange is due: something can be settled or claimed, or the lease wants renewing. */
  async #untilDue(): Promise<void> {
    for (;;) {
      const now = this.#ports.now();
      this.#stopOverdue(now);
      if (this.#ended.length > 0 && this.#waiting.length === 0) return;
      if (this.#held() === 0 || this.#ended.length >= SETTLE_MAX) return;
      const dueAt = this.#exchangeDueAt();
      if (dueAt <= now) return;
      await this.#waiter.wait(Math.min(dueAt, this.#nextTimeout()) - now);
    }
  }

  #exchangeDueAt(): number {
    let dueAt = this.#exchangedAt + this.#leaseMs / 3;
    const progress = [...this.#running.values()].some(({ attempt }) => attempt.progress);
    if (progress) dueAt = Math.min(dueAt, this.#exchangedAt + PROGRESS_MS);
    if (this.#waiting.length > 0) dueAt = Math.min(dueAt, this.#exchangedAt + 4 * AHEAD_MS);
    if (this.#retryInMs !== null && this.#want() > 0) dueAt = Math.min(dueAt, this.#exchangedAt + this.#retryInMs);
    return dueAt;
  }

  #nextTimeout(): number {
    let at = this.#startedAt + this.#options.stayMs;
    for (const { attempt, startedAt } of this.#running.values()) at = Math.min(at, startedAt + attempt.job.timeoutMs);
    return at;
  }

  /** Times out attempts that are past their time; gives everything back when the stay is over. */
  #stopOverdue(now: number): void {
    const stayOver = now - this.#startedAt >= this.#options.stayMs;
    if (stayOver) {
      for (const { id, fence } of this.#waiting.splice(0)) this.#ended.push({ id, fence, outcome: "released" });
    }
    for (const { attempt, startedAt } of [...this.#running.values()]) {
      if (now - startedAt >= attempt.job.timeoutMs) attempt.timeOut();
      else if (stayOver) attempt.interrupt();
    }
  }

  #abandon(error: unknown): void {
    for (const { attempt } of this.#running.values()) {
      this.#ports.log("warn", "session_abandoned", attempt.job, { error: String(error) });
      attempt.lose();
    }
    this.#summary.abandoned = true;
    this.#summary.lost += this.#held() + this.#ended.length;
  }
}
