/**
 * A queue around its engine: reads the clock once, runs one verb, arms the alarm in the same turn, and carries out the
 * effects. All decisions are the engine's.
 *
 * @module
 */
import type {
  EnqueueInput,
  EnqueueReply,
  ExchangeInput,
  ExchangeReply,
  JobRecord,
  ListInput,
  ListReply,
  PokeReply,
  QueueDescription,
  QueueRpc,
  Refusal,
  Reply,
  Rollup,
  SettingsPatch,
} from "../client/wire.ts";
import { setting } from "./engine/books.ts";
import { Engine } from "./engine/engine.ts";
import { enqueue } from "./engine/enqueue.ts";
import { exchange } from "./engine/exchange.ts";
import { describe, get } from "./engine/inspect.ts";
import { list } from "./engine/list.ts";
import * as operate from "./engine/operate.ts";
import { rollupBetween, trimOutbox } from "./engine/outbox.ts";
import type { Effects, Tx } from "./engine/ports.ts";
import { trimKeys } from "./engine/requests.ts";
import { DEFAULT_SETTINGS } from "./engine/settings.ts";
import { readyCount } from "./engine/tally.ts";
import { nextDue, wake } from "./engine/wake.ts";
import { Flusher } from "./flusher.ts";
import type { ShellPorts } from "./ports.ts";

/** An alarm this far in the past will not come any more. */
const ALARM_LOST_MS = 60_000;
/** An alarm for now is set this much later: one for the very instant may be swallowed (platform note on setAlarm). */
const ALARM_SOON_MS = 5;
/** Armed before the alarm's work, in case that the work is cut short. */
const ALARM_FALLBACK_MS = 30_000;
const REGISTER_TIMEOUT_MS = 2_000;
const READ_TIMEOUT_MS = 10_000;
const RACES_MAX = 5;

const notFound = (what: string): Refusal => ({
  ok: false,
  code: "not_found",
  detail: `There is no job ${what} in this queue`,
});

export class QueueShell implements QueueRpc {
  readonly #ports: ShellPorts;
  readonly #engine: Engine;
  readonly #flusher: Flusher;
  #armedAt: number | null = null;
  #registering: Promise<void> | null = null;

  constructor(ports: ShellPorts, engine: Engine = new Engine(ports)) {
    this.#ports = ports;
    this.#engine = engine;
    this.#flusher = new Flusher(
      ports,
      this.#engine,
      (verb) => this.#commit(verb).flush,
      (at) => this.#arm(at),
    );
  }

  /** To be awaited before anything else: learns whether an alarm is set. Writes nothing. */
  async start(): Promise<void> {
    this.#armedAt = await this.#ports.alarm.get();
  }

  async enqueue(input: EnqueueInput): Promise<EnqueueReply> {
    const reply = this.#run((tx) => enqueue(tx, input));
    if (reply.ok) await this.#register();
    return reply;
  }

  async exchange(input: ExchangeInput): Promise<ExchangeReply> {
    // A ticket for a queue that nothing was ever written to must not make its tables.
    if (!this.#exists()) return nothingHere(input);
    return this.#run((tx) => exchange(tx, input));
  }

  async get(seq: number): Promise<JobRecord | "deleted" | null> {
    return this.#look((tx) => get(tx, seq));
  }

  async list(input: ListInput): Promise<ListReply> {
    return this.#look((tx) => list(tx, input)) ?? { items: [], scannedTo: null, hidden: [] };
  }

  async cancel(seq: number): Promise<Reply<{ job: JobRecord }>> {
    return this.#onJob(seq, operate.cancel, (_tx, found) => operate.cancelFinished(found));
  }

  async retry(seq: number): Promise<Reply<{ job: JobRecord }>> {
    return this.#onJob(seq, operate.retry, (tx, found) => (found ? operate.reopen(tx, found) : "absent"));
  }

  async remove(seq: number): Promise<Reply<object>> {
    const inObject = (tx: Tx) => operate.remove(tx, seq, null);
    return this.#onJob(seq, inObject, (tx, found) => operate.remove(tx, seq, found));
  }

  async describe(): Promise<QueueDescription | null> {
    return this.#look((tx) => describe(tx, this.#armedAt));
  }

  async pause(reason: string | null): Promise<Reply<{ queue: QueueDescription }>> {
    this.#run((tx) => operate.pause(tx, reason));
    await this.#register();
    return { ok: true, queue: (await this.describe())! };
  }

  async resume(): Promise<Reply<{ queue: QueueDescription }>> {
    this.#run((tx) => operate.resume(tx));
    await this.#register();
    return { ok: true, queue: (await this.describe())! };
  }

  async configure(patch: SettingsPatch): Promise<Reply<{ settings: QueueDescription["settings"] }>> {
    const refused = this.#run((tx) => operate.configure(tx, this.#ports.settings, patch));
    if (refused) return refused;
    await this.#register();
    return { ok: true, settings: (await this.describe())!.settings };
  }

  async rollupSince(upto: number): Promise<Rollup> {
    return this.#look((tx) => rollupBetween(tx, upto, tx.books.nextOutboxId)) ?? {};
  }

  /** The second waker: does what the alarm would, and tidies what needs no hurry. */
  async poke(): Promise<PokeReply | null> {
    if (!this.#exists()) return null;
    // What is set is looked up and not believed: to find a lost alarm is what this is for.
    this.#armedAt = await this.#ports.alarm.get();
    this.#run((tx) => {
      wake(tx);
      trimOutbox(tx);
      trimKeys(tx);
    });
    await this.#register();
    await this.#flusher.flush();
    return this.#look((tx) => ({
      nextWakeAt: this.#armedAt,
      paused: tx.books.paused !== null,
      historyKeepMs: setting(tx.books, "historyKeepMs"),
      historyKeepDeadMs: setting(tx.books, "historyKeepDeadMs"),
    }));
  }

  /** The alarm's handler. Never throws: an alarm that throws for some minutes is never run again. */
  async alarm(): Promise<void> {
    const dueAt = this.#armedAt;
    this.#armedAt = null;
    try {
      const next = this.#look((tx) => {
        tx.books.metrics.alarms += 1;
        tx.books.metrics.alarmLatenessMs = dueAt === null ? 0 : Math.max(0, tx.now - dueAt);
        return nothingToSend(tx) ? nextDue(tx) : tx.now;
      });
      if (next === null || next === Number.POSITIVE_INFINITY) return;
      if (next > this.#ports.now()) return this.#arm(next);
      this.#arm(this.#ports.now() + ALARM_FALLBACK_MS);
      // Nothing is awaited: no alarm comes while one is at work, and a slow history must not hold up what is due.
      this.#run(wake);
      this.#ports.background(this.#register());
    } catch (error) {
      this.#arm(this.#ports.now() + ALARM_FALLBACK_MS);
      this.#ports.log("error", "alarm_failed", { queue: this.#ports.queue, error: String(error) });
    }
  }

  /** Runs a verb and everything that follows from it. */
  #run<Result>(verb: (tx: Tx) => Result): Result {
    const { result, flush } = this.#commit(verb);
    if (flush) this.#ports.background(this.#flusher.flush());
    return result;
  }

  /** Runs a verb, sets the alarm in the same turn, and sends tickets after the answer; says whether a flush is due. */
  #commit<Result>(verb: (tx: Tx) => Result): { result: Result; flush: boolean } {
    const { result, effects } = this.#engine.write(this.#ports.now(), verb);
    this.#arm(effects.wakeAt);
    if (effects.tickets.length > 0) this.#ports.background(this.#send(effects.tickets));
    return { result, flush: effects.flush };
  }

  #look<Result>(look: (tx: Tx) => Result): Result | null {
    return this.#engine.read(this.#ports.now(), look);
  }

  #exists(): boolean {
    return this.#look(() => true) ?? false;
  }

  /** Makes the alarm stand at `at` or earlier. Setting one costs a row, so an earlier one is left alone. */
  #arm(at: number | null): void {
    if (at === null) return;
    const now = this.#ports.now();
    const armed = this.#armedAt !== null && this.#armedAt >= now - ALARM_LOST_MS ? this.#armedAt : null;
    const wanted = Math.ceil(Math.max(at, now + ALARM_SOON_MS));
    if (armed !== null && armed <= wanted) return;
    this.#ports.alarm.set(wanted);
    this.#armedAt = wanted;
  }

  /** A ticket that cannot be sent counts as sent: it is found missing, and sent again, at the alarm. */
  async #send(tickets: Effects["tickets"]): Promise<void> {
    const { queue, partition } = this.#ports;
    try {
      await this.#ports.tickets.send(tickets.map((channel) => ({ queue, partition, channel })));
    } catch (error) {
      this.#ports.log("warn", "tickets_failed", { queue, tickets: tickets.length, error: String(error) });
    }
  }

  /** Makes the queue known before its first enqueue is answered; when the registry fails, later. */
  #register(): Promise<void> {
    if (this.#look((tx) => tx.books.registered) ?? true) return Promise.resolve();
    this.#registering ??= this.#tryRegister().finally(() => {
      this.#registering = null;
    });
    return this.#registering;
  }

  async #tryRegister(): Promise<void> {
    const { history, queue, partition, now, within } = this.#ports;
    try {
      await within(REGISTER_TIMEOUT_MS, history.register(queue, partition, now()));
      this.#commit(operate.noteRegistered);
    } catch (error) {
      this.#ports.log("warn", "register_failed", { queue, error: String(error) });
    }
  }

  /**
   * Does something to a job wherever it is. For one that only the history has, the history is read, and what was read
   * counts only if nothing has moved in the object meanwhile.
   */
  async #onJob<Done extends { ok: true }>(
    seq: number,
    inObject: (tx: Tx, seq: number) => Done | Refusal | "absent",
    inHistory: (tx: Tx, found: JobRecord | null) => Done | Refusal | "absent",
  ): Promise<Done | Refusal> {
    const { history, queue, partition, within } = this.#ports;
    const id = `${queue}:${partition}:${seq}`;
    for (let race = 0; race < RACES_MAX; race++) {
      const known = this.#look((tx) => (seq < tx.books.nextSeq ? moves(tx) : null));
      if (known === null) return notFound(id);
      const done = this.#run((tx) => inObject(tx, seq));
      if (done !== "absent") return done;
      if (this.#look((tx) => get(tx, seq)) === "deleted") return notFound(id);
      const found = await within(READ_TIMEOUT_MS, history.read(queue, partition, seq));
      const reply = this.#run((tx) => {
        const here = inObject(tx, seq);
        if (here !== "absent") return here;
        return moves(tx) === known ? inHistory(tx, found) : "moved";
      });
      if (reply === "absent") return notFound(id);
      if (reply !== "moved") return reply;
    }
    return { ok: false, code: "unavailable", detail: `Job ${id} kept changing while it was looked up: try again` };
  }
}

function nothingHere({ n, holding, settle }: ExchangeInput): ExchangeReply {
  const { leaseMs, slots } = DEFAULT_SETTINGS;
  const refused = settle.map(({ seq, fence }) => ({ seq, fence, code: "not_held" }));
  return { ok: true, n, jobs: "[]", lost: holding, refused, cancel: [], leaseMs, slots, retryInMs: null };
}

/** Changes with every end and every flush. */
function moves({ books }: Tx): string {
  return `${books.nextOutboxId}/${books.outbox.flushedUpto}`;
}

/** Ready work that waits for a worker means that tickets are to be looked at. */
function nothingToSend(tx: Tx): boolean {
  return tx.books.paused !== null || readyCount(tx.books, () => true) === 0;
}
