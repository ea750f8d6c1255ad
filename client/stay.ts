/**
 * The stay of a remote worker at a queue: it lasts until the worker is stopped, through lost connections and answers.
 * One exchange is in flight at a time, repeated under its number until it is answered. While there is a WebSocket the
 * queue pushes what the latest exchange wanted and did not get; without one the next exchange waits for it.
 *
 * @module
 */
import { Contact, type ContactPorts } from "./contact.ts";
import { isMillraceError, MillraceError } from "./errors.ts";
import { type Answered, HOLD_MS_MAX, Line, type LineOptions, type Transport } from "./line.ts";
import { AHEAD_MS } from "./pace.ts";
import type { SlotPool } from "./pool.ts";
import type { SlotPorts } from "./slots.ts";
import type { ExchangePush, ExchangeRequest, WorkerInfo } from "./types.ts";
import { type Timer, Waiter } from "./waiter.ts";
import { Workbench } from "./workbench.ts";

/** After the deadline of a stop, for the last ends to reach the queue. */
const LAST_WORDS_MS = 5_000;
/** Between two exchanges that bring nothing, where the server does not hold its answer, or little more is wanted. */
const ASK_AGAIN_MS = 1_000;
/** Nothing of the exchange was done, and nothing of it ever will be: a session begins anew. */
const REFUSED = [400, 409, 413, 422];
/** Timers do not take more than 2^31 ms. */
const WAIT_MS_MAX = 3_600_000;

export interface StayPorts extends SlotPorts, ContactPorts {
  timer: Timer;
  /** A random id for a session. */
  newId(): string;
}

export class Stay {
  readonly queue: string;
  readonly #worker: WorkerInfo;
  readonly #ports: StayPorts;
  readonly #pool: SlotPool;
  readonly #line: Line;
  readonly #waiter: Waiter;
  readonly #contact: Contact;
  #bench: Workbench;
  #session: string;
  #n = 0;
  /** What the queue knows to be wanted, and may push. */
  #standing = 0;
  #epoch = -1;
  /** The latest answer brought nothing; cancels are told with each until the job has ended. */
  #nothing = false;
  /** For how long the latest answer could be held. */
  #heldMs = 0;
  #answered = false;
  #asking = false;
  #fullSince: number | null = null;
  /** What runs then is given back; null: not stopping. */
  #stopAt: number | null = null;

  constructor(worker: WorkerInfo, pool: SlotPool, line: LineOptions, ports: StayPorts) {
    this.queue = line.queue;
    this.#worker = worker;
    this.#pool = pool;
    this.#ports = ports;
    this.#session = ports.newId();
    this.#contact = new Contact(line.queue, ports);
    this.#waiter = new Waiter((ms, fire) => ports.timer(ms, fire));
    this.#line = new Line(line, ports, {
      pushed: (push) => this.#pushed(push),
      changed: (why) => this.#changed(why),
    });
    this.#bench = this.#newBench();
  }

  /** How the queue is reached; null: it is not. */
  get transport(): Transport | null {
    return this.#contact.transport;
  }

  /** Resolves when it was stopped; rejects with what cannot get better. */
  async run(): Promise<void> {
    try {
      while (!this.#over()) {
        await this.#exchange();
        await this.#untilDue();
      }
    } catch (error) {
      this.#bench.abandon(error);
      throw error;
    } finally {
      this.#pool.leave(this.#bench);
      this.#line.close();
      this.#contact.end();
    }
  }

  /** Claims no more; what runs at `at` is given back. A second call may name an earlier time. */
  stop(at: number): void {
    this.#stopAt = Math.min(at, this.#stopAt ?? at);
    this.#waiter.wake();
  }

  #newBench(): Workbench {
    const terms = { closing: () => this.#stopAt !== null, left: () => Number.POSITIVE_INFINITY, remote: true };
    return new Workbench(this.#ports, this.#pool, terms, () => this.#waiter.wake());
  }

  /** Stopped, with nothing in hand or on its way. */
  #over(): boolean {
    return this.#stopAt !== null && this.#bench.empty && this.#standing === 0;
  }

  /** One exchange, repeated until it is answered or of no use any more. */
  async #exchange(): Promise<void> {
    this.#n += 1;
    if (this.#stopAt !== null) this.#bench.releaseWaiting();
    const request = this.#bench.request({ session: this.#session, n: this.#n, worker: this.#worker });
    for (;;) {
      const sentAt = this.#ports.now();
      this.#asking = true;
      try {
        this.#heldMs = this.#holdMs(request);
        const answer = this.#line.exchange(request, this.#heldMs);
        this.#take(request, await this.#attend(answer, sentAt), sentAt);
        return;
      } catch (error) {
        if (this.#isFinal(error)) throw error;
        if (this.#giveUp(error, request)) return;
        await this.#pause(this.#contact.lost(error));
      } finally {
        this.#asking = false;
      }
    }
  }

  #take(request: ExchangeRequest, { response, transport, epoch }: Answered, sentAt: number): void {
    const { jobs, lost, unknownTasks } = response;
    this.#bench.take(request, response, sentAt);
    this.#nothing = jobs.length === 0 && lost.length === 0;
    this.#answered = true;
    this.#epoch = epoch;
    this.#standing = transport === "websocket" ? Math.max(0, request.want - jobs.length) : 0;
    this.#contact.made(transport);
    if (unknownTasks) this.#contact.unknown(unknownTasks);
  }

  /** Jobs of a push that crossed an exchange come with its answer again: only those of the latest are taken. */
  #pushed({ n, jobs, cancel }: ExchangePush): void {
    const current = n === this.#n ? jobs : [];
    this.#standing = Math.max(0, this.#standing - current.length);
    this.#bench.push({ n, jobs: current, cancel });
    this.#pool.fill();
    this.#waiter.wake();
  }

  #changed(why: string | null): void {
    if (why !== null) this.#standing = 0;
    // An exchange that is in flight fails with it, and says so.
    if (why !== null && !this.#asking) this.#contact.lost(why);
    this.#waiter.wake();
  }

  /** What no repetition mends; before the first answer, also what says that this is not the place. */
  #isFinal(error: unknown): boolean {
    if (!isMillraceError(error)) return true;
    const { status, code } = error;
    if (status === 401 || status === 403 || (status === 409 && this.#n === 1)) return true;
    if (this.#answered || status === 408 || status === 429 || status >= 500) return false;
    return status >= 400 || code === "invalid_response";
  }

  /** Says whether the exchange is not to be repeated: its lease is over, it was refused, or the worker has to be gone. */
  #giveUp(error: unknown, { settle }: ExchangeRequest): boolean {
    const refused = REFUSED.includes((error as MillraceError).status);
    if (!refused && !this.#tooLate()) return this.#stopAt !== null && this.#bench.empty && settle.length === 0;
    if (!this.#bench.empty) this.#ports.told("warn", "lease_lost", { queue: this.queue, jobs: this.#bench.held });
    this.#bench.abandon(error);
    this.#line.reset();
    this.#bench = this.#newBench();
    this.#session = this.#ports.newId();
    this.#n = 0;
    this.#standing = 0;
    this.#epoch = -1;
    if (refused) this.#contact.lost(error);
    return true;
  }

  #tooLate(): boolean {
    return this.#ports.now() >= this.#endsAt();
  }

  /** Until when it is of use to wait for an answer. */
  #endsAt(): number {
    const { held, exchangedAt, leaseMs } = this.#bench;
    const leaseEndsAt = held > 0 ? exchangedAt + leaseMs : Number.POSITIVE_INFINITY;
    return Math.min(leaseEndsAt, this.#stopAt === null ? leaseEndsAt : this.#stopAt + LAST_WORDS_MS);
  }

  /** For how long the answer may be held: not the first, and not where something will have to be said meanwhile. */
  #holdMs({ want, gather }: ExchangeRequest): number {
    if (this.#contact.transport === null || this.#stopAt !== null) return 0;
    if (want === 0 || this.#bench.waitingUnits > 0) return 0;
    const beatMs = this.#bench.held > 0 ? this.#bench.leaseMs / 3 : HOLD_MS_MAX;
    const ms = Math.floor(Math.min(HOLD_MS_MAX, beatMs, gather?.backInMs ?? HOLD_MS_MAX));
    return ms >= ASK_AGAIN_MS ? ms : 0;
  }

  /** Waits for an answer, looking after what runs here meanwhile. */
  async #attend(answer: Promise<Answered>, sentAt: number): Promise<Answered> {
    let done = false;
    const end = () => {
      done = true;
      this.#waiter.wake();
    };
    answer.then(end, end);
    for (;;) {
      const now = this.#ports.now();
      const moved = this.#epoch >= 0 && this.#epoch !== this.#line.epoch;
      const speakAt = this.#stopAt !== null || moved ? now : this.#bench.dueAt(now, sentAt);
      if (speakAt <= now) this.#line.interrupt();
      await this.#sleep(Math.min(speakAt > now ? speakAt : Number.POSITIVE_INFINITY, this.#endsAt()));
      if (done) return answer;
      if (this.#tooLate()) {
        throw new MillraceError("No answer came in time", { code: "timeout", retryable: true });
      }
    }
  }

  /** Waits before the next try; for a worker that stops, not for long. */
  async #pause(ms: number): Promise<void> {
    const until = this.#ports.now() + ms;
    for (;;) {
      const at = Math.min(until, this.#endsAt(), this.#stopAt === null ? until : until - ms + ASK_AGAIN_MS);
      if (at <= this.#ports.now()) return;
      await this.#sleep(at);
    }
  }

  /** Waits until an exchange is due. */
  async #untilDue(): Promise<void> {
    for (;;) {
      this.#pool.fill();
      const now = this.#ports.now();
      const dueAt = this.#dueAt(now);
      if (dueAt <= now) return;
      await this.#sleep(dueAt);
    }
  }

  /** Until then, or until something happens; then looks after what runs. */
  async #sleep(until: number): Promise<void> {
    let now = this.#ports.now();
    const stopAt = this.#stopAt !== null && this.#stopAt > now ? this.#stopAt : until;
    await this.#waiter.wait(Math.min(until - now, stopAt - now, this.#bench.nextEvent() - now, WAIT_MS_MAX));
    now = this.#ports.now();
    this.#bench.stopOverdue(now, this.#stopAt !== null && now >= this.#stopAt);
    this.#pool.fill();
  }

  #dueAt(now: number): number {
    if (this.#over()) return now;
    if (this.#epoch !== this.#line.epoch) return Math.max(now, this.#contact.backAt);
    const dueAt = this.#bench.dueAt(now);
    if (this.#stopAt !== null) return this.#standing > 0 || this.#bench.waitingUnits > 0 ? now : dueAt;
    return Math.min(dueAt, this.#wantDueAt(now));
  }

  /** When the queue should hear that more or less is wanted. */
  #wantDueAt(now: number): number {
    const { exchangedAt } = this.#bench;
    const want = this.#bench.want();
    if (this.#contact.transport === "poll") {
      if (want === 0) return Number.POSITIVE_INFINITY;
      const soon = this.#heldMs === 0 && this.#bench.waitingUnits === 0;
      return this.#nothing && !soon ? exchangedAt + ASK_AGAIN_MS : now;
    }
    // What is pushed now would wait here, while others may be free.
    this.#fullSince = want === 0 && this.#standing > 0 ? (this.#fullSince ?? now) : null;
    if (this.#fullSince !== null) return this.#fullSince + AHEAD_MS;
    if (want <= this.#standing) return Number.POSITIVE_INFINITY;
    return this.#standing === 0 ? now : exchangedAt + ASK_AGAIN_MS;
  }
}
