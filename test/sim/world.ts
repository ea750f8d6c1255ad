import type { Delivery } from "../../client/types.ts";
import type { Parcel, ParcelReply } from "../../client/wire.ts";
import { Clock } from "./clock.ts";
import { drawFeatures, type Features } from "./features.ts";
import { checkForgotten } from "./forgotten.ts";
import type { Faults } from "./history.ts";
import type { Hooks } from "./host.ts";
import { Ledger } from "./ledger.ts";
import { Random } from "./random.ts";
import { Site } from "./site.ts";
import { MIX, type Operation, Users } from "./users.ts";
import { Violation } from "./violation.ts";
import { checkArmed, checkHistory } from "./watch.ts";
import { Rogue } from "./workers.ts";

export interface WorldOptions {
  seed: number;
  /** Operations before the faults stop. */
  steps: number;
  /** Instead of what the seed says. */
  features?: Features;
  hooks?: Hooks;
  /** A run that takes more events does not come to its end. @default {2_000_000} */
  eventsMax?: number;
  prepare?(world: World): void;
}

export interface Outcome {
  violation: Violation | null;
  events: number;
  jobs: number;
  trace: string[];
}

const TRACE_LINES = 60;
/** Nothing that was sent before the faults stopped arrives later. */
const CALM_MS = 600_000;
/** Jobs that nobody takes are given up after a day, one after the other where they are ordered. */
const DRAIN_MS = 30 * 86_400_000;

/** One run: queues, their users, workers, network and history, under one clock and one seed. */
export class World {
  readonly clock = new Clock();
  readonly faults: Faults;
  readonly random: Random;
  readonly features: Features;
  /** The first is what users work with. */
  readonly sites: Site[];
  readonly trace: string[] = [];
  events = 0;
  readonly #options: WorldOptions;
  readonly #users: Users;
  readonly #rogues: Rogue[];
  #acting: number;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = new Random(options.seed);
    this.features = options.features ?? drawFeatures(options.seed);
    this.faults = { level: this.random.pick([0.3, 1, 1, 2]) };
    const { clock, random, faults, features } = this;
    const queues = features.followUps ? ["mail", "errands"] : ["mail"];
    const around = {
      clock,
      random,
      faults,
      features,
      hooks: options.hooks ?? {},
      note: (text: string) => this.note(text),
      ledger: new Ledger(),
      queues,
      deliver: (queue: string, parcels: Parcel[]) => this.#deliver(queue, parcels),
    };
    const deliveries = { push: 1, pull: 3, both: 4 } as const;
    this.sites = queues.map((queue) => {
      const delivery = features.remote ? random.weighted<Delivery>(deliveries) : "push";
      return new Site(queue, around, {}, delivery);
    });
    const [mail] = this.sites as [Site];
    this.#users = new Users(mail);
    this.#rogues = [new Rogue(mail, "rogue1"), new Rogue(mail, "rogue2")];
    this.#acting = this.sites.length;
    options.prepare?.(this);
  }

  /** Runs to the end and says what did not hold, if anything. */
  async run(): Promise<Outcome> {
    let violation: Violation | null = null;
    try {
      this.#act(this.#options.steps);
      for (const site of this.sites) {
        site.sweep();
        if (site.delivery !== "push") site.staff.open();
      }
      await this.#live();
      for (const site of this.sites) await checkHistory(site);
      for (const site of this.sites) await checkForgotten(site, () => this.#unschedule(site));
      this.#check();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      violation = error;
    }
    const jobs = this.sites.reduce((sum, site) => sum + site.model.jobs.size, 0);
    return { violation, events: this.events, jobs, trace: this.trace };
  }

  note(text: string): void {
    this.trace.push(`${(this.clock.time / 1000).toFixed(3)} ${text}`);
    if (this.trace.length > TRACE_LINES) this.trace.shift();
  }

  async #live(): Promise<void> {
    const { eventsMax = 2_000_000 } = this.#options;
    let drainUntil = Number.POSITIVE_INFINITY;
    for (;;) {
      if (!(await this.clock.step())) break;
      this.events += 1;
      if (this.events > eventsMax) throw new Violation("drained", `there is no end after ${eventsMax} events`);
      for (const site of this.sites) {
        site.model.time = this.clock.time;
        checkArmed(site);
        site.observer.handouts.settled();
      }
      this.#check();
      if (this.#acting > 0) continue;
      if (drainUntil === Number.POSITIVE_INFINITY) drainUntil = this.clock.time + DRAIN_MS;
      if (this.sites.every((site) => site.drained())) return;
      if (this.clock.time > drainUntil) break;
    }
    const undone = this.sites.find((site) => !site.drained());
    if (undone) throw new Violation("drained", undone.left());
  }

  async #deliver(queue: string, parcels: Parcel[]): Promise<ParcelReply[]> {
    const site = this.sites.find((one) => one.queue === queue);
    if (!site) throw new Error(`There is no queue ${queue}`);
    return site.network.call(() => site.host.call({ kind: "deliver", parcels }, (shell) => shell.deliver(parcels)));
  }

  #check(): void {
    for (const { model } of this.sites) if (model.violation) throw model.violation;
  }

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
      for (const site of this.sites) site.model.time = clock.time;
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
        return this.#rogue();
      case "evict":
        return this.#evict(random.pick(this.sites));
      case "crash":
        for (const { consumers, staff } of this.sites) {
          for (const consumer of consumers) if (random.chance(0.4)) consumer.dead = true;
          for (const worker of [...staff.workers]) if (random.chance(0.3)) staff.crash(worker);
        }
        return;
      case "freeze":
        for (const { consumers, staff } of this.sites) {
          for (const process of [...consumers, ...staff.workers]) {
            if (random.chance(0.5)) process.frozenUntil = clock.time + random.int(100, 80_000);
          }
        }
        return;
      case "skew":
        clock.skew = random.chance(0.5) ? 0 : -random.int(1, random.pick([50, 3_000]));
        return;
      default:
        return void this.#users.act(operation).catch(() => {});
    }
  }

  #rogue(): void {
    const [mail] = this.sites as [Site];
    if (mail.delivery !== "push" && this.random.chance(0.4)) mail.staff.rogue.act();
    else
      void this.random
        .pick(this.#rogues)
        .act()
        .catch(() => {});
  }

  /** It sleeps, its sockets stay; or a deploy takes these too. */
  #evict({ host, delivery }: Site): void {
    host.evict();
    if (delivery !== "push" && this.random.chance(0.3)) host.links.cutAll();
  }

  /** Faults stop, and nothing is closed any more. */
  #calm(): void {
    this.note("calm");
    this.faults.level = 0;
    for (const site of this.sites) {
      // A deploy without schedules.
      site.code = null;
      site.host.evict();
      if (site.delivery !== "push") site.staff.calm();
      this.#open(site);
    }
  }

  #open(site: Site): void {
    const other = { kind: "other" } as const;
    const open = async (): Promise<void> => {
      await site.host.call(other, (shell) => shell.resume());
      await site.host.call(other, (shell) => shell.configure({ concurrency: null, maxSessions: null }));
      await this.#unschedule(site);
      this.#acting -= 1;
      // A request that was on its way may have put one back.
      this.clock.in(CALM_MS, () => void this.#unschedule(site).catch(() => {}));
    };
    void open().catch(() => this.clock.in(1_000, () => this.#open(site)));
  }

  async #unschedule(site: Site): Promise<void> {
    for (const name of site.model.schedules.names()) {
      await site.host.call({ kind: "schedule", verb: "remove", name }, (shell) => shell.removeSchedule(name));
    }
  }
}
