/**
 * The HTTP API as a Hono app. It knows no platform: queues are seen as `QueueRpc`, the history as `HistoryReads`.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import type { QueueRpc } from "../client/wire.ts";
import type { Config } from "./config.ts";
import type { HistoryReads } from "./history-reads.ts";
import { type Log, log as toConsole } from "./log.ts";
import { authorize } from "./middleware/auth.ts";
import { requestIdOf } from "./middleware/request-id.ts";
import { openApiDocument } from "./openapi.ts";
import { isOutage, problemResponse, type Refused, refuse } from "./problem.ts";
import { enqueueToQueue, enqueueToTask } from "./routes/enqueue.ts";
import { healthRoute } from "./routes/health.ts";
import { cancelJob, deleteJob, getJob, retryJob } from "./routes/jobs.ts";
import { LATER_ROUTES } from "./routes/later.ts";
import { listJobs } from "./routes/list.ts";
import { getMetrics } from "./routes/metrics.ts";
import { configureQueue, getQueue, listQueues, pauseQueue, resumeQueue } from "./routes/queues.ts";
import { type Answer, type AnyRoute, ok, route, type Services, serve } from "./routes/route.ts";
import { getSummary } from "./routes/summary.ts";

/** What the app needs of the platform. */
export interface AppDeps<Env> {
  config: Config;
  /** The object of a queue's partition 0: a new stub each time, since one that has thrown keeps failing. */
  stub(env: Env, queue: string): QueueRpc;
  history(env: Env): HistoryReads;
  /** The admin token; none, or one of fewer than 32 characters, and everything but `/healthz` answers 503. */
  token(env: Env): string | undefined;
  /** Millrace's own, shown in `/healthz` and `/openapi.json`. */
  version: string;
  log?: Log;
}

type AppEnv<Env> = {
  Bindings: Env & object;
  Variables: { requestId: string; tokenScope: string; error: unknown; held: boolean };
};
export type App<Env> = Hono<AppEnv<Env>>;

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
  const log = deps.log ?? toConsole;
  const app = new Hono<AppEnv<Env>>({ getPath: (request) => pathOf(request, basePath) });
  const routes: AnyRoute[] = [...ROUTES, healthRoute()];
  routes.push(contractRoute(routes, deps));

  app.use(async (c, next) => {
    const startedAt = Date.now();
    c.set("requestId", requestIdOf(c.req.raw));
    await next();
    c.res.headers.set("x-request-id", c.get("requestId"));
    logRequest(log, c, Date.now() - startedAt);
  });
  app.use(async (c, next) => {
    if (c.req.path === "/healthz") return next();
    const allowed = await authorize(c.req.raw, deps.token(c.env));
    if (!allowed.ok) return problemResponse(allowed);
    c.set("tokenScope", allowed.scope);
    return next();
  });
  for (const one of routes) {
    app.on(one.method, one.path.replaceAll(/\{(\w+)\}/g, ":$1"), async (c) => {
      const answer = await serve(one, c.req.raw, c.req.param() as Record<string, string>, servicesOf(deps, c, log));
      c.set("held", answer.ok && answer.held === true);
      return toResponse(answer);
    });
  }
  app.notFound((c) => notFound(routes, c.req.method, c.req.path));
  app.onError((error, c) => {
    c.set("error", error);
    return problemResponse(refusalOf(error, c.get("requestId")));
  });
  return app;
}

const ROUTES: AnyRoute[] = [
  enqueueToQueue,
  enqueueToTask,
  listJobs,
  getJob,
  cancelJob,
  retryJob,
  deleteJob,
  listQueues,
  getQueue,
  pauseQueue,
  resumeQueue,
  configureQueue,
  getSummary,
  getMetrics,
];

function contractRoute<Env>(routes: readonly AnyRoute[], { version, config }: AppDeps<Env>): AnyRoute {
  let document: object | null = null;
  return route({
    method: "get",
    path: "/openapi.json",
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

function servicesOf<Env>(deps: AppDeps<Env>, c: Context<AppEnv<Env>>, log: Log): Services {
  return {
    config: deps.config,
    version: deps.version,
    log,
    stub: (queue) => deps.stub(c.env, queue),
    history: () => deps.history(c.env),
    requestId: c.get("requestId"),
    tokenScope: c.get("tokenScope") ?? "",
  };
}

function toResponse(answer: Answer): Response {
  if (!answer.ok) return problemResponse(answer, {}, answer.more);
  const { status, text, body, headers } = answer;
  if (status === 204) return new Response(null, { status, headers });
  return new Response(text ?? JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}

function notFound(routes: readonly AnyRoute[], method: string, path: string): Response {
  const shown = `${method} ${path.slice(0, 200)}`;
  const methods = routes.filter((one) => matches(one.path, path)).map((one) => one.method.toUpperCase());
  const later = LATER_ROUTES.filter(([, template]) => matches(template, path)).map(([known]) => known);
  if (later.includes(method)) return problemResponse(refuse("invalid_request", `${shown} is not built yet.`));
  if (methods.includes("GET")) methods.push("HEAD");
  const allow = [...new Set([...methods, ...later])].join(", ");
  if (allow === "") return problemResponse(refuse("not_found", `${shown}: there is no such path. See /openapi.json.`));
  return problemResponse(refuse("method_not_allowed", `${shown}: this path takes ${allow}.`), { allow });
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

function logRequest<Env>(log: Log, c: Context<AppEnv<Env>>, tookMs: number): void {
  const { status } = c.res;
  const failed = status >= 500 && c.get("error") !== undefined;
  const slow = tookMs > SLOW_MS && !c.get("held");
  if (!failed && !slow) return;
  const { method, path } = c.req;
  log(failed ? "error" : "warn", failed ? "request_failed" : "request_slow", {
    requestId: c.get("requestId"),
    method,
    path,
    status,
    tookMs,
    error: c.get("error"),
  });
}
