/**
 * Errors as the API answers them: RFC 9457 problems with stable codes.
 *
 * @module
 */
import type { ErrorCode, Problem } from "../client/types.ts";
import type { Refusal } from "../client/wire.ts";

/** A refusal that also names what of the input is wrong. Nothing was changed. */
export interface Refused extends Refusal {
  errors?: Problem["errors"];
}

const PROBLEMS: Record<ErrorCode, [status: number, title: string]> = {
  invalid_request: [400, "The request is not valid"],
  unauthorized: [401, "A valid token is needed"],
  forbidden: [403, "This token may not do that"],
  not_found: [404, "There is no such thing"],
  method_not_allowed: [405, "This path does not take that method"],
  conflict: [409, "The state of things does not allow it"],
  payload_too_large: [413, "Too large"],
  unsupported_media_type: [415, "The body must be JSON"],
  unknown_task: [422, "There is no such task"],
  idempotency_mismatch: [422, "This key was used for another body"],
  rate_limited: [429, "Too many requests"],
  internal: [500, "Something broke"],
  not_configured: [503, "The server is not configured"],
  unavailable: [503, "A part of the service does not answer"],
};

const RETRY_AFTER_SECONDS: { [code in ErrorCode]?: number } = { rate_limited: 1, unavailable: 1, not_configured: 60 };

/** HTTP status of a code. */
export function statusOf(code: ErrorCode): number {
  return PROBLEMS[code][0];
}

/** @param detail What was attempted, what is, and what should be. */
export function refuse(code: ErrorCode, detail: string, errors?: Problem["errors"]): Refused {
  return { ok: false, code, detail, errors };
}

/** The same as a body of `application/problem+json`. */
export function toProblem({ code, detail, errors }: Refused): Problem {
  const [status, title] = PROBLEMS[code];
  return { type: `urn:millrace:problem:${code}`, title, status, code, detail, errors };
}

/** The answer for a refusal, with `Retry-After` where trying again may help. `more` are members beyond the standard ones. */
export function problemResponse(refused: Refused, headers: Record<string, string>, more: object = {}): Response {
  const all: Record<string, string> = {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    ...headers,
  };
  const { code, retryAfterMs } = refused;
  const seconds = retryAfterMs === undefined ? RETRY_AFTER_SECONDS[code] : Math.max(1, Math.ceil(retryAfterMs / 1_000));
  if (seconds !== undefined) all["retry-after"] = String(seconds);
  if (code === "unauthorized") all["www-authenticate"] = 'Bearer realm="millrace"';
  const body = JSON.stringify({ ...toProblem(refused), ...more });
  return new Response(body, { status: statusOf(code), headers: all });
}

const OUTAGE =
  /overloaded|network connection lost|connection (was )?(lost|closed|reset)|timed? ?out|no longer active|too many requests|too much (data|load)|object to be reset|reset because its code was updated|internal error|unable to connect|cannot connect/i;
/** The database answered, and does not understand: no waiting mends that. */
const BROKEN_SQL = /no such (table|column)|syntax error|SQLITE_(ERROR|CONSTRAINT)/i;

/** Whether what an object or D1 threw means that it cannot be reached just now, rather than that code is wrong. */
export function isOutage(error: unknown): boolean {
  const { retryable, overloaded, message, cause } = (error ?? {}) as {
    retryable?: unknown;
    overloaded?: unknown;
    message?: unknown;
    cause?: unknown;
  };
  if (retryable === true || overloaded === true) return true;
  const text = typeof message === "string" ? message : String(error);
  if (OUTAGE.test(text) && !BROKEN_SQL.test(text)) return true;
  // Queries that drizzle makes fail with its own error, which says what was asked and not what went wrong.
  return cause !== undefined && isOutage(cause);
}
