import { expect } from "vitest";
import { type Case, set, type TestQueue } from "./queue.ts";

/** Fair keys of the next starts, one claim each. */
function starts(queue: TestQueue, count: number, session = "s"): string[] {
  const keys: string[] = [];
  for (let i = 0; i < count; i++) {
    const [job] = queue.claim(session, 1);
    if (!job) break;
    keys.push(JSON.parse(queue.job(job[0]).options).fairKey ?? "-");
    queue.turn(session, { settle: [{ seq: job[0], fence: job[1], outcome: "completed" }] });
  }
  return keys;
}

const times = (keys: string[], key: string): number => keys.filter((one) => one === key).length;

export const FAIRNESS: Case[] = [
  {
    name: "keys take turns, however many jobs each has",
    run(queue) {
      queue.add({ fairKey: "a" }, 20);
      queue.add({ fairKey: "b" }, 3);
      queue.add({ fairKey: "c" }, 3);
      const keys = starts(queue, 9);
      expect([times(keys, "a"), times(keys, "b"), times(keys, "c")]).toEqual([3, 3, 3]);
      expect(new Set(starts(queue, 17))).toEqual(new Set(["a"]));
    },
  },
  {
    name: "in one claim too",
    run(queue) {
      queue.add({ fairKey: "a" }, 200);
      for (const key of ["b", "c", "d"]) queue.add({ fairKey: key }, 30);
      const keys = queue.claim("s", 100).map(([seq]) => JSON.parse(queue.job(seq).options).fairKey);
      expect(["a", "b", "c", "d"].map((key) => times(keys, key))).toEqual([25, 25, 25, 25]);
    },
  },
  {
    name: "a new key's first job is among the next K starts, after any history",
    run(queue) {
      queue.add({ fairKey: "a" }, 100);
      queue.add({ fairKey: "b" }, 100);
      starts(queue, 60);
      queue.add({ fairKey: "new" }, 5);
      expect(starts(queue, 3)).toContain("new");
      // One that rested has saved nothing up.
      starts(queue, 40);
      queue.add({ fairKey: "new" }, 50);
      const keys = starts(queue, 30);
      expect(times(keys, "new")).toBeLessThanOrEqual(11);
      expect(times(keys, "new")).toBeGreaterThanOrEqual(9);
    },
  },
  {
    name: "weights share in proportion, and costs count",
    run(queue) {
      set(queue, { weights: { big: 3 } });
      queue.add({ fairKey: "big" }, 60);
      queue.add({ fairKey: "small" }, 60);
      const keys = starts(queue, 40);
      expect(times(keys, "big")).toBe(30);
      set(queue, { weights: null });
      queue.add({ fairKey: "dear", keys: { vendor: "x" }, cost: { vendor: 5 } }, 20);
      queue.add({ fairKey: "cheap" }, 60);
      const both = starts(queue, 24).filter((key) => key === "dear" || key === "cheap");
      expect(times(both, "cheap")).toBeGreaterThanOrEqual(4 * times(both, "dear"));
    },
  },
  {
    name: "priority goes before shares, and jobs without a key have one share together",
    run(queue) {
      queue.add({ fairKey: "a" }, 10);
      queue.add({ fairKey: "b", priority: 1 }, 3);
      queue.add({}, 10);
      expect(starts(queue, 3)).toEqual(["b", "b", "b"]);
      const keys = starts(queue, 10);
      expect([times(keys, "a"), times(keys, "-")]).toEqual([5, 5]);
    },
  },
  {
    name: "a key behind a closed gate saves nothing up",
    run(queue) {
      set(queue, { limits: { tenant: { rateLimit: { limit: 1, perMs: 60_000, burst: 1 } } } });
      queue.add({ fairKey: "gated", keys: { tenant: "gated" } }, 30);
      queue.add({ fairKey: "open" }, 60);
      starts(queue, 31);
      set(queue, { limits: null });
      const keys = starts(queue, 20);
      expect(times(keys, "gated")).toBeLessThanOrEqual(11);
    },
  },
  {
    name: "a key that no worker came for saves nothing up either: a new key does not wait until it has caught up",
    run(queue) {
      queue.add({ fairKey: "idle", task: "rare" }, 40);
      queue.add({ fairKey: "busy" }, 40);
      for (let i = 0; i < 30; i++) {
        const worker = { name: "w", runtime: "test", tasks: ["mail"] };
        const [[seq, fence]] = queue.claim("s", 1, { worker }) as [[number, number]];
        queue.turn("s", { settle: [{ seq, fence, outcome: "completed" }] });
      }
      queue.add({ fairKey: "new", task: "other" }, 5);
      queue.add({ fairKey: "newer", task: "rare" }, 5);
      const keys = starts(queue, 12);
      for (const key of ["new", "newer"]) expect(keys.slice(0, 4)).toContain(key);
      for (const key of ["idle", "busy", "new", "newer"]) {
        expect(times(keys, key)).toBeGreaterThanOrEqual(2);
        expect(times(keys, key)).toBeLessThanOrEqual(4);
      }
    },
  },
  {
    name: "ageing: who has waited long goes before who is more urgent",
    run(queue) {
      set(queue, { ageing: { perMs: 60_000, priority: 1 } });
      const [old] = queue.add({ priority: 0 });
      queue.now += 180_000;
      const [urgent] = queue.add({ priority: 2 });
      const [more] = queue.add({ priority: 5 });
      expect(queue.claim("s").map(([seq]) => seq)).toEqual([more, old, urgent]);
      const [b] = queue.add({ priority: -1 });
      queue.now += 120_000;
      const [a] = queue.add({ priority: 0 });
      const [c] = queue.add({ priority: -2 });
      queue.restart();
      expect(queue.claim("t").map(([seq]) => seq)).toEqual([b, a, c]);
    },
  },
  {
    name: "ageing that is switched on, or off, counts for what waits already",
    run(queue) {
      const [old, older] = [1, 2].map((key) => queue.add({ keys: { user: `${key}` } })[0]);
      queue.now += 600_000;
      const [urgent] = queue.add({ keys: { user: "3" }, priority: 2 });
      queue.add({ keys: { user: "4" }, priority: 9 });
      queue.claim("s", 1);
      set(queue, { ageing: { perMs: 60_000, priority: 1 } });
      expect(queue.claim("t", 1).map(([seq]) => seq)).toEqual([old]);
      set(queue, { ageing: null });
      expect(queue.claim("u", 2).map(([seq]) => seq)).toEqual([urgent, older]);
    },
  },
];
