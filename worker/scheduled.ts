/**
 * The Cron Trigger's work, every minute: the second waker, and the history's housekeeping.
 *
 * @module
 */
import type { PokeReply, QueueRpc } from "../client/wire.ts";
import type { Retention } from "./history/fullness.ts";
import { checkHistory } from "./history/health.ts";
import { pruneHistory } from "./history/prune.ts";
import { overdueQueues, type QueueKey, recordPoke } from "./history/registry.ts";
import type { Log } from "./log.ts";

/** Pokes under way at once: an invocation may wait for six connections. */
const POKES_AT_ONCE = 6;

export interface SweepDeps<Env> {
  database(env: Env): D1Database;
  stub(env: Env, queue: string, partition: number): QueueRpc;
  /** What code says about a queue's history, for one that cannot be asked. */
  retention(queue: string): Retention;
  /** Goes on with operations for a while. */
  operations(env: Env): Promise<void>;
  log: Log;
}

/** Makes the `scheduled` handler. It never throws: what fails is tried again in the next minute. */
export function createSweep<Env>(deps: SweepDeps<Env>) {
  return async function scheduled(_controller: ScheduledController, env: Env, _ctx: ExecutionContext): Promise<void> {
    const pokes = new Map<string, PokeReply>();
    await attempt(deps, "sweep_failed", () => pokeOverdue(deps, env, pokes));
    await attempt(deps, "prune_failed", () => prune(deps, env, pokes));
    await attempt(deps, "operations_failed", () => deps.operations(env));
  };
}

async function attempt<Env>({ log }: SweepDeps<Env>, event: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log("error", event, { error: String(error) });
  }
}

async function pokeOverdue<Env>(deps: SweepDeps<Env>, env: Env, pokes: Map<string, PokeReply>): Promise<void> {
  const database = deps.database(env);
  const overdue = await overdueQueues(database, Date.now());
  const poke = async (key: QueueKey): Promise<void> => {
    try {
      const reply = await deps.stub(env, key.queue, key.partition).poke();
      if (reply) pokes.set(`${key.queue}:${key.partition}`, reply);
      await recordPoke(database, key.queue, key.partition, reply, Date.now());
    } catch (error) {
      deps.log("error", "poke_failed", { ...key, error: String(error) });
    }
  };
  for (let from = 0; from < overdue.length; from += POKES_AT_ONCE) {
    await Promise.all(overdue.slice(from, from + POKES_AT_ONCE).map(poke));
  }
}

async function prune<Env>(deps: SweepDeps<Env>, env: Env, pokes: Map<string, PokeReply>): Promise<void> {
  const database = deps.database(env);
  const health = await checkHistory(database);
  if (!health.ok) throw new Error(health.detail);
  const result = await pruneHistory(database, {
    now: Date.now(),
    fullness: health.fullness,
    async retention(queue, partition) {
      const poked = pokes.get(`${queue}:${partition}`) ?? (await deps.stub(env, queue, partition).poke());
      if (!poked) return deps.retention(queue);
      return { keepMs: poked.historyKeepMs, keepDeadMs: poked.historyKeepDeadMs };
    },
  });
  if (result.deletedJobs > 0) deps.log("info", "history_pruned", { ...result });
}
