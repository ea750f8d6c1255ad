/**
 * The exchange as sessions speak it, over RPC to the object: ids become sequence numbers, results and payloads JSON text.
 *
 * @module
 */
import type { ExchangeRequest, ExchangeResponse, LeasedJob, Outcome } from "../client/types.ts";
import {
  type Channel,
  type ExchangeInput,
  type LeasedTuple,
  type QueueRpc,
  readOptions,
  type StoredOptions,
  type WireOutcome,
} from "../client/wire.ts";

/** Exchanges with one partition. Throws when the object cannot be reached or refuses the exchange as a whole. */
export async function exchangeByRpc(
  stub: QueueRpc,
  where: { queue: string; partition: number; channel: Channel | null },
  request: ExchangeRequest,
): Promise<ExchangeResponse> {
  const prefix = `${where.queue}:${where.partition}:`;
  const seqOf = (id: string): number => Number(id.slice(prefix.length));
  const input: ExchangeInput = {
    session: request.session,
    n: request.n,
    worker: request.worker,
    channel: where.channel,
    holding: request.holding.map(([id, fence]) => [seqOf(id), fence]),
    settle: request.settle.map((outcome) => toWire(outcome, seqOf)),
    progress: request.progress.map(({ id, fence, progress }) => ({ seq: seqOf(id), fence, progress })),
    want: request.want,
  };
  const reply = await stub.exchange(input);
  if (!reply.ok) throw new Error(`Exchange ${request.n} was refused (${reply.code}): ${reply.detail}`);
  return {
    n: reply.n,
    jobs: leasedJobs(prefix, reply.jobs),
    lost: reply.lost.map(([seq, fence]) => [prefix + seq, fence]),
    refused: reply.refused.map(({ seq, fence, code }) => ({ id: prefix + seq, fence, code })),
    cancel: reply.cancel.map((seq) => prefix + seq),
    leaseMs: reply.leaseMs,
    slots: reply.slots,
    retryInMs: reply.retryInMs,
  };
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

function leasedJobs(prefix: string, text: string): LeasedJob[] {
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
      timeoutMs: options.timeoutMs,
      backoff: options.ownBackoff ? options.backoff : null,
      createdAt: iso(createdAt),
      runAt: iso(runAt),
      tags: options.tags,
      meta: (options.meta ?? {}) as LeasedJob["meta"],
      actor: options.actor,
      schedule: options.schedule && { name: options.schedule.name, instant: iso(options.schedule.instant) },
      version: options.version,
      traceparent: options.traceparent,
    } satisfies LeasedJob;
  });
}
