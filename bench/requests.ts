/**
 * Requests as a queue's object gets them.
 *
 * @module
 */
import type { JobTemplate } from "../client/wire.ts";
import { PLAIN } from "../test/support/template.ts";
import { PAYLOAD } from "./counters.ts";

/** Of whose `count` values, from `first` on, each job has one in turn. */
export interface Keyed {
  kind: "tenant" | "fair";
  first: number;
  count: number;
}

export const JOBS_PER_CALL = 1_000;
const PAYLOAD_TEXT = JSON.stringify(PAYLOAD);

/** As the API resolves a job of the task `noop`. */
const NOOP: JobTemplate = { ...PLAIN, task: "noop", maxAttempts: 8, timeoutMs: 30_000 };

/** JSON text of an `EnqueueInput`: the jobs of a series from `from` on. */
export function requestOf(from: number, jobs: number, keys?: Keyed): string {
  const templates = keys ? Array.from({ length: Math.min(jobs, keys.count) }, (_, n) => keyed(keys, from + n)) : [NOOP];
  const tuples = Array.from({ length: jobs }, (_, n) => [n % templates.length, PAYLOAD_TEXT]);
  return JSON.stringify({ templates, jobs: tuples, requestId: crypto.randomUUID(), idempotency: null });
}

function keyed({ kind, first, count }: Keyed, n: number): JobTemplate {
  const value = keyValue(first + (n % count));
  return kind === "fair" ? { ...NOOP, fairKey: value } : { ...NOOP, keys: { [kind]: value } };
}

export const keyValue = (n: number): string => `k${n}`;
