import { expect } from "vitest";
import { closeKey } from "../../durable-objects/engine/keys.ts";
import { newLine } from "../../durable-objects/engine/line.ts";
import { refresh } from "../../durable-objects/engine/lines.ts";
import { cancel } from "../../durable-objects/engine/operate.ts";
import { type Case, done, seqs, set, TEMPLATE, type TestQueue } from "./queue.ts";

/** A job of which two fit one answer. */
function addLarge(queue: TestQueue, keys: { [kind: string]: string }): number {
  const templates = [{ ...TEMPLATE, keys }];
  const payload = JSON.stringify("x".repeat(1_600_000));
  const reply = queue.enqueue({ templates, jobs: [[0, payload]], requestId: null, idempotency: null });
  return reply.ok ? reply.jobs[0]!.seq : Number.NaN;
}

/** Fills the only slot of tenant a, and parks these jobs behind it; the slot is then given back. */
function parkBehind(queue: TestQueue, jobs: Parameters<TestQueue["add"]>[0][]): number[] {
  set(queue, { limits: { tenant: { concurrency: 1 } } });
  queue.add({ keys: { tenant: "a" } });
  const held = queue.claim("holder");
  const parked = jobs.flatMap((job) => queue.add({ ...job, keys: { tenant: "a", ...job?.keys } }));
  expect(queue.claim("early")).toEqual([]);
  queue.turn("holder", { settle: held.map(done) });
  return parked;
}

/** Entries in the lines of all gates and groups. */
function entries(queue: TestQueue): number {
  return queue.read(({ books }) => {
    const open = [...books.groups.values()].map((group) => group.open);
    const lines = [...open, ...[...books.gates.values()].flatMap((gate) => [...gate.lines.values()])];
    const sizes = lines.flatMap((line) => [
      line.strands.size,
      ...[...line.byFlow.values()].map(({ lanes }) => lanes.size),
    ]);
    return sizes.reduce((sum, size) => sum + size, books.timed.size);
  });
}

export const GATES: Case[] = [
  {
    name: "what did not fit an answer takes no slot, and what it kept from starting starts",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 3 } } });
      const large = [1, 2, 3].map(() => addLarge(queue, { tenant: "a" }));
      const [other] = queue.add({ keys: { tenant: "a", user: "u" } });
      expect(seqs(queue.claim("s"))).toEqual(large.slice(0, 2));
      queue.write((tx) => cancel(tx, large[2]!));
      expect(seqs(queue.claim("t"))).toEqual([other]);
    },
  },
  {
    name: "it takes no tokens either, and none are saved up because of it",
    run(queue) {
      set(queue, { limits: { tenant: { rateLimit: { limit: 1, perMs: 60_000, burst: 3 } } } });
      const large = [1, 2, 3, 4].map(() => addLarge(queue, { tenant: "a" }));
      expect(seqs(queue.claim("s"))).toEqual(large.slice(0, 2));
      expect(seqs(queue.claim("t"))).toEqual(large.slice(2, 3));
    },
  },
  {
    name: "a dear job that is cancelled gives back the tokens that were saved up for it",
    run(queue) {
      set(queue, { limits: { vendor: { rateLimit: { limit: 1, perMs: 60_000, burst: 10 } } } });
      queue.add({ keys: { vendor: "x" }, cost: { vendor: 8 } });
      expect(queue.claim("a")).toHaveLength(1);
      const [dear] = queue.add({ keys: { vendor: "x" }, cost: { vendor: 10 } });
      queue.now += 1;
      const cheap = queue.add({ keys: { vendor: "x" } }, 2);
      expect(queue.claim("b")).toEqual([]);
      queue.now += 10_000;
      queue.write((tx) => cancel(tx, dear!));
      expect(queue.effects.tickets).toEqual(["short"]);
      expect(seqs(queue.claim("c"))).toEqual(cheap);
    },
  },
  {
    name: "the most urgent job behind a gate that has opened goes first, also when it came last",
    run(queue) {
      parkBehind(queue, [{ keys: { user: "1" } }, { keys: { user: "2" } }]);
      queue.add({ priority: 5 });
      const [urgent] = queue.add({ keys: { tenant: "a", user: "2" }, priority: 10 });
      expect(seqs(queue.claim("s", 1))).toEqual([urgent]);
    },
  },
  {
    name: "and when the lane that stood for all behind the gate has lost its urgent job",
    run(queue) {
      const [gone, , next] = parkBehind(queue, [
        { keys: { user: "1" }, priority: 10 },
        { keys: { user: "1" } },
        { keys: { user: "2" }, priority: 5 },
      ]);
      queue.add({ priority: 3 });
      queue.write((tx) => cancel(tx, gone!));
      expect(seqs(queue.claim("s", 1))).toEqual([next]);
    },
  },
  {
    name: "and when the fair key of the lane that stood for all was served elsewhere: another key's jobs keep their order",
    run(queue) {
      const [, first] = parkBehind(queue, [{ fairKey: "x" }, { fairKey: "y" }]);
      const [other] = queue.add({ task: "other", fairKey: "x" });
      queue.add({ task: "other", fairKey: "y" });
      const worker = { name: "w", runtime: "test", tasks: ["other"] };
      expect(seqs(queue.claim("s", 1, { worker }))).toEqual([other]);
      expect(seqs(queue.claim("t", 1))).toEqual([first]);
    },
  },
  {
    name: "and the best is who would be first in the open line: nobody is sent for a share of long ago",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 1 } } });
      queue.write((tx) => closeKey(tx, "user", "u", 1_000, null));
      queue.add({ keys: { tenant: "a" } });
      const held = queue.claim("holder");
      const [first] = queue.add({ fairKey: "y", keys: { tenant: "a" } });
      queue.add({ task: "other", fairKey: "y", keys: { user: "u" } });
      queue.add({ fairKey: "x", keys: { tenant: "a" } });
      expect(queue.claim("early")).toEqual([]);
      queue.add({ task: "third", fairKey: "z" }, 3);
      expect(queue.claim("s")).toHaveLength(3);
      // The other job of y stands open now, at the present; x had its share before.
      queue.now += 1_000;
      expect(queue.claim("none", 0)).toEqual([]);
      queue.turn("holder", { settle: held.map(done) });
      expect(seqs(queue.claim("t", 1))).toEqual([first]);
    },
  },
  {
    name: "a lane that another gate came to keep lets the next of its gate go, and a ticket is sent for that",
    run(queue) {
      const [, free] = parkBehind(queue, [{ keys: { user: "busy" } }, { keys: { user: "free" } }]);
      set(queue, { limits: { tenant: { concurrency: 1 }, user: { concurrency: 1 } } });
      queue.add({ keys: { tenant: "a" }, priority: 1 });
      const held = queue.claim("holder", 1);
      expect(queue.claim("early")).toEqual([]);
      // It stands for tenant a now, and its user's only slot is taken.
      queue.turn("holder", { settle: held.map(done) });
      queue.add({ task: "other", keys: { user: "busy" }, priority: 2 });
      expect(queue.claim("other", 1)).toHaveLength(1);
      queue.now += 10_000;
      queue.turn("new");
      expect(queue.effects.tickets).toEqual(["short"]);
      expect(seqs(queue.claim("new"))).toEqual([free]);
    },
  },
  {
    name: "lines and clocks in memory grow with what waits, not with what has passed through",
    run(queue) {
      set(queue, { limits: { vendor: { rateLimit: { limit: 1, perMs: 1_000, burst: 1 } } } });
      queue.write((tx) => closeKey(tx, "tenant", "closed", 86_400_000, null));
      for (let i = 0; i < 20; i++) queue.add({ keys: { vendor: "x", user: `u${i}` } }, 10);
      for (let i = 0; i < 400; i++) {
        for (const user of ["u17", "u18", "u19"]) queue.add({ keys: { vendor: "x", user } });
        queue.add({ keys: { tenant: "closed" }, expiresInMs: 500 });
        queue.turn("s", { settle: queue.claim("s").map(done) });
        queue.pass(1_000);
      }
      expect(entries(queue)).toBeLessThan(400);
    },
  },
  {
    name: "what was served is forgotten where nobody waits any more",
    run(queue) {
      for (let round = 0; round < 3; round++) {
        const templates = Array.from({ length: 1_000 }, (_, k) => ({ ...TEMPLATE, priority: 1_000 * round + k }));
        const jobs = templates.map((_, k): [number, null] => [k, null]);
        queue.enqueue({ templates, jobs, requestId: null, idempotency: null });
        for (let i = 0; i < 2; i++) queue.turn("s", { settle: queue.claim("s").map(done) });
      }
      const sizes = queue.read(({ books }) => [books.flows.size, books.served.size]);
      expect(Math.max(...sizes)).toBeLessThan(1_500);
    },
  },
  {
    name: "the next jobs of any number of lanes are read",
    run(queue) {
      queue.add();
      queue.write((tx) => {
        const [lane] = tx.books.lanes.values();
        const line = newLine(null, new Map());
        for (let id = 1; id <= 200_000; id++) line.dirty.add({ ...lane!, id: 1_000_000 + id, line });
        refresh(tx, [line], 1);
        expect(line.dirty.size).toBe(0);
      });
    },
  },
  {
    name: "a restart is no reason to look for lanes that nobody uses, where all are used",
    run(queue) {
      const templates = Array.from({ length: 1_000 }, (_, k) => ({ ...TEMPLATE, keys: { user: `u${k}` } }));
      const jobs = templates.map((_, k): [number, null] => [k, null]);
      queue.enqueue({ templates, jobs, requestId: null, idempotency: null });
      const sweeps = () => queue.statements(() => queue.add()).filter((sql) => sql.startsWith("DELETE FROM lanes"));
      queue.restart();
      expect(sweeps()).toEqual([]);
      for (let i = 0; i < 3; i++) queue.turn("s", { settle: queue.claim("s").map(done) });
      queue.restart();
      expect(sweeps()).toHaveLength(1);
    },
  },
];
