import { expect } from "vitest";
import { bulkHere } from "../../durable-objects/engine/bulk.ts";
import { cancel, remove } from "../../durable-objects/engine/operate.ts";
import { trimUniques } from "../../durable-objects/engine/unique.ts";
import { CONFLICTS } from "./conflict-cases.ts";
import { type Case, ERROR, TEMPLATE } from "./queue.ts";
import { RETURNS } from "./return-cases.ts";
import { sameBooks } from "./same-books.ts";
import { ALL, call, MINUTE, one, refused, settle, unique } from "./unique-calls.ts";

const HOLDS: Case[] = [
  {
    name: "a key is held while its job is scheduled, blocked, ready and running, and then is free",
    run(queue) {
      const [first] = call(queue, [{ unique: unique(), orderingKey: "k", delayMs: 5 }]);
      expect(first).toEqual([1, "created", "scheduled"]);
      expect(one(queue, { unique: unique() })).toEqual([1, "returned", "scheduled"]);
      queue.pass(5);
      expect(one(queue, { unique: unique() })).toEqual([1, "returned", "ready"]);
      call(queue, [{ unique: unique("return", { key: "behind" }), orderingKey: "k" }]);
      expect(one(queue, { unique: unique("return", { key: "behind" }) })).toEqual([2, "returned", "blocked"]);
      queue.claim("s", 1);
      queue.restart();
      expect(one(queue, { unique: unique(), task: "report" })).toEqual([1, "returned", "running"]);
      settle(queue, 1, { outcome: "completed" });
      expect(queue.rows("SELECT key FROM uniques")).toEqual([{ key: "behind" }]);
      expect(one(queue, { unique: unique() })).toEqual([3, "created", "ready"]);
    },
  },
  {
    name: "a key of the waiting states alone is free as soon as its job starts",
    run(queue) {
      const waiting = unique("return", { states: ["waiting"] });
      queue.add({ unique: waiting });
      queue.claim("s");
      expect(one(queue, { unique: waiting })).toEqual([2, "created", "ready"]);
      expect(one(queue, { unique: waiting })).toEqual([2, "returned", "ready"]);
      settle(queue, 1, { outcome: "completed" });
      expect(one(queue, { unique: waiting })).toEqual([2, "returned", "ready"]);
    },
  },
  ...(["completed", "dead", "cancelled"] as const).map(
    (state): Case => ({
      name: `a key is held by a job that is ${state}, where it names that, for its ttl`,
      run(queue) {
        const held = unique("return", { states: ["waiting", "running", state], ttlMs: MINUTE });
        const other = ALL.find((one) => !held.states.includes(one))!;
        queue.add({ unique: held });
        queue.claim("s");
        if (state === "completed") settle(queue, 1, { outcome: "completed" });
        if (state === "dead") settle(queue, 1, { outcome: "dead", error: ERROR });
        if (state === "cancelled") settle(queue, 1, { outcome: "cancelled" });
        queue.restart();
        expect(one(queue, { unique: unique() })).toEqual([1, "returned", state]);
        queue.now += MINUTE - 1;
        expect(one(queue, { unique: unique() })).toEqual([1, "returned", state]);
        queue.now += 1;
        expect(one(queue, { unique: { ...held, states: ["waiting", "running", other] } })).toEqual([
          2,
          "created",
          "ready",
        ]);
        queue.write((tx) => cancel(tx, 2));
        if (other !== "cancelled") expect(one(queue, { unique: held })[0]).toBe(3);
      },
    }),
  ),
  {
    name: "a key is free after its ttl whatever its job does, and that job harms nobody then",
    run(queue) {
      const brief = unique("return", { ttlMs: MINUTE });
      queue.add({ unique: brief });
      queue.claim("s");
      queue.pass(20_000);
      queue.turn("s", { holding: [[1, 1]] });
      queue.now += 40_000;
      expect(one(queue, { unique: unique() })).toEqual([2, "created", "ready"]);
      settle(queue, 1, { outcome: "released" });
      expect(queue.job(1).state).toBe("ready");
      expect(one(queue, { unique: unique() })).toEqual([2, "returned", "ready"]);
    },
  },
  {
    name: "who has no unique key is not asked for one, and a thousand keys cost three statements",
    run(queue) {
      queue.add();
      expect(queue.statements(() => queue.add({}, 100))).toHaveLength(1);
      const asked = Array.from({ length: 1000 }, (_, n) => ({ unique: unique("return", { key: `k${n}` }) }));
      expect(queue.statements(() => call(queue, asked)).length).toBeLessThanOrEqual(3);
      expect(queue.statements(() => call(queue, asked)).length).toBe(1);
      const replacing = asked.map((job) => ({ ...job, unique: { ...job.unique, onConflict: "replace" as const } }));
      expect(queue.statements(() => call(queue, replacing)).length).toBeLessThanOrEqual(4);
      const held = queue.claim("s", 500);
      const done = held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const }));
      expect(queue.statements(() => queue.turn("s", { settle: done })).length).toBeLessThan(15);
    },
  },
  {
    name: "keys are forgotten when their time is over, when their job ends, and when it is deleted",
    run(queue) {
      const keys = () => queue.rows("SELECT key FROM uniques").map(({ key }) => key);
      const kept = (key: string) => unique("return", { key, states: ALL, ttlMs: MINUTE });
      for (const key of ["a", "b", "c"]) queue.add({ unique: kept(key) });
      queue.add({ unique: unique("return", { key: "plain" }) });
      queue.add({ unique: unique("return", { key: "deleted" }) });
      queue.claim("s", 2);
      settle(queue, 1, { outcome: "completed" });
      expect(keys()).toEqual(["a", "b", "c", "deleted", "plain"]);
      queue.write((tx) => cancel(tx, 4));
      queue.write((tx) => remove(tx, 5, null));
      // Of the history: it is deleted there, and its key is free.
      queue.write((tx) => remove(tx, 1, null));
      expect(keys()).toEqual(["b", "c"]);
      queue.now += MINUTE - 1;
      queue.write(trimUniques);
      expect(keys()).toEqual(["b", "c"]);
      queue.now += 1;
      queue.write(trimUniques);
      expect(keys()).toEqual([]);
      settle(queue, 2, { outcome: "completed" });
      expect(keys()).toEqual([]);
    },
  },
];

const REPEATS: Case[] = [
  {
    name: "a request that comes again is answered as before, and makes nothing of what it made",
    run(queue) {
      queue.add({ unique: unique() });
      const asked = [
        { unique: unique() },
        { payload: "2" },
        { unique: unique("replace", { key: "r" }) },
        { unique: unique("replace", { key: "r" }), delayMs: MINUTE },
        { unique: unique("throttle", { key: "t", states: ALL, ttlMs: 5, waitMs: 5 }) },
      ];
      const first = call(queue, asked, { requestId: "r1" });
      expect(first.map(([seq, outcome]) => [seq, outcome])).toEqual([
        [1, "returned"],
        [2, "created"],
        [3, "created"],
        [3, "replaced"],
        [4, "created"],
      ]);
      for (const seq of [1, 2, 4]) queue.write((tx) => cancel(tx, seq));
      expect(call(queue, asked, { requestId: "r1" })).toEqual(first);
      queue.restart();
      expect(call(queue, asked, { requestId: "r1" })).toEqual(first);
      expect(queue.add()).toEqual([5]);
      expect(refused(queue, asked.slice(1), { requestId: "r1" }).code).toBe("conflict");
    },
  },
  {
    name: "a request that made nothing is remembered while the object is in memory",
    run(queue) {
      queue.add({ unique: unique() });
      const again = () => call(queue, [{ unique: unique() }], { requestId: "r" });
      expect(again()).toEqual([[1, "returned", "ready"]]);
      queue.write((tx) => cancel(tx, 1));
      expect(again()).toEqual([[1, "returned", "ready"]]);
      queue.restart();
      expect(again()).toEqual([[2, "created", "ready"]]);
    },
  },
  {
    name: "a request that only changed a job is remembered through a restart, for five minutes",
    run(queue) {
      queue.add({ unique: unique("replace") });
      const again = (id: string) => call(queue, [{ unique: unique("replace") }], { requestId: id });
      expect(again("first")).toEqual([[1, "replaced", "ready"]]);
      expect(again("second")).toEqual([[1, "replaced", "ready"]]);
      queue.restart();
      const before = JSON.stringify(queue.rows("SELECT * FROM jobs"));
      expect(again("first")).toEqual([[1, "replaced", "ready"]]);
      expect(JSON.stringify(queue.rows("SELECT * FROM jobs"))).toBe(before);
      queue.run({ outcome: "completed" });
      queue.restart();
      queue.now += 299_999;
      expect(again("second")).toEqual([[1, "replaced", "ready"]]);
      queue.now += 1;
      expect(again("second")).toEqual([[2, "created", "ready"]]);
    },
  },
  {
    name: "many requests whose notes are long can end, or be deleted, at once",
    run(queue) {
      const jobs = Array.from({ length: 1000 }, (): [number, null] => [0, null]);
      for (let n = 1; n <= 160; n++) {
        const templates = [{ ...TEMPLATE, unique: unique("return", { key: `key ${n}` }) }];
        expect(queue.enqueue({ templates, jobs, requestId: `request ${n}`, idempotency: null })).toMatchObject({
          ok: true,
        });
      }
      const settles = queue.claim("s", 80).map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const }));
      expect(queue.turn("s", { settle: settles }).refused).toEqual([]);
      const rest = Array.from({ length: 80 }, (_, n): [number, number] => [81 + n, 0]);
      const deletion = { action: "delete" as const, jobs: rest, states: null, runAt: null, priority: null };
      expect([...queue.write((tx) => bulkHere(tx, deletion)).values()]).toEqual(Array(80).fill("changed"));
      const sizes = queue.rows("SELECT octet_length(requests) AS bytes FROM outbox").map(({ bytes }) => Number(bytes));
      expect(sizes.reduce((all, bytes) => all + bytes)).toBeGreaterThan(3_800_000);
      expect(Math.max(...sizes)).toBeLessThan(1_900_000);
      queue.restart();
      expect(
        call(
          queue,
          jobs.map(() => ({})),
          { requestId: "request 1" },
        )[999],
      ).toEqual([1, "returned", "ready"]);
      expect(
        call(
          queue,
          jobs.map(() => ({})),
          { requestId: "request 160" },
        )[999],
      ).toEqual([160, "returned", "ready"]);
    },
  },
  {
    name: "an idempotency key gives the first answer again; a call that was refused has none",
    run(queue) {
      queue.add({ unique: unique() });
      const about = { idempotency: { key: "i", bodyHash: "h" } };
      expect(refused(queue, [{ unique: unique("reject") }], about).code).toBe("conflict");
      queue.write((tx) => cancel(tx, 1));
      const asked = [{ unique: unique("reject") }, { unique: unique() }];
      const first = call(queue, asked, about);
      expect(first).toEqual([
        [2, "created", "ready"],
        [2, "returned", "ready"],
      ]);
      expect(call(queue, asked, about)).toEqual(first);
    },
  },
];

export const UNIQUE: Case[] = [...HOLDS, ...CONFLICTS, ...RETURNS, ...REPEATS].map(({ name, run }) => ({
  name,
  run(queue) {
    run(queue);
    sameBooks(queue);
  },
}));
