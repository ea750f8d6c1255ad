import type { ExchangeInput, ExchangeReply, Ticket } from "../../client/wire.ts";
import { checkAnswer } from "./claims.ts";
import { Clock } from "./clock.ts";
import { type Faults, SimHistory } from "./history.ts";
import { type Cause, type Hooks, Host } from "./host.ts";
import { Model } from "./model.ts";
import { Network } from "./network.ts";
import { Observer, type Seen } from "./observer.ts";
import { Random } from "./random.ts";
import { MIX, type Operation, Users } from "./users.ts";
import { Violation } from "./violation.ts";
import { checkArmed, checkHistory } from "./watch.ts";
import { Consumer, Rogue } from "./workers.ts";

export interface WorldOptions {
  seed: number;
  /** Operations before the faults stop. */
  steps: number;
  hooks?: Hooks;
  prepare?(world: World): void;
}

export interface Outcome {
  violation: Violation | null;
  events: number;
  jobs: number;
  trace: string[];
}

const TRACE_LINES = 60;
const DRAIN_MS = 40 * 3_600_000;
const SWEEP_MS = 60_000;

/** One run: a queue, its users, workers, network and history, under one clock and one seed. */
export class World {
  readonly clock = new Clock();
  readonly model = new Model();
  readonly faults: Faults;
  readonly random: Random;
  readonly history: SimHistory;
  readonly network: Network;
  readonly host: Host;
  readonly consumers = new Set<Consumer>();
  readonly trace: string[] = [];
  events = 0;
  ticketsOnTheWay = 0;
  /** The rank of the oldest ready job, since a channel had none. */
  readonly readySince = { short: Number.POSITIVE_INFINITY, long: Number.POSITIVE_INFINITY };
  readonly #options: WorldOptions;
  readonly #users: Users;
  readonly #rogues: Rogue[];
  #sessions = 0;
  #nextPokeAt = SWEEP_MS;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
    this.faults = { level: this.random.pick([0.3, 1, 1, 2]) };
    this.history = new SimHistory(this.clock, this.random, this.faults);
    this.network = new Network(this.clock, this.random, this.faults);
    const observer = (): Observer => {
      throw new Error("The host is made first");
    };
    let watch = observer;
    this.host = new Host({
      clock: this.clock,
      random: this.random,
      faults: this.faults,
      history: this.history,
      settings: {},
      hooks: options.hooks ?? {},
      sendTickets: (tickets) => this.#sendTickets(tickets),
      committed: (incarnation, cause) => watch().committed(incarnation, cause),
      broken: (detail) => this.model.fail("check", detail),
      note: (text) => this.note(text),
    });
    const made = new Observer(this.model, this.host);
    watch = () => made;
    this.#users = new Users(this);
    this.#rogues = [new Rogue(this, "rogue1"), new Rogue(this, "rogue2")];
    this.history.onRow = ({ seq, fence, state }) => {
      const known = this.model.jobs.get(seq)?.ends.some((end) => end.fence === fence && end.state === state);
      this.model.expect(
        !!known,
        "history",
        () => `the history has job ${seq}/${fence} ${state}, which was no end of it`,
      );
    };
    options.prepare?.(this);
  }

  /** Runs to the end and says what did not hold, if anything. */
  async run(): Promise<Outcome> {
    try {
      this.#act(this.#options.steps);
      this.#sweep();
      let drainUntil = Number.POSITIVE_INFINITY;
      for (;;) {
        if (!(await this.clock.step())) break;
        this.events += 1;
        this.model.time = this.clock.time;
        checkArmed(this);
        if (this.model.violation) throw this.model.violation;
        if (this.#acting > 0) continue;
        if (drainUntil === Number.POSITIVE_INFINITY) drainUntil = this.clock.time + DRAIN_MS;
        if (this.#drained()) break;
        if (this.clock.time > drainUntil) throw new Violation("drained", this.#left());
      }
      if (!this.#drained()) throw new Violation("drained", this.#left());
      await checkHistory(this);
      if (this.model.violation) throw this.model.violation;
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      return { violation: error, events: this.events, jobs: this.model.maxSeq, trace: this.trace };
    }
    return { violation: null, events: this.events, jobs: this.model.maxSeq, trace: this.trace };
  }

  note(text: string): void {
    this.trace.push(`${(this.clock.time / 1000).toFixed(3)} ${text}`);
    if (this.trace.length > TRACE_LINES) this.trace.shift();
  }

  /** An exchange, with its answer checked against what is. */
  async exchange(input: ExchangeInput): Promise<ExchangeReply> {
    const cause: Cause = { kind: "exchange", input };
    const reply = await this.host.exchange(input, cause);
    const settled = input.settle.map(({ seq, fence, outcome }) => `${seq}/${fence} ${outcome}`);
    this.note(
      `${input.session} #${input.n} wants ${input.want} settles [${settled}] holds ${JSON.stringify(input.holding)} → ${
        reply.ok
          ? `jobs ${JSON.stringify((JSON.parse(reply.jobs) as unknown[][]).map(([seq, , , , f]) => `${seq}/${f}`))} lost ${JSON.stringify(reply.lost)} refused ${reply.refused.length}`
          : reply.detail
      }`,
    );
    if (cause.seen) checkAnswer(this.model, input, reply, cause.seen as Seen);
    return reply;
  }

  async poke(): Promise<void> {
    const reply = await this.host.call({ kind: "other" }, (shell) => shell.poke());
    this.host.alarmLost &&= this.host.alarmAt === null;
    const next = reply?.nextWakeAt ?? null;
    const inMs = next === null ? 3_600_000 : Math.max(0, next - this.clock.wall()) + 30_000;
    this.#nextPokeAt = this.clock.time + Math.min(inMs, 3_600_000);
  }

  #acting = 1;

  /** Does one thing after the other, without waiting for the answers. */
  #act(left: number) {
    const { random, clock } = this;
    if (left === 0) return this.#calm();
    const gap = random.weighted({ burst: 6, short: 6, long: 2, break: 0.4 });
    const ms = {
      burst: random.int(0, 5),
      short: random.int(5, 2_000),
      long: random.int(2_000, 40_000),
      break: random.int(60_000, 900_000),
    };
    clock.in(ms[gap], () => {
      this.model.time = clock.time;
      const operation = random.weighted<Operation>(MIX);
      this.note(operation);
      this.#do(operation);
      this.#act(left - 1);
    });
  }

  #do(operation: Operation) {
    const { random, clock } = this;
    switch (operation) {
      case "rogue":
        return void random
          .pick(this.#rogues)
          .act()
          .catch(() => {});
      case "evict":
        return this.host.evict();
      case "crash":
        for (const consumer of this.consumers) if (random.chance(0.4)) consumer.dead = true;
        return;
      case "freeze":
        for (const consumer of this.consumers) {
          if (random.chance(0.5)) consumer.frozenUntil = clock.time + random.int(100, 80_000);
        }
        return;
      case "skew":
        clock.skew = random.chance(0.5) ? 0 : -random.int(1, random.pick([50, 3_000]));
        return;
      default:
        return void this.#users.act(operation).catch(() => {});
    }
  }

  /** Faults stop, and nothing is closed any more. */
  #calm(): void {
    this.note("calm");
    this.faults.level = 0;
    const open = async (): Promise<void> => {
      await this.host.call({ kind: "other" }, (shell) => shell.resume());
      await this.host.call({ kind: "other" }, (shell) => shell.configure({ concurrency: null, maxSessions: null }));
      this.#acting = 0;
    };
    void open().catch(() => this.clock.in(1_000, () => this.#calm()));
  }

  /** The cron trigger: pokes the queue when it is overdue by what it said last, and hourly. */
  #sweep(): void {
    this.clock.in(SWEEP_MS, () => {
      if (this.clock.time >= this.#nextPokeAt) void this.poke().catch(() => {});
      this.#sweep();
    });
  }

  async #sendTickets(tickets: Ticket[]): Promise<void> {
    const { random, clock, faults } = this;
    await clock.sleep(random.int(0, 5));
    if (random.chance(0.05 * faults.level)) throw new Error("Too Many Requests");
    if (random.chance(0.01 * faults.level)) return new Promise(() => {});
    for (const ticket of tickets) {
      if (random.chance(0.1 * faults.level)) continue;
      this.#deliver(ticket, random.int(1, 60));
      if (random.chance(0.1 * faults.level)) this.#deliver(ticket, random.int(1, 60_000));
    }
  }

  #deliver(ticket: Ticket, inMs: number): void {
    const { random, clock, faults } = this;
    this.ticketsOnTheWay += 1;
    clock.in(random.chance(0.1 * faults.level) ? inMs * 50 : inMs, () => {
      this.ticketsOnTheWay -= 1;
      const consumer = new Consumer(this, `s${++this.#sessions}`, ticket);
      this.consumers.add(consumer);
      void consumer.run().finally(() => this.consumers.delete(consumer));
    });
  }

  #drained(): boolean {
    for (const consumer of this.consumers) if (consumer.dead) this.consumers.delete(consumer);
    if (this.model.live().length > 0 || this.consumers.size > 0) return false;
    for (const row of this.model.outbox.values()) {
      for (const [seq, fence] of row.kind === "history" || row.kind === "sent" ? row.entries : []) {
        const gone = (this.history.forgotten.get(seq) ?? -1) >= fence;
        if (!gone && (this.history.rows.get(seq)?.fence ?? -1) < fence) return false;
      }
      // What is not kept takes its earlier ends out of the history.
      if (row.kind === "result" && row.entries.some(([seq]) => this.history.rows.has(seq))) return false;
      for (const [seq, fence] of row.kind === "delete" ? row.entries : []) {
        if ((this.history.forgotten.get(seq) ?? -1) < fence) return false;
      }
    }
    return true;
  }

  #left(): string {
    const jobs = this.model.live().map(({ seq, live }) => `${seq} ${live!.task} ${live!.state} due ${live!.wake_at}`);
    return `not done in the end: jobs [${jobs}], ${this.consumers.size} sessions, ${this.model.outbox.size} outbox rows`;
  }
}
