import { expect } from "vitest";
import { explain } from "../../durable-objects/engine/explain.ts";
import { configure, pause, resume } from "../../durable-objects/engine/operate.ts";
import { type Case, done, given } from "./queue.ts";
import { handed, shares, stand, used, wants } from "./standing-queue.ts";

const RATE = { rateLimit: { limit: 1, perMs: 10_000, burst: 1 } };

export const HANDOUT: Case[] = [
  {
    name: "nothing is asked of the tables where nobody stands, wants, or may be given anything",
    run(queue) {
      used(queue);
      queue.restart({ concurrency: 1 });
      queue.pushes = () => false;
      queue.add();
      const plain = queue.statements(() => queue.add());
      stand(queue, "s", 1);
      for (const session of ["t", "u"]) {
        stand(queue, session, 1, {}, session === "t" ? ["mail"] : ["other"]);
        expect(queue.statements(() => queue.add())).toEqual(plain);
      }
      expect(queue.statements(() => queue.add({ task: "other" }))).toHaveLength(plain.length + 1);
      expect(wants(queue)).toEqual({ s: 0, t: 1, u: 1 });
    },
  },
  {
    name: "to who wants most, and in turn where they want as much",
    run(queue) {
      used(queue);
      stand(queue, "a", 2);
      stand(queue, "b", 4);
      stand(queue, "c", 4);
      const told: string[] = [];
      for (let i = 0; i < 9; i++) {
        queue.add();
        told.push(...Object.keys(handed(queue)));
      }
      expect(told.slice(0, 4).sort()).toEqual(["b", "b", "c", "c"]);
      expect(told.slice(4, 7).sort()).toEqual(["a", "b", "c"]);
      expect(told.slice(7).sort()).not.toEqual(["a", "a"]);
      expect(wants(queue)).toMatchObject({ a: expect.any(Number) });
      expect(Object.values(wants(queue)).reduce((sum, want) => sum + want, 0)).toBe(1);
    },
  },
  {
    name: "many at once are shared by what each wants, each session written once; what one may not take goes to another",
    run(queue) {
      used(queue);
      stand(queue, "a", 10);
      stand(queue, "b", 30);
      stand(queue, "c", 20, {}, ["other"]);
      const statements = queue.statements(() => queue.add({}, 20));
      expect(shares(queue)).toEqual({ a: 5, b: 15 });
      expect(statements.filter((query) => query.startsWith("INSERT INTO sessions"))).toHaveLength(2);
      const all = Object.values(handed(queue)).flat();
      expect(new Set(all.map(([seq]) => seq)).size).toBe(20);
      queue.add({ task: "other" }, 30);
      expect(shares(queue).c).toBeGreaterThanOrEqual(10);
      expect(Object.values(shares(queue)).reduce((sum, jobs) => sum + jobs, 0)).toBe(30);
    },
  },
  {
    name: "only jobs of tasks that a session names, the first in line first",
    run(queue) {
      used(queue);
      stand(queue, "s", 9, {}, ["mail", "__proto__"]);
      queue.add({ task: "constructor" }, 2);
      expect(queue.effects).toMatchObject({ handouts: [], tickets: ["short"] });
      queue.add({ task: "__proto__" });
      expect(shares(queue)).toEqual({ s: 1 });
      queue.write((tx) => pause(tx, null));
      const low = queue.add({ priority: 1 });
      const high = queue.add({ priority: 2 });
      expect(queue.effects.handouts).toEqual([]);
      queue.write(resume);
      expect(handed(queue).s!.map(([seq]) => seq)).toEqual([...high, ...low]);
    },
  },
  {
    name: "one that has lapsed only to a session that holds no such job",
    run(queue) {
      queue.add({}, 3);
      queue.claim("lost");
      stand(queue, "s", 9);
      stand(queue, "t", 9);
      queue.pass(30_000);
      expect(shares(queue)).toEqual({ s: 1, t: 1 });
      queue.pass(0);
      expect(queue.effects.handouts).toEqual([]);
      expect(wants(queue)).toEqual({ s: 8, t: 8 });
    },
  },
  {
    name: "a delayed job with the alarm that makes it ready",
    run(queue) {
      used(queue);
      const [seq] = queue.add({ delayMs: 5_000 });
      stand(queue, "s", 1);
      queue.pass(4_999);
      expect(queue.effects.handouts).toEqual([]);
      queue.pass(1);
      expect(handed(queue)).toEqual({ s: [[seq, 1]] });
    },
  },
  {
    name: "what is due comes before what is made, however late the alarm is",
    run(queue) {
      used(queue);
      const [seq] = queue.add({ delayMs: 5_000 });
      stand(queue, "s", 1);
      queue.now += 5_001;
      queue.add();
      expect(handed(queue)).toEqual({ s: [[seq, 1]] });
    },
  },
  {
    name: "under every limit: a gate that opens by itself wakes the object, one that a settle opens does not need to",
    run(queue) {
      used(queue);
      queue.write((tx) => configure(tx, {}, { tasks: { slow: RATE }, limits: { tenant: { concurrency: 1 } } }));
      stand(queue, "s", 9);
      queue.pushes = () => false;
      queue.add({ task: "slow" }, 2);
      expect(shares(queue)).toEqual({ s: 1 });
      expect(queue.effects.wakeAt).toBe(queue.now + 10_000);
      queue.pass(10_000);
      expect(handed(queue)).toEqual({ s: [[3, 1]] });
      const [held] = queue.add({ keys: { tenant: "a" } }, 2);
      expect(handed(queue)).toEqual({ s: [[held, 1]] });
      const holding: [number, number][] = [
        [2, 1],
        [3, 1],
      ];
      const reply = stand(queue, "s", 6, { holding, settle: [done([held!, 1])] });
      expect([...given(reply), ...(handed(queue).s ?? [])]).toEqual([[held! + 1, 1]]);
    },
  },
  {
    name: "a gate that nobody who stands could use wakes nobody",
    run(queue) {
      queue.write((tx) => configure(tx, {}, { tasks: { slow: RATE } }));
      queue.pushes = () => false;
      queue.add({ task: "slow" }, 2);
      queue.claim("once", 1);
      stand(queue, "s", 9, {}, ["mail"]);
      expect(queue.effects.wakeAt).toBeNull();
      stand(queue, "t", 0);
      expect(queue.effects.wakeAt).toBeNull();
      stand(queue, "t", 1);
      expect(queue.effects.wakeAt).toBe(queue.now + 10_000);
    },
  },
  {
    name: "`maxSessions` counts who holds jobs: one that only stands takes no place, and gets one when it is free",
    run(queue) {
      used(queue);
      queue.write((tx) => configure(tx, {}, { maxSessions: 1 }));
      stand(queue, "s", 2);
      stand(queue, "t", 2);
      queue.add({}, 3);
      expect(shares(queue)).toEqual({ s: 2 });
      expect(queue.effects.tickets).toEqual([]);
      queue.turn("s", { settle: handed(queue).s!.map(done) });
      expect(shares(queue)).toEqual({ t: 1 });
    },
  },
  {
    name: "a session holds at most 2,000 jobs",
    run(queue) {
      for (let i = 0; i < 3; i++) queue.add({}, 1_000);
      let holding: [number, number][] = [];
      for (let i = 0; i < 4; i++) holding = [...holding, ...given(stand(queue, "s", 500, { holding }))];
      expect(given(stand(queue, "s", 500, { holding }))).toEqual([]);
      queue.add();
      expect(queue.effects.handouts).toEqual([]);
      const settle = holding.slice(0, 2).map(done);
      holding = holding.slice(2);
      expect(given(stand(queue, "s", 500, { holding, settle }))).toHaveLength(2);
    },
  },
  {
    name: "at most a step of jobs at once, and about what an answer carries: the rest with the alarm, at once",
    run(queue) {
      used(queue);
      for (const session of ["a", "b", "c"]) stand(queue, session, 500);
      queue.write((tx) => pause(tx, null));
      for (let i = 0; i < 2; i++) queue.add({}, 600);
      queue.write(resume);
      const total = (): number => Object.values(shares(queue)).reduce((sum, jobs) => sum + jobs, 0);
      expect(total()).toBe(1_000);
      expect(queue.effects.wakeAt).toBe(queue.now);
      queue.pass(0);
      expect(total()).toBe(200);
      const payload = JSON.stringify("x".repeat(512 * 1024));
      queue.add({}, 12, { jobs: Array.from({ length: 12 }, () => [0, payload]) });
      expect(total()).toBeLessThan(12);
      expect(queue.effects.wakeAt).toBe(queue.now);
      const first = total();
      queue.pass(0);
      expect(first + total()).toBe(12);
    },
  },
  {
    name: "who was told much is handed no more until it has spoken, and others are; nothing spins meanwhile",
    run(queue) {
      used(queue);
      queue.pushes = () => false;
      const payload = JSON.stringify("x".repeat(512 * 1024));
      const add = (count: number) => queue.add({}, count, { jobs: Array(count).fill([0, payload]) });
      stand(queue, "s", 100);
      const held: [number, number][] = [];
      for (let i = 0; i < 12; i++) {
        add(1);
        held.push(...(handed(queue).s ?? []));
      }
      expect(held).toHaveLength(8);
      queue.pass(0);
      expect(queue.effects.wakeAt).toBeGreaterThan(queue.now);
      add(20);
      expect(queue.effects.handouts).toEqual([]);
      held.push(...given(stand(queue, "s", 92, { holding: held })));
      expect([held.length, shares(queue)]).toEqual([15, { s: 7 }]);
      expect([given(stand(queue, "t", 9)).length, shares(queue)]).toEqual([7, { t: 2 }]);
    },
  },
  {
    name: "no ticket and no alarm for a task that no Worker runs; beside it tickets for those that one does",
    run(queue) {
      queue.pushes = (task) => task === "light";
      queue.add({ task: "heavy" }, 3);
      expect(queue.effects).toMatchObject({ tickets: [], wakeAt: null });
      queue.add({ task: "light" });
      expect(queue.effects.tickets).toEqual(["short"]);
      queue.claim("consumer", 9, { channel: "short", worker: { name: "w", runtime: "test", tasks: ["light"] } });
      expect(queue.effects.tickets).toEqual([]);
      queue.pass(60_000);
      expect(queue.effects.tickets).toEqual(["short"]);
      const able = { channel: "short" as const, worker: { name: "w", runtime: "test", tasks: ["light"] } };
      const [held] = queue.claim("again", 9, able);
      queue.turn("again", { ...able, settle: [done(held!)] });
      queue.pass(600_000);
      expect(queue.effects.tickets).toEqual([]);
      expect(queue.job(1).state).toBe("ready");
    },
  },
  {
    name: "one that stands is not told to ask again, neither under a stream of jobs nor for a gate; one that does not stand, is",
    run(queue) {
      queue.write((tx) => configure(tx, {}, RATE));
      queue.add({}, 100);
      expect(stand(queue, "s", 1).retryInMs).toBeNull();
      expect(queue.turn("polls", { want: 1 }).retryInMs).toBe(25);
      queue.now += 6_000;
      expect(stand(queue, "s", 2).retryInMs).toBeNull();
      expect(queue.turn("polls", { want: 1 }).retryInMs).toBe(4_000);
      const worker = { name: "w", runtime: "test", tasks: ["other"] };
      expect(queue.turn("knows others", { want: 1, worker }).retryInMs).toBeNull();
    },
  },
  {
    name: "explained: no connected worker names its task, and no ticket brings one; a live one opens it",
    run(queue) {
      queue.pushes = () => false;
      const [seq] = queue.add();
      const gates = () => queue.read((tx) => explain(tx, seq!))!.gates;
      expect(gates()).toMatchObject([{ gate: "no_worker", since: null, until: null }]);
      expect(gates()[0]!.detail).toContain('No worker comes that could run task "mail"; none was here lately.');
      expect(gates()[0]!.detail).toContain("delivery is pull, or it is both and the task has no handler there");
      expect(gates()[0]!.detail).toContain('Connect a worker that names "mail"');
      stand(queue, "s", 9, {}, ["other"]);
      expect(gates()).toHaveLength(1);
      stand(queue, "t", 0, {}, ["mail"]);
      expect(gates()).toEqual([]);
      queue.now += 40_000;
      expect(gates()).toEqual([]);
      queue.dead.add("t");
      expect(gates()[0]!.detail).toContain(`the last one was here at ${new Date(queue.now - 40_000).toISOString()}`);
      queue.turn("polls", { want: 0 });
      expect(gates()).toEqual([]);
    },
  },
  {
    name: "explained: one that stands and is alive, however long it has nothing to say, could run it",
    run(queue) {
      const [seq] = queue.add({ delayMs: 1_000_000 });
      queue.pushes = () => false;
      queue.sockets.set("idle", { session: "idle", n: 7, want: 0, bytes: 0, tasks: ["mail"], worker: "w" });
      queue.restart();
      queue.now += 1_000_000;
      const gates = () => queue.read((tx) => explain(tx, seq!))!.gates;
      expect(gates()).toEqual([]);
      queue.dead.add("idle");
      expect(gates()).toMatchObject([{ gate: "no_worker" }]);
    },
  },
];
