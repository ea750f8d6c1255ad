import { expect } from "vitest";
import type { EnqueueInput } from "../../client/wire.ts";
import { CALLERS_MAX } from "../../durable-objects/engine/limits.ts";
import { type Case, TEMPLATE, type TestQueue } from "./queue.ts";

/** Six a minute, three of them at once: one comes back in 10 s. */
const RATE = { limit: 6, perMs: 60_000, burst: 3 };

function ask(queue: TestQueue, id: string, count: number, more: Partial<EnqueueInput> = {}) {
  const jobs = Array.from({ length: count }, (): [number, null] => [0, null]);
  const caller = { id, rate: RATE };
  return queue.enqueue({ templates: [TEMPLATE], jobs, requestId: null, idempotency: null, caller, ...more });
}

const accepted = (queue: TestQueue, id: string, count: number): boolean => ask(queue, id, count).ok;

export const CALLERS: Case[] = [
  {
    name: "a token enqueues no more than its rate lets it, and is told when to come again",
    run(queue) {
      expect(accepted(queue, "a", 2)).toBe(true);
      const refused = ask(queue, "a", 2);
      expect(refused).toMatchObject({ ok: false, code: "rate_limited", retryAfterMs: 10_000 });
      expect(queue.rows("SELECT count(*) AS jobs FROM jobs")).toEqual([{ jobs: 2 }]);
      expect(accepted(queue, "a", 1)).toBe(true);
      queue.now += 9_999;
      expect(accepted(queue, "a", 1)).toBe(false);
      queue.now += 1;
      expect(accepted(queue, "a", 1)).toBe(true);
      queue.now += 3_600_000;
      expect(accepted(queue, "a", 3)).toBe(true);
      expect(accepted(queue, "a", 1)).toBe(false);
    },
  },
  {
    name: "in no window does a token start more than burst and rate together",
    run(queue) {
      const taken: number[] = [];
      for (let step = 0; step < 600; step++) {
        const count = 1 + (step % 3);
        if (accepted(queue, "a", count)) for (let n = 0; n < count; n++) taken.push(queue.now);
        queue.now += 700;
      }
      expect(taken.length).toBeGreaterThan(40);
      for (const [first, from] of taken.entries()) {
        for (let last = first; last < taken.length; last++) {
          const most = RATE.burst + (RATE.limit * (taken[last]! - from)) / RATE.perMs;
          expect(last - first + 1).toBeLessThanOrEqual(most + 1e-9);
        }
      }
    },
  },
  {
    name: "tokens count apart, and those without a rate not at all",
    run(queue) {
      expect(accepted(queue, "a", 3)).toBe(true);
      expect(accepted(queue, "b", 3)).toBe(true);
      expect(accepted(queue, "a", 1)).toBe(false);
      expect(queue.add({}, 500)).toHaveLength(500);
    },
  },
  {
    name: "a repeated request and a repeated key take nothing, and are answered as they were",
    run(queue) {
      const first = ask(queue, "a", 3, { requestId: "r" });
      expect(ask(queue, "a", 3, { requestId: "r" })).toEqual(first);
      const idempotency = { key: "k", bodyHash: "h" };
      queue.now += 60_000;
      expect(ask(queue, "a", 3, { idempotency }).ok).toBe(true);
      expect(ask(queue, "a", 3, { idempotency })).toMatchObject({ ok: true, replayed: true });
      expect(accepted(queue, "a", 1)).toBe(false);
    },
  },
  {
    name: "what was refused for another reason takes nothing",
    run(queue) {
      const unique = { key: "k", states: ["waiting" as const], ttlMs: null, waitMs: null, maxWaitMs: null };
      const templates = [{ ...TEMPLATE, unique: { ...unique, onConflict: "reject" as const } }];
      expect(ask(queue, "b", 1, { templates }).ok).toBe(true);
      expect(ask(queue, "a", 1, { templates })).toMatchObject({ code: "conflict" });
      expect(accepted(queue, "a", 3)).toBe(true);
    },
  },
  {
    name: "an object that is loaded anew has forgotten it; nothing of it is written",
    run(queue) {
      expect(accepted(queue, "a", 3)).toBe(true);
      const before = queue.rows("SELECT count(*) AS rows FROM buckets");
      expect(before).toEqual([{ rows: 0 }]);
      queue.restart();
      expect(accepted(queue, "a", 3)).toBe(true);
    },
  },
  {
    name: "keeps a bounded number of tokens in mind, those that are in use",
    run(queue) {
      queue.add();
      const callers = () => queue.read((tx) => tx.books.callers);
      for (let n = 0; n < CALLERS_MAX; n++) callers().set(`old${n}`, queue.now + (n % 2 === 0 ? 0 : 60_000));
      expect(accepted(queue, "a", 3)).toBe(true);
      expect(callers().size).toBe(CALLERS_MAX / 2 + 1);
      for (let n = 0; n < CALLERS_MAX; n++) callers().set(`busy${n}`, queue.now + 60_000);
      while (callers().size > CALLERS_MAX) callers().delete(callers().keys().next().value!);
      expect(accepted(queue, "b", 3)).toBe(true);
      expect(callers().size).toBe(CALLERS_MAX);
      expect(accepted(queue, "b", 1)).toBe(false);
    },
  },
];
