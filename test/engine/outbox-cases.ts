import { expect } from "vitest";
import { ROLLUP_MS } from "../../durable-objects/engine/limits.ts";
import { configure, remove, retry } from "../../durable-objects/engine/operate.ts";
import { confirmFlush, nextFlush, rollupBetween, trimOutbox } from "../../durable-objects/engine/outbox.ts";
import { type Case, ERROR, type TestQueue } from "./queue.ts";

const MINUTE = 60_000;

function flush(queue: TestQueue, rolled = true): void {
  const next = queue.read(nextFlush);
  if (next) queue.write((tx) => confirmFlush(tx, next.upto, rolled ? next.upto : 0));
}

const kinds = (queue: TestQueue) => queue.rows("SELECT kind FROM outbox ORDER BY id").map((row) => row.kind);

export const OUTBOX: Case[] = [
  {
    name: "a flush is due when idle, at 500 jobs or after two seconds, and asks for an alarm until then",
    run(queue) {
      queue.add({}, 2);
      const start = queue.now;
      queue.run({ outcome: "completed" });
      expect(queue.effects.flush).toBe(false);
      expect(queue.effects.wakeAt).toBeLessThanOrEqual(start + 2_000);
      queue.now += 2_000;
      queue.turn("other");
      expect(queue.effects.flush).toBe(true);
    },
  },
  {
    name: "an idle queue flushes at once",
    run(queue) {
      queue.add();
      queue.run({ outcome: "completed" });
      expect(queue.effects.flush).toBe(true);
    },
  },
  {
    name: "sends rows in order, bounded in number and bytes, and deletes no more than was sent",
    run(queue) {
      const payload = JSON.stringify("x".repeat(300_000));
      queue.add({}, 3, { jobs: Array.from({ length: 3 }, () => [0, payload]) });
      for (let i = 0; i < 3; i++) queue.run({ outcome: "completed" });
      const first = queue.read(nextFlush)!;
      expect([first.upto, first.records.length]).toEqual([1, 1]);
      queue.add();
      queue.run({ outcome: "completed" });
      queue.write((tx) => confirmFlush(tx, first.upto, first.upto));
      expect(queue.rows("SELECT id FROM outbox").map((row) => row.id)).toEqual([2, 3, 4]);
      expect(queue.read(nextFlush)!.upto).toBe(2);
      queue.restart();
      expect(queue.read(nextFlush)!.upto).toBe(2);
    },
  },
  {
    name: "the newest row stays for the ids, and rows with request ids for five minutes",
    run(queue) {
      queue.add({}, 1, { requestId: "r" });
      queue.run({ outcome: "completed" });
      queue.add({}, 2);
      queue.run({ outcome: "completed" });
      queue.run({ outcome: "completed" });
      flush(queue);
      expect(kinds(queue)).toHaveLength(3);
      queue.now += 5 * MINUTE;
      queue.write(trimOutbox);
      expect(queue.rows("SELECT id FROM outbox").map((row) => row.id)).toEqual([3]);
    },
  },
  {
    name: "a later word on a job never goes before an earlier one",
    run(queue) {
      queue.add({}, 1, { requestId: "r" });
      const { seq } = queue.run({ outcome: "dead", error: ERROR });
      queue.write((tx) => retry(tx, seq));
      queue.run({ outcome: "completed" });
      queue.add();
      queue.run({ outcome: "completed" });
      flush(queue);
      expect(queue.job(seq)).toMatchObject({ state: "completed", fence: 5 });
      queue.write((tx) => remove(tx, seq, null));
      queue.add();
      queue.run({ outcome: "completed" });
      flush(queue);
      expect(() => queue.job(seq)).toThrow();
    },
  },
  {
    name: "a large body that the history has is not kept, and hides what was said before",
    run(queue) {
      const payload = JSON.stringify("x".repeat(20_000));
      queue.add({}, 1, { jobs: [[0, payload]], requestId: "r" });
      const { seq } = queue.run({ outcome: "dead", error: ERROR });
      queue.add({}, 2, { requestId: "r2" });
      queue.run({ outcome: "completed" });
      expect(queue.job(seq).payload).toBe(payload);
      flush(queue);
      expect(kinds(queue)).toEqual(["sent", "history"]);
      expect(() => queue.job(seq)).toThrow();
      queue.restart();
      expect(queue.read(nextFlush)!.records).toHaveLength(1);
    },
  },
  {
    name: "counts wait for company for a while, and are counted once",
    run(queue) {
      queue.add({}, 9);
      queue.run({ outcome: "completed" });
      const alone = queue.read(nextFlush)!;
      expect(alone.rollup).toBeNull();
      queue.write((tx) => confirmFlush(tx, alone.upto, 0));
      for (let i = 0; i < 3; i++) queue.run({ outcome: "dead", error: ERROR });
      const minute = Math.floor(queue.now / MINUTE);
      const { rollup } = queue.read(nextFlush)!;
      expect(rollup).toMatchObject({ after: 0, upto: 4 });
      expect(rollup!.body[minute]!.mail!.completed!.count).toBe(1);
      expect(rollup!.body[minute]!.mail!.dead!.count).toBe(3);
      queue.write((tx) => confirmFlush(tx, 4, 4));
      queue.run({ outcome: "completed" });
      expect(queue.read((tx) => rollupBetween(tx, 4, 99))[minute]!.mail!.completed!.count).toBe(1);
      queue.now += ROLLUP_MS;
      expect(queue.read(nextFlush)!.rollup).toMatchObject({ after: 4, upto: 5 });
    },
  },
  {
    name: "history none: results are answered for ten minutes and never sent, but of jobs that had ended before",
    run(queue) {
      queue.write((tx) => configure(tx, {}, { historyCompleted: "none" }));
      queue.add({}, 2);
      const { seq } = queue.run({ outcome: "completed", result: "7" });
      const dead = queue.run({ outcome: "dead", error: ERROR });
      queue.write((tx) => retry(tx, dead.seq));
      queue.run({ outcome: "completed", result: "8" });
      expect(queue.outbox().map((job) => [job.seq, job.state])).toEqual([
        [dead.seq, "dead"],
        [dead.seq, "completed"],
      ]);
      flush(queue);
      queue.now += 10 * MINUTE - 1;
      expect(queue.job(seq).result).toBe("7");
      queue.now += 1;
      expect(() => queue.job(seq)).toThrow();
    },
  },
];
