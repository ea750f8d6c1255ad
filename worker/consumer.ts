/**
 * The consumer Worker: a ticket comes in, a session works at the queue that it names, and is over.
 *
 * It never throws: tickets are acknowledged first, because a lost one is only late, and a retried batch would bring
 * visitors whom nobody waits for.
 *
 * @module
 */
import { runSession, type SessionPorts } from "../client/session.ts";
import { type QueueRpc, SHIFT_JOBS, SHIFT_MS, type Ticket } from "../client/wire.ts";
import { type Config, declaredQueue, pushes } from "./config.ts";
import { exchangeByRpc } from "./exchange.ts";
import type { Log } from "./log.ts";
import { ticketOf } from "./tickets.ts";

/** A consumer lives for at most 15 minutes. */
const STAY_MS = 14 * 60_000;

export interface ConsumerDeps<Env> {
  config: Config;
  stub(env: Env, queue: string, partition: number): QueueRpc;
  /** True in the local runtime, where sessions overlap only when they run behind the answer. */
  local(env: Env): boolean;
  log: Log;
}

export type QueueHandler<Env> = (batch: MessageBatch, env: Env, ctx: ExecutionContext) => Promise<boolean>;

/** Makes the `queue` handler. It answers false for a batch that holds no ticket of Millrace's, untouched. */
export function createConsumer<Env>(deps: ConsumerDeps<Env>): QueueHandler<Env> {
  const tasks = new Map([...deps.config.tasks].map(([name, { declaration }]) => [name, declaration]));
  return async function queue(batch, env, ctx) {
    const sessions: Promise<void>[] = [];
    for (const message of batch.messages) {
      const ticket = ticketOf(message.body);
      if (!ticket) continue;
      message.ack();
      sessions.push(visit(deps, tasks, ticket, env));
    }
    if (sessions.length === 0) return false;
    const all = Promise.all(sessions).then(() => {});
    if (deps.local(env)) ctx.waitUntil(all);
    else await all;
    return true;
  };
}

async function visit<Env>(
  deps: ConsumerDeps<Env>,
  tasks: SessionPorts["tasks"],
  ticket: Ticket,
  env: Env,
): Promise<void> {
  const id = crypto.randomUUID();
  const { config } = deps;
  const where = { session: id, queue: ticket.queue, partition: ticket.partition, channel: ticket.channel };
  const logJob: SessionPorts["log"] = (level, event, job, fields) => {
    const { id, task, attempt, fence } = job;
    deps.log(level, event, { ...where, job: id, task, attempt, fence, ...fields });
  };
  try {
    const summary = await runSession(
      {
        id,
        worker: { name: `consumer-${id.slice(0, 8)}`, runtime: "workerd", ...named(config, ticket.queue) },
        claimForMs: SHIFT_MS,
        claimJobs: SHIFT_JOBS,
        stayMs: STAY_MS,
      },
      {
        tasks,
        env,
        maxResultBytes: config.maxPayloadBytes,
        // A new stub each time: one that has thrown keeps failing.
        exchange: (request) => exchangeByRpc(deps.stub(env, ticket.queue, ticket.partition), ticket, request, config),
        now: () => Date.now(),
        timer(ms, fire) {
          const timer = setTimeout(fire, ms);
          return () => clearTimeout(timer);
        },
        log: logJob,
        ...(config.log.jobs ? { watch: watchJobs(logJob) } : {}),
      },
    );
    if (summary.abandoned || summary.refused > 0) deps.log("warn", "session_troubled", { ...where, ...summary });
    else if (config.log.jobs) deps.log("info", "session_over", { ...where, ...summary });
  } catch (error) {
    deps.log("error", "session_failed", { ...where, error: String(error) });
  }
}

/** Where remote workers come too, each takes the tasks that it has handlers for; else all are the consumer's. */
function named(config: Config, queue: string): { tasks?: string[] } {
  if (declaredQueue(config, queue)?.delivery !== "both") return {};
  return { tasks: [...config.tasks.keys()].filter((task) => pushes(config, queue, task)) };
}

function watchJobs(log: SessionPorts["log"]): NonNullable<SessionPorts["watch"]> {
  return {
    started: (job) => log("info", "job_started", job),
    ended(job, outcome, ranMs) {
      const error = "error" in outcome ? `${outcome.error.name}: ${outcome.error.message}` : undefined;
      log(error === undefined ? "info" : "warn", "job_ended", job, { outcome: outcome.outcome, ranMs, error });
    },
  };
}
