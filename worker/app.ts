/**
 * The HTTP API as a Hono app. It knows no platform: queues are seen as `QueueRpc`, the history as `HistoryReads`.
 *
 * @module
 */

import { type Context, Hono } from "hono";
import type { QueueRpc } from "../client/wire.ts";
import { refuseRole } from "./allow.ts";
import { type Caller, EVERYBODY, rootCaller } from "./caller.ts";
import type { Config } from "./config.ts";
import type { HistoryReads } from "./history-reads.ts";
import { type Log, log as toConsole } from "./log.ts";
import { createAuthorizer } from "./middleware/auth.ts";
import { requestIdOf } from "./middleware/request-id.ts";
import { openApiDocument } from "./openapi.ts";
import { isOutage, problemResponse, type Refused, refuse, statusOf } from "./problem.ts";
import { deleteQueue, drainQueue, purgeQueue } from "./routes/empty.ts";
import { enqueueToQueue, enqueueToTask } from "./routes/enqueue.ts";
import { listErrors } from "./routes/errors.ts";
import { explainJob } from "./routes/explain.ts";
import { healthRoute } from "./routes/health.ts";
import { cancelJob, deleteJob, getJob, retryJob } from "./routes/jobs.ts";
import { listKeys, openKey, pauseKey } from "./routes/keys.ts";
import { LATER_ROUTES } from "./routes/later.ts";
import { listJobs } from "./routes/list.ts";
import { getMetrics } from "./routes/metrics.ts";
import { getOperation, listOperations, startOperation, stopOperation } from "./routes/operations.ts";
import { configureQueue, getQueue, listQueues, pauseQueue, resumeQueue } from "./routes/queues.ts";
import { type Answer, type AnyRoute, ok, route, type Services, serve } from "./routes/route.ts";
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
  /** Millrace's own, shown in `/healthz` and `/openapi.json`. */
  version: string;
  log?: Log;
}

export type App<Env> = Hono<{ Bindings: Env & object }>;
type Ctx<Env> = Context<{ Bindings: Env & object }>;

/** Of routes that need no token. */
const NOBODY = rootCaller("");
/** What paths that are not there ask for. */
const NOWHERE = { roles: EVERYBODY };

const SLOW_MS = 5_000;

/**
 * The API. Paths are served under the config's `basePath` and, for apps that are mounted by a router which strips it,
 * without.
 *
 * @example
 * const app = createApp({ config: readConfig({ tasks }), stub, history, token: (env) => env.MILLRACE_TOKEN, version });
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

/**
 * What stands around every route: the request's id, who calls, what is thrown, the log. One function instead of a
 * chain of middleware, because headers that are set on a finished response double the cost of a small request.
 */
function createAnswerer<Env>(deps: AppDeps<Env>) {
  const authorize = createAuthorizer();
  const log = deps.log ?? toConsole;
  return async (
    c: Ctx<Env>,
    { roles }: Pick<AnyRoute, "roles">,
    run: (services: Services) => Promise<Answer>,
  ): Promise<Response> => {
    const startedAt = Date.now();
    const requestId = requestIdOf(c.req.raw);
    const about = { requestId, method: c.req.method, path: c.req.path };
    let answer: Answer;
    try {
      const open = roles.length === 0;
      const known = open ? { ok: true as const, caller: NOBODY } : await authorize(c.req.raw, deps.token(c.env));
      const barred = known.ok && !open ? refuseRole(known.caller, roles, `${about.method} ${about.path}`) : null;
      answer = known.ok ? (barred ?? (await run(servicesOf(deps, c, log, requestId, known.caller)))) : known;
    } catch (error) {
      answer = refusalOf(error, requestId);
      log("error", "request_failed", { ...about, status: statusOf(answer.code), error });
    }
    const tookMs = Date.now() - startedAt;
    if (tookMs > SLOW_MS && !isHeld(answer)) log("warn", "request_slow", { ...about, tookMs });
    return toResponse(answer, requestId);
  };
}

const ROUTES: AnyRoute[] = [
  enqueueToQueue,
  enqueueToTask,
  listJobs,
  getJob,
  cancelJob,
  retryJob,
  deleteJob,
  explainJob,
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
  getSummary,
  getMetrics,
];

function contractRoute<Env>(routes: readonly AnyRoute[], { version, config }: AppDeps<Env>): AnyRoute {
  let document: object | null = null;
  return route({
    method: "get",
    path: "/openapi.json",
    roles: EVERYBODY,
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

function servicesOf<Env>(deps: AppDeps<Env>, c: Ctx<Env>, log: Log, requestId: string, caller: Caller): Services {
  return {
    config: deps.config,
    version: deps.version,
    log,
    stub: (queue) => deps.stub(c.env, queue),
    upgrade: (queue, path, headers) => deps.upgrade(c.env, queue, path, headers),
    history: () => deps.history(c.env),
    background: (work) => inBackground(c, work),
    requestId,
    caller,
  };
}

/** A host that gives no context keeps what goes on alive by itself. */
function inBackground<Env>(c: Ctx<Env>, work: Promise<void>): void {
  try {
    c.executionCtx.waitUntil(work);
  } catch {
    void work;
  }
}

/** The caller asked for it to take long. */
function isHeld(answer: Answer): boolean {
  return answer.ok && ("response" in answer || answer.held === true);
}

function toResponse(answer: Answer, requestId: string): Response {
  if (answer.ok && "response" in answer) return answer.response;
  const named = { "x-request-id": requestId, ...answer.headers };
  if (!answer.ok) return problemResponse(answer, named, answer.more);
  const { status, text, body } = answer;
  if (status === 204) return new Response(null, { status, headers: named });
  return new Response(text ?? JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...named },
  });
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

/** What was thrown stays in the log: the caller learns only whether waiting may help. */
function refusalOf(error: unknown, requestId: string): Refused {
  if (isOutage(error)) {
    return refuse("unavailable", "A part of the service does not answer just now: try again in a moment.");
  }
  return refuse("internal", `The request could not be carried out. The server's log tells more under ${requestId}.`);
}
