/**
 * Millrace in a Worker: everything that a program exports, closed over its config.
 *
 * @module
 */
import type { AnyTaskDeclaration } from "../client/task.ts";
import type { QueueRpc } from "../client/wire.ts";
import { createQueueObject, objectName } from "../durable-objects/queue-object.ts";
import { createApp } from "./app.ts";
import { type BindingClient, createBindingClient } from "./client.ts";
import { type Config, type MillraceConfig, pushes, queueSettings, readConfig } from "./config.ts";
import { createConsumer, type QueueHandler } from "./consumer.ts";
import { createHistory } from "./history/write.ts";
import { historyReads } from "./history-reads.ts";
import { log } from "./log.ts";
import { runDueOperations } from "./operations/run.ts";
import { createRemote } from "./remote.ts";
import { createSweep } from "./scheduled.ts";
import { readSchedules } from "./schedules.ts";
import { overText, type Stub } from "./stub.ts";
import { sendTickets } from "./tickets.ts";
import { createKeyring } from "./tokens/keys.ts";
import { createRevocations } from "./tokens/revocations.ts";

export type { BindingClient, MintedToken } from "./client.ts";
export type { BindingNames, MillraceConfig } from "./config.ts";
export type { CorsConfig } from "./middleware/cors.ts";
export { type HttpOptions, http, LOOPBACK } from "./tasks/http.ts";

const DAY_MS = 86_400_000;
/** The sweep comes round every minute. */
const SWEEP_OPERATIONS_MS = 45_000;

/** What {@link createMillrace} gives a Worker to export and to call. */
export interface Millrace<Tasks> {
  /** The Durable Object's class, to be exported under the name that the configuration file gives it. */
  QueueObject: ReturnType<typeof createQueueObject<unknown>>;
  /** The HTTP API, under `basePath`. It is a Hono app: mount it, or export its `fetch`. */
  routes: { fetch(request: Request, env: unknown, ctx?: ExecutionContext): Response | Promise<Response> };
  /** A client by binding: no HTTP, no token. `env` is the environment that the handler was given. */
  client(env: unknown): BindingClient<Tasks>;
  /** The consumer of tickets. Answers false for a batch of a queue that is not Millrace's; it is then untouched. */
  queue: QueueHandler<unknown>;
  /** For the Cron Trigger, every minute: wakes queues that overslept, prunes the history. Never throws. */
  scheduled(controller: ScheduledController, env: unknown, ctx: ExecutionContext): Promise<void>;
}

/**
 * Puts Millrace into a Worker.
 *
 * @throws {TypeError | RangeError} at once when the config contradicts itself, naming what is wrong
 * @example
 * const mill = createMillrace({ tasks: [sendWelcome, http({ allow: ["https://*.example.com"] })] });
 * export const MillraceQueue = mill.QueueObject;
 * export default { fetch: mill.routes.fetch, queue: mill.queue, scheduled: mill.scheduled };
 */
export function createMillrace<const Tasks extends readonly AnyTaskDeclaration[]>(
  options: MillraceConfig & { tasks: Tasks },
): Millrace<Tasks> {
  const config = readConfig(options);
  const schedules = readSchedules(config, options.schedules ?? {});
  const bindings = bindingsOf(config);
  const keyring = createKeyring();
  const deps = {
    config,
    keys: (env: unknown) =>
      keyring({
        token: textOf(env, "MILLRACE_TOKEN"),
        signing: textOf(env, "MILLRACE_SIGNING_KEY"),
        previous: textOf(env, "MILLRACE_SIGNING_KEY_PREVIOUS"),
      }),
    stub: (env: unknown, queue: string) => bindings.stub(env, queue, 0),
    upgrade: bindings.upgrade,
    history: (env: unknown) => historyReads(bindings.database(env)),
    version: VERSION,
    revocations: createRevocations(log),
  };
  const app = createApp({ ...deps, token: (env: unknown) => textOf(env, "MILLRACE_TOKEN") });
  // Calls from inside need no token of the user's, and must work where none is configured.
  const inside = createApp({ ...deps, token: insideToken, root: "code" });

  return {
    QueueObject: createQueueObject<unknown>({
      settings: (queue) => queueSettings(config, queue) ?? {},
      schedules: (queue) => schedules.get(queue),
      history: (env) => createHistory(bindings.database(env)),
      sendTickets: (env, tickets) => sendTickets(bindings.tickets(env), tickets),
      deliver: (env, queue, partition, parcels) => bindings.stub(env, queue, partition).deliver(parcels),
      pushes: (queue, task) => pushes(config, queue, task),
      remote: createRemote(config),
      log,
    }),
    routes: app,
    client: (env) =>
      createBindingClient<Tasks>({
        config,
        stub: (queue) => bindings.stub(env, queue, 0),
        fetch: async (request) => inside.fetch(request, env as object),
        token: insideToken(),
        keys: () => deps.keys(env),
      }),
    queue: createConsumer<unknown>({
      config,
      stub: bindings.stub,
      local: (env) => textOf(env, "MILLRACE_LOCAL") === "1",
      log,
    }),
    scheduled: createSweep<unknown>({
      schedules,
      database: bindings.database,
      stub: bindings.stub,
      retention: (queue) => {
        const { historyKeepMs = 7 * DAY_MS, historyKeepDeadMs = 30 * DAY_MS } = queueSettings(config, queue) ?? {};
        return { keepMs: historyKeepMs, keepDeadMs: historyKeepDeadMs };
      },
      operations: (env) =>
        runDueOperations(
          { config, stub: (queue) => deps.stub(env, queue), history: () => deps.history(env), log, requestId: "sweep" },
          SWEEP_OPERATIONS_MS,
        ),
      log,
    }),
  };
}

const VERSION = "0.1.0";

let madeToken: string | null = null;

/** Random for each isolate, and made at first use: a Worker may not draw random values while it starts. */
function insideToken(): string {
  madeToken ??= crypto.randomUUID() + crypto.randomUUID();
  return madeToken;
}

/** Finds the bindings that the config names, and says which is missing. */
function bindingsOf(config: Config) {
  const { object, tickets, ticketsLong, history } = config.bindings;
  const binding = <Kind>(env: unknown, name: string, kind: string): Kind => {
    const found = (env as Record<string, unknown> | undefined)?.[name];
    if (found) return found as Kind;
    throw new Error(
      `The Worker has no binding ${name} (${kind}): add it to the configuration file, or name another in "bindings" of createMillrace`,
    );
  };
  const objectOf = (env: unknown, queue: string, partition: number) =>
    binding<DurableObjectNamespace>(env, object, "the Durable Object namespace of the queues").getByName(
      objectName(queue, partition),
    );
  return {
    stub: (env: unknown, queue: string, partition: number): QueueRpc =>
      overText(objectOf(env, queue, partition) as unknown as Stub),
    upgrade: (env: unknown, queue: string, path: string, headers: Record<string, string> = {}) =>
      objectOf(env, queue, 0).fetch(`https://object${path}`, { headers: { ...headers, upgrade: "websocket" } }),
    tickets: (env: unknown) => ({
      short: binding<Queue>(env, tickets, "the Cloudflare Queue for tickets"),
      long: binding<Queue>(env, ticketsLong, "the Cloudflare Queue for tickets of long jobs"),
    }),
    database: (env: unknown) => binding<D1Database>(env, history, "the D1 database of the history"),
  };
}

function textOf(env: unknown, name: string): string | undefined {
  const value = (env as Record<string, unknown> | undefined)?.[name];
  return typeof value === "string" ? value : undefined;
}
