/**
 * A shift: the stay of a consumer Worker at a queue, which ends when its time is over or nothing is left to do. One
 * exchange is in flight at a time; what finishes meanwhile rides in the next. Remote workers stay: `stay.ts`.
 *
 * @module
 */
import { SlotPool } from "./pool.ts";
import type { SlotPorts } from "./slots.ts";
import type { ExchangeRequest, ExchangeResponse, WorkerInfo } from "./types.ts";
import { type Timer, Waiter } from "./waiter.ts";
import { type Summary, Workbench } from "./workbench.ts";

/** Until the first answer says. */
const SLOTS_GUESS = 6;
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

/** What a shift came to. */
export interface SessionSummary extends Summary {
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
  readonly #waiter: Waiter;
  readonly #pool: SlotPool;
  readonly #bench: Workbench;
  #n = 0;
  #retryInMs: number | null = null;

  constructor(options: SessionOptions, ports: SessionPorts) {
    this.#options = options;
    this.#ports = ports;
    this.#startedAt = ports.now();
    this.#waiter = new Waiter((ms, fire) => ports.timer(ms, fire));
    this.#pool = new SlotPool(options.slots ?? SLOTS_GUESS);
    const terms = { closing: () => this.#closing(), left: () => this.#left(), remote: false };
    this.#bench = new Workbench(ports, this.#pool, terms, () => this.#waiter.wake());
  }

  async run(): Promise<SessionSummary> {
    for (;;) {
      if (!(await this.#exchange())) return { ...this.#bench.summary, abandoned: true };
      this.#pool.fill();
      if (this.#bench.empty && !(await this.#linger())) return { ...this.#bench.summary, abandoned: false };
      await this.#untilDue();
    }
  }

  #closing(): boolean {
    return this.#ports.now() - this.#startedAt >= this.#options.claimForMs || this.#left() <= 0;
  }

  #left(): number {
    return this.#options.claimJobs - this.#bench.summary.claimed;
  }

  /** One exchange, repeated until it is answered; false when the lease was over before. */
  async #exchange(): Promise<boolean> {
    this.#n += 1;
    const { id: session, worker } = this.#options;
    const request = this.#bench.request({ session, n: this.#n, worker });
    for (let pauseMs = RETRY_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, RETRY_MS_MAX)) {
      try {
        const sentAt = this.#ports.now();
        const response = await this.#ports.exchange(request);
        this.#pool.count = this.#options.slots ?? response.slots;
        this.#retryInMs = response.retryInMs;
        this.#bench.take(request, response, sentAt);
        return true;
      } catch (error) {
        if (this.#ports.now() - this.#bench.exchangedAt >= this.#bench.leaseMs) {
          this.#bench.abandon(error);
          return false;
        }
        await this.#waiter.pause(pauseMs);
        this.#stopOverdue(this.#ports.now());
      }
    }
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
      this.#pool.fill();
      const dueAt = this.#dueAt(now);
      if (dueAt <= now || this.#bench.held === 0) return;
      const stayEndsAt = this.#startedAt + this.#options.stayMs;
      await this.#waiter.wait(Math.min(dueAt, this.#bench.nextEvent(), stayEndsAt) - now);
    }
  }

  #dueAt(now: number): number {
    const dueAt = this.#bench.dueAt(now);
    if (this.#retryInMs === null || dueAt <= now || this.#bench.want() === 0) return dueAt;
    return Math.min(dueAt, this.#bench.exchangedAt + this.#retryInMs);
  }

  /** Times out attempts that are past their time; gives everything back when the stay is over. */
  #stopOverdue(now: number): void {
    this.#bench.stopOverdue(now, now - this.#startedAt >= this.#options.stayMs);
  }
}
