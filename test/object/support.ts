/// <reference types="@cloudflare/vitest-plugin/types" />
import { applyD1Migrations, type D1Migration, evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env as anyEnv } from "cloudflare:workers";
import { afterEach, beforeEach, vi } from "vitest";
import type {
  EnqueueInput,
  ExchangeInput,
  JobRecord,
  JobTemplate,
  LeasedTuple,
  QueueRpc,
  WireOutcome,
} from "../../client/wire.ts";
import { createHistory } from "../../worker/history/write.ts";
import { type Env, mend } from "../support/runtime-worker.ts";
import { PLAIN } from "../support/template.ts";

export const env = anyEnv as unknown as Env & { MIGRATIONS: D1Migration[] };

export type Stub = QueueRpc & DurableObjectStub;

/** Each test of the file begins with no object, an empty, migrated D1, and nothing broken. */
export function freshWorld(): void {
  beforeEach(async () => {
    mend();
    await applyD1Migrations(env.DB, env.MIGRATIONS);
  });
  afterEach(async () => {
    vi.useRealTimers();
    mend();
    await reset();
  });
}

/** The object of a queue, with history and tickets in the test's hands (see `faults`). */
export function queueObject(queue = "mail"): Stub {
  return env.FAULTY.getByName(`${queue}:0`) as unknown as Stub;
}

export const evict = (stub: Stub): Promise<void> => evictDurableObject(stub as DurableObjectStub);

/** The clock of the object, from now on in the test's hands; alarms are then run by `runDurableObjectAlarm`. */
export function stopClock(at = Date.now()): { advance(ms: number): void } {
  vi.useFakeTimers({ toFake: ["Date"], now: at });
  return { advance: (ms) => void vi.setSystemTime(Date.now() + ms) };
}

export function template(fields: Partial<JobTemplate> = {}): JobTemplate {
  return { ...PLAIN, task: "echo", maxAttempts: 3, timeoutMs: 10_000, ...fields };
}

/** Enqueues `count` jobs that ask for the same, and answers with their numbers. */
export async function enqueue(
  stub: Stub,
  count = 1,
  fields: Partial<JobTemplate> = {},
  request: Partial<EnqueueInput> = {},
): Promise<number[]> {
  const jobs = Array.from({ length: count }, (_, index): [number, string] => [0, String(index)]);
  const input = { templates: [template(fields)], jobs, requestId: null, idempotency: null, ...request };
  const reply = await stub.enqueue(input);
  if (!reply.ok) throw new Error(reply.detail);
  return reply.jobs.map(({ seq }) => seq);
}

/** A worker that exchanges by hand. */
export function worker(stub: Pick<QueueRpc, "exchange">, session: string = crypto.randomUUID()) {
  let n = 0;
  return {
    session,
    async exchange(fields: Partial<ExchangeInput> = {}) {
      n += 1;
      const input = { session, n, worker: { name: "hand", runtime: "test" }, channel: null };
      const reply = await stub.exchange({ ...input, holding: [], settle: [], progress: [], want: 0, ...fields });
      if (!reply.ok) throw new Error(reply.detail);
      const jobs = (JSON.parse(reply.jobs) as LeasedTuple[]).map(([seq, , , , fence]) => ({ seq, fence }));
      return { ...reply, jobs };
    },
  };
}

/** Works everything that is ready to its end, and answers with the numbers in the order of claiming. */
export async function workAll(
  stub: Stub,
  outcomeOf: (job: { seq: number; fence: number }) => Partial<WireOutcome> = () => ({}),
): Promise<number[]> {
  const { exchange } = worker(stub);
  const done: number[] = [];
  let settle: WireOutcome[] = [];
  for (;;) {
    const { jobs } = await exchange({ settle, want: 500 });
    if (jobs.length === 0) return done;
    done.push(...jobs.map(({ seq }) => seq));
    settle = jobs.map((job) => ({ ...job, outcome: "completed", ...outcomeOf(job) }));
  }
}

export function alarmAt(stub: Stub): Promise<number | null> {
  return runInDurableObject(stub as DurableObjectStub, (_object, state) => state.storage.getAlarm());
}

/** What the object's storage holds, read past the object. */
export function rows(stub: Stub, query: string): Promise<Record<string, SqlStorageValue>[]> {
  return runInDurableObject(stub as DurableObjectStub, (_object, state) => state.storage.sql.exec(query).toArray());
}

export async function stateOf(stub: Stub, seq: number): Promise<string | null> {
  const job = await stub.get(seq);
  return job === null || job === "deleted" ? job : job.state;
}

/** The numbers of the finished jobs that D1 has. */
export async function inHistory(queue = "mail"): Promise<Set<number>> {
  const { results } = await env.DB.prepare("SELECT seq FROM history WHERE queue = ?")
    .bind(queue)
    .all<{ seq: number }>();
  return new Set(results.map(({ seq }) => seq));
}

/** A finished job as D1 has it. */
export function finishedJob(seq: number, queue = "mail"): Promise<JobRecord | null> {
  return createHistory(env.DB).read(queue, 0, seq);
}

/** Jobs that the rollups in D1 and those still in the object count as ended. */
export async function countedEnds(stub: Stub, queue = "mail"): Promise<number> {
  const { results } = await env.DB.prepare("SELECT upto, body FROM rollups WHERE queue = ?")
    .bind(queue)
    .all<{ upto: number; body: string }>();
  const bodies = results.map(({ body }) => JSON.parse(body));
  bodies.push(await stub.rollupSince(Math.max(0, ...results.map(({ upto }) => upto))));
  return bodies.reduce((sum, body) => sum + countIn(body), 0);
}

function countIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if ("count" in value) return Number(value.count);
  return Object.values(value).reduce((sum: number, inner) => sum + countIn(inner), 0);
}

export async function until(condition: () => unknown, timeout = 10_000): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await condition())) throw new Error(`Not within ${timeout} ms: ${condition}`);
    },
    { timeout, interval: 20 },
  );
}
