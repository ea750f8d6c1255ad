import type {
  ExchangeInput,
  ExchangeReply,
  Handout,
  Parcel,
  ParcelReply,
  ScheduleInput,
  Ticket,
} from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import type { CodeSchedules, CodeSettings, Sql, Storage } from "../../durable-objects/engine/ports.ts";
import type { ShellPorts } from "../../durable-objects/ports.ts";
import { QueueShell } from "../../durable-objects/shell.ts";
import { nodeStorage } from "../support/node-storage.ts";
import type { Cause, Hooks } from "./cause.ts";
import type { Clock } from "./clock.ts";
import type { Faults, SimHistory } from "./history.ts";
import { Links } from "./links.ts";
import type { Random } from "./random.ts";
import { calleeOf, Office } from "./sockets.ts";

export type { Cause, Hooks } from "./cause.ts";

export interface Incarnation {
  dead: boolean;
  /** The latest instant that it has read. */
  now: number;
  /** What its code declares; null once the model has been told. */
  code: ReadonlyMap<string, ScheduleInput> | null;
  engine: Engine;
  shell: QueueShell;
  /** Null: the queue has no sockets. */
  office: Office | null;
  ready: Promise<void>;
  died: Promise<never>;
  kill(): void;
}

export interface HostDeps {
  queue: string;
  clock: Clock;
  random: Random;
  faults: Faults;
  history: SimHistory;
  settings: CodeSettings;
  /** Schedules that code declares at present. */
  schedules(): CodeSchedules | null;
  hooks: Hooks;
  /** Null: consumers run every task. */
  remote: { pushes(task: string): boolean } | null;
  /** Carries out one exchange whose frame came by a socket. */
  frame(
    run: (input: ExchangeInput, cause: Cause) => Promise<ExchangeReply>,
    input: ExchangeInput,
  ): Promise<ExchangeReply>;
  /** Handouts leave the object. */
  told(handouts: Handout[]): void;
  sendTickets(tickets: Ticket[]): Promise<void>;
  deliver(queue: string, partition: number, parcels: Parcel[]): Promise<ParcelReply[]>;
  /** After each transaction, within the turn. */
  committed(incarnation: Incarnation, cause: Cause): void;
  /** Something that must never happen did. */
  broken(detail: string): void;
  note(text: string): void;
}

const ALARM_RETRIES = 6;
const WRITES = /\b(INSERT|UPDATE|DELETE|CREATE)\b/;

/** The platform under one queue: storage and alarm that last, and an object over them that may go at any wait. */
export class Host {
  readonly storage = nodeStorage();
  readonly deps: HostDeps;
  /** The latest instant that any of them has read: alarms were set by it, also where the clock has been put back since. */
  latest = 0;
  incarnation: Incarnation | null = null;
  alarmAt: number | null = null;
  /** True while the handler runs or will be tried again. */
  alarmBusy = false;
  /** The platform lost an alarm: only the second waker can help. */
  alarmLost = false;
  dirty = true;
  readonly links = new Links();
  readonly callee = calleeOf(this);
  /** Alarms that changed no job, by the clock of the world. */
  idleAlarms: number[] = [];
  #cancelAlarm = (): void => {};
  #cause: Cause = null;

  constructor(deps: HostDeps) {
    this.deps = deps;
  }

  /** The storage as the object sees it. */
  readonly sql: Sql = {
    exec: (query, ...params) => this.storage.sql.exec(this.deps.hooks.sql?.(query) ?? query, ...params),
  };

  /** Calls the object as the network would, waking it when needed; rejects when it goes before it answers. */
  async call<Value>(cause: Cause, run: (shell: QueueShell) => Promise<Value>): Promise<Value> {
    const incarnation = await this.ready();
    return await Promise.race([this.#because(cause, () => run(incarnation.shell)), incarnation.died]);
  }

  /** The object, woken when needed. */
  async ready(): Promise<Incarnation> {
    const incarnation = this.incarnation ?? this.#wake();
    await Promise.race([incarnation.ready, incarnation.died]);
    if (incarnation.dead) throw new Error("The object was reset");
    return incarnation;
  }

  broken(error: unknown): void {
    this.deps.broken(`a socket's message was not taken: ${error}`);
  }

  #because<Value>(cause: Cause, run: () => Promise<Value>): Promise<Value> {
    this.#cause = cause;
    try {
      return run();
    } finally {
      this.#cause = null;
    }
  }

  #hooked(input: ExchangeInput): ExchangeInput {
    return this.deps.hooks.exchange?.(input, this) ?? input;
  }

  exchange(input: ExchangeInput, cause: Cause): Promise<ExchangeReply> {
    return this.call(cause, (shell) => shell.exchange(this.#hooked(input)));
  }

  /** The object goes, with all that it had in memory. What it awaits goes on, and finds the storage closed. */
  evict(): void {
    if (!this.incarnation) return;
    this.deps.note("evicted");
    this.incarnation.kill();
    this.incarnation = null;
  }

  #wake(): Incarnation {
    let kill = (): void => {};
    const died = new Promise<never>((_resolve, reject) => {
      kill = () => reject(new Error("The object was reset"));
    });
    died.catch(() => {});
    const schedules = this.deps.schedules();
    const code = schedules?.inputs ?? new Map();
    const incarnation = { dead: false, now: 0, code, died } as unknown as Incarnation;
    incarnation.kill = () => {
      incarnation.dead = true;
      kill();
    };
    const base = { ...this.#ports(incarnation), ...(schedules ? { schedules } : {}) };
    incarnation.office = this.deps.remote && this.#office(base);
    const sockets = incarnation.office?.port;
    const ports = { ...base, ...(sockets && { sockets }), ...this.deps.remote };
    incarnation.engine = new Engine({ ...ports, ...sockets });
    incarnation.shell = new QueueShell(ports, incarnation.engine);
    incarnation.ready = incarnation.shell.start();
    this.incarnation = incarnation;
    return incarnation;
  }

  #office({ queue, log }: ShellPorts): Office {
    const { clock, hooks, frame, told } = this.deps;
    // Not as the engine reads it: a transaction has the time of its own reads.
    const now = (): number => clock.wall();
    const exchange = (shell: QueueShell, input: ExchangeInput) =>
      frame((its, cause) => this.#because(cause, () => shell.exchange(this.#hooked(its))), input);
    return new Office({ queue, links: this.links, now, log, hooks: hooks.sockets ?? {}, exchange, told });
  }

  #ports(incarnation: Incarnation): ShellPorts {
    const { clock, random, history, settings, note } = this.deps;
    return {
      queue: this.deps.queue,
      partition: 0,
      settings,
      storage: this.#storageOf(incarnation),
      alarm: {
        get: async () => {
          await clock.sleep(random.int(0, 2));
          return this.alarmAt;
        },
        set: (at) => {
          if (incarnation.dead) throw new Error("The object was reset");
          this.#setAlarm(at);
        },
      },
      tickets: { send: this.deps.sendTickets },
      deliver: this.deps.deliver,
      history: history.port(),
      now: () => {
        const now = clock.wall();
        incarnation.now = Math.max(incarnation.now, now);
        this.latest = Math.max(this.latest, now);
        return now;
      },
      random: () => random.next(),
      within: (ms, promise) =>
        new Promise((resolve, reject) => {
          const cancel = clock.in(ms, () => reject(new Error(`No answer within ${ms} ms`)));
          promise.then(resolve, reject).finally(cancel);
        }),
      background: (work) => {
        work.catch((error) => {
          if (!incarnation.dead) this.deps.broken(`work in the background rejected: ${error}`);
        });
      },
      log: (_level, event, fields) => note(`log ${event} ${JSON.stringify(fields)}`),
    };
  }

  #storageOf(incarnation: Incarnation): Storage {
    const { committed, broken, hooks } = this.deps;
    const check = (): void => {
      if (incarnation.dead) throw new Error("The object was reset");
    };
    return {
      sql: {
        exec: (query, ...params) => {
          check();
          if (WRITES.test(query)) this.dirty = true;
          return this.sql.exec(query, ...params);
        },
      },
      transaction: (run) => {
        check();
        const cause = this.#cause;
        let result: ReturnType<typeof run>;
        try {
          result = this.storage.transaction(run);
        } catch (error) {
          this.dirty = true;
          broken(`a transaction failed: ${(error as Error).stack}`);
          throw error;
        }
        committed(incarnation, cause);
        if (hooks.after) incarnation.engine.read(0, ({ books }) => hooks.after!(books, cause));
        return result;
      },
    };
  }

  #setAlarm(at: number): void {
    if (this.deps.hooks.ignoresAlarm?.(at)) return;
    this.alarmAt = at;
    if (!this.alarmBusy) this.#schedule();
  }

  #schedule(): void {
    const { clock, random, faults } = this.deps;
    this.#cancelAlarm();
    const late = random.weighted({ prompt: 20, late: 3 * faults.level, later: faults.level });
    const lateMs = { prompt: random.int(0, 5), late: random.int(0, 2_000), later: random.int(0, 50_000) }[late];
    this.#cancelAlarm = clock.in(this.alarmAt! - clock.wall() + lateMs, () => this.#fire());
  }

  #fire(): void {
    const { random, faults, note } = this.deps;
    this.alarmAt = null;
    this.idleAlarms.push(this.deps.clock.time);
    if (random.chance(0.01 * faults.level)) {
      note("alarm swallowed");
      this.alarmLost = true;
      return;
    }
    this.alarmBusy = true;
    void this.#runAlarm(0);
  }

  async #runAlarm(retry: number): Promise<void> {
    const { clock, note } = this.deps;
    note(`alarm${retry === 0 ? "" : `, retry ${retry}`}`);
    try {
      await this.call({ kind: "other" }, (shell) => shell.alarm());
      this.alarmLost = false;
    } catch (error) {
      note(`alarm threw: ${error}`);
      if (retry < ALARM_RETRIES && this.alarmAt === null) {
        clock.in(2_000 * 2 ** retry, () => void this.#runAlarm(retry + 1));
        return;
      }
      this.alarmLost = this.alarmAt === null;
    }
    this.alarmBusy = false;
    if (this.alarmAt !== null) this.#schedule();
  }
}
