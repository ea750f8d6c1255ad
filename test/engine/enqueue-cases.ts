import { expect } from "vitest";
import type { EnqueueInput } from "../../client/wire.ts";
import { trimKeys } from "../../durable-objects/engine/requests.ts";
import { PLAIN } from "../support/template.ts";
import { type Case, type TestQueue, thrown } from "./queue.ts";

const MINUTE = 60_000;

function repeat(queue: TestQueue, requestId: string, count = 1): number[] {
  return queue.add({}, count, { requestId });
}

function keyed(key: string, bodyHash: string): EnqueueInput {
  const templates = [{ ...PLAIN, task: "mail", maxAttempts: 1, timeoutMs: 1_000 }];
  return { templates, jobs: [[0, null]], requestId: null, idempotency: { key, bodyHash } };
}

export const ENQUEUE: Case[] = [
  {
    name: "accepts a job as ready, with everything that was asked for",
    run(queue) {
      const [seq] = queue.add({ priority: 7, tags: ["a"], meta: { x: [1] }, actor: "me", traceparent: "00-1" });
      const job = queue.job(seq!);
      expect(job).toMatchObject({ state: "ready", priority: 7, payload: '{"to":"ü€😀"}', fence: 0, failures: 0 });
      expect(JSON.parse(job.options)).toMatchObject({
        tags: ["a"],
        meta: { x: [1] },
        actor: "me",
        traceparent: "00-1",
      });
      expect(job.createdAt).toBe(queue.now);
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "schedules what is due later, and takes a past start for now",
    run(queue) {
      const [later] = queue.add({ delayMs: 5_000 });
      const [at] = queue.add({ runAt: queue.now + 9_000 });
      const [past] = queue.add({ runAt: queue.now - 9_000 });
      expect([later, at, past].map((seq) => queue.job(seq!).state)).toEqual(["scheduled", "scheduled", "ready"]);
      expect(queue.job(past!).runAt).toBe(queue.now);
      queue.pass(4_999);
      expect(queue.job(later!).state).toBe("scheduled");
      queue.pass(1);
      expect(queue.job(later!).state).toBe("ready");
    },
  },
  {
    name: "asks for an alarm when the first job is due, and for tickets at once",
    run(queue) {
      queue.add({ delayMs: 90_000 });
      expect(queue.effects).toMatchObject({ tickets: [], wakeAt: queue.now + 90_000, flush: false, deliver: false });
      queue.add({}, 1);
      expect(queue.effects.tickets).toEqual(["short"]);
      expect(queue.effects.wakeAt).toBe(queue.now + 5_000);
    },
  },
  {
    name: "gives a thousand jobs ids in order, and refuses one more, and none",
    run(queue) {
      const seqs = queue.add({}, 1_000);
      expect(seqs).toEqual(Array.from({ length: 1_000 }, (_, index) => index + 1));
      const before = queue.everything();
      const input = { ...keyed("k", "b"), idempotency: null };
      for (const count of [0, 1_001]) {
        const reply = queue.enqueue({ ...input, jobs: Array.from({ length: count }, () => [0, null]) });
        expect(reply).toMatchObject({ ok: false, code: "invalid_request" });
      }
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "takes a thousand jobs that each ask for something else, of four KiB",
    run(queue) {
      const [one] = keyed("k", "b").templates;
      const templates = Array.from({ length: 1_000 }, (_, index) => ({
        ...one!,
        meta: { index, text: "€".repeat(1_300) },
      }));
      const reply = queue.enqueue({
        templates,
        jobs: templates.map((_, i) => [i, null]),
        requestId: "r",
        idempotency: null,
      });
      expect(reply.ok).toBe(true);
      expect(JSON.parse(queue.job(1).options).meta.index).toBe(0);
      expect(JSON.parse(queue.job(1_000).options).meta.index).toBe(999);
      expect(queue.rows("SELECT count(*) AS noted FROM jobs WHERE request IS NOT NULL")[0]!.noted).toBe(1);
    },
  },
  {
    name: "takes large payloads in several statements",
    run(queue) {
      const payload = JSON.stringify('"\\'.repeat(100_000));
      const seqs = queue.add({}, 12, { jobs: Array.from({ length: 12 }, () => [0, payload]) });
      expect(seqs).toHaveLength(12);
      expect(queue.job(12).payload).toBe(payload);
    },
  },
  {
    name: "makes nothing when a job names no template",
    run(queue) {
      queue.add();
      const before = queue.everything();
      expect(
        thrown(() =>
          queue.add({}, 2, {
            jobs: [
              [0, null],
              [1, null],
            ],
          }),
        ),
      ).not.toBe("nothing was thrown");
      expect(queue.everything()).toBe(before);
      expect(queue.add()).toEqual([2]);
    },
  },
  {
    name: "never uses an id again, whatever is emptied and however often it restarts",
    run(queue) {
      let last = 0;
      for (let round = 0; round < 5; round++) {
        const seqs = queue.add({}, 3);
        expect(Math.min(...seqs)).toBeGreaterThan(last);
        last = Math.max(...seqs);
        for (let i = 0; i < 3; i++) queue.run({ outcome: "completed" });
        queue.now += 3_600_000;
        queue.write((tx) => {
          tx.books.outbox.flushedUpto = tx.books.nextOutboxId - 1;
          tx.books.outbox.rolledUpto = tx.books.nextOutboxId - 1;
          tx.sql.exec("DELETE FROM outbox WHERE id < (SELECT max(id) FROM outbox)");
        });
        expect(queue.rows("SELECT count(*) AS n FROM jobs")[0]!.n).toBe(0);
        queue.restart();
      }
      expect(thrown(() => queue.rows("DELETE FROM outbox"))).toMatch(/high-water mark/);
    },
  },
  {
    name: "makes nothing new for a request that comes again, before and after a restart, live or gone",
    run(queue) {
      const first = repeat(queue, "r1", 2);
      expect(repeat(queue, "r1", 2)).toEqual(first);
      queue.restart();
      expect(repeat(queue, "r1", 2)).toEqual(first);
      queue.run({ outcome: "completed" });
      queue.run({ outcome: "completed" });
      queue.restart();
      queue.now += 5 * MINUTE - 1;
      expect(repeat(queue, "r1", 2)).toEqual(first);
      expect(repeat(queue, "r2")).toEqual([3]);
      queue.now += 1;
      expect(repeat(queue, "r1", 2)).toEqual([4, 5]);
    },
  },
  {
    name: "refuses a request id that asks for another number of jobs",
    run(queue) {
      repeat(queue, "r1", 2);
      const input = { ...keyed("k", "b"), idempotency: null, requestId: "r1" };
      expect(queue.enqueue(input)).toMatchObject({ ok: false, code: "conflict" });
    },
  },
  {
    name: "answers an idempotency key from its row for a day, and refuses another body",
    run(queue) {
      const first = queue.enqueue(keyed("k", "body"));
      expect(first).toMatchObject({ ok: true, replayed: false });
      queue.restart();
      queue.now += 24 * 60 * MINUTE - 1;
      expect(queue.enqueue(keyed("k", "body"))).toEqual({ ...first, replayed: true });
      expect(queue.enqueue(keyed("k", "other"))).toMatchObject({ ok: false, code: "idempotency_mismatch" });
      queue.now += 1;
      expect(queue.enqueue(keyed("k", "other"))).toMatchObject({ ok: true, replayed: false });
      queue.now += 48 * 60 * MINUTE;
      queue.write(trimKeys);
      expect(queue.rows("SELECT * FROM idempotency")).toEqual([]);
    },
  },
  {
    name: "ends what was not started in time, waiting or ready, and nothing that was",
    run(queue) {
      const [ready] = queue.add({ expiresInMs: 1_000 });
      const [scheduled] = queue.add({ expiresInMs: 1_000, delayMs: 5_000 });
      const [started] = queue.add({ expiresInMs: 1_000, priority: 9 });
      expect(queue.effects.wakeAt).toBe(queue.now + 1_000);
      expect(queue.claim("s", 1)).toEqual([[started, 1]]);
      queue.now += 1_000;
      expect(queue.claim("other")).toEqual([]);
      for (const seq of [ready, scheduled]) {
        expect(queue.job(seq!)).toMatchObject({ state: "cancelled", reason: "expired", fence: 1, attempts: null });
      }
      expect(queue.job(started!).state).toBe("running");
    },
  },
];
