/**
 * How an attempt ended, from a worker's words into the object's.
 *
 * @module
 */
import { parseDuration } from "../client/duration.ts";
import type { JobError } from "../client/types.ts";
import type { WireOutcome } from "../client/wire.ts";
import { isDeeperThan, MAX_DEPTH, utf8Bytes } from "./json.ts";

/** What JSON holds under any name. */
export type Fields = { readonly [field: string]: unknown };

/** What is no outcome: the engine refuses it, for its job alone. */
const NO_OUTCOME = { outcome: "malformed" as WireOutcome["outcome"] };

/**
 * Reads one outcome. A result over `maxResultBytes` is dropped, and the job says so. One that no row can keep makes the
 * job dead, as one that JSON cannot hold does where the handler runs: refused, it would be made again and again.
 */
export function readOutcome(given: Fields, seq: number, fence: number, maxResultBytes: number): WireOutcome {
  return { seq, fence, ...(endingOf(given, maxResultBytes) ?? NO_OUTCOME) };
}

type Ending = Omit<WireOutcome, "seq" | "fence">;

function endingOf(given: Fields, maxResultBytes: number): Ending | null {
  switch (given.outcome) {
    case "completed":
      return completed(given, maxResultBytes);
    case "failed":
      return failed(given);
    case "dead": {
      const error = readError(given.error);
      return error && { outcome: "dead", error };
    }
    case "snoozed":
      return snoozed(given);
    case "released":
      return { outcome: "released", ...(given.started === false && { started: false }) };
    case "declined":
      return { outcome: "declined", ...(typeof given.code === "string" && { code: given.code }) };
    case "cancelled":
      return { outcome: "cancelled", ...(typeof given.reason === "string" && { reason: given.reason }) };
    default:
      return null;
  }
}

function completed({ result, reason }: Fields, maxBytes: number): Ending {
  if (reason === "result_too_large") return { outcome: "completed", result: null, reason };
  if (result === undefined || result === null) return { outcome: "completed", result: null };
  const text = textOf(result);
  if (text === null) {
    const message = `The job completed with a result that nests more than ${MAX_DEPTH} arrays and objects`;
    return { outcome: "dead", error: { name: "ResultError", message, stack: null } };
  }
  // A UTF-16 unit is at most three bytes, so most texts need no counting.
  if (text.length * 3 > maxBytes && (text.length > maxBytes || utf8Bytes(text) > maxBytes)) {
    return { outcome: "completed", result: null, reason: "result_too_large" };
  }
  return { outcome: "completed", result: text };
}

/** JSON text; null where it nests too deep. */
function textOf(result: unknown): string | null {
  try {
    const text = JSON.stringify(result);
    return isDeeperThan(text, MAX_DEPTH) ? null : text;
  } catch {
    return null;
  }
}

function failed(given: Fields): Ending | null {
  const error = readError(given.error);
  const retryInMs = readWait(given.retryIn, given.retryInMs);
  if (!error || retryInMs === null) return null;
  return { outcome: "failed", error, ...(retryInMs !== undefined && { retryInMs }) };
}

function snoozed(given: Fields): Ending | null {
  const forMs = readWait(given.for, given.forMs);
  if (typeof forMs !== "number") return null;
  const { rateLimited } = given;
  if (rateLimited === undefined || rateLimited === null) return { outcome: "snoozed", forMs };
  const limit = rateLimited as Fields;
  const closedMs = readWait(limit.for, limit.forMs);
  if (typeof limit.kind !== "string" || typeof closedMs !== "number") return null;
  return { outcome: "snoozed", forMs, rateLimited: { kind: limit.kind, forMs: closedMs } };
}

/** A duration, or the same in ms; undefined: neither is there; null: what is there is none. */
function readWait(span: unknown, ms: unknown): number | undefined | null {
  if (typeof ms === "number") return ms >= 0 ? ms : null;
  if (typeof span === "string") {
    try {
      return parseDuration(span);
    } catch {
      return null;
    }
  }
  return (span ?? ms ?? undefined) === undefined ? undefined : null;
}

/** Its texts are cut to size by the object. */
function readError(given: unknown): JobError | null {
  const { name, message, stack } = (given ?? {}) as Fields;
  if (typeof message !== "string") return null;
  return {
    name: typeof name === "string" ? name : "Error",
    message,
    stack: typeof stack === "string" ? stack : null,
  };
}
