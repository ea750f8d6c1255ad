/**
 * The exchange as sessions speak it, over RPC to the object: ids become sequence numbers, results and payloads JSON
 * text, and follow-up jobs are resolved.
 *
 * @module
 */
import type { ExchangeRequest, ExchangeResponse, LeasedJob, LogLine, Outcome } from "../client/types.ts";
import {
  type Channel,
  type ExchangeInput,
  type LeasedTuple,
  type LogTuple,
  type QueueRpc,
  readOptions,
  type StoredOptions,
  type WireOutcome,
} from "../client/wire.ts";
import type { Config } from "./config.ts";
import { resolveFollowUps } from "./follow-ups.ts";

/**
 * Exchanges with one partition. Throws when the object cannot be reached or refuses the exchange as a whole. A
 * completion whose follow-up jobs are refused is settled as a failure.
 */
export async function exchangeByRpc(
  stub: QueueRpc,
  where: { queue: string; partition: number; channel: Channel | null },
  request: ExchangeRequest,
  config: Config,
  now: () => number = Date.now,
): Promise<ExchangeResponse> {
  const prefix = `${where.queue}:${where.partition}:`;
  const seqOf = (id: string): number => Number(id.slice(prefix.length));
  const input: ExchangeInput = {
    session: request.session,
    n: request.n,
    worker: request.worker,
    channel: where.channel,
    holding: request.holding.map(([id, fence]) => [seqOf(id), fence]),
    settle: await toSettle(request.settle, seqOf, config),
    progress: request.progress.map(({ id, fence, progress }) => ({ seq: seqOf(id), fence, progress })),
    want: request.want,
    ...(request.gather && { gather: request.gather }),
    ...(request.logs && {
      logs: request.logs.map(({ id, fence, lines }) => ({ seq: seqOf(id), fence, lines: lines.map(toTuple) })),
    }),
  };
  const reply = await stub.exchange(input);
  if (!reply.ok) throw new Error(`Exchange ${request.n} was refused (${reply.code}): ${reply.detail}`);
  return {
    n: reply.n,
    jobs: leasedJobs(prefix, reply.jobs, now()),
    lost: reply.lost.map(([seq, fence]) => [prefix + seq, fence]),
    refused: reply.refused.map(({ seq, fence, code }) => ({ id: prefix + seq, fence, code })),
    cancel: reply.cancel.map((seq) => prefix + seq),
    leaseMs: reply.leaseMs,
    slots: reply.slots,
    retryInMs: reply.retryInMs,
  };
}

/** In order, and at once where nobody asked for follow-up jobs: this is the hot path. */
function toSettle(
  outcomes: Outcome[],
  seqOf: (id: string) => number,
  config: Config,
): WireOutcome[] | Promise<WireOutcome[]> {
  if (!outcomes.some((outcome) => "enqueue" in outcome)) return outcomes.map((outcome) => toWire(outcome, seqOf));
  return Promise.all(
    outcomes.map(async (outcome) => {
      if (outcome.outcome !== "completed" || !outcome.enqueue?.length) return toWire(outcome, seqOf);
      const resolved = await resolveFollowUps(config, outcome.enqueue);
      if (resolved.ok) return { ...toWire(outcome, seqOf), enqueue: resolved.groups };
      const { id, fence } = outcome;
      return toWire({ id, fence, outcome: "failed", error: resolved.error }, seqOf);
    }),
  );
}

function toTuple({ at, level, message, fields }: LogLine): LogTuple {
  return [Date.parse(at), level, message, fields];
}

function toWire(outcome: Outcome, seqOf: (id: string) => number): WireOutcome {
  const seq = seqOf(outcome.id);
  if (outcome.outcome !== "completed") {
    const { id: _id, ...rest } = outcome;
    return { seq, ...rest };
  }
  const { fence, result, reason } = outcome;
  const wire: WireOutcome = {
    seq,
    fence,
    outcome: "completed",
    result: result === undefined ? null : JSON.stringify(result),
  };
  if (reason !== undefined) wire.reason = reason;
  return wire;
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

function leasedJobs(prefix: string, text: string, now: number): LeasedJob[] {
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
