import { expect } from "vitest";
import { describe } from "../../durable-objects/engine/inspect.ts";
import { configure, pause, resume } from "../../durable-objects/engine/operate.ts";
import type { Case } from "./queue.ts";

export const TICKETS: Case[] = [
  {
    name: "one ticket for ready work, and none while it is on its way",
    run(queue) {
      queue.add();
      expect(queue.effects.tickets).toEqual(["short"]);
      queue.add();
      expect(queue.effects.tickets).toEqual([]);
      queue.restart();
      queue.add();
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "one that nobody followed is sent again, less often as the job grows old",
    run(queue) {
      queue.add();
      const sentAt: number[] = [0];
      const start = queue.now;
      while (queue.now - start < 3 * 3_600_000) {
        queue.pass((queue.effects.wakeAt ?? Number.POSITIVE_INFINITY) - queue.now);
        if (queue.effects.tickets.length > 0) sentAt.push((queue.now - start) / 1_000);
      }
      expect(sentAt.slice(0, 3)).toEqual([0, 5, 10]);
      const gaps = sentAt.slice(1).map((at, index) => at - sentAt[index]!);
      expect(Math.max(...gaps)).toBe(600);
      expect(sentAt.length).toBeLessThan(50);
    },
  },
  {
    name: "how long the oldest has waited is known behind any number of fair keys and priorities",
    run(queue) {
      const since = queue.now;
      for (let n = 0; n < 200; n++) {
        queue.add({ fairKey: `k${n}` });
        for (const priority of n === 0 ? [3, 2, 1] : []) queue.add({ fairKey: "k0", priority });
        queue.now += 10;
      }
      expect(queue.read((tx) => describe(tx, null)).oldestReadyAt).toBe(since);
      queue.pass(3_600_000);
      expect(queue.effects.wakeAt).toBe(queue.now + 600_000);
    },
  },
  {
    name: "as many as sessions are needed, and may be open",
    run(queue) {
      queue.add({}, 1_000);
      expect(queue.effects.tickets).toHaveLength(9);
      queue.restart();
      queue.write((tx) => configure(tx, {}, { maxSessions: 3 }));
      expect(queue.effects.tickets).toHaveLength(3);
    },
  },
  {
    name: "the place of a session that has left is filled, however many others are expected back",
    run(queue) {
      queue.write((tx) => configure(tx, {}, { maxSessions: 4 }));
      queue.add({}, 1_000);
      for (const session of ["a", "b", "c"]) queue.claim(session, 1, { channel: "short" });
      const [last] = queue.claim("d", 1, { channel: "short" });
      expect(queue.effects.tickets).toEqual([]);
      queue.turn("d", { channel: "short", settle: [{ seq: last![0], fence: last![1], outcome: "completed" }] });
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "long tasks have tickets of their own",
    run(queue) {
      queue.add({ timeoutMs: 30_000 });
      expect(queue.effects.tickets).toEqual(["short"]);
      queue.add({ timeoutMs: 30_001 });
      expect(queue.effects.tickets).toEqual(["long"]);
    },
  },
  {
    name: "and are sent beside as many short ones as there may be sessions",
    run(queue) {
      queue.write((tx) => configure(tx, {}, { maxSessions: 2 }));
      queue.write((tx) => pause(tx, null));
      queue.add({}, 1_000);
      queue.add({ timeoutMs: 60_000 });
      queue.write(resume);
      expect(queue.effects.tickets).toContain("long");
    },
  },
  {
    name: "a session that took all it wanted is expected back for a moment; one that did not, is not",
    run(queue) {
      queue.add({}, 3);
      queue.claim("full", 1, { channel: "short" });
      expect(queue.effects.tickets).toEqual([]);
      queue.pass(10_000);
      expect(queue.effects.tickets).toEqual(["short"]);
      queue.claim("more", 6, { channel: "short" });
      queue.add();
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "none while the concurrency is used up, and one as soon as it is not",
    run(queue) {
      queue.write((tx) => configure(tx, {}, { concurrency: 1 }));
      queue.add({}, 2);
      const [held] = queue.claim("s", 1, { channel: "short" });
      queue.pass(20_000);
      expect(queue.effects.tickets).toEqual([]);
      queue.turn("s", { channel: "short", settle: [{ seq: held![0], fence: 1, outcome: "completed" }] });
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "after a pause a ticket is given no longer than at first, however old the jobs are",
    run(queue) {
      queue.add();
      queue.write((tx) => pause(tx, null));
      queue.pass(600_000);
      queue.write(resume);
      expect(queue.effects).toMatchObject({ tickets: ["short"], wakeAt: queue.now + 5_000 });
    },
  },
];
