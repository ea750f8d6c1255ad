import { expect } from "vitest";
import { cancel, remove, reopen, retry } from "../../durable-objects/engine/operate.ts";
import { type Case, ERROR } from "./queue.ts";

export const OPERATE: Case[] = [
  {
    name: "cancel: waiting jobs end at once and never start; again is the same; ended ones are refused",
    run(queue) {
      const [ready] = queue.add();
      const [scheduled] = queue.add({ delayMs: 1_000 });
      for (const seq of [ready!, scheduled!, ready!]) {
        expect(queue.write((tx) => cancel(tx, seq))).toMatchObject({ ok: true, job: { state: "cancelled", fence: 1 } });
      }
      queue.pass(5_000);
      expect(queue.claim("s")).toEqual([]);
      queue.add();
      const { seq } = queue.run({ outcome: "completed" });
      expect(queue.write((tx) => cancel(tx, seq))).toMatchObject({ ok: false, code: "conflict" });
      expect(queue.write((tx) => cancel(tx, 99))).toBe("absent");
    },
  },
  {
    name: "retry: due now when scheduled, no change when ready, refused while it runs",
    run(queue) {
      const [seq] = queue.add({ delayMs: 60_000 });
      queue.now += 10;
      expect(queue.write((tx) => retry(tx, seq!))).toMatchObject({
        ok: true,
        job: { state: "ready", runAt: queue.now },
      });
      const before = queue.everything();
      expect(queue.write((tx) => retry(tx, seq!))).toMatchObject({ ok: true });
      expect(queue.everything()).toBe(before);
      queue.claim("s");
      expect(queue.write((tx) => retry(tx, seq!))).toMatchObject({ ok: false, code: "conflict" });
    },
  },
  {
    name: "retry of each final state: ready now, failures 0, fence one higher, past kept",
    run(queue) {
      queue.add({}, 3);
      const ended = [
        queue.run({ outcome: "completed" }),
        queue.run({ outcome: "dead", error: ERROR }),
        queue.run({ outcome: "cancelled" }),
      ];
      queue.now += 5;
      for (const { seq } of ended) {
        const past = queue.job(seq);
        expect(queue.write((tx) => retry(tx, seq))).toMatchObject({ ok: true });
        expect(queue.job(seq)).toMatchObject({
          state: "ready",
          fence: past.fence + 1,
          failures: 0,
          lapses: 0,
          attempts: past.attempts,
          error: past.error,
          payload: past.payload,
          createdAt: past.createdAt,
          runAt: queue.now,
          result: null,
        });
      }
      const reply = queue.turn("s", { want: 3 });
      expect(JSON.parse(reply.jobs).map((job: unknown[]) => [job[4], job[8]])).toEqual(Array(3).fill([4, 3]));
    },
  },
  {
    name: "reopens only what is final and still has its payload",
    run(queue) {
      const [seq] = queue.add();
      const live = queue.job(seq!);
      expect(queue.write((tx) => reopen(tx, live))).toMatchObject({ ok: false, code: "conflict" });
      queue.run({ outcome: "completed" });
      const dropped = { ...queue.job(seq!), payload: null, encoding: "dropped" };
      expect(queue.write((tx) => reopen(tx, dropped))).toMatchObject({ ok: false, code: "conflict" });
    },
  },
  {
    name: "remove: gone at once, for the history too, and not while it runs",
    run(queue) {
      const [live] = queue.add();
      const [running] = queue.add();
      expect(queue.write((tx) => remove(tx, live!, null))).toEqual({ ok: true });
      queue.claim("s");
      expect(queue.write((tx) => remove(tx, running!, null))).toMatchObject({ ok: false, code: "conflict" });
      queue.turn("s", { settle: [{ seq: running!, fence: 1, outcome: "completed" }] });
      expect(queue.write((tx) => remove(tx, running!, null))).toEqual({ ok: true });
      for (const seq of [live!, running!]) {
        expect(thrownBy(() => queue.job(seq))).toMatch(/There is no job/);
        for (const verb of [cancel, retry, (...a: Parameters<typeof cancel>) => remove(...a, null)]) {
          expect(queue.write((tx) => verb(tx, seq))).toBe("absent");
        }
      }
      const bodies = queue.rows("SELECT body FROM outbox WHERE kind = 'delete' ORDER BY id");
      expect(bodies.map((row) => JSON.parse(String(row.body)))).toEqual([[[live, 0]], [[running, 2]]]);
    },
  },
  {
    name: "remove of the newest job does not free its id",
    run(queue) {
      const [seq] = queue.add();
      queue.write((tx) => remove(tx, seq!, null));
      queue.restart();
      expect(queue.add()).toEqual([seq! + 1]);
    },
  },
];

function thrownBy(run: () => unknown): string {
  try {
    return String(run());
  } catch (error) {
    return String(error);
  }
}
