/**
 * The HTTP API as a Hono app. It knows no platform: queues are seen as `QueueRpc`, the history as `HistoryReads`.
 *
 * @module
 */

import { Hono } from "hono";
import type { QueueRpc } from "../client/wire.ts";
import { createAnswerer } from "./answerer.ts";
import { EVERYBODY } from "./caller.ts";
import type { Config } from "./config.ts";
import type { HistoryReads } from "./history-reads.ts";
import type { Log } from "./log.ts";
import { openApiDocument } from "./openapi.ts";
import { type Refused, refuse } from "./problem.ts";
import { listAudit } from "./routes/audit.ts";
import { connectWorker } from "./routes/connect.ts";
import { deleteQueue, drainQueue, purgeQueue } from "./routes/empty.ts";
import { enqueueToQueue, enqueueToTask } from "./routes/enqueue.ts";
import { listErrors } from "./routes/errors.ts";
import { jobEvents, queueEvents } from "./routes/events.ts";
import { exchangeJobs } from "./routes/exchange.ts";
import { explainJob } from "./routes/explain.ts";
import { healthRoute } from "./routes/health.ts";
import { cancelJob, deleteJob, getJob, retryJob } from "./routes/jobs.ts";
import { listKeys, openKey, pauseKey } from "./routes/keys.ts";
import { LATER_ROUTES } from "./routes/later.ts";
import { listJobs } from "./routes/list.ts";
import { getLogs } from "./routes/logs.ts";
import { getMetrics } from "./routes/metrics.ts";
import { getOperation, listOperations, startOperation, stopOperation } from "./routes/operations.ts";
import { configureQueue, getQueue, listQueues, pauseQueue, resumeQueue } from "./routes/queues.ts";
import { type Answer, type AnyRoute, ok, route, serve } from "./routes/route.ts";
import {
  backfillSchedule,
  deleteSchedule,
  getSchedule,
  listSchedules,
  pauseSchedule,
  putSchedule,
  resumeSchedule,
  runSchedule,
} from "./routes/schedules.ts";
import { getSummary } from "./routes/summary.ts";
import { createToken, listTokens, revokeToken } from "./routes/tokens.ts";
import type { Keyring } from "./tokens/keys.ts";
import type { Revocations } from "./tokens/revocations.ts";

/** What the app needs of the platform. */
export interface AppDeps<Env> {
  config: Config;
  /** The object of a queue's partition 0: a new stub each time, since one that has thrown keeps failing. */
  stub(env: Env, queue: string): QueueRpc;
  /** Opens a WebSocket to that object; `path` begins with a slash. Answers 101 where all is well. */
  upgrade(env: Env, queue: string, path: string, headers?: Record<string, string>): Promise<Response>;
  history(env: Env): HistoryReads;
  /** The admin token; none, or one of fewer than 32 characters, and everything but `/healthz` answers 503. */
  token(env: Env): string | undefined;
  /** What the audit log calls the bearer of that. @default {"admin"} */
  root?: string;
  /** The keys that sign tokens. */
  keys(env: Env): Promise<Keyring | Refused>;
  /** Millrace's own, shown in `/healthz` and `/openapi.json`. */
  version: string;
  /** One for all apps of a program: what is revoked by one is at once refused by the others. */
  revocations: Revocations;
  log?: Log;
}

export type App<Env> = Hono<{ Bindings: Env & object }>;

/** What paths that are not there ask for. */
const NOWHERE = { roles: EVERYBODY };

/**
 * The API. Paths are served under the config's `basePath` and, for apps that are mounted by a router which strips it,
 * without.
 *
 * @example
 * const app = createApp({ config: readConfig({ tasks }), stub, history, token: (env) => env.MILLRACE_TOKEN, revocations, version });
 * export default { fetch: app.fetch };
 */
export function createApp<Env>(deps: AppDeps<Env>): App<Env> {
  const { basePath } = deps.config;
  const app: App<Env> = new Hono({ getPath: (request) => pathOf(request, basePath) });
  const answered = createAnswerer(deps);
  const routes: AnyRoute[] = [...ROUTES, healthRoute()];
  routes.push(contractRoute(routes, deps));
  for (const one of routes) {
    const path = one.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(one.method, path, (c) =>
      answered(c, one, (services) => serve(one, c.req.raw, c.req.param() as Record<string, string>, services)),
    );
  }
  app.notFound((c) => answered(c, NOWHERE, async () => notFound(routes, c.req.method, c.req.path)));
  return app;
}

export const ROUTES: AnyRoute[] = [
  enqueueToQueue,
  enqueueToTask,
  listJobs,
  getJob,
  cancelJob,
  retryJob,
  deleteJob,
  explainJob,
  getLogs,
  jobEvents,
  listQueues,
  getQueue,
  pauseQueue,
  resumeQueue,
  configureQueue,
  listKeys,
  pauseKey,
  openKey,
  drainQueue,
  purgeQueue,
  deleteQueue,
  queueEvents,
  startOperation,
  listOperations,
  getOperation,
  stopOperation,
  listErrors,
  listSchedules,
  getSchedule,
  putSchedule,
  deleteSchedule,
  runSchedule,
  pauseSchedule,
  resumeSchedule,
  backfillSchedule,
  exchangeJobs,
  connectWorker,
  getSummary,
  getMetrics,
  createToken,
  listTokens,
  revokeToken,
  listAudit,
];

function contractRoute<Env>(routes: readonly AnyRoute[], { version, config }: AppDeps<Env>): AnyRoute {
  let document: object | null = null;
  return route({
    method: "get",
    path: "/openapi.json",
    roles: EVERYBODY,
    asksReach: true,
    summary: "This contract",
    answers: { 200: { description: "OpenAPI 3.1." } },
    errors: [],
    async handle() {
      document ??= openApiDocument(routes, { version, basePath: config.basePath });
      return ok(document);
    },
  });
}

/** The path below the base path. Percent-encoding stays: parameters are decoded where they are taken out. */
function pathOf(request: Request, basePath: string): string {
  const { pathname } = new URL(request.url);
  return basePath !== "" && pathname.startsWith(`${basePath}/`) ? pathname.slice(basePath.length) : pathname;
}

function notFound(routes: readonly AnyRoute[], method: string, path: string): Answer {
  const shown = `${method} ${path.slice(0, 200)}`;
  const methods = routes.filter((one) => matches(one.path, path)).map((one) => one.method.toUpperCase());
  const later = LATER_ROUTES.filter(([, template]) => matches(template, path)).map(([known]) => known);
  if (later.includes(method)) return refuse("invalid_request", `${shown} is not built yet.`);
  if (methods.includes("GET")) methods.push("HEAD");
  const allow = [...new Set([...methods, ...later])].join(", ");
  if (allow === "") return refuse("not_found", `${shown}: there is no such path. See /openapi.json.`);
  return { ...refuse("method_not_allowed", `${shown}: this path takes ${allow}.`), headers: { allow } };
}

function matches(template: string, path: string): boolean {
  return new RegExp(`^${template.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path);
}
