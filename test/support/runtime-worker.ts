/**
 * The Worker that the tests of object and consumer run in: Millrace with tasks that misbehave, and beside its queue
 * object the same object with a history, tickets and a meter that tests have in hand.
 *
 * It runs in the isolate of the tests, so what it exports is the same object there and here.
 */
import type { HistoryPort, Parcel, ParcelReply, QueueRpc, Ticket } from "../../client/wire.ts";
import type { CodeSchedules } from "../../durable-objects/engine/ports.ts";
import { createQueueObject, type QueueObjectOptions } from "../../durable-objects/queue-object.ts";
import { readConfig } from "../../worker/config.ts";
import { createHistory } from "../../worker/history/write.ts";
import { createMillrace } from "../../worker/millrace.ts";
import { createRemote } from "../../worker/remote.ts";
import { elsewhere, TASKS } from "./tasks.ts";

export interface Env {
  DB: D1Database;
  TICKETS: Queue;
  TICKETS_LONG: Queue;
  MILLRACE: DurableObjectNamespace;
  FAULTY: DurableObjectNamespace;
}

export const mill = createMillrace({
  tasks: [...TASKS, elsewhere],
  queues: {
    "*": {},
    "attentive-*": { lease: "5s" },
    single: { slots: 1 },
    "pull-*": { delivery: "pull" },
    "both-*": { delivery: "both" },
  },
  schedules: { tick: { task: "when", every: "1s" } },
});

type History = keyof HistoryPort;

/** What goes wrong with the world around a `FaultyQueue`, and what it did to it. Set back with `mend()`. */
export const faults = {
  /** Runs instead of the history's method; `real` is the real one. */
  history: {} as { [Method in History]?: (real: () => Promise<unknown>) => Promise<unknown> },
  /** Runs instead of sending. */
  tickets: null as ((tickets: Ticket[]) => Promise<void>) | null,
  ticketsSent: [] as Ticket[],
  /** Runs instead of handing parcels to the other faulty queue; `real` does that. */
  deliver: null as ((to: string, real: () => Promise<ParcelReply[]>) => Promise<ParcelReply[]>) | null,
  /** Awaited before a frame of a socket is read. */
  frame: null as ((text: string) => Promise<void>) | null,
  /** Settings that code gives to every faulty queue. */
  settings: {} as ReturnType<QueueObjectOptions<Env>["settings"]>,
  /** Schedules that code declares for every faulty queue. */
  schedules: undefined as CodeSchedules | undefined,
  logged: [] as { event: string; [field: string]: unknown }[],
  rowsWritten: 0,
  alarmsSet: 0,
  /** Constructor runs. */
  built: 0,
};

export function mend(): void {
  Object.assign(faults, { history: {}, tickets: null, deliver: null, frame: null, settings: {}, schedules: undefined });
  Object.assign(faults, { ticketsSent: [], logged: [], rowsWritten: 0, alarmsSet: 0, built: 0 });
}

const remote = createRemote(readConfig({ tasks: TASKS, queues: { "*": {} } }));

const Base = createQueueObject<Env>({
  settings: () => faults.settings,
  schedules: () => faults.schedules,
  history: (env) => faultyHistory(createHistory(env.DB)),
  async sendTickets(_env, tickets) {
    if (faults.tickets) return faults.tickets(tickets);
    faults.ticketsSent.push(...tickets);
  },
  deliver(env, queue, partition, parcels: Parcel[]) {
    const stub = env.FAULTY.getByName(`${queue}:${partition}`) as unknown as QueueRpc;
    const real = () => stub.deliver(parcels);
    return faults.deliver ? faults.deliver(queue, real) : real();
  },
  remote: {
    ...remote,
    async exchange(...args) {
      await faults.frame?.(args[2]);
      return remote.exchange(...args);
    },
  },
  log: (level, event, fields) => {
    faults.logged.push({ level, event, ...fields });
  },
});

/** A queue object whose tickets go nowhere, whose history may fail, and whose writes are counted. */
export class FaultyQueue extends Base {
  constructor(ctx: DurableObjectState, env: Env) {
    meter(ctx.storage);
    faults.built += 1;
    super(ctx, env);
  }
}

function faultyHistory(real: HistoryPort): HistoryPort {
  const through = (method: History) =>
    ((...args: unknown[]) => {
      const call = () => (real[method] as (...args: unknown[]) => Promise<unknown>)(...args);
      return faults.history[method]?.(call) ?? call();
    }) as never;
  return {
    register: through("register"),
    write: through("write"),
    read: through("read"),
    readMany: through("readMany"),
    unregister: through("unregister"),
    rollupUpto: through("rollupUpto"),
  };
}

/** Counts rows as the platform bills them: those of cursors, and one for each `setAlarm`. */
function meter(storage: DurableObjectStorage): void {
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  const setAlarm = storage.setAlarm.bind(storage);
  Object.defineProperty(sql, "exec", {
    value: (query: string, ...params: unknown[]) => {
      const cursor = exec(query, ...params);
      const toArray = cursor.toArray.bind(cursor);
      Object.defineProperty(cursor, "toArray", {
        value: () => {
          const rows = toArray();
          faults.rowsWritten += cursor.rowsWritten;
          return rows;
        },
      });
      return cursor;
    },
  });
  Object.defineProperty(storage, "setAlarm", {
    value: (at: number) => {
      faults.alarmsSet += 1;
      return setAlarm(at);
    },
  });
}

export const MillraceQueue = mill.QueueObject;
export default { fetch: mill.routes.fetch, queue: mill.queue, scheduled: mill.scheduled };
