import type { Delivery } from "../../client/types.ts";
import type {
  ExchangeInput,
  ExchangeReply,
  FollowUps,
  LeasedTuple,
  Parcel,
  ParcelReply,
  Ticket,
  WireOutcome,
} from "../../client/wire.ts";
import type { CodeSchedules, CodeSettings } from "../../durable-objects/engine/ports.ts";
import { checkAnswer } from "./claims.ts";
import type { Clock } from "./clock.ts";
import type { Features } from "./features.ts";
import { type Faults, SimHistory } from "./history.ts";
import { type Cause, type Hooks, Host } from "./host.ts";
import type { Ledger } from "./ledger.ts";
import { Link } from "./links.ts";
import { Model } from "./model.ts";
import { Network } from "./network.ts";
import { Observer, type Seen } from "./observer.ts";
import type { Random } from "./random.ts";
import { Staff } from "./staff.ts";
import { TAKE_NAMES, TASK_NAMES } from "./tasks.ts";
import { Consumer } from "./workers.ts";

/** What the queues of a world have in common. */
export interface Surroundings {
  clock: Clock;
  random: Random;
  faults: Faults;
  features: Features;
  hooks: Hooks;
  note(text: string): void;
  ledger: Ledger;
  /** The names of all queues. */
  queues: readonly string[];
  /** Carries parcels from one queue to another. */
  deliver(queue: string, parcels: Parcel[]): Promise<ParcelReply[]>;
}

const SWEEP_MS = 60_000;
/** Tasks that consumers run where other workers come too. */
const PUSHED = new Set([...TASK_NAMES, ...TAKE_NAMES].filter((task, index) => task !== "nobody" && index % 2 === 0));

/** One queue of the world: its object, its history, who works at it, and what the model knows of it. */
export class Site {
  readonly queue: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  readonly features: Features;
  readonly note: (text: string) => void;
  readonly ledger: Ledger;
  readonly queues: readonly string[];
  readonly model: Model;
  readonly history: SimHistory;
  readonly network: Network;
  readonly host: Host;
  readonly delivery: Delivery;
  readonly consumers = new Set<Consumer>();
  /** Workers that connect. */
  readonly staff: Staff;
  readonly observer: Observer;
  /** The rank of the oldest ready job, since a channel had none. */
  readonly readySince = { short: Number.POSITIVE_INFINITY, long: Number.POSITIVE_INFINITY };
  /** The schedules that the next object's code declares. */
  code: CodeSchedules | null = null;
  /** What the check of alarms saw last. */
  standing = "";
  readonly #asked = new Map<string, FollowUps[] | undefined>();
  #sessions = 0;
  #nextPokeAt = SWEEP_MS;

  constructor(queue: string, around: Surroundings, settings: CodeSettings, delivery: Delivery = "push") {
    const { clock, random, faults, features, hooks, note, ledger } = around;
    this.queue = queue;
    this.delivery = delivery;
    this.clock = clock;
    this.random = random;
    this.faults = faults;
    this.features = features;
    this.note = (text) => note(`${queue} ${text}`);
    this.ledger = ledger;
    this.queues = around.queues;
    this.model = new Model(queue, ledger);
    this.history = new SimHistory(clock, random, faults);
    this.network = new Network(clock, random, faults);
    this.host = new Host({
      queue,
      clock,
      random,
      faults,
      history: this.history,
      settings,
      schedules: () => this.code,
      hooks,
      sendTickets: (tickets) => this.#sendTickets(tickets),
      deliver: (queue, _partition, parcels) => around.deliver(queue, parcels),
      committed: (incarnation, cause) => this.observer.committed(incarnation, cause),
      remote: delivery === "push" ? null : { pushes: (task) => this.pushes(task) },
      frame: (run, input) => this.#exchange(this.withFollowUps(input), run),
      told: (handouts) => this.observer.handouts.told(handouts),
      broken: (detail) => this.model.fail("check", detail),
      note: this.note,
    });
    this.observer = new Observer(this.model, this.host);
    this.staff = new Staff(this);
    this.history.onRow = ({ seq, fence, state }) => {
      const known = this.model.jobs.get(seq)?.ends.some((end) => end.fence === fence && end.state === state);
      this.model.expect(
        !!known,
        "history",
        () => `the history has job ${seq}/${fence} ${state}, which was no end of it`,
      );
    };
  }

  /** An exchange, with its answer checked against what is. */
  exchange(input: ExchangeInput): Promise<ExchangeReply> {
    return this.#exchange(input, (its, cause) => this.host.exchange(its, cause));
  }

  async #exchange(
    input: ExchangeInput,
    run: (input: ExchangeInput, cause: Cause) => Promise<ExchangeReply>,
  ): Promise<ExchangeReply> {
    const cause: Cause = { kind: "exchange", input };
    const reply = await run(input, cause);
    const settled = input.settle.map(({ seq, fence, outcome }) => `${seq}/${fence} ${outcome}`);
    this.note(
      `${input.session} #${input.n} wants ${input.want} settles [${settled}] holds ${JSON.stringify(input.holding)} → ${
        reply.ok
          ? `jobs ${JSON.stringify((JSON.parse(reply.jobs) as LeasedTuple[]).map(([seq, , , , f]) => `${seq}/${f}`))} lost ${JSON.stringify(reply.lost)} refused ${reply.refused.length}`
          : reply.detail
      }`,
    );
    if (cause.seen) checkAnswer(this.model, input, reply, cause.seen as Seen);
    return reply;
  }

  /** Whether consumers run jobs of a task. */
  pushes(task: string): boolean {
    return this.delivery === "push" || (this.delivery === "both" && PUSHED.has(task));
  }

  /** What consumers say that they run; nothing where they run everything. */
  get named(): { tasks?: string[] } {
    return this.delivery === "both" ? { tasks: [...PUSHED] } : {};
  }

  /** A connection to the object; what comes by it runs in the client's process. */
  link(inClient: (run: () => void) => void): Link {
    const link = new Link(this, this.host.callee, inClient);
    this.host.links.add(link);
    return link;
  }

  /** What handlers asked for, the same however often their outcomes are sent. */
  withFollowUps(input: ExchangeInput): ExchangeInput {
    return { ...input, settle: input.settle.map((outcome) => this.#withFollowUps(outcome)) };
  }

  #withFollowUps(outcome: WireOutcome): WireOutcome {
    if (outcome.outcome !== "completed") return outcome;
    const { random, features, ledger, queues, clock } = this;
    const attempt = `${outcome.seq}/${outcome.fence}`;
    if (!this.#asked.has(attempt)) this.#asked.set(attempt, ledger.draw(random, features, queues, clock.wall()));
    const enqueue = this.#asked.get(attempt);
    return enqueue ? { ...outcome, enqueue } : outcome;
  }

  async poke(): Promise<void> {
    // Only a loss of before can have been found.
    const lost = this.host.alarmLost;
    const reply = await this.host.call({ kind: "other" }, (shell) => shell.poke());
    if (lost) this.host.alarmLost = this.host.alarmAt === null;
    const next = reply?.nextWakeAt ?? null;
    const inMs = next === null ? 3_600_000 : Math.max(0, next - this.clock.wall()) + 30_000;
    this.#nextPokeAt = this.clock.time + Math.min(inMs, 3_600_000);
  }

  /** The cron trigger: pokes the queue when it is overdue by what it said last, and hourly. */
  sweep(): void {
    this.clock.in(SWEEP_MS, () => {
      if (this.clock.time >= this.#nextPokeAt) void this.poke().catch(() => {});
      this.sweep();
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
    clock.in(random.chance(0.1 * faults.level) ? inMs * 50 : inMs, () => {
      const consumer = new Consumer(this, `s${++this.#sessions}`, ticket);
      this.consumers.add(consumer);
      void consumer.run().finally(() => this.consumers.delete(consumer));
    });
  }

  /** Whether every job has ended, nobody works, and the history has all of it. */
  drained(): boolean {
    for (const consumer of this.consumers) if (consumer.dead) this.consumers.delete(consumer);
    if (this.model.living.size > 0 || this.consumers.size > 0 || this.ledger.owes(this.queue) > 0) return false;
    for (const row of this.model.outbox.values()) {
      for (const [seq, fence] of row.kind === "history" || row.kind === "sent" ? row.entries : []) {
        const gone = (this.history.forgotten.get(seq) ?? -1) >= fence;
        if (!gone && (this.history.rows.get(seq)?.fence ?? -1) < fence) return false;
      }
      for (const [seq, fence] of row.kind === "delete" ? row.entries : []) {
        if ((this.history.forgotten.get(seq) ?? -1) < fence) return false;
      }
    }
    return true;
  }

  left(): string {
    const jobs = [...this.model.living.values()].map(
      ({ seq, live }) => `${seq} ${live!.task} ${live!.state} due ${live!.wake_at}`,
    );
    return `${this.queue} is not done in the end: jobs [${jobs}], ${this.consumers.size} sessions, ${this.model.outbox.size} outbox rows, ${this.ledger.owes(this.queue)} owed`;
  }
}
