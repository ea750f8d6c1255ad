/**
 * The exchange, the same for consumers by RPC, and for remote workers over HTTP and WebSocket: ids become sequence
 * numbers, results and payloads JSON text, and follow-up jobs are resolved.
 *
 * @module
 */
import type { ExchangeRequest, ExchangeResponse, JobError, LeasedJob } from "../client/types.ts";
import {
  type Channel,
  type ExchangeInput,
  type ExchangeReply,
  type FollowUps,
  type LeasedTuple,
  type QueueRpc,
  readOptions,
  type StoredOptions,
} from "../client/wire.ts";
import { type Config, glob } from "./config.ts";
import { type CheckedExchange, readExchange } from "./exchange-read.ts";
import { resolveFollowUps } from "./follow-ups.ts";
import { nearest } from "./issues.ts";
import type { Refused } from "./problem.ts";

/** Where an exchange goes, what the worker may do there, and how it gets there. */
export interface ExchangeVia {
  queue: string;
  partition: number;
  channel: Channel | null;
  /** Tasks, and names and patterns of queues, that the worker's token names; null: any. `token`: as in `Grant`. */
  may: { tasks: readonly string[] | null; queues: readonly string[] | null; token?: string | null };
  /** The session can be told what comes later. */
  standing: boolean;
  run(input: ExchangeInput): Promise<ExchangeReply>;
}

/** A closest name is looked for to each. */
const UNKNOWN_TOLD_MAX = 10;

/** An answer, and how long it may be held back where it says nothing. */
export type Exchanged = { ok: true; response: ExchangeResponse; wait: string | null } | Refused;

/**
 * Carries out one exchange. `request` is what JSON holds, an `ExchangeRequest` if all is well. Refused where it makes no
 * sense as a whole, or where the object says so. A completion whose follow-up jobs are refused is settled as a failure.
 */
export async function exchange(
  config: Config,
  via: ExchangeVia,
  request: unknown,
  now: () => number = Date.now,
): Promise<Exchanged> {
  const { queue, partition, channel, may, standing } = via;
  const about = { queue, partition, tasks: may.tasks, maxResultBytes: config.maxPayloadBytes };
  const read = readExchange(request, about);
  if (!read.ok) return read;
  if (read.followUps.size > 0) await addFollowUps(config, via, read);
  const { input, foreign, wait } = read;
  const session = sessionOf(may, input.session);
  const strange = foreign.settles.length;
  const marks = { ...(standing && { standing }), ...(strange > 0 && { foreign: strange }) };
  const reply = await via.run({ ...input, session, channel, ...marks });
  if (!reply.ok) return reply;
  const response = toResponse(`${queue}:${partition}:`, reply, now());
  const unknown = unknownTasks(config, input);
  if (unknown.length > 0) response.unknownTasks = unknown;
  response.lost.push(...foreign.holding);
  for (const [id, fence] of foreign.settles) response.refused.push({ id, fence, code: "not_held" });
  return { ok: true, response, wait };
}

/** What a worker comes for and nobody can enqueue: mistyped, or the server is to be deployed yet. Looked at once a session. */
function unknownTasks({ tasks }: Config, { n, worker }: CheckedExchange["input"]) {
  if (n !== 1 || !worker.tasks) return [];
  const unknown = worker.tasks.filter((task) => !tasks.has(task)).slice(0, UNKNOWN_TOLD_MAX);
  return unknown.map((task) => ({ task, didYouMean: nearest(task, tasks.keys()) }));
}

/** Ids of sessions are shown with the queue: who knows one speaks for it only with the token that it began with. */
function sessionOf({ token }: ExchangeVia["may"], session: string): string {
  return token ? `${token}/${session}` : session;
}

/** The same for a consumer, which may do anything. Throws when the object cannot be reached, or refuses the exchange. */
export async function exchangeByRpc(
  stub: QueueRpc,
  where: Pick<ExchangeVia, "queue" | "partition" | "channel">,
  request: ExchangeRequest,
  config: Config,
  now: () => number = Date.now,
): Promise<ExchangeResponse> {
  const run = (input: ExchangeInput) => stub.exchange(input);
  const via = { ...where, may: { tasks: null, queues: null }, standing: false, run };
  const done = await exchange(config, via, request, now);
  if (done.ok) return done.response;
  const wrong = (done.errors ?? []).map(({ path, message }) => ` ${path} ${message}`).join(";");
  throw new Error(`Exchange ${request.n} was refused (${done.code}): ${done.detail}${wrong}`);
}

/** Resolves what outcomes ask for, all at once. */
async function addFollowUps(config: Config, { may }: ExchangeVia, read: CheckedExchange): Promise<void> {
  const { settle } = read.input;
  await Promise.all(
    [...read.followUps].map(async ([index, asked]) => {
      const { seq, fence } = settle[index]!;
      const resolved = await resolveFollowUps(config, asked);
      const error = resolved.ok ? refuseGroups(resolved.groups, may) : resolved.error;
      if (error) settle[index] = { seq, fence, outcome: "failed", error };
      else if (resolved.ok) settle[index]!.enqueue = resolved.groups;
    }),
  );
}

/** A worker makes no jobs that its token could not touch. */
function refuseGroups(groups: FollowUps[], { tasks, queues }: ExchangeVia["may"]): JobError | null {
  for (const { queue, templates } of groups) {
    const strange = tasks && templates.find(({ task }) => !tasks.includes(task));
    const barred = strange ? `task "${strange.task}"` : `queue "${queue}"`;
    if (!strange && (!queues || queues.some((pattern) => glob(pattern).test(queue)))) continue;
    const message = `A follow-up job was refused: the worker's token is not for ${barred}.`;
    return { name: "FollowUpError", message, stack: null };
  }
  return null;
}

function toResponse(prefix: string, reply: ExchangeReply & { ok: true }, now: number): ExchangeResponse {
  return {
    n: reply.n,
    jobs: leasedJobs(prefix, reply.jobs, now),
    lost: reply.lost.map(([seq, fence]) => [prefix + seq, fence]),
    refused: reply.refused.map(({ seq, fence, code }) => ({ id: prefix + seq, fence, code })),
    cancel: reply.cancel.map((seq) => prefix + seq),
    leaseMs: reply.leaseMs,
    slots: reply.slots,
    retryInMs: reply.retryInMs,
  };
}

/** Jobs of one request were accepted in the same instant: most instants in a row are one. */
function instants(): (ms: number) => string {
  let last = Number.NaN;
  let text = "";
  return (ms) => {
    if (ms !== last) {
      last = ms;
      text = new Date(ms).toISOString();
    }
    return text;
  };
}

/** An attempt is over at its job's deadline. */
function timeLeft({ timeoutMs, deadlineAt }: StoredOptions, now: number): number {
  return deadlineAt === null ? timeoutMs : Math.max(1, Math.min(timeoutMs, deadlineAt - now));
}

/** Jobs as a worker gets them; `text` is JSON of an array of `LeasedTuple`. */
export function leasedJobs(prefix: string, text: string, now: number): LeasedJob[] {
  const tuples = JSON.parse(text) as LeasedTuple[];
  // Jobs of one request share their options: they are parsed once in a row.
  let optionsText = "";
  let options = {} as StoredOptions;
  const iso = instants();
  return tuples.map((tuple) => {
    const [seq, task, payload, , fence, failures, createdAt, runAt, reopenedFence] = tuple;
    if (tuple[9] !== optionsText) {
      optionsText = tuple[9];
      options = readOptions(optionsText);
    }
    return {
      id: prefix + seq,
      task,
      payload: payload === null ? null : JSON.parse(payload),
      encoding: "json",
      attempt: failures + 1,
      fence,
      reopenedFence,
      failures,
      maxAttempts: options.maxAttempts,
      timeoutMs: timeLeft(options, now),
      backoff: options.ownBackoff ? options.backoff : null,
      createdAt: iso(createdAt),
      runAt: iso(runAt),
      tags: options.tags,
      meta: (options.meta ?? {}) as LeasedJob["meta"],
      actor: options.actor,
      schedule: options.schedule && { name: options.schedule.name, instant: iso(options.schedule.instant) },
      keys: options.keys ?? {},
      version: options.version,
      traceparent: options.traceparent,
    } satisfies LeasedJob;
  });
}
