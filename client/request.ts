/**
 * One call to the API: sent, and sent again while that is safe and may help.
 *
 * @module
 */
import { type ClientErrorCode, MillraceError } from "./errors.ts";
import type { Problem } from "./types.ts";

/** Anything that answers a `Request`: the global `fetch`, or an app in the same process. */
export type Fetch = (request: Request) => Response | Promise<Response>;

/** One call, relative to the URL of the API. */
export interface Call {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From `/v1` on, with its query. */
  path: string;
  /** JSON text. */
  body?: string;
  headers?: { [name: string]: string };
  signal?: AbortSignal;
  /** False: sent again only where the server says that it did nothing. @default {true} */
  idempotent?: boolean;
  /** True: a 404 to a repeated call means that the first one was carried out. */
  goneIsDone?: boolean;
  /** Time for one answer. @default {30_000} */
  answerInMs?: number;
  /** True: resolves to the `Response` as soon as it begins, its body a stream of events. */
  stream?: boolean;
  /** Time, from the first send, within which the call may be sent again; at most the client's own. */
  retryForMs?: number;
}

/**
 * Carries out a call and resolves to the JSON of its answer (null for none).
 *
 * @throws {MillraceError} when it is refused, or did not succeed in time
 * @throws the signal's reason when it is aborted
 */
export type Send = <Answer>(call: Call) => Promise<Answer>;

const ANSWER_IN_MS = 30_000;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;
const REPEATABLE = [429, 502, 503, 504];

/** An environment variable that is not set, or a URL without its scheme: no repetition mends either. */
export function notTheUrl(url: unknown): TypeError {
  return new TypeError(`${JSON.stringify(url)} is not a URL such as "https://app.example.com/jobs".`);
}

export function createSend(to: { url: string; token?: string; fetch: Fetch; retryForMs: number }): Send {
  const base = to.url.replace(/\/+$/, "");
  return async <Answer>(call: Call) => {
    const startedAt = Date.now();
    const retryForMs = Math.min(call.retryForMs ?? to.retryForMs, to.retryForMs);
    for (let tries = 1; ; tries++) {
      const tried = await tryOnce(to.fetch, base, to.token, call);
      if (tried.ok) return tried.value as Answer;
      const { error, retryAfterMs } = tried;
      if (call.goneIsDone && tries > 1 && error.status === 404) return null as Answer;
      const delayMs = delayBefore(tries, retryAfterMs);
      const inTime = Date.now() + delayMs - startedAt <= retryForMs;
      if (!inTime || !mayRepeat(error, call)) throw error;
      await sleep(delayMs, call.signal);
    }
  };
}

/** Resolves after `ms`, or rejects with the signal's reason. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

type Tried = { ok: true; value: unknown } | { ok: false; error: MillraceError; retryAfterMs: number };

async function tryOnce(fetch: Fetch, base: string, token: string | undefined, call: Call): Promise<Tried> {
  call.signal?.throwIfAborted();
  const url = base + call.path;
  const what = `${call.method} ${url}`;
  const stop = new AbortController();
  // Outside of `try`: a URL or token that cannot be sent is a mistake, which no repetition mends.
  const request = new Request(url, {
    method: call.method,
    headers: headersOf(token, call),
    body: call.body,
    signal: stop.signal,
  });
  const answerInMs = call.answerInMs ?? ANSWER_IN_MS;
  const timer = setTimeout(() => stop.abort(), answerInMs);
  const onAbort = () => stop.abort(call.signal?.reason);
  call.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const answered = Promise.resolve(fetch(request)).then((response) => readAnswer(response, what, call.stream));
    // An app in the same process may not look at the signal.
    return await Promise.race([answered, rejectionOf(stop.signal)]);
  } catch (cause) {
    call.signal?.throwIfAborted();
    const [code, why]: [ClientErrorCode, string] = stop.signal.aborted
      ? ["timeout", `within ${answerInMs} ms`]
      : ["network", reasonOf(cause)];
    const error = new MillraceError(`${what}: no answer: ${why}`, { code, retryable: true, cause });
    return { ok: false, error, retryAfterMs: 0 };
  } finally {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", onAbort);
  }
}

/** A `fetch` of Node says only that it failed: the address that refuses, or the wrong scheme, is one deeper. */
function reasonOf(thrown: unknown): string {
  const { message = thrown, cause } = Object(thrown);
  return cause ? `${message}: ${cause.code ?? cause.message}` : message;
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.onabort = () => reject(signal.reason);
  });
}

function headersOf(token: string | undefined, call: Call): { [name: string]: string } {
  const headers: { [name: string]: string } = { accept: "application/json", ...call.headers };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  if (call.body !== undefined) headers["content-type"] = "application/json";
  return headers;
}

/** Reads the answer to its end; rejects where the connection breaks on the way. */
async function readAnswer(response: Response, what: string, stream = false): Promise<Tried> {
  const { status, headers } = response;
  if (stream && response.ok && headers.get("content-type")?.startsWith("text/event-stream")) {
    return { ok: true, value: response };
  }
  const text = await response.text();
  const body = status === 204 ? null : parse(text);
  if (response.ok && body !== undefined && !stream) return { ok: true, value: body };
  return {
    ok: false,
    error: refusal({ what, status, text, body, requestId: headers.get("x-request-id") }),
    retryAfterMs: retryAfterOf(headers.get("retry-after")),
  };
}

function refusal(answer: {
  what: string;
  status: number;
  text: string;
  body: unknown;
  requestId: string | null;
}): MillraceError {
  const { what, status, text, requestId } = answer;
  const problem = (answer.body ?? {}) as Partial<Problem>;
  const code = typeof problem.code === "string" ? problem.code : codeOf(status);
  const detail =
    problem.detail ??
    problem.title ??
    `not from Millrace (is the url with its base path right?): ${text.slice(0, 200)}`;
  const errors = Array.isArray(problem.errors) ? problem.errors : [];
  const wrong = errors.map((one) => `${one?.path}: ${one?.message}`).join("; ");
  return new MillraceError(`${what}: ${status} ${code}: ${detail}${wrong ? ` (${wrong})` : ""}`, {
    code,
    status,
    requestId,
    // A server without a token stays so until somebody acts: that is worth knowing at once.
    retryable: REPEATABLE.includes(status) && code !== "not_configured",
  });
}

function mayRepeat(error: MillraceError, call: Call): boolean {
  return error.retryable && (call.idempotent !== false || error.status === 429 || error.status === 503);
}

/** The pause before the next try, after so many; at least what the server asks for. */
export function delayBefore(tries: number, retryAfterMs: number): number {
  const longest = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (tries - 1));
  return Math.max(longest * (0.25 + 0.75 * Math.random()), retryAfterMs * (1 + 0.1 * Math.random()));
}

/** `Retry-After` is seconds or a date. */
function retryAfterOf(header: string | null): number {
  const ms = Number(header) * 1_000 || Date.parse(header ?? "") - Date.now();
  return Math.max(0, ms || 0);
}

/** For answers from what stands before Millrace and does not speak its language. */
function codeOf(status: number): ClientErrorCode {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 404) return "not_found";
  if (status === 413) return "payload_too_large";
  if (status === 429) return "rate_limited";
  return REPEATABLE.includes(status) ? "unavailable" : "invalid_response";
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
