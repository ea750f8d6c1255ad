/**
 * What the `http` task takes: the payload's schema, and the headers that a request goes out with.
 *
 * @module
 */
import { z } from "zod";
import type { Ctx } from "../../client/context.ts";
import { parseDuration } from "../../client/duration.ts";
import type { Duration, Json } from "../../client/types.ts";
import type { Guard } from "./guard.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
/** The default timeout of a task: an attempt would be over before a longer one. */
const MAX_TIMEOUT: Duration = "5m";
const MAX_HEADER_CHARS = 16 * 1024;

/** Headers of the connection, of the platform, and those that Millrace sets itself. */
const RESERVED =
  /^(host|content-length|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|via|forwarded|http2-settings|x-real-ip|true-client-ip|cdn-loop|idempotency-key|(proxy|cf|x-forwarded|x-millrace)-.*)$/;

export type HttpMethod = (typeof METHODS)[number];

/** A payload of the `http` task, as callers write it. */
export interface HttpInput {
  /** Absolute; which ones may be requested is the deployment's choice. At most 8,192 characters. */
  url: string;
  /** @default {"POST"} */
  method?: HttpMethod;
  /** At most 16 KiB. Headers of the connection and those that Millrace sets are refused. */
  headers?: { [name: string]: string };
  /** A string is sent as it is, anything else but null as JSON, with its `content-type` unless `headers` has one. */
  body?: Json;
  /** Time for the request and its answer, 1 ms to 5 min. @default {"30s"} */
  timeout?: Duration;
}

/** A payload after its check, with the defaults filled in. */
export interface HttpRequest extends HttpInput {
  method: HttpMethod;
  timeout: Duration;
}

/** The schema of payloads. Checking what it has already checked changes nothing. */
export function requestSchema(guard: Guard): z.ZodType<HttpRequest, HttpInput> {
  return z
    .strictObject({
      url: z.string().superRefine((url, issues) => {
        const { problem } = guard(url);
        if (problem !== undefined) issues.addIssue(problem);
      }),
      method: z.enum(METHODS).default("POST"),
      headers: z.record(z.string(), z.string()).superRefine(checkHeaders).optional(),
      body: z.custom<Json>().optional(),
      timeout: z.custom<Duration>(isTimeout, `a timeout is a duration from "1ms" to "${MAX_TIMEOUT}"`).default("30s"),
    })
    .superRefine(({ method, body }, issues) => {
      if ((method === "GET" || method === "HEAD") && body !== undefined && body !== null) {
        issues.addIssue({ code: "custom", path: ["body"], message: `a ${method} request has no body` });
      }
    });
}

/**
 * The headers to send: the user's, and Millrace's own.
 *
 * The idempotency key stays the same through automatic retries, so that a receiver can drop what it has already
 * taken, and changes when somebody retries the job by hand: then the effect is wanted once more.
 */
export function headersFor(request: HttpRequest, ctx: Ctx): Headers {
  const headers = new Headers(request.headers);
  if (typeof request.body !== "string" && request.body != null && !headers.has("content-type")) {
    headers.set("content-type", "application/json");
  }
  const { id, reopenedFence } = ctx.job;
  headers.set("idempotency-key", `${id}/${reopenedFence}`);
  headers.set("x-millrace-job", id);
  headers.set("x-millrace-attempt", String(ctx.attempt));
  return headers;
}

/** The body to send; undefined for none. */
export function bodyFor({ body }: HttpRequest): string | undefined {
  if (body === undefined || body === null) return undefined;
  return typeof body === "string" ? body : JSON.stringify(body);
}

function checkHeaders(headers: { [name: string]: string }, issues: z.RefinementCtx): void {
  const seen = new Set<string>();
  let chars = 0;
  for (const [name, value] of Object.entries(headers)) {
    const problem = headerProblem(name, value, seen);
    if (problem !== null) issues.addIssue({ code: "custom", path: [name], message: problem });
    seen.add(name.toLowerCase());
    chars += name.length + value.length;
  }
  if (chars > MAX_HEADER_CHARS) issues.addIssue(`headers of ${chars} characters; at most ${MAX_HEADER_CHARS} are sent`);
}

function headerProblem(name: string, value: string, seen: Set<string>): string | null {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return "not a header name: letters, digits and !#$%&'*+.^_`|~- only";
  if (RESERVED.test(name.toLowerCase())) return "this header is set by Millrace or the connection; leave it out";
  if (seen.has(name.toLowerCase())) return "the same header twice, in different case; join the values with a comma";
  return /^[\t\x20-\x7e]*$/.test(value) ? null : "a header value is printable ASCII; encode what is not";
}

function isTimeout(value: unknown): boolean {
  try {
    const ms = parseDuration(value as string);
    return ms >= 1 && ms <= parseDuration(MAX_TIMEOUT);
  } catch {
    return false;
  }
}
