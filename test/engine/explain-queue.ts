import { expect } from "vitest";
import type { ExplainReply } from "../../client/wire.ts";
import { explain } from "../../durable-objects/engine/explain.ts";
import type { TestQueue } from "./queue.ts";

export function why(queue: TestQueue, seq: number): ExplainReply {
  const reply = queue.read((tx) => explain(tx, seq));
  if (!reply) throw new Error(`Nothing explains job ${seq}`);
  return reply;
}

export const names = (queue: TestQueue, seq: number): string[] => why(queue, seq).gates.map(({ gate }) => gate);
export const iso = (ms: number): string => new Date(ms).toISOString();
let sessions = 0;
/** What a session that nobody has seen before is given. */
export const claimed = (queue: TestQueue, want = 500): number[] =>
  queue.claim(`new ${++sessions}`, want).map(([seq]) => seq);

/** The only gate that is closed to a job, and that no worker gets it. */
export function only(queue: TestQueue, seq: number): ExplainReply["gates"][number] {
  const { runnable, gates } = why(queue, seq);
  expect(runnable).toBe(false);
  expect(gates).toHaveLength(1);
  expect(claimed(queue)).not.toContain(seq);
  return gates[0]!;
}

/** The same of a gate that opens by itself: a ms before `until` it is closed, and then the job is given. */
export function opens(queue: TestQueue, seq: number): ExplainReply["gates"][number] {
  const gate = only(queue, seq);
  expect(why(queue, seq).etaMs).toBe(gate.until! - queue.now);
  queue.now = gate.until! - 1;
  only(queue, seq);
  queue.now += 1;
  expect(why(queue, seq)).toMatchObject({ runnable: true, gates: [], position: 0 });
  expect(claimed(queue)).toContain(seq);
  return gate;
}
