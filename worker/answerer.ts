/**
 * What stands around every route: the request's id, who calls, what is thrown, the log, the audit log.
 *
 * @module
 */
import type { Context } from "hono";
import type { ErrorCode } from "../client/types.ts";
import { BEARER_HEADER, type Bearer } from "../durable-objects/queue-object.ts";
import { refuseRole } from "./allow.ts";
import type { AppDeps } from "./app.ts";
import { type Caller, rootCaller } from "./caller.ts";
import { LACKS_MIGRATIONS, lacksMigrations } from "./history/migrations.ts";
import { log as toConsole } from "./log.ts";
import { createRoom, isAudited, noteInAudit } from "./middleware/audit.ts";
import { type Authority, createAuthorizer } from "./middleware/auth.ts";
import { corsHeaders, preflight } from "./middleware/cors.ts";
import { requestIdOf } from "./middleware/request-id.ts";
import { isOutage, problemResponse, type Refused, refuse, statusOf } from "./problem.ts";
import type { Answer, AnyRoute, Services } from "./routes/route.ts";

export type Ctx<Env> = Context<{ Bindings: Env & object }>;

/** Of routes that need no token. */
const NOBODY = rootCaller("", "");

const SLOW_MS = 5_000;

/** One function instead of a chain of middleware, because headers that are set on a finished response double the cost of a small request. */
export function createAnswerer<Env>(deps: AppDeps<Env>) {
  const authorize = createAuthorizer();
  const log = deps.log ?? toConsole;
  const refused = new Map<ErrorCode, number>();
  const hasRoom = createRoom();
  const { cors } = deps.config;

  function servicesOf(c: Ctx<Env>, requestId: string, caller: Caller, target: Services["target"]): Services {
    return {
      config: deps.config,
      version: deps.version,
      log,
      stub: (queue) => deps.stub(c.env, queue),
      upgrade: (queue, path, headers) => deps.upgrade(c.env, queue, path, { ...headers, ...bearerHeader(caller) }),
      history: () => deps.history(c.env),
      keys: () => deps.keys(c.env),
      revoked: (id) => deps.revocations.add(id),
      refused,
      target,
      background: (work) => void keepAlive(c, work),
      requestId,
      caller,
    };
  }

  return async (
    c: Ctx<Env>,
    route: Pick<AnyRoute, "roles">,
    run: (services: Services) => Promise<Answer>,
  ): Promise<Response> => {
    const startedAt = Date.now();
    const requestId = requestIdOf(c.req.raw);
    const before = preflight(cors, c.req.raw, requestId);
    if (before) return before;
    const { method, path } = c.req;
    const open = route.roles.length === 0;
    const over = Promise.withResolvers<void>();
    let caller: Caller | null = null;
    let target: string | null = null;
    const aimAt = (what: string) => {
      target = what;
    };
    let answer: Answer;
    try {
      const known = open ? { ok: true as const, caller: NOBODY } : await authorize(c.req.raw, authorityOf(deps, c.env));
      if (known.ok) ({ caller } = known);
      // Whoever hangs up does not keep a change from being noted.
      if (caller && isAudited({ caller, route, method, status: 200 })) keepAlive(c, over.promise);
      const barred = known.ok && !open ? refuseRole(known.caller, route.roles, `${method} ${path}`) : null;
      answer = known.ok ? (barred ?? (await run(servicesOf(c, requestId, known.caller, aimAt)))) : known;
    } catch (error) {
      answer = refusalOf(error, requestId);
      log("error", "request_failed", { requestId, method, path, status: statusOf(answer.code), error });
    }
    const tookMs = Date.now() - startedAt;
    if (tookMs > SLOW_MS && !isHeld(answer)) log("warn", "request_slow", { requestId, method, path, tookMs });
    if (!answer.ok) refused.set(answer.code, (refused.get(answer.code) ?? 0) + 1);
    const response = toResponse(answer, { "x-request-id": requestId, ...corsHeaders(cors, c.req.raw) });
    const answered = caller && { caller, route, method, path, target, status: response.status, requestId };
    const store = () => deps.history(c.env).audit;
    if (answered && isAudited(answered) && hasRoom(answered)) await leave(c, noteInAudit(answered, store, log));
    over.resolve();
    return response;
  };
}

function authorityOf<Env>(deps: AppDeps<Env>, env: Env): Authority {
  return {
    token: deps.token(env),
    root: deps.root ?? "admin",
    keys: () => deps.keys(env),
    isRevoked: (id) => deps.revocations.isRevoked(id, async (now) => deps.history(env).tokens.revoked(now)),
  };
}

/** A socket ends with the token that it was opened with. */
function bearerHeader({ tokenId, expiresAt }: Caller): Record<string, string> {
  if (tokenId === null || expiresAt === null) return {};
  return { [BEARER_HEADER]: JSON.stringify({ id: tokenId, until: expiresAt } satisfies Bearer) };
}

/** False: this host gives no context, and goes on with the work only as long as it likes. */
function keepAlive<Env>(c: Ctx<Env>, work: Promise<void>): boolean {
  try {
    c.executionCtx.waitUntil(work);
    return true;
  } catch {
    return false;
  }
}

/** Leaves work to go on after the answer, or awaits it where nothing does. */
async function leave<Env>(c: Ctx<Env>, work: Promise<void>): Promise<void> {
  if (!keepAlive(c, work)) await work;
}

/** The caller asked for it to take long. */
function isHeld(answer: Answer): boolean {
  return answer.ok && ("response" in answer || answer.held === true);
}

function toResponse(answer: Answer, headers: Record<string, string>): Response {
  if (answer.ok && "response" in answer) return withHeaders(answer.response, headers);
  const named = { ...headers, ...answer.headers };
  if (!answer.ok) return problemResponse(answer, named, answer.more);
  const { status, text, body } = answer;
  if (status === 204) return new Response(null, { status, headers: named });
  return new Response(text ?? JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...named },
  });
}

/** A WebSocket's answer goes out as it is: it is nothing that a page may read. */
function withHeaders(response: Response, headers: Record<string, string>): Response {
  if (response.status === 101) return response;
  const answer = new Response(response.body, response);
  for (const [name, value] of Object.entries(headers)) answer.headers.set(name, value);
  return answer;
}

/** What was thrown stays in the log: the caller learns only whether waiting may help, or a command that was forgotten. */
function refusalOf(error: unknown, requestId: string): Refused {
  if (lacksMigrations(error)) return refuse("unavailable", LACKS_MIGRATIONS);
  if (isOutage(error)) {
    return refuse("unavailable", "A part of the service does not answer just now: try again in a moment.");
  }
  return refuse("internal", `The request could not be carried out. The server's log tells more under ${requestId}.`);
}
