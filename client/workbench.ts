/**
 * What a stay at a queue has in hand: jobs that wait for a slot, jobs that run, and ends that the queue has not been
 * told. What is said in an exchange comes from here, and what is answered goes here.
 *
 * @module
 */
import { AHEAD_MS } from "./pace.ts";
import type { PoolMember, SlotPool } from "./pool.ts";
import { SETTLE_MAX } from "./settleable.ts";
import { type SlotPorts, Slots } from "./slots.ts";
import type { ExchangePush, ExchangeRequest, ExchangeResponse, Held, LeasedJob, Outcome } from "./types.ts";
import { Waiting } from "./waiting.ts";

const WANT_MAX = 500;
const PROGRESS_MS = 2_000;
/** Jobs that wait here for longer than they were claimed ahead are looked at again, or given back. */
const WAIT_MS_MAX = 4 * AHEAD_MS;

/** What a stay came to. */
export interface Summary {
  claimed: number;
  settled: number;
  lost: number;
  refused: number;
  exchanges: number;
}

/** How long a stay claims. */
export interface Terms {
  /** No more is claimed, and nothing is waited for. */
  closing(): boolean;
  /** How many jobs may be claimed yet. */
  left(): number;
  /**
   * Of a remote worker: once it is closing it starts nothing more, and jobs that have waited for long are given back one
   * by one too.
   */
  remote: boolean;
}

/** What an exchange says that is the stay's own business. */
type Head = Pick<ExchangeRequest, "session" | "n" | "worker">;

export class Workbench implements PoolMember {
  readonly summary: Summary = { claimed: 0, settled: 0, lost: 0, refused: 0, exchanges: 0 };
  /** From when the lease counts: when the latest exchange that was answered was sent. */
  exchangedAt: number;
  leaseMs = 30_000;
  /** Called when something may be due earlier. */
  readonly #wake: () => void;
  readonly #ports: SlotPorts;
  readonly #pool: SlotPool;
  readonly #terms: Terms;
  readonly #waiting: Waiting;
  readonly #slots: Slots;
  #ended: Outcome[] = [];
  /** Jobs to be gathered are likely to come with an exchange at once. */
  #more = false;

  constructor(ports: SlotPorts, pool: SlotPool, terms: Terms, wake: () => void) {
    this.#ports = ports;
    this.#pool = pool;
    this.#terms = terms;
    this.#wake = wake;
    this.exchangedAt = ports.now();
    this.#waiting = new Waiting(ports.tasks);
    this.#slots = new Slots(ports, pool, {
      ended: (outcome, slotMs) => this.#onEnd(outcome, slotMs),
      news: wake,
    });
    pool.join(this);
  }

  /** Jobs that run or wait. */
  get held(): number {
    return this.#slots.size + this.#waiting.size;
  }

  /** Nothing is held, and nothing is left to tell. */
  get empty(): boolean {
    return this.held === 0 && this.#ended.length === 0;
  }

  get waitingUnits(): number {
    return this.#waiting.units;
  }

  startedAt(): number[] {
    return this.#slots.startedAt();
  }

  roomChanged(): void {
    this.#wake();
  }

  startNext(): boolean {
    const closing = this.#terms.closing();
    // A shift ends what it has claimed; a worker that is stopped gives it back.
    if (closing && this.#terms.remote) return false;
    const unit = this.#waiting.next(this.#ports.now(), { rush: closing, more: this.#more });
    if (unit) this.#slots.start(unit);
    return unit !== null;
  }

  want(): number {
    if (this.#terms.closing()) return 0;
    return Math.max(0, Math.min(this.#pool.room(this.#ports.now(), WANT_MAX), this.#terms.left()));
  }

  /** What the next exchange says; what it settles and tells is not here any more. */
  request(head: Head): ExchangeRequest {
    this.#releaseSurplus();
    const settle = this.#ended.slice(0, this.#slots.settleable(this.#ended));
    this.#ended = this.#ended.slice(settle.length);
    const want = this.want();
    return {
      ...head,
      holding: this.#holding(),
      settle,
      ...this.#slots.takeNews(settle),
      want,
      ...this.#gather(want),
    };
  }

  /** Takes in the answer to an exchange that was sent at `sentAt`. */
  take({ settle, want, gather }: ExchangeRequest, response: ExchangeResponse, sentAt: number): void {
    const { jobs, lost, refused, cancel, leaseMs } = response;
    this.exchangedAt = sentAt;
    this.leaseMs = leaseMs;
    this.summary.exchanges += 1;
    this.summary.settled += settle.length - refused.length;
    this.summary.refused += refused.length;
    for (const [id, fence] of lost) this.#lose(id, fence);
    for (const id of cancel) this.#cancel(id);
    const began = this.#add(jobs, sentAt);
    const full = jobs.length > 0 && jobs.length >= want + (gather?.want ?? 0);
    this.#more = (began || full) && this.#wanted() !== null;
  }

  /** Takes in what the queue says between answers. */
  push({ jobs, cancel }: ExchangePush): void {
    const now = this.#ports.now();
    for (const id of cancel) this.#cancel(id);
    // A push begins a lease where there is none, and renews none: nobody has spoken.
    if (this.empty) this.exchangedAt = now;
    this.#add(jobs, now);
  }

  /** Gives back what waits. */
  releaseWaiting(): void {
    this.#release(this.#waiting.removeAll());
  }

  /** When the next exchange is due for what is in hand; `since`: the latest was sent then. */
  dueAt(now: number, since = this.exchangedAt): number {
    if (this.#ended.length > 0 && (!this.#waiting.ready(now) || this.#ended.length >= SETTLE_MAX)) return now;
    if (this.held === 0) return Number.POSITIVE_INFINITY;
    if (this.#more) return now;
    let dueAt = since + this.leaseMs / 3;
    if (this.#slots.hasNews) dueAt = Math.min(dueAt, since + PROGRESS_MS);
    if (this.#waiting.ready(now)) dueAt = Math.min(dueAt, since + WAIT_MS_MAX);
    const wanted = this.#wanted();
    if (wanted) dueAt = Math.min(dueAt, since + wanted.pollMs);
    return dueAt;
  }

  /** When something here has to be looked at, whatever the queue says. */
  nextEvent(): number {
    const stuck = this.#pool.full || this.#more;
    return Math.min(this.#slots.nextTimeout(), stuck ? Number.POSITIVE_INFINITY : this.#waiting.ripeAt());
  }

  /** Times out attempts that are past their time; `all`: gives everything back. */
  stopOverdue(now: number, all: boolean): void {
    if (all) this.releaseWaiting();
    this.#slots.stopOverdue(now, all);
  }

  /** Nothing that is here counts any more: the queue has not been heard of until the lease was over. */
  abandon(error: unknown): void {
    this.summary.lost += this.held + this.#ended.length;
    this.#slots.abandon(error);
    this.#waiting.removeAll();
    this.#ended = [];
    this.#pool.leave(this);
  }

  /** More for what is gathered, beside `want`. */
  #gather(want: number): Pick<ExchangeRequest, "gather"> {
    const wanted = this.#wanted();
    if (!wanted) return {};
    const room = Math.min(WANT_MAX, this.#terms.left()) - want;
    const { tasks, pollMs } = wanted;
    return room > 0 ? { gather: { tasks, want: Math.min(wanted.want, room), backInMs: pollMs } } : {};
  }

  #wanted() {
    return this.#terms.closing() ? null : this.#waiting.wanted();
  }

  /** Gives back what would wait here for long: jobs turned out slower than those before. */
  #releaseSurplus(): void {
    const now = this.#ports.now();
    const ripeBefore = this.#pool.full ? now - WAIT_MS_MAX : Number.NEGATIVE_INFINITY;
    const since = this.#terms.remote ? ripeBefore : Number.NEGATIVE_INFINITY;
    this.#release(this.#waiting.surplus(2 * this.#pool.ahead(now), ripeBefore, since));
  }

  #release(jobs: LeasedJob[]): void {
    for (const { id, fence } of jobs) this.#ended.push({ id, fence, outcome: "released", started: false });
  }

  #holding(): Held[] {
    const ended = this.#ended.map(({ id, fence }): Held => [id, fence]);
    return [...ended, ...this.#slots.held(), ...this.#waiting.held()];
  }

  /** Says whether a gathering began that means to wait. A job that is here already is not another. */
  #add(jobs: LeasedJob[], at: number): boolean {
    const known = jobs.length > 0 ? new Map(this.#holding()) : null;
    let began = false;
    for (const job of jobs) {
      const fence = known!.get(job.id);
      if (fence !== undefined && fence >= job.fence) continue;
      // Granted anew: what still runs here was lost meanwhile.
      if (fence !== undefined) this.#lose(job.id, fence);
      this.summary.claimed += 1;
      if (this.#waiting.add(job, at)) began = true;
    }
    return began;
  }

  #lose(id: string, fence: number): void {
    this.summary.lost += 1;
    this.#slots.lose(id, fence);
    this.#waiting.remove(id, fence);
    this.#ended = this.#ended.filter((end) => end.id !== id || end.fence !== fence);
  }

  #cancel(id: string): void {
    this.#slots.cancel(id);
    const job = this.#waiting.remove(id);
    if (job) this.#release([job]);
  }

  #onEnd(outcome: Outcome, slotMs: number | null): void {
    this.#ended.push(outcome);
    if (slotMs !== null) {
      this.#pool.note(slotMs);
      this.#pool.fill();
    }
    if (!this.#waiting.ready(this.#ports.now()) || this.#ended.length >= SETTLE_MAX) this.#wake();
  }
}
