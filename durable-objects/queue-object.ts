/**
 * The Durable Object of a queue: the shell on the real platform, and nothing more.
 *
 * @module
 */
import { DurableObject } from "cloudflare:workers";
import type {
  BulkInput,
  EnqueueInput,
  ExchangeInput,
  HistoryPort,
  ListInput,
  Parcel,
  ParcelReply,
  QueueRpc,
  QueueTextRpc,
  ScheduleInput,
  SettingsPatch,
  Ticket,
} from "../client/wire.ts";
import type { CodeSchedules, CodeSettings } from "./engine/ports.ts";
import type { ShellPorts } from "./ports.ts";
import type { Remote } from "./remote.ts";
import { QueueShell } from "./shell.ts";
import { durableStorage } from "./storage.ts";

export type { Grant, Remote, Where } from "./remote.ts";
export { GRANT_HEADER } from "./remote.ts";

/** What the Worker closes the class over. */
export interface QueueObjectOptions<Env> {
  /** The settings that code gives to a queue. */
  settings(queue: string): CodeSettings;
  /** The schedules that code declares for a queue; undefined: none. */
  schedules?(queue: string): CodeSchedules | undefined;
  history(env: Env): HistoryPort;
  sendTickets(env: Env, tickets: Ticket[]): Promise<void>;
  /** Hands parcels to the object of another queue. */
  deliver(env: Env, queue: string, partition: number, parcels: Parcel[]): Promise<ParcelReply[]>;
  /** Absent: no socket of a worker is accepted. */
  remote?: Remote;
  log: ShellPorts["log"];
}

/** The name of the object of a queue's partition. */
export function objectName(queue: string, partition: number): string {
  return `${queue}:${partition}`;
}

/** What of the object is the same for every Worker: each call goes to the shell. */
class QueueMethods<Env> extends DurableObject<Env> implements QueueRpc, QueueTextRpc {
  readonly #shell: QueueShell;

  constructor(ctx: DurableObjectState, env: Env, shell: QueueShell) {
    super(ctx, env);
    this.#shell = shell;
    ctx.blockConcurrencyWhile(() => shell.start());
  }

  override alarm() {
    return this.#shell.alarm();
  }
  enqueue(input: EnqueueInput) {
    return this.#shell.enqueue(input);
  }
  exchange(input: ExchangeInput) {
    return this.#shell.exchange(input);
  }
  deliver(parcels: Parcel[]) {
    return this.#shell.deliver(parcels);
  }
  async enqueueText(input: string) {
    return JSON.stringify(await this.#shell.enqueue(JSON.parse(input)));
  }
  async exchangeText(input: string) {
    const reply = await this.#shell.exchange(JSON.parse(input));
    if (!reply.ok) return { reply: JSON.stringify(reply), jobs: "[]" };
    const { jobs, ...rest } = reply;
    return { reply: JSON.stringify(rest), jobs };
  }
  get(seq: number) {
    return this.#shell.get(seq);
  }
  list(input: ListInput) {
    return this.#shell.list(input);
  }
  cancel(seq: number) {
    return this.#shell.cancel(seq);
  }
  retry(seq: number) {
    return this.#shell.retry(seq);
  }
  remove(seq: number) {
    return this.#shell.remove(seq);
  }
  describe() {
    return this.#shell.describe();
  }
  pause(reason: string | null) {
    return this.#shell.pause(reason);
  }
  resume() {
    return this.#shell.resume();
  }
  configure(patch: SettingsPatch) {
    return this.#shell.configure(patch);
  }
  keys(kind: string | null) {
    return this.#shell.keys(kind);
  }
  pauseKey(kind: string, value: string, forMs: number, reason: string | null) {
    return this.#shell.pauseKey(kind, value, forMs, reason);
  }
  explain(seq: number) {
    return this.#shell.explain(seq);
  }
  schedules(after: string | null, limit: number) {
    return this.#shell.schedules(after, limit);
  }
  schedule(name: string) {
    return this.#shell.schedule(name);
  }
  putSchedule(name: string, input: ScheduleInput) {
    return this.#shell.putSchedule(name, input);
  }
  removeSchedule(name: string) {
    return this.#shell.removeSchedule(name);
  }
  runSchedule(name: string) {
    return this.#shell.runSchedule(name);
  }
  pauseSchedule(name: string, paused: boolean, reason: string | null) {
    return this.#shell.pauseSchedule(name, paused, reason);
  }
  backfill(name: string, from: number, to: number) {
    return this.#shell.backfill(name, from, to);
  }
  bulk(input: BulkInput) {
    return this.#shell.bulk(input);
  }
  forget() {
    return this.#shell.forget();
  }
  poke() {
    return this.#shell.poke();
  }
  rollupSince(upto: number) {
    return this.#shell.rollupSince(upto);
  }
}

/**
 * Makes the class to export as the Durable Object. One object is one partition of one queue; its name says which
 * (see `objectName`), also when its alarm alone wakes it.
 */
export function createQueueObject<Env>(options: QueueObjectOptions<Env>) {
  return class QueueObject extends QueueMethods<Env> {
    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env, new QueueShell(ports(ctx, env, options)));
    }
  };
}

function ports<Env>(ctx: DurableObjectState, env: Env, options: QueueObjectOptions<Env>): ShellPorts {
  const name = ctx.id.name ?? "";
  const colon = name.lastIndexOf(":");
  if (colon < 1) throw new Error(`A queue's object is reached by its name "<queue>:<partition>": got "${name}"`);
  const queue = name.slice(0, colon);
  return {
    queue,
    partition: Number(name.slice(colon + 1)),
    storage: durableStorage(ctx.storage),
    settings: options.settings(queue),
    schedules: options.schedules?.(queue),
    alarm: {
      get: () => ctx.storage.getAlarm(),
      set: (at) => {
        // Not awaited on purpose: it belongs to the same commit as the writes before it; the output gate waits.
        void ctx.storage.setAlarm(at);
      },
    },
    tickets: { send: (tickets) => options.sendTickets(env, tickets) },
    deliver: (to, partition, parcels) => options.deliver(env, to, partition, parcels),
    history: options.history(env),
    now: () => Date.now(),
    random: () => Math.random(),
    within,
    background: (work) => ctx.waitUntil(work),
    log: options.log,
  };
}

/** A timer keeps the object in memory, so it lives no longer than the promise that it guards. */
async function within<Value>(ms: number, promise: Promise<Value>): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`No answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
