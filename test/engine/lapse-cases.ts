import { expect } from "vitest";
import { cancel } from "../../durable-objects/engine/operate.ts";
import type { Case, TestQueue } from "./queue.ts";

const MINUTE = 60_000;

/** A session claims and is never heard of again. */
function lapse(queue: TestQueue): number[] {
  const held = queue.claim(`lost${queue.now}`);
  queue.pass(30_000);
  return held.map(([seq]) => seq);
}

export const LAPSE: Case[] = [
  {
    name: "a silent session loses its jobs at the end of its lease, not before",
    run(queue) {
      const [seq] = queue.add();
      queue.claim("s");
      expect(queue.effects.wakeAt).toBe(queue.now + 30_000);
      queue.pass(29_999);
      expect(queue.job(seq!).state).toBe("running");
      queue.pass(1);
      expect(queue.job(seq!)).toMatchObject({ state: "ready", reason: "retrying", lapses: 1, failures: 0, fence: 1 });
      expect(queue.rows("SELECT * FROM sessions")).toEqual([]);
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "the first lapse is tried again at once, the next ones later, the fifth is the last",
    run(queue) {
      const [seq] = queue.add();
      const waits: number[] = [];
      for (let lapses = 1; lapses <= 5; lapses++) {
        expect(lapse(queue)).toEqual([seq]);
        const { state, runAt } = queue.job(seq!);
        expect(queue.job(seq!).lapses).toBe(lapses);
        if (state !== "scheduled") continue;
        waits.push((runAt - queue.now) / MINUTE);
        queue.pass(runAt - queue.now);
      }
      expect(waits).toEqual([1, 2, 4]);
      expect(queue.job(seq!)).toMatchObject({ state: "dead", reason: "crashed", lapses: 5, failures: 0 });
      const attempts = JSON.parse(queue.job(seq!).attempts!) as unknown[][];
      expect(attempts.map((attempt) => attempt[4])).toEqual(Array(5).fill("lapsed"));
    },
  },
  {
    name: "a session is given at most one job that has lapsed",
    run(queue) {
      queue.add({}, 3);
      queue.add({ task: "other" }, 2);
      const lapsed = lapse(queue);
      expect(lapsed).toHaveLength(5);
      const [fresh] = queue.add({ priority: -9 });
      const first = queue.claim("a");
      expect(first.map(([seq]) => seq)).toEqual([lapsed[0], fresh]);
      expect(queue.claim("a", 9, { holding: first })).toEqual([]);
      expect(queue.claim("b")).toHaveLength(1);
      queue.turn("a", { holding: [first[1]!], settle: [{ seq: first[0]![0], fence: 2, outcome: "completed" }] });
      expect(queue.claim("a", 9, { holding: [first[1]!] })).toHaveLength(1);
    },
  },
  {
    name: "an attempt that is past its time is over, whatever its session says",
    run(queue) {
      const [seq] = queue.add({ timeoutMs: 60_000 });
      const held = queue.claim("s");
      for (let i = 0; i < 8; i++) {
        queue.pass(10_000);
        expect(queue.turn("s", { holding: held }).lost).toEqual([]);
      }
      queue.pass(10_000);
      expect(queue.turn("s", { holding: held }).lost).toEqual(held);
      expect(queue.job(seq!)).toMatchObject({ state: "ready", lapses: 1 });
    },
  },
  {
    name: "a job that was cancelled while it ran is not tried again after a lapse",
    run(queue) {
      const [seq] = queue.add();
      queue.claim("s");
      queue.write((tx) => cancel(tx, seq!));
      queue.pass(30_000);
      expect(queue.job(seq!)).toMatchObject({ state: "cancelled", reason: "cancelled_by_user" });
    },
  },
  {
    name: "a lease lasts through a restart",
    run(queue) {
      const [seq] = queue.add();
      const held = queue.claim("s");
      queue.restart();
      queue.pass(20_000);
      expect(queue.turn("s", { holding: held }).lost).toEqual([]);
      queue.restart();
      queue.pass(30_000);
      expect(queue.job(seq!).lapses).toBe(1);
    },
  },
  {
    name: "thousands of jobs lapse in steps, and the alarm comes back for the rest",
    run(queue) {
      for (let i = 0; i < 3; i++) queue.add({}, 800);
      for (const session of ["a", "b", "c", "d", "e"]) queue.claim(session, 480);
      queue.pass(30_000);
      expect(queue.effects.wakeAt).toBe(queue.now);
      for (let i = 0; i < 3; i++) queue.pass(5);
      expect(queue.rows("SELECT count(*) AS n FROM jobs WHERE lapses = 1")[0]!.n).toBe(2_400);
    },
  },
];
