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
  KeyName,
  ListInput,
  Parcel,
  ParcelReply,
  QueueRpc,
  QueueTextRpc,
  ScheduleInput,
  SettingsPatch,
  Ticket,
} from "../client/wire.ts";
import { BEARER_HEADER, bearerTag, bearerTags } from "./bearers.ts";
import type { CodeSchedules, CodeSettings } from "./engine/ports.ts";
import type { ShellPorts } from "./ports.ts";
import { GRANT_HEADER, type Remote } from "./remote.ts";
import { QueueShell } from "./shell.ts";
import { attachmentOf, CLOSE, Sockets } from "./sockets.ts";
import { durableStorage } from "./storage.ts";
import { Watchers } from "./watchers.ts";
import { WorkerSockets } from "./worker-sockets.ts";

export { BEARER_HEADER, type Bearer } from "./bearers.ts";
export type { Grant, Remote, Where } from "./remote.ts";
export { GRANT_HEADER, writeGrant } from "./remote.ts";
export { CLOSE } from "./sockets.ts";

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
  /** Whether tickets bring workers for jobs of a task. Absent: of every task. */
  pushes?(queue: string, task: string): boolean;
  remote: Remote;
  log: ShellPorts["log"];
}

/** Who revokes a token does not find the sockets at a queue that is not registered: they end, and may come again. */
const UNKNOWN_FOR_MS = 60_000;
/** An object has at most 32,768 sockets: the bearer of one token does not take them from all others. */
const SOCKETS_OF_TOKEN_MAX = 4_000;
/** The close code of a connection that broke (RFC 6455). */
const BROKEN = 1006;

/** The name of the object of a queue's partition. */
export function objectName(queue: string, partition: number): string {
  return `${queue}:${partition}`;
}

interface Parts {
  shell: QueueShell;
  sockets: Sockets;
  workers: WorkerSockets;
  watchers: Watchers;
}

/** What of the object is the same for every Worker: each call goes to the shell. */
class QueueMethods<Env> extends DurableObject<Env> implements QueueRpc, QueueTextRpc {
  readonly #shell: QueueShell;
  readonly #sockets: Sockets;
  readonly #workers: WorkerSockets;
  readonly #watchers: Watchers;

  constructor(ctx: DurableObjectState, env: Env, { shell, sockets, workers, watchers }: Parts) {
    super(ctx, env);
    this.#shell = shell;
    this.#sockets = sockets;
    this.#workers = workers;
    this.#watchers = watchers;
    ctx.blockConcurrencyWhile(() => shell.start());
  }

  /** Upgrades of the Worker, which has looked who asks: `/connect` of a remote worker, `/watch`. Nobody else can reach an object. */
  override fetch(request: Request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("A WebSocket is needed", { status: 426 });
    const registered = this.#shell.look(({ books }) => books.registered) ?? false;
    const most = registered ? Number.POSITIVE_INFINITY : Date.now() + UNKNOWN_FOR_MS;
    const tags = bearerTags(request.headers.get(BEARER_HEADER), most);
    if (tags[0] && this.ctx.getWebSockets(tags[0]).length >= SOCKETS_OF_TOKEN_MAX) {
      return new Response(`The token has ${SOCKETS_OF_TOKEN_MAX} sockets here`, { status: 503 });
    }
    return this.#admit(request, tags);
  }
  #admit({ url, headers }: Request, bearer: string[]): Response {
    const { pathname, searchParams } = new URL(url);
    if (pathname === "/connect") return this.#workers.accept(headers.get(GRANT_HEADER), bearer);
    if (pathname === "/watch") return this.#watchers.accept(searchParams, (look) => this.#shell.look(look), bearer);
    return new Response(`There is no ${pathname}`, { status: 404 });
  }
  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer) {
    if (this.#sockets.isOver(socket)) return this.#dismiss(socket);
    if (attachmentOf(socket)?.kind === "worker") return this.#workers.message(socket, message, this.#shell);
    this.#sockets.heard(socket);
  }
  override webSocketClose(socket: WebSocket, code: number) {
    this.#workers.gone(socket, this.#shell);
    this.#watchers.gone(socket, code);
    this.#sockets.end(socket);
  }
  override webSocketError(socket: WebSocket) {
    this.#workers.gone(socket, this.#shell);
    this.#watchers.gone(socket, BROKEN);
  }

  async dismiss(tokens: string[]) {
    const sockets = tokens.flatMap((id) => this.#sockets.tagged(bearerTag(id)));
    for (const socket of sockets) this.#dismiss(socket);
    return sockets.length;
  }
  #dismiss(socket: WebSocket): void {
    this.#workers.gone(socket, this.#shell);
    this.#watchers.gone(socket, CLOSE.unauthorized);
    this.#sockets.drop(socket, CLOSE.unauthorized, "its token is not valid any more");
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
  get(seq: number, logs?: boolean) {
    return this.#shell.get(seq, logs);
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
  keys(kind: string | null, after?: KeyName | null, limit?: number) {
    return this.#shell.keys(kind, after, limit);
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
  async forget() {
    const done = await this.#shell.forget();
    // They would not be found any more when their tokens are revoked; who still works comes again.
    for (const socket of done.ok ? this.#sockets.tagged("worker") : []) {
      this.#workers.gone(socket, this.#shell);
      this.#sockets.close(socket, CLOSE.deleted, "deleted");
    }
    return done;
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
export function createQueueObject<Env>(
  options: QueueObjectOptions<Env>,
): new (
  ctx: DurableObjectState,
  env: Env,
) => QueueMethods<Env> {
  return class QueueObject extends QueueMethods<Env> {
    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env, partsOf(ctx, env, options));
    }
  };
}

function partsOf<Env>(ctx: DurableObjectState, env: Env, options: QueueObjectOptions<Env>): Parts {
  const base = portsOf(ctx, env, options);
  const { queue, partition, now, log } = base;
  const sockets = new Sockets(ctx, now);
  const workers = new WorkerSockets({ where: { queue, partition }, sockets, remote: options.remote, log });
  const watchers = new Watchers(sockets, log);
  return { shell: new QueueShell({ ...base, sockets: workers, watchers }), sockets, workers, watchers };
}

function portsOf<Env>(ctx: DurableObjectState, env: Env, options: QueueObjectOptions<Env>): ShellPorts {
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
    pushes: (task) => options.pushes?.(queue, task) ?? true,
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
