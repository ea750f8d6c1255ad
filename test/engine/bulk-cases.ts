import { expect } from "vitest";
import type { BulkInput, BulkReply, JobRecord } from "../../client/wire.ts";
import { bulkHere } from "../../durable-objects/engine/bulk.ts";
import { forget, forgetEnded, forgottenUpto, isForgotten, remember } from "../../durable-objects/engine/forget.ts";
import { list } from "../../durable-objects/engine/list.ts";
import { pause } from "../../durable-objects/engine/operate.ts";
import { confirmFlush, mayHaveMoved } from "../../durable-objects/engine/outbox.ts";
import { type Case, ERROR, type TestQueue } from "./queue.ts";
import { sameBooks } from "./same-books.ts";
import { unique } from "./unique-calls.ts";

type Bulk = Partial<BulkInput> & { action: BulkInput["action"] };

/** Answers in order; null where only the history can tell. */
function bulk(queue: TestQueue, jobs: (number | [number, number])[], input: Bulk): (BulkReply[number] | null)[] {
  const pairs = jobs.map((job): [number, number] => (typeof job === "number" ? [job, 0] : job));
  const whole = { jobs: pairs, states: null, runAt: null, priority: null, ...input };
  const answers = queue.write((tx) => bulkHere(tx, whole));
  return pairs.map(([seq]) => answers.get(seq) ?? null);
}

const stateOf = (queue: TestQueue, seq: number) => queue.job(seq).state;

/** The history has all, and the object keeps no body. */
function flushAll(queue: TestQueue): void {
  queue.write((tx) => confirmFlush(tx, tx.books.nextOutboxId - 1, tx.books.nextOutboxId - 1));
  queue.write(forgetEnded);
}

const LEAVING: Case[] = [
  {
    name: "cancel: all that waits with one outbox row a state, running ones are asked, ended ones refused",
    run(queue) {
      queue.add({}, 3);
      const { seq: dead } = queue.run({ outcome: "dead", error: ERROR });
      const [[running]] = queue.claim("s", 1) as [[number, number]];
      const ready = queue.add({}, 50);
      const scheduled = queue.add({ delayMs: 1_000 }, 50);
      const [gone] = queue.add();
      bulk(queue, [gone!], { action: "delete" });
      const before = queue.rows("SELECT count(*) AS n FROM outbox")[0]!.n;
      const jobs = [dead, running, gone!, 999, ...ready, ...scheduled];
      expect(bulk(queue, jobs, { action: "cancel" })).toEqual([
        "refused",
        "changed",
        "absent",
        "absent",
        ...Array(100).fill("changed"),
      ]);
      expect(queue.rows("SELECT count(*) AS n FROM outbox")[0]!.n).toBe(Number(before) + 2);
      expect(queue.job(running).cancelRequestedAt).toBe(queue.now);
      expect(stateOf(queue, scheduled[7]!)).toBe("cancelled");
      expect(bulk(queue, jobs.slice(0, 6), { action: "cancel" })).toEqual([
        "refused",
        "unchanged",
        "absent",
        "absent",
        "unchanged",
        "unchanged",
      ]);
      sameBooks(queue);
    },
  },
  {
    name: "delete: one outbox row for all, ids and request ids outlive the jobs",
    run(queue) {
      const request = { requestId: "r1" };
      const seqs = queue.add({}, 40, request);
      queue.run({ outcome: "completed" });
      const [[running]] = queue.claim("s", 1) as [[number, number]];
      const before = Number(queue.rows("SELECT count(*) AS n FROM outbox")[0]!.n);
      const answers = bulk(queue, seqs, { action: "delete" });
      expect(answers.filter((answer) => answer === "changed")).toHaveLength(39);
      expect(answers[seqs.indexOf(running)]).toBe("refused");
      // One for those that waited, one for the one that had ended.
      expect(Number(queue.rows("SELECT count(*) AS n FROM outbox")[0]!.n)).toBe(before + 2);
      expect(queue.rows("SELECT seq FROM jobs")).toEqual([{ seq: running }]);
      sameBooks(queue);
      queue.restart();
      expect(queue.add({}, 40, request)).toEqual(seqs);
      expect(queue.add()).toEqual([41]);
    },
  },
  {
    name: "both let the next of an ordering key go on, and free unique keys",
    run(queue) {
      for (const action of ["cancel", "delete"] as const) {
        const line = queue.add({ orderingKey: action }, 6);
        const [held] = queue.add({ unique: unique("return", { key: action }) });
        expect(bulk(queue, [line[4]!, line[1]!, line[0]!, held!], { action })).toEqual(Array(4).fill("changed"));
        expect(line.slice(2, 4).map((seq) => stateOf(queue, seq))).toEqual(["ready", "blocked"]);
        expect(stateOf(queue, line[5]!)).toBe("blocked");
        expect(queue.add({ unique: unique("return", { key: action }) })).not.toEqual([held]);
        sameBooks(queue);
      }
    },
  },
];

const RETRY: Case[] = [
  {
    name: "retry: only a job that still is as it was found",
    run(queue) {
      queue.add({}, 2);
      const { seq, fence } = queue.run({ outcome: "dead", error: ERROR });
      const ended = fence + 1;
      expect(bulk(queue, [[seq, ended]], { action: "retry", states: ["completed"] })).toEqual(["absent"]);
      expect(bulk(queue, [[seq, ended]], { action: "retry", states: ["dead"] })).toEqual(["changed"]);
      expect(stateOf(queue, seq)).toBe("ready");
      expect(bulk(queue, [[seq, ended]], { action: "retry" })).toEqual(["absent"]);
      expect(bulk(queue, [[seq, ended + 1]], { action: "retry" })).toEqual(["unchanged"]);
      sameBooks(queue);
    },
  },
  {
    name: "retry: from what the history has, unless the object knows better by then",
    run(queue) {
      queue.add();
      const { seq } = queue.run({ outcome: "dead", error: ERROR });
      const record: JobRecord = queue.job(seq);
      flushAll(queue);
      const input = { action: "retry" as const, jobs: [[seq, record.fence]] as [number, number][], states: null };
      expect(bulk(queue, input.jobs, input)).toEqual([null]);
      const whole = { ...input, runAt: null, priority: null };
      expect([...queue.write((tx) => bulkHere(tx, whole, [record]))]).toEqual([[seq, "changed"]]);
      expect(queue.job(seq)).toMatchObject({ state: "ready", failures: 0, fence: record.fence + 1 });
      expect(bulk(queue, [[seq, record.fence]], { action: "retry" })).toEqual(["absent"]);
    },
  },
  {
    name: "retry: those of an ordering key that come back together keep their order, wherever they were found",
    run(queue) {
      queue.add({ orderingKey: "k" }, 4);
      for (let i = 0; i < 2; i++) queue.run({ outcome: "dead", error: ERROR });
      const old = [1, 2].map((seq): JobRecord => queue.job(seq));
      flushAll(queue);
      for (let i = 0; i < 2; i++) queue.run({ outcome: "dead", error: ERROR });
      // As a list has them: the latest first.
      const jobs = [4, 3, 2, 1].map((seq): [number, number] => [seq, 2]);
      const input: BulkInput = { action: "retry", jobs, states: null, runAt: null, priority: null };
      expect([...queue.write((tx) => bulkHere(tx, input, old)).values()]).toEqual(Array(4).fill("changed"));
      const order = [1, 2, 3, 4].map(() => queue.run({ outcome: "completed" }).seq);
      expect(order).toEqual([1, 2, 3, 4]);
    },
  },
  {
    name: "what the history said may be old when the job may have come and gone since",
    run(queue) {
      queue.add({}, 3);
      queue.run({ outcome: "completed" });
      const since = queue.read((tx) => tx.books.nextOutboxId);
      const moved = () => queue.read((tx) => [1, 2, 3].map(mayHaveMoved(tx, since)));
      expect(moved()).toEqual([false, false, false]);
      queue.run({ outcome: "completed" });
      // It stands in the outbox still, where everybody finds it.
      expect(moved()).toEqual([false, false, false]);
      queue.write(forgetEnded);
      expect(moved()).toEqual([false, true, false]);
      queue.run({ outcome: "completed" });
      queue.rows("DELETE FROM outbox WHERE id = ?", since);
      expect(moved()).toEqual([true, true, true]);
    },
  },
];

const CHANGES: Case[] = [
  {
    name: "setPriority and reschedule: what waits, and says what stood so already",
    run(queue) {
      const [ready] = queue.add();
      const [later] = queue.add({ delayMs: 1_000, priority: 4 });
      expect(bulk(queue, [ready!, later!], { action: "setPriority", priority: 4 })).toEqual(["changed", "unchanged"]);
      expect(queue.job(ready!).priority).toBe(4);
      expect(bulk(queue, [ready!, later!], { action: "reschedule", runAt: queue.now + 9_000 })).toEqual([
        "changed",
        "changed",
      ]);
      expect(queue.job(ready!)).toMatchObject({ state: "scheduled", runAt: queue.now + 9_000 });
      queue.pass(9_000);
      const { seq } = queue.run({ outcome: "completed" });
      for (const action of ["setPriority", "reschedule"] as const) {
        expect(bulk(queue, [seq], { action, priority: 1, runAt: 1 })).toEqual(["refused"]);
      }
      sameBooks(queue);
    },
  },
  {
    name: "a job that went on to another state is left alone",
    run(queue) {
      const seqs = queue.add({}, 2);
      queue.claim("s", 1);
      expect(bulk(queue, seqs, { action: "cancel", states: ["ready", "scheduled"] })).toEqual(["absent", "changed"]);
      queue.turn("s", { settle: [{ seq: seqs[0]!, fence: 1, outcome: "failed", error: ERROR, retryInMs: 1_000 }] });
      expect(bulk(queue, [seqs[0]!], { action: "cancel", states: ["ready"] })).toEqual(["absent"]);
      expect(bulk(queue, [seqs[0]!], { action: "cancel", states: ["retrying"] })).toEqual(["changed"]);
    },
  },
  {
    name: "takes 200 jobs at most",
    run(queue) {
      const jobs = Array.from({ length: 201 }, (_, index) => index + 1);
      expect(() => bulk(queue, jobs, { action: "cancel" })).toThrow("at most 200 jobs: got 201");
    },
  },
];

const FORGET: Case[] = [
  {
    name: "forget: refused while jobs run or wait; then nothing stays but the ids",
    run(queue) {
      queue.restart({ concurrency: 5 });
      queue.add({}, 2);
      queue.write((tx) => pause(tx, "why"));
      expect(queue.write((tx) => forget(tx, { concurrency: 5 }))).toMatchObject({ ok: false, code: "conflict" });
      expect(queue.read((tx) => tx.books.paused)).toMatchObject({ reason: "why" });
      bulk(queue, [1, 2], { action: "cancel" });
      expect(queue.write((tx) => forget(tx, { concurrency: 5 }))).toEqual({ ok: true, upto: 2 });
      queue.write(forgetEnded);
      for (const restart of [false, true]) {
        if (restart) queue.restart();
        expect(queue.read((tx) => [tx.books.paused, tx.books.registered])).toEqual([null, false]);
        expect(queue.read(isForgotten)).toBe(true);
        expect(queue.read(forgottenUpto)).toBe(2);
      }
      expect(queue.read((tx) => list(tx, { ...EVERY })).items).toEqual([]);
      expect(queue.add()).toEqual([3]);
      queue.write(remember);
      expect(queue.read(forgottenUpto)).toBeNull();
      sameBooks(queue);
    },
  },
];

const EVERY = { beforeSeq: null, limit: 50, states: null, task: null, tag: null, from: null, to: null };

const FINGERPRINTS: Case[] = [
  {
    name: "lists find jobs by the fingerprint of their error, wherever they are",
    run(queue) {
      const fail = (message: string, outcome: "failed" | "dead") => {
        queue.add();
        return queue.run({ outcome, error: { ...ERROR, message } }).seq;
      };
      const seqs = [fail("no user 1", "failed"), fail("no user 22", "dead"), fail("other", "dead")];
      const print = JSON.parse(queue.job(seqs[0]!).error!).fingerprint;
      expect(print).toMatch(/^[0-9a-f]{16}$/);
      queue.add();
      const found = (fingerprint: string) =>
        queue.read((tx) => list(tx, { ...EVERY, fingerprint })).items.map(({ seq }) => seq);
      expect(found(print)).toEqual([2, 1]);
      expect(found("none")).toEqual([4]);
      expect(found("0000000000000000")).toEqual([]);
      const [crashed] = queue.add({ task: "heavy" });
      for (let lapse = 1; lapse <= 10; lapse++) {
        queue.claim(`heavy${lapse}`, 1, { worker: { name: "w", runtime: "test", tasks: ["heavy"] } });
        queue.pass(7 * 3_600_000);
      }
      expect(stateOf(queue, crashed!)).toBe("dead");
      expect(found("crashed")).toEqual([crashed]);
    },
  },
];

export const BULK: Case[] = [...LEAVING, ...RETRY, ...CHANGES, ...FORGET, ...FINGERPRINTS];
