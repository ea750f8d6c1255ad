/**
 * The built-in task `http`: a job that is one HTTP request.
 *
 * @module
 */
import type { Ctx } from "../../client/context.ts";
import { formatDuration, parseDuration } from "../../client/duration.ts";
import { defineTask, type Task } from "../../client/task.ts";
import { NonRetryableError, RetryAfterError } from "../../client/thrown.ts";
import { createGuard, type Guard, shown } from "./guard.ts";
import { bodyFor, type HttpInput, type HttpRequest, headersFor, requestSchema } from "./http-request.ts";
import { keptHeaders, readText, retryAfterOf } from "./http-response.ts";

export { LOOPBACK } from "./guard.ts";
export type { HttpInput, HttpMethod, HttpRequest } from "./http-request.ts";

/** What {@link http} takes. */
export interface HttpOptions {
  /**
   * URL patterns that may be requested; none: nothing. See {@link createGuard}.
   * @example ["https://*.example.com", "https://api.example.org/hooks/*", "http://127.0.0.1:*"]
   */
  allow: readonly string[];
  /** This deployment's own addresses, `host` or `host:port`: refused unless `allow` names host and port. */
  self?: readonly string[];
  /** Sends the requests. @default the global fetch */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** The result of an `http` job. */
export interface HttpResult {
  /** 200 to 299. */
  status: number;
  /** Names in lower case, the first 8 KiB; without `set-cookie` and authentication. */
  headers: { [name: string]: string };
  /** As text, cut at 16 KiB of UTF-8. */
  body: string;
}

const MAX_BODY_BYTES = 16 * 1024;
const MAX_QUOTE_BYTES = 512;

/**
 * Makes the task `http`, which sends the request that its payload describes ({@link HttpInput}).
 *
 * 2xx completes the job with {@link HttpResult}. 408, 425, 429, 5xx, timeouts and network errors fail the attempt,
 * and the next one waits as long as `Retry-After` says (1 s to 24 h). Any other status makes the job dead, redirects
 * too: they are never followed. The receiver may see a request more than once (at least once); `Idempotency-Key` is
 * the same for all attempts until somebody retries the job by hand.
 *
 * Payloads are checked at enqueue and again before each attempt: against `allow`, and never to hosts that are not
 * public or to this deployment itself unless `allow` names them. Names are judged by their text, not by what they
 * resolve to: with a list as wide as `https://*`, a name that resolves to a private address is stopped only by the
 * network that this runs in (Cloudflare's has no way into private networks).
 *
 * @throws {TypeError} at once, when `allow` or `self` hold what is not a pattern or host
 * @example createMillrace({ tasks: [http({ allow: ["https://*.example.com"] })] })
 */
export function http(options: HttpOptions): Task<"http", HttpInput, HttpResult, unknown, HttpRequest> {
  if (!Array.isArray(options?.allow)) {
    throw new TypeError(
      'http({ allow }) needs a list of URL patterns, for example { allow: ["https://*.example.com"] }',
    );
  }
  const guard = createGuard(options.allow, options.self);
  const send = options.fetch ?? ((url: string, init: RequestInit) => fetch(url, init));
  return defineTask({ name: "http", input: requestSchema(guard), timeout: "5m" }).handler((request, ctx) =>
    run(request, ctx, guard, send),
  );
}

type Send = NonNullable<HttpOptions["fetch"]>;

async function run(request: HttpRequest, ctx: Ctx, guard: Guard, send: Send): Promise<HttpResult> {
  const { url, problem } = guard(request.url);
  if (url === undefined) throw new NonRetryableError(problem);
  const what = `${request.method} ${shown(url)}`;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), parseDuration(request.timeout));
  try {
    const signal = AbortSignal.any([ctx.signal, timeout.signal]);
    return resultOf(what, await exchange(url, request, headersFor(request, ctx), signal, send));
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    if (ctx.signal.aborted) throw ctx.signal.reason;
    if (timeout.signal.aborted) throw new Error(`${what} was not answered in full within ${request.timeout}`);
    throw new Error(`${what} got no full answer: ${error.message}`, { cause: error.cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The request did not get as far as a status and a body. */
class NoAnswer extends Error {}

interface Answer extends HttpResult {
  retryAfter: string | null;
  location: string | null;
}

async function exchange(
  url: URL,
  request: HttpRequest,
  headers: Headers,
  signal: AbortSignal,
  send: Send,
): Promise<Answer> {
  try {
    const init = { method: request.method, headers, body: bodyFor(request), redirect: "manual", signal } as const;
    const response = await send(url.href, init);
    // A 2xx is worth nothing without its body; any other status decides by itself.
    const body = response.ok
      ? await readText(response, MAX_BODY_BYTES)
      : await readText(response, MAX_QUOTE_BYTES).catch(() => "");
    return {
      status: response.status,
      headers: keptHeaders(response.headers),
      body,
      retryAfter: response.headers.get("retry-after"),
      location: response.headers.get("location"),
    };
  } catch (error) {
    throw new NoAnswer(reasonOf(error), { cause: error });
  }
}

/** @throws {Error} where trying again may help, {@link NonRetryableError} where it cannot */
function resultOf(what: string, { status, headers, body, retryAfter, location }: Answer): HttpResult {
  if (status >= 200 && status <= 299) return { status, headers, body };
  const quote = body === "" ? "" : ` The answer begins: ${body}`;
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const message = `${what} was answered ${status}; it is tried again while the job has tries left.${quote}`;
    const waitMs = retryAfterOf(retryAfter, Date.now());
    throw waitMs === null ? new Error(message) : new RetryAfterError(formatDuration(waitMs), message);
  }
  if (status < 400) {
    const target = location === null ? "" : ` to ${location}`;
    throw new NonRetryableError(
      `${what} was answered ${status}${target}; redirects are not followed: enqueue the request with its final URL.${quote}`,
    );
  }
  throw new NonRetryableError(
    `${what} was answered ${status}, which the same request would get again: correct it and enqueue it anew, ` +
      `or retry this job once the receiver takes it.${quote}`,
  );
}

/** `fetch` says "fetch failed" and hides the reason in its cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: unknown; cause?: { message?: unknown } };
  return (
    [message, cause?.message].filter((part) => typeof part === "string" && part !== "").join(": ") || String(error)
  );
}
