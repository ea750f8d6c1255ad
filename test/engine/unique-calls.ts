import { expect } from "vitest";
import type { UniqueState } from "../../client/types.ts";
import type { EnqueueInput, JobTemplate, UniqueTemplate, WireOutcome } from "../../client/wire.ts";
import { TEMPLATE, type TestQueue } from "./queue.ts";

export const MINUTE = 60_000;
export const ALL: UniqueState[] = ["waiting", "running", "completed", "dead", "cancelled"];

/** As the Worker resolves it. */
export function unique(
  onConflict: UniqueTemplate["onConflict"] = "return",
  more: Partial<UniqueTemplate> = {},
): UniqueTemplate {
  const changes = onConflict === "replace" || onConflict === "debounce";
  const states: UniqueState[] = changes ? ["waiting"] : ["waiting", "running"];
  return { key: "u", states, ttlMs: null, onConflict, waitMs: null, maxWaitMs: null, ...more };
}

export type Asked = Partial<JobTemplate> & { payload?: string };

/** One call for these jobs: `[seq, outcome, state]` of each. */
export function call(queue: TestQueue, asked: Asked[], about: Partial<EnqueueInput> = {}): [number, string, string][] {
  const reply = queue.enqueue(callOf(asked, about));
  if (!reply.ok) throw new Error(reply.detail);
  return reply.jobs.map(({ seq, outcome, state }) => [seq, outcome, state]);
}

function callOf(asked: Asked[], about: Partial<EnqueueInput> = {}): EnqueueInput {
  return {
    templates: asked.map(({ payload: _, ...options }) => ({ ...TEMPLATE, ...options })),
    jobs: asked.map(({ payload }, index) => [index, payload ?? null]),
    ...{ requestId: null, idempotency: null, ...about },
  };
}

export const one = (queue: TestQueue, asked: Asked): [number, string, string] => call(queue, [asked])[0]!;

export function refused(queue: TestQueue, asked: Asked[], about: Partial<EnqueueInput> = {}) {
  queue.write(() => {});
  const before = queue.everything();
  const reply = queue.enqueue(callOf(asked, about));
  expect(queue.everything()).toBe(before);
  if (reply.ok) throw new Error("It was accepted");
  return reply;
}

export const settle = (queue: TestQueue, seq: number, outcome: Omit<WireOutcome, "seq" | "fence">): void => {
  const { refused } = queue.turn("s", { settle: [{ seq, fence: queue.job(seq).fence, ...outcome }] });
  expect(refused).toEqual([]);
};
