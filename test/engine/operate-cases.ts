import { expect } from "vitest";
import { cancel, remove, reopen, reschedule, retry, setPriority } from "../../durable-objects/engine/operate.ts";
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
    name: "reschedule: another start for a job that waits; in the past means now, 366 days ahead is the most",
    run(queue) {
      const [seq] = queue.add({ delayMs: 60_000, expiresInMs: 90_000 }) as [number];
      const move = (inMs: number) => queue.write((tx) => reschedule(tx, seq, queue.now + inMs));
      expect(move(5_000)).toMatchObject({ ok: true, job: { state: "scheduled", runAt: queue.now + 5_000 } });
      expect(queue.effects.wakeAt).toBeLessThanOrEqual(queue.now + 5_000);
      expect(move(-5_000)).toMatchObject({ ok: true, job: { state: "ready", runAt: queue.now } });
      const before = queue.everything();
      expect(move(0)).toMatchObject({ ok: true, job: { state: "ready" } });
      expect(queue.everything()).toBe(before);
      expect(move(7_000)).toMatchObject({ ok: true, job: { state: "scheduled", runAt: queue.now + 7_000 } });
      expect(queue.claim("s")).toEqual([]);
      queue.pass(7_000);
      expect(queue.job(seq).state).toBe("ready");
      expect(move(999 * 86_400_000)).toMatchObject({ ok: true, job: { runAt: queue.now + 366 * 86_400_000 } });
      // It still has its end of waiting.
      queue.pass(83_000);
      expect(queue.job(seq)).toMatchObject({ state: "cancelled", reason: "expired" });
    },
  },
  {
    name: "reschedule: a blocked job stays so, and waits for its time when the one before it is gone",
    run(queue) {
      queue.add({ orderingKey: "k" }, 2);
      const at = queue.now + 60_000;
      expect(queue.write((tx) => reschedule(tx, 2, at))).toMatchObject({
        ok: true,
        job: { state: "blocked", runAt: at },
      });
      queue.write((tx) => cancel(tx, 1));
      expect(queue.job(2)).toMatchObject({ state: "scheduled", runAt: at });
      queue.pass(60_000);
      expect(queue.job(2).state).toBe("ready");
    },
  },
  {
    name: "setPriority: of a job that waits, which then stands where it would with that",
    run(queue) {
      queue.add({}, 3);
      queue.add({ delayMs: 5 });
      queue.add({ orderingKey: "k" }, 2);
      expect(queue.write((tx) => setPriority(tx, 3, 9))).toMatchObject({
        ok: true,
        job: { priority: 9, state: "ready" },
      });
      for (const seq of [4, 6]) queue.write((tx) => setPriority(tx, seq, 99));
      queue.write((tx) => setPriority(tx, 1, -1));
      queue.write((tx) => cancel(tx, 5));
      queue.pass(5);
      expect(queue.claim("s").map(([seq]) => seq)).toEqual([6, 4, 3, 2, 1]);
    },
  },
  {
    name: "reschedule and setPriority are refused for what runs or is over, and nothing changes",
    run(queue) {
      queue.add({}, 2);
      queue.run({ outcome: "completed" });
      queue.claim("s");
      const before = queue.everything();
      const changes = [reschedule, setPriority].map(
        (change) => (seq: number) => queue.write((tx) => change(tx, seq, 5)),
      );
      for (const change of changes) {
        expect(change(1)).toMatchObject({ ok: false, code: "conflict", detail: /it is completed, and only a waiting/ });
        expect(change(2)).toMatchObject({ ok: false, code: "conflict", detail: /it is running/ });
        expect(change(3)).toBe("absent");
      }
      expect(queue.everything()).toBe(before);
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
