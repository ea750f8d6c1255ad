/**
 * The exchange loop: one worker's stay at a queue. It claims jobs, runs them side by side, and settles each with the
 * next exchange. One exchange is in flight at a time; what finishes meanwhile rides in the next. A call of a task that
 * takes many fills one slot; while such jobs are gathered, more of them are asked for beside what slots have room for.
 *
 * @module
 */
import { AHEAD_MS, Pace } from "./pace.ts";
import { type SlotPorts, Slots } from "./slots.ts";
import type { ExchangeRequest, ExchangeResponse, Held, LeasedJob, Outcome, WorkerInfo } from "./types.ts";
import { type Timer, Waiter } from "./waiter.ts";
import { Waiting } from "./waiting.ts";

const WANT_MAX = 500;
const SETTLE_MAX = 1000;
/** Until the first answer says. */
const SLOTS_GUESS = 6;
const PROGRESS_MS = 2_000;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;

export interface SessionPorts extends SlotPorts {
  /** One exchange with the queue. Throws when it or its answer is lost: it is repeated under the same `n`. */
  exchange(request: ExchangeRequest): Promise<ExchangeResponse>;
  timer: Timer;
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
  readonly #waiting: Waiting;
  /** Jobs to be gathered are likely to come with an exchange at once. */
  #more = false;
  readonly #summary: SessionSummary = { claimed: 0, settled: 0, lost: 0, refused: 0, exchanges: 0, abandoned: false };
  #ended: Outcome[] = [];
  #n = 0;
  readonly #pace = new Pace();
  #leaseMs = 30_000;
  readonly #slots: Slots;
  /** How many there are. */
  #slotCount: number;
  #exchangedAt: number;
  #retryInMs: number | null = null;
  readonly #waiter: Waiter;

  constructor(options: SessionOptions, ports: SessionPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#waiting = new Waiting(ports.tasks);
    this.#waiter = new Waiter((ms, fire) => ports.timer(ms, fire));
    this.#slots = new Slots(ports, {
      ended: (outcome, slotMs) => this.#onEnd(outcome, slotMs),
      news: () => this.#waiter.wake(),
    });
    this.#slotCount = options.slots ?? SLOTS_GUESS;
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
    return this.#slots.size + this.#waiting.size;
  }

  #closing(): boolean {
    const { claimForMs, claimJobs } = this.#options;
    return this.#ports.now() - this.#startedAt >= claimForMs || this.#summary.claimed >= claimJobs;
  }

  #want(): number {
    if (this.#closing()) return 0;
    const { claimJobs } = this.#options;
    const room = Math.min(WANT_MAX, this.#ahead()) - this.#slots.filled - this.#waiting.units;
    return Math.max(0, Math.min(room, claimJobs - this.#summary.claimed));
  }

  /** More for what is gathered, beside `want`. */
  #gather(want: number): Pick<ExchangeRequest, "gather"> {
    const wanted = this.#wanted();
    if (!wanted) return {};
    const room = Math.min(WANT_MAX, this.#options.claimJobs - this.#summary.claimed) - want;
    const { tasks, pollMs } = wanted;
    return room > 0 ? { gather: { tasks, want: Math.min(wanted.want, room), backInMs: pollMs } } : {};
  }

  #wanted() {
    return this.#closing() ? null : this.#waiting.wanted();
  }

  #ahead(): number {
    return this.#slotCount * this.#pace.jobsAhead(this.#ports.now(), this.#slots.startedAt());
  }

  /** Gives back what would wait here for long: jobs turned out slower than those before. */
  #releaseSurplus(): void {
    const ripeBefore =
      this.#slots.filled < this.#slotCount ? Number.NEGATIVE_INFINITY : this.#ports.now() - 4 * AHEAD_MS;
    this.#release(this.#waiting.surplus(2 * this.#ahead(), ripeBefore));
  }

  #release(jobs: LeasedJob[]): void {
    for (const { id, fence } of jobs) this.#ended.push({ id, fence, outcome: "released" });
  }

  /** One exchange, repeated until it is answered; false when the lease was over before. */
  async #exchange(): Promise<boolean> {
    this.#n += 1;
    this.#releaseSurplus();
    const settle = this.#ended.slice(0, this.#slots.settleable(this.#ended, SETTLE_MAX));
    this.#ended = this.#ended.slice(settle.length);
    const want = this.#want();
    const request: ExchangeRequest = {
      session: this.#options.id,
      n: this.#n,
      worker: this.#options.worker,
      holding: this.#holding(),
      settle,
      ...this.#slots.takeNews(settle),
      want,
      ...this.#gather(want),
    };
    for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
      try {
        const sentAt = this.#ports.now();
        const response = await this.#ports.exchange(request);
        this.#exchangedAt = sentAt;
        this.#take(request, response);
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

  #holding(): Held[] {
    const ended = this.#ended.map(({ id, fence }): Held => [id, fence]);
    return [...ended, ...this.#slots.held(), ...this.#waiting.held()];
  }

  #take({ settle, want, gather }: ExchangeRequest, response: ExchangeResponse): void {
    const { jobs, lost, refused, cancel, leaseMs, slots, retryInMs } = response;
    this.#leaseMs = leaseMs;
    this.#slotCount = this.#options.slots ?? slots;
    this.#retryInMs = retryInMs;
    this.#summary.exchanges += 1;
    this.#summary.settled += settle.length - refused.length;
    this.#summary.refused += refused.length;
    for (const [id, fence] of lost) this.#lose(id, fence);
    for (const id of cancel) this.#cancel(id);
    const known = jobs.length > 0 ? this.#known() : null;
    let began = false;
    for (const job of jobs) {
      if (known?.has(job.id)) continue;
      this.#summary.claimed += 1;
      if (this.#waiting.add(job, this.#exchangedAt)) began = true;
    }
    const full = jobs.length > 0 && jobs.length >= want + (gather?.want ?? 0);
    this.#more = (began || full) && this.#wanted() !== null;
  }

  /** Jobs that are here: one that is granted again because an answer crossed its start is not another. */
  #known(): Set<string> {
    return new Set(this.#holding().map(([id]) => id));
  }

  #lose(id: string, fence: number): void {
    this.#summary.lost += 1;
    this.#slots.lose(id, fence);
    this.#waiting.remove(id, fence);
    this.#ended = this.#ended.filter((end) => end.id !== id || end.fence !== fence);
  }

  #cancel(id: string): void {
    this.#slots.cancel(id);
    const job = this.#waiting.remove(id);
    if (job) this.#release([job]);
  }

  /** Starts what waits, as far as slots are free. */
  #fill(): void {
    while (this.#slots.filled < this.#slotCount) {
      const unit = this.#waiting.next(this.#ports.now(), { rush: this.#closing(), more: this.#more });
      if (!unit) return;
      this.#slots.start(unit);
    }
  }

  #onEnd(outcome: Outcome, slotMs: number | null): void {
    this.#ended.push(outcome);
    if (slotMs !== null) {
      this.#pace.note(slotMs);
      this.#fill();
    }
    if (!this.#waiting.ready(this.#ports.now()) || this.#ended.length >= SETTLE_MAX) this.#waiter.wake();
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
      this.#fill();
      if (this.#ended.length > 0 && !this.#waiting.ready(now)) return;
      if (this.#held() === 0 || this.#ended.length >= SETTLE_MAX) return;
      const dueAt = this.#exchangeDueAt(now);
      if (dueAt <= now) return;
      await this.#waiter.wait(Math.min(dueAt, this.#nextTimeout(), this.#nextRipe()) - now);
    }
  }

  #nextRipe(): number {
    return this.#slots.filled < this.#slotCount ? this.#waiting.ripeAt() : Number.POSITIVE_INFINITY;
  }

  #exchangeDueAt(now: number): number {
    if (this.#more) return now;
    let dueAt = this.#exchangedAt + this.#leaseMs / 3;
    if (this.#slots.hasNews) dueAt = Math.min(dueAt, this.#exchangedAt + PROGRESS_MS);
    if (this.#waiting.ready(now)) dueAt = Math.min(dueAt, this.#exchangedAt + 4 * AHEAD_MS);
    const wanted = this.#wanted();
    if (wanted) dueAt = Math.min(dueAt, this.#exchangedAt + wanted.pollMs);
    if (this.#retryInMs !== null && this.#want() > 0) dueAt = Math.min(dueAt, this.#exchangedAt + this.#retryInMs);
    return dueAt;
  }

  #nextTimeout(): number {
    return Math.min(this.#startedAt + this.#options.stayMs, this.#slots.nextTimeout());
  }

  /** Times out attempts that are past their time; gives everything back when the stay is over. */
  #stopOverdue(now: number): void {
    const stayOver = now - this.#startedAt >= this.#options.stayMs;
    if (stayOver) this.#release(this.#waiting.removeAll());
    this.#slots.stopOverdue(now, stayOver);
  }

  #abandon(error: unknown): void {
    this.#summary.abandoned = true;
    this.#summary.lost += this.#held() + this.#ended.length;
    this.#slots.abandon(error);
  }
}
