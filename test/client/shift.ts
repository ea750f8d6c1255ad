import { vi } from "vitest";
import { runSession, type SessionOptions, type SessionSummary } from "../../client/session.ts";
import type { AnyTaskDeclaration } from "../../client/task.ts";
import type { ExchangeRequest, ExchangeResponse, JobOptions, NewJob } from "../../client/types.ts";
import type { Channel, ExchangeInput, JobRecord, QueueRpc } from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { get } from "../../durable-objects/engine/inspect.ts";
import * as operate from "../../durable-objects/engine/operate.ts";
import type { Row, Tx } from "../../durable-objects/engine/ports.ts";
import { readConfig } from "../../worker/config.ts";
import { exchangeByRpc } from "../../worker/exchange.ts";
import { resolveJobs } from "../../worker/resolve.ts";
import { nodeStorage } from "../support/node-storage.ts";

/** Payload aside, what an exchange asked for. */
export type Asked = Pick<ExchangeRequest, "n" | "want" | "gather" | "settle" | "holding" | "progress" | "logs">;

/** A real engine, and sessions over the real way to it, by vitest's clock (`vi.useFakeTimers()` first). */
export function openQueue(tasks: readonly AnyTaskDeclaration[]) {
  const storage = nodeStorage();
  const engine = new Engine({ queue: "work", partition: 0, storage, settings: {}, random: () => 0 });
  const config = readConfig({ tasks, queues: { "*": {} } });
  const tickets: string[] = [];
  const asked: Asked[] = [];
  const write = <Result>(verb: (tx: Tx) => Result): Result => {
    const { result, effects } = engine.write(Date.now(), verb);
    tickets.push(...effects.tickets);
    return result;
  };
  const stub = { exchange: async (input: ExchangeInput) => write((tx) => exchange(tx, input)) } as unknown as QueueRpc;
  const logged: { event: string; job: string }[] = [];

  return {
    tickets,
    asked,
    logged,
    async add(task: string, payloads: unknown[], options: JobOptions = {}): Promise<number[]> {
      const jobs = payloads.map((payload) => ({ ...options, task, payload }) as NewJob);
      const resolved = await resolveJobs(config, { queue: "work", jobs, actor: null });
      if (!resolved.ok) throw new Error(resolved.detail);
      const reply = write((tx) => enqueue(tx, { ...resolved, requestId: null, idempotency: null }));
      if (!reply.ok) throw new Error(reply.detail);
      return reply.jobs.map(({ seq }) => seq);
    },
    cancel: (seq: number) => write((tx) => operate.cancel(tx, seq)),
    retry: (seq: number) => write((tx) => operate.retry(tx, seq)),
    job(seq: number): JobRecord {
      const record = engine.read(Date.now(), (tx) => get(tx, seq, true));
      if (record === null || record === "deleted") throw new Error(`There is no job ${seq}`);
      return record;
    },
    rows: (query: string): Row[] => storage.sql.exec(query),
    /** One stay, as the consumer makes it. `over` may take hold of an exchange. */
    session(
      { channel = null, ...options }: Partial<SessionOptions> & { channel?: Channel | null } = {},
      over: (request: ExchangeRequest, real: () => Promise<ExchangeResponse>) => Promise<ExchangeResponse> = (
        _,
        real,
      ) => real(),
    ): Promise<SessionSummary> {
      const id = `s${asked.length}`;
      return runSession(
        { id, worker: { name: id, runtime: "test" }, claimForMs: 20_000, claimJobs: 2_000, stayMs: 60_000, ...options },
        {
          tasks: new Map(tasks.map((task) => [task.name, task])),
          env: { secret: "s3cret" },
          maxResultBytes: 1_000,
          exchange(request) {
            asked.push(structuredClone(request));
            const where = { queue: "work", partition: 0, channel };
            return over(request, () => exchangeByRpc(stub, where, request, config));
          },
          now: () => Date.now(),
          timer(ms, fire) {
            const timer = setTimeout(fire, ms);
            return () => clearTimeout(timer);
          },
          log: (_level, event, job) => logged.push({ event, job: job.id }),
        },
      );
    },
  };
}

/** Lets time go by, with all that comes of it. */
export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Answers with what `promise` comes to, letting time go by until it does. */
export async function finish<Value>(promise: Promise<Value>, withinMs = 120_000): Promise<Value> {
  let done = false;
  promise.finally(() => {
    done = true;
  });
  for (let waited = 0; !done && waited < withinMs; waited += 50) await pass(50);
  if (!done) throw new Error(`Not done within ${withinMs} ms`);
  return promise;
}
