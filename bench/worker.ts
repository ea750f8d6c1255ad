/**
 * The Worker that is measured: Millrace as any program has it, with a task that does nothing, and routes under
 * `/bench/` that drive it from inside and tell what was counted. For the local runtime only: they ask for no token.
 *
 * @module
 */
import { DurableObject } from "cloudflare:workers";
import { z } from "zod";
import { defineTask } from "../client/task.ts";
import type { QueueRpc, SettingsPatch } from "../client/wire.ts";
import { createMillrace } from "../worker/millrace.ts";
import { PAYLOAD, type QueueLook } from "./counters.ts";
import {
  counters,
  followSkip,
  realNow,
  skip,
  timings,
  watchDatabase,
  watching,
  watchQueue,
  watchRequest,
  watchStorage,
} from "./counting.ts";
import { type DriveAsk, drives } from "./drive.ts";

interface Env {
  MILLRACE: DurableObjectNamespace<BenchQueue>;
  TICKETS: Queue;
  TICKETS_LONG: Queue;
  DB: D1Database;
}

/** When the handler of the sample `n` started. */
const startedAt = new Map<number, number>();

const input = z.object({ x: z.string() });
const noop = defineTask({ name: "noop", timeout: "30s", input }).handler(() => null);
const stamp = defineTask({ name: "stamp", timeout: "30s", input: input.extend({ n: z.int() }) }).handler(({ n }) => {
  startedAt.set(n, realNow());
});

const keyed = defineTask({
  name: "keyed",
  timeout: "30s",
  input: input.extend({ tenant: z.string() }),
  keys: ({ tenant }) => ({ tenant }),
}).handler(() => null);

/** On, tickets are thrown away: what waits goes on waiting. */
const idle = { on: false };

const mill = createMillrace({ tasks: [noop, stamp, keyed], queues: { "*": {}, "remote-*": { delivery: "pull" } } });

function watched(env: Env): Env {
  if (!watching.on) return env;
  const { DB, TICKETS, TICKETS_LONG } = env;
  return { ...env, DB: watchDatabase(DB), TICKETS: watchQueue(TICKETS), TICKETS_LONG: watchQueue(TICKETS_LONG) };
}

const Base = mill.QueueObject;
const RPC = methodsOf(Base.prototype) as (keyof QueueRpc)[];

/** Those of the class and of what it extends, below the platform's own. */
function methodsOf(prototype: object): string[] {
  if (prototype === DurableObject.prototype) return [];
  const names = Object.getOwnPropertyNames(prototype).filter((name) => name !== "constructor");
  return [...names, ...methodsOf(Object.getPrototypeOf(prototype))];
}

class BenchQueue extends Base {
  constructor(ctx: DurableObjectState, env: Env) {
    if (watching.on) watchStorage(ctx.storage);
    super(ctx, watched(env));
  }
  async benchLook(): Promise<QueueLook> {
    const description = await Base.prototype.describe.call(this);
    const { scheduled = 0, blocked = 0, ready = 0, running = 0 } = description?.counts ?? {};
    return {
      unfinished: scheduled + blocked + ready + running,
      sessions: description?.sessions.length ?? 0,
      outbox: description?.outboxRows ?? 0,
      alarmSet: (await this.ctx.storage.getAlarm()) !== null,
    };
  }
  /** What the sweeper does once an hour to an idle queue: its rows are counted, its request is not. */
  async benchPoke(): Promise<void> {
    await Base.prototype.poke.call(this);
  }
  async benchFollowSkip(ms: number): Promise<void> {
    await followSkip(this.ctx.storage, ms);
  }
  benchDrive(name: string, ask: DriveAsk): Promise<unknown> {
    return drives[name]!(this, ask, () => this.ctx.storage.sync());
  }
  /** Memory is gone, storage stays, as when an idle object is put to sleep. */
  benchEvict(): void {
    this.ctx.abort("The benchmark puts this object to sleep");
  }
}
for (const name of RPC) {
  const method = Base.prototype[name] as (...args: unknown[]) => unknown;
  Object.defineProperty(BenchQueue.prototype, name, {
    value(this: BenchQueue, ...args: unknown[]) {
      return watchRequest(name, () => method.apply(this, args));
    },
  });
}

export { BenchQueue as MillraceQueue };

interface Ask extends DriveAsk {
  queue: string;
  callers: number;
  n: number;
  ms: number;
  drive: string;
  patch: SettingsPatch;
}

const routes: { [path: string]: (env: Env, ask: Ask) => unknown } = {
  nothing: () => null,
  watch() {
    watching.on = true;
  },
  counters: () => counters,
  timings: () => [...timings].map(([what, timing]) => ({ what, ...timing })),
  look: (env, { queue }) => objectOf(env, queue).benchLook(),
  pause: async (env, { queue }) => void (await objectOf(env, queue).pause("benchmark")),
  resume: async (env, { queue }) => void (await objectOf(env, queue).resume()),
  idle() {
    idle.on = true;
  },
  configure: async (env, { queue, patch }) => void (await objectOf(env, queue).configure(patch)),
  drive: (env, { queue, drive, ...ask }) => objectOf(env, queue).benchDrive(drive, ask),
  poke: (env, { queue }) => objectOf(env, queue).benchPoke(),
  evict: (env, { queue }) => Promise.resolve(objectOf(env, queue).benchEvict()).catch(() => {}),
  async skip(env, { queue, ms }) {
    skip(ms);
    await objectOf(env, queue).benchFollowSkip(ms);
  },
  /** From inside, by binding. */
  async enqueue(env, { queue, jobs, callers }) {
    const client = mill.client(watched(env));
    const payloads = Array.from({ length: jobs / callers }, () => PAYLOAD);
    await Promise.all(Array.from({ length: callers }, () => client.enqueueMany("noop", payloads, { queue })));
  },
  async sample(env, { queue, n }) {
    const client = mill.client(env);
    const from = realNow();
    await client.enqueue("stamp", { ...PAYLOAD, n }, { queue });
    return from;
  },
  started: (_env, { n }) => startedAt.get(n) ?? null,
  history: (env, { queue }) =>
    env.DB.prepare("SELECT count(*) AS jobs FROM history WHERE queue = ?").bind(queue).first("jobs"),
};

function objectOf(env: Env, queue: string) {
  return env.MILLRACE.getByName(`${queue}:0`);
}

async function answer(run: () => Promise<unknown>): Promise<Response> {
  try {
    return Response.json((await run()) ?? null);
  } catch (error) {
    return new Response(String(error), { status: 500 });
  }
}

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    const { pathname } = new URL(request.url);
    const route = pathname.startsWith("/bench/") ? routes[pathname.slice("/bench/".length)] : undefined;
    if (route) return answer(async () => route(env, await request.json()));
    counters.workerRequests += 1;
    return mill.routes.fetch(request, watched(env), ctx);
  },
  async queue(batch: MessageBatch, env: Env, ctx: ExecutionContext): Promise<void> {
    if (idle.on) return;
    counters.workerRequests += 1;
    await mill.queue(batch, watched(env), ctx);
  },
  /** The sweeper is left out: it would poke queues in the middle of what is measured. */
  scheduled(): void {},
};
