/**
 * Runs verbs of a queue's engine: reads the clock once, arms the alarm in the same turn, and carries out the effects
 * after the answer.
 *
 * @module
 */
import { Courier } from "./courier.ts";
import { Engine } from "./engine/engine.ts";
import { isForgotten, remember } from "./engine/forget.ts";
import * as operate from "./engine/operate.ts";
import type { Effects, Tx } from "./engine/ports.ts";
import { leave } from "./engine/standing.ts";
import { Flusher } from "./flusher.ts";
import type { ShellPorts } from "./ports.ts";

/** An alarm this far in the past will not come any more. */
const ALARM_LOST_MS = 60_000;
/** An alarm for now is set this much later: one for the very instant may be swallowed (platform note on setAlarm). */
const ALARM_SOON_MS = 5;
const REGISTER_TIMEOUT_MS = 2_000;

export class Runner {
  readonly #ports: ShellPorts;
  readonly #engine: Engine;
  readonly flusher: Flusher;
  readonly #courier: Courier;
  armedAt: number | null = null;
  #registering: Promise<void> | null = null;

  constructor(ports: ShellPorts, engine: Engine = engineOf(ports)) {
    this.#ports = ports;
    this.#engine = engine;
    this.flusher = new Flusher(
      ports,
      this.#engine,
      (verb) => this.#commit(verb).flush,
      (at) => this.arm(at),
    );
    this.#courier = new Courier(
      ports,
      this.#engine,
      (verb) => this.run(verb),
      (at) => this.arm(at),
    );
  }

  /** Runs a verb and everything that follows from it. */
  run<Result>(verb: (tx: Tx) => Result): Result {
    const { result, flush } = this.#commit(verb);
    if (flush) this.#ports.background(this.flusher.flush());
    return result;
  }

  /** Reads; null where nothing was ever written. */
  look<Result>(look: (tx: Tx) => Result): Result | null {
    return this.#engine.read(this.#ports.now(), look);
  }

  exists(): boolean {
    return this.look(() => true) ?? false;
  }

  /** Runs a verb, sets the alarm and tells sessions in the same turn, and sends tickets and parcels after the answer; says whether a flush is due. */
  #commit<Result>(verb: (tx: Tx) => Result): { result: Result; flush: boolean } {
    const { result, effects } = this.#engine.write(this.#ports.now(), verb);
    this.arm(effects.wakeAt);
    this.#tell(effects);
    if (effects.tickets.length > 0) this.#ports.background(this.#send(effects.tickets));
    if (effects.deliver) this.#ports.background(this.#courier.deliver());
    return { result, flush: effects.flush };
  }

  /** Makes the alarm stand at `at` or earlier. Setting one costs a row, so an earlier one is left alone. */
  arm(at: number | null): void {
    if (at === null) return;
    const now = this.#ports.now();
    const armed = this.armedAt !== null && this.armedAt >= now - ALARM_LOST_MS ? this.armedAt : null;
    const wanted = Math.ceil(Math.max(at, now + ALARM_SOON_MS));
    if (armed !== null && armed <= wanted) return;
    this.#ports.alarm.set(wanted);
    this.armedAt = wanted;
  }

  /** What is sent leaves the object once the commit is durable. */
  #tell({ handouts, silent, changes }: Effects): void {
    const { sockets, watchers } = this.#ports;
    if (changes) watchers?.tell(changes);
    if (!sockets || handouts.length + silent.length === 0) return;
    sockets.silence(silent);
    this.look((tx) => {
      for (const session of sockets.tell(handouts, tx.books.standing)) leave(tx, session);
    });
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
  register(): Promise<void> {
    if (this.look((tx) => tx.books.registered) ?? true) return Promise.resolve();
    if (this.look(isForgotten)) this.#commit(remember);
    this.#registering ??= this.#tryRegister().finally(() => {
      this.#registering = null;
    });
    return this.#registering;
  }

  /** The same for what goes on by itself: it does not bring back a queue that was deleted. */
  registerAgain(): Promise<void> {
    const deleted = this.look((tx) => !tx.books.registered && isForgotten(tx)) ?? false;
    return deleted ? Promise.resolve() : this.register();
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
}

function engineOf(ports: ShellPorts): Engine {
  const { sockets, watchers } = ports;
  if (!sockets) return new Engine(ports);
  const watched = watchers && { watched: watchers.watched };
  return new Engine({
    ...ports,
    ...watched,
    standing: () => sockets.standing(),
    alive: (session) => sockets.alive(session),
  });
}
