import { expect } from "vitest";
import type { JobTemplate, WireOutcome } from "../../client/wire.ts";
import { describe } from "../../durable-objects/engine/inspect.ts";
import { cancel, remove, retry } from "../../durable-objects/engine/operate.ts";
import { LEAVING } from "./leaving-cases.ts";
import { type Case, ERROR, TEMPLATE, type TestQueue } from "./queue.ts";
import { sameBooks } from "./same-books.ts";

const MINUTE = 60_000;

/** Jobs of one key each, in the order of the keys. */
const add = (queue: TestQueue, keys: string, options: Partial<JobTemplate> = {}): number[] =>
  [...keys].flatMap((orderingKey) => queue.add({ ...options, orderingKey }));

const states = (queue: TestQueue, seqs: number[]): string[] => seqs.map((seq) => queue.job(seq).state);
const claimed = (queue: TestQueue, session: string): number[] => queue.claim(session).map(([seq]) => seq);

/** What becomes of an attempt of which the job is not over. */
const HOLDING: [outcome: Omit<WireOutcome, "seq" | "fence">, state: string][] = [
  [{ outcome: "failed", error: ERROR }, "scheduled"],
  [{ outcome: "snoozed", forMs: MINUTE }, "scheduled"],
  [{ outcome: "declined", code: "x" }, "scheduled"],
  [{ outcome: "released" }, "ready"],
];

const CASES: Case[] = [
  {
    name: "jobs of a key run one at a time, in the order of acceptance, whatever their priority and task",
    run(queue) {
      queue.add({ orderingKey: "k" });
      queue.add({ orderingKey: "k", priority: 9 });
      queue.add({ orderingKey: "k", task: "report", priority: 99 });
      expect(states(queue, [1, 2, 3])).toEqual(["ready", "blocked", "blocked"]);
      expect(queue.job(2).reason).toBe("ordering");
      const order: number[] = [];
      for (let i = 0; i < 3; i++) order.push(queue.run({ outcome: "completed" }).seq);
      expect(order).toEqual([1, 2, 3]);
    },
  },
  {
    name: "one session is given one job of a key, and the next with the exchange that settles it",
    run(queue) {
      add(queue, "kkk");
      expect(claimed(queue, "s")).toEqual([1]);
      const reply = queue.turn("s", { settle: [{ seq: 1, fence: 1, outcome: "completed" }], want: 9 });
      expect(JSON.parse(reply.jobs).map(([seq]: [number]) => seq)).toEqual([2]);
    },
  },
  {
    name: "keys do not wait for each other, and priority counts between them",
    run(queue) {
      add(queue, "aab");
      queue.add({ orderingKey: "b", priority: 50 });
      queue.add({ orderingKey: "c", priority: 7 });
      queue.add();
      expect(claimed(queue, "s")).toEqual([5, 1, 3, 6]);
    },
  },
  ...LEAVING,
  ...HOLDING.map(
    ([outcome, state]): Case => ({
      name: `the key is held while its first job is ${state} after it was ${outcome.outcome}`,
      run(queue) {
        add(queue, "kk");
        queue.run(outcome);
        expect(states(queue, [1, 2])).toEqual([state, "blocked"]);
        queue.pass(MINUTE);
        expect(claimed(queue, "next")).toEqual([1]);
      },
    }),
  ),
  {
    name: "the key is held by a first job that lapsed, and by one that is due later",
    run(queue) {
      add(queue, "ab", {});
      add(queue, "ab");
      queue.claim("s", 1);
      queue.pass(30_000);
      expect(states(queue, [1, 3])).toEqual(["ready", "blocked"]);
      add(queue, "l", { delayMs: MINUTE });
      const [waiting] = add(queue, "l");
      expect(queue.job(waiting!).state).toBe("blocked");
      queue.pass(MINUTE);
      expect(states(queue, [5, 6])).toEqual(["ready", "blocked"]);
    },
  },
  {
    name: "one that is let go on waits for its own time; then it stands where it would without a key",
    run(queue) {
      const [, late, early] = [
        ...add(queue, "a"),
        ...queue.add({ orderingKey: "a", delayMs: 2 * MINUTE }),
        ...add(queue, "b"),
      ] as [number, number, number];
      const [blocked] = add(queue, "b") as [number];
      queue.now += 1;
      const [plain] = queue.add({}) as [number];
      queue.write((tx) => cancel(tx, 1));
      queue.write((tx) => cancel(tx, early));
      expect(queue.job(late)).toMatchObject({ state: "scheduled", reason: null });
      expect(queue.effects.wakeAt).not.toBeNull();
      // Accepted before the plain one, it goes before it, although it was let go on after.
      expect(claimed(queue, "s")).toEqual([blocked, plain]);
      queue.pass(2 * MINUTE);
      expect(queue.job(late).state).toBe("ready");
    },
  },
  {
    name: "a blocked job may expire, be cancelled and be deleted, and the line goes on without it",
    run(queue) {
      add(queue, "k");
      add(queue, "k", { expiresInMs: 5 });
      add(queue, "kkk");
      queue.pass(5);
      expect(queue.job(2)).toMatchObject({ state: "cancelled", reason: "expired" });
      const counts = () => queue.read((tx) => describe(tx, null)).counts;
      expect(counts()).toMatchObject({ ready: 1, blocked: 3 });
      queue.write((tx) => cancel(tx, 3));
      expect(queue.write((tx) => remove(tx, 4, null))).toEqual({ ok: true });
      expect(counts()).toMatchObject({ ready: 1, blocked: 1 });
      expect(states(queue, [1, 3, 5])).toEqual(["ready", "cancelled", "blocked"]);
      queue.run({ outcome: "completed" });
      expect(counts()).toMatchObject({ ready: 1, blocked: 0 });
      expect(claimed(queue, "s")).toEqual([5]);
    },
  },
  {
    name: "when a whole line expires at once, nothing of it is left",
    run(queue) {
      add(queue, "kkkk", { expiresInMs: 5 });
      add(queue, "k", { expiresInMs: 5, delayMs: MINUTE });
      queue.pass(5);
      expect(states(queue, [1, 2, 3, 4, 5])).toEqual(Array(5).fill("cancelled"));
    },
  },
  {
    name: "a blocked job cannot be retried",
    run(queue) {
      add(queue, "kk");
      const before = queue.everything();
      expect(queue.write((tx) => retry(tx, 2))).toMatchObject({ ok: false, code: "conflict", detail: /it is blocked/ });
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "a redriven job goes behind all that wait, and before what comes later; many in the order of their redrive",
    run(queue) {
      add(queue, "kkkk");
      for (let i = 0; i < 3; i++) queue.run({ outcome: "dead", error: ERROR });
      queue.write((tx) => retry(tx, 2));
      queue.write((tx) => retry(tx, 1));
      expect(states(queue, [4, 2, 1])).toEqual(["ready", "blocked", "blocked"]);
      expect(queue.job(2).reason).toBe("ordering");
      const [later] = add(queue, "k");
      queue.write((tx) => retry(tx, 3));
      queue.restart();
      const order: number[] = [];
      for (let i = 0; i < 5; i++) order.push(queue.run({ outcome: "completed" }).seq);
      expect(order).toEqual([4, 2, 1, later, 3]);
    },
  },
  {
    name: "a redriven job with nobody before it is ready, and holds its key against those that come",
    run(queue) {
      add(queue, "kk");
      queue.run({ outcome: "dead", error: ERROR });
      queue.run({ outcome: "dead", error: ERROR });
      queue.write((tx) => retry(tx, 2));
      queue.write((tx) => retry(tx, 1));
      const [later] = add(queue, "k") as [number];
      expect(states(queue, [2, 1, later])).toEqual(["ready", "blocked", "blocked"]);
      // Whoever leaves the line elsewhere lets nobody go on.
      queue.write((tx) => cancel(tx, 1));
      expect(states(queue, [2, later])).toEqual(["ready", "blocked"]);
    },
  },
  {
    name: "a call is put in line in order, and answers who is blocked; its repetition answers the same",
    run(queue) {
      add(queue, "a");
      const templates = ["a", "b", null].map((orderingKey) => ({ ...TEMPLATE, orderingKey }));
      const jobs = [0, 1, 1, 2, 1].map((template): [number, null] => [template, null]);
      const call = { templates, jobs, requestId: "r", idempotency: null };
      const reply = queue.enqueue(call);
      expect(reply).toMatchObject({ ok: true });
      const given = reply.ok ? reply.jobs.map(({ seq, state }) => [seq, state]) : [];
      expect(given).toEqual([
        [2, "blocked"],
        [3, "ready"],
        [4, "blocked"],
        [5, "ready"],
        [6, "blocked"],
      ]);
      expect(queue.enqueue(call)).toEqual(reply);
      queue.restart();
      expect(queue.enqueue(call)).toEqual(reply);
      queue.claim("s");
      queue.turn("s", { settle: [{ seq: 3, fence: 1, outcome: "completed" }] });
      expect(states(queue, [2, 4, 6])).toEqual(["blocked", "ready", "blocked"]);
    },
  },
  {
    name: "a thousand jobs of a hundred keys cost a handful of statements: in, out, and for those let go on",
    run(queue) {
      queue.write(() => {});
      const templates = Array.from({ length: 100 }, (_, n) => ({ ...TEMPLATE, orderingKey: `k${n}` }));
      const jobs = Array.from({ length: 1000 }, (_, n): [number, null] => [n % 100, null]);
      const taken = queue.statements(() => queue.enqueue({ templates, jobs, requestId: null, idempotency: null }));
      expect(taken.length).toBeLessThan(5);
      for (let round = 0; round < 10; round++) {
        const held = queue.claim("s");
        expect(held.map(([seq]) => seq)).toEqual(Array.from({ length: 100 }, (_, n) => round * 100 + n + 1));
        const settle = held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const }));
        expect(queue.statements(() => queue.turn("s", { settle })).length).toBeLessThan(12);
      }
      expect(queue.rows("SELECT 1 FROM jobs")).toEqual([]);
    },
  },
  {
    name: "who has no ordering key pays nothing for those of others",
    run(queue) {
      queue.add();
      const plain = queue.statements(() => queue.run({ outcome: "completed" }));
      expect(queue.statements(() => queue.add({}, 100))).toHaveLength(1);
      expect(
        plain.filter((statement) => /ordering/.test(statement) && !/^UPDATE jobs|^INSERT/.test(statement)),
      ).toEqual([]);
    },
  },
];

export const ORDERING: Case[] = CASES.map(({ name, run }) => ({
  name,
  run(queue) {
    run(queue);
    sameBooks(queue);
  },
}));
