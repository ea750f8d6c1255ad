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
import { historyReads } from "./history-reads.ts";
import type { Log } from "./log.ts";
import { dismissTokens } from "./tokens/dismiss.ts";
import { inTurns } from "./turns.ts";

/** How long a queue is trusted to go by the code's schedules once it has said so. */
const TOLD_FOR_MS = 3_600_000;
const AUDIT_KEPT_MS = 90 * 86_400_000;
/** By then every isolate knows of a revocation, and the sweep came round. */
const LATELY_MS = 180_000;

export interface SweepDeps<Env> {
  database(env: Env): D1Database;
  stub(env: Env, queue: string, partition: number): QueueRpc;
  /** What code says about a queue's history, for one that cannot be asked. */
  retention(queue: string): Retention;
  /** Goes on with operations for a while. */
  operations(env: Env): Promise<void>;
  /** The queues for which code declares schedules. */
  schedules: ReadonlyMap<string, { version: string }>;
  log: Log;
}

/** Makes the `scheduled` handler. It never throws: what fails is tried again in the next minute. */
export function createSweep<Env>(deps: SweepDeps<Env>) {
  const toldAt = new Map<string, number>();
  return async function scheduled(_controller: ScheduledController, env: Env, _ctx: ExecutionContext): Promise<void> {
    const pokes = new Map<string, PokeReply>();
    await attempt(deps, "schedules_failed", () => tellSchedules(deps, env, toldAt, pokes));
    await attempt(deps, "sweep_failed", () => pokeOverdue(deps, env, pokes));
    await attempt(deps, "prune_failed", () => prune(deps, env, pokes));
    await attempt(deps, "access_unkept", () => keepAccess(deps, env));
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

/**
 * A queue learns of the code's schedules when it is called, and nobody may ever call it: so each is poked until it says
 * that it goes by those of this code, and again after an hour. In a Worker that stays loaded that is one call a queue
 * and hour, in one that is loaded anew each minute one a minute; it writes nothing where nothing has changed.
 */
async function tellSchedules<Env>(
  deps: SweepDeps<Env>,
  env: Env,
  toldAt: Map<string, number>,
  pokes: Map<string, PokeReply>,
): Promise<void> {
  const now = Date.now();
  const untold = [...deps.schedules].filter(([queue]) => (toldAt.get(queue) ?? 0) <= now - TOLD_FOR_MS);
  await inTurns(untold, async ([queue, { version }]) => {
    try {
      const reply = await deps.stub(env, queue, 0).poke();
      if (reply) pokes.set(`${queue}:0`, reply);
      // An object that still runs the code before this one goes by that.
      if (reply?.schedules === version) toldAt.set(queue, now);
    } catch (error) {
      deps.log("error", "schedules_untold", { queue, error: String(error) });
    }
  });
}

async function pokeOverdue<Env>(deps: SweepDeps<Env>, env: Env, pokes: Map<string, PokeReply>): Promise<void> {
  const database = deps.database(env);
  const overdue = await overdueQueues(database, Date.now());
  await inTurns(overdue, async (key: QueueKey) => {
    try {
      const reply = await deps.stub(env, key.queue, key.partition).poke();
      if (reply) pokes.set(`${key.queue}:${key.partition}`, reply);
      await recordPoke(database, key.queue, key.partition, reply, Date.now());
    } catch (error) {
      deps.log("error", "poke_failed", { ...key, error: String(error) });
    }
  });
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

/**
 * Forgets tokens that have expired and the audit log of long ago. Closes the sockets of tokens that were revoked lately
 * once more: an isolate that had not heard of it yet may have opened one.
 */
async function keepAccess<Env>({ database, stub, log }: SweepDeps<Env>, env: Env): Promise<void> {
  const history = historyReads(database(env));
  const now = Date.now();
  await history.tokens.prune(now);
  await history.audit.prune(now - AUDIT_KEPT_MS);
  const revoked = await history.tokens.revokedSince(now - LATELY_MS);
  if (revoked.length === 0) return;
  await dismissTokens({ history: () => history, stub: (queue) => stub(env, queue, 0), log }, revoked);
}
