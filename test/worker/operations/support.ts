/// <reference types="@cloudflare/vitest-plugin/types" />
import { runInDurableObject } from "cloudflare:test";
import { expect, vi } from "vitest";
import type { Operation } from "../../../client/types.ts";
import type { QueueRpc } from "../../../client/wire.ts";
import { newOperationId, type Operations } from "../../../worker/history/operations.ts";
import type { HistoryReads } from "../../../worker/history-reads.ts";
import type { Sources } from "../../../worker/listing.ts";
import { type OperationBody, operationBody, readOperation } from "../../../worker/operations/ask.ts";
import { answer, ask, DEPS, db, stubOf, work } from "../api/support.ts";

const history = (): HistoryReads => DEPS.history({});

/** What operations run on, with some of it replaced. */
export function sources(
  replaced: { operations?: Partial<Operations>; stub?: (queue: string) => QueueRpc } = {},
): Sources {
  const { stub = stubOf, operations } = replaced;
  return {
    config: DEPS.config,
    stub,
    history: () => ({ ...history(), operations: { ...history().operations, ...operations } }),
    log: () => {},
    requestId: "test",
  };
}

export const start = async (body: object): Promise<Operation> => answer(await ask("/v1/operations", { body }), 202);

export const look = async (id: string): Promise<Operation> => answer(await ask(`/v1/operations/${id}`));

/** The operation once it is over. */
export async function over({ id }: { id: string }): Promise<Operation> {
  await vi.waitFor(async () => expect((await look(id)).state).not.toBe("running"), { timeout: 25_000, interval: 50 });
  return look(id);
}

/** An operation as the API would note it, that nobody has begun with. */
export async function noted(body: object): Promise<string> {
  const now = Date.now();
  const checked = operationBody.parse(body) as OperationBody;
  const asked = readOperation(DEPS.config, checked, now);
  if (!asked.ok) throw new Error(JSON.stringify(asked.errors));
  const { id } = await history().operations.create(newOperationId(now), checked.action, asked, now);
  return id;
}

/** As `GET` shows it, without going on with it. */
export async function counts(id: string) {
  const { state, reason, matched, changed, failed } = (await history().operations.get(id))!;
  return { state, reason, matched, changed, failed };
}

/** Whoever had the lease is gone, and its time is over. */
export async function leaseOver(id: string): Promise<void> {
  await db.prepare("UPDATE operations SET lease_until = min(lease_until, 1) WHERE id = ?").bind(id).run();
}

/** Enqueues jobs, lets all of the queue die, and waits until the history has them. */
export async function deadJobs(queue: string, count: number, job: object = {}, message = "on purpose"): Promise<void> {
  for (let made = 0; made < count; made += 1_000) {
    const jobs = Array.from({ length: Math.min(1_000, count - made) }, () => ({ task: "any", ...job }));
    await answer(await ask(`/v1/queues/${queue}/jobs`, { body: { jobs } }), 201);
  }
  while ((await work(queue, () => ({ outcome: "dead", message }))).length > 0);
  await flushed(queue);
}

export async function flushed(queue: string): Promise<void> {
  await vi.waitFor(async () => expect((await stubOf(queue).describe())!.outboxRows).toBe(0), { timeout: 20_000 });
}

/** The unfinished jobs of a queue. */
export function live(queue: string): Promise<Record<string, SqlStorageValue>[]> {
  const query = "SELECT seq, state, priority, failures, reopened_fence AS reopened FROM jobs ORDER BY seq";
  return runInDurableObject(stubOf(queue) as unknown as DurableObjectStub, (_object, state) =>
    state.storage.sql.exec(query).toArray(),
  );
}

export async function inHistory(queue: string): Promise<number> {
  const row = await db.prepare("SELECT count(*) AS n FROM history WHERE queue = ?").bind(queue).first<{ n: number }>();
  return row!.n;
}
