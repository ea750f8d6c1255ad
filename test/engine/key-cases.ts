import { expect } from "vitest";
import type { KeyName } from "../../client/wire.ts";
import { closeKey, listKeys, pauseKey } from "../../durable-objects/engine/keys.ts";
import { type Case, done, set, TEMPLATE, type TestQueue } from "./queue.ts";

/** A job for each of these users. */
function addUsers(queue: TestQueue, users: string[], priority = 0): void {
  for (let at = 0; at < users.length; at += 600) {
    const templates = users.slice(at, at + 600).map((user) => ({ ...TEMPLATE, keys: { user }, priority }));
    const jobs = templates.map((_, index): [number, null] => [index, null]);
    expect(queue.enqueue({ templates, jobs, requestId: null, idempotency: null }).ok).toBe(true);
  }
}

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

const page = (queue: TestQueue, after: KeyName | null, limit: number, kind: string | null = "user") =>
  queue.read((tx) => listKeys(tx, kind, after, limit));

/** All pages; `between` is done after each. */
function allPages(queue: TestQueue, limit: number, between: (values: string[]) => void = () => {}): string[] {
  const values: string[] = [];
  for (;;) {
    const last = values.at(-1);
    const found = page(queue, last === undefined ? null : { kind: "user", value: last }, limit);
    values.push(...found.map(({ value }) => value));
    if (found.length < limit) return values;
    between(values);
  }
}

export const KEYS: Case[] = [
  {
    name: "keys are listed to the last, page by page, however many there are, also after a restart",
    run(queue) {
      const users = names("u", 1_200);
      addUsers(queue, users.slice(0, 100));
      expect(allPages(queue, 200)).toEqual(users.slice(0, 100).sort());
      addUsers(queue, users.slice(100));
      queue.add({ keys: { tenant: "a", zone: "z" } }, 3);
      const sorted = [...users].sort();
      expect(allPages(queue, 200)).toEqual(sorted);
      expect(allPages(queue, 50, () => queue.restart())).toEqual(sorted);
      expect(page(queue, null, 1, null)).toMatchObject([{ kind: "tenant", value: "a", waiters: 3, holders: 0 }]);
      expect(page(queue, { kind: "user", value: sorted.at(-1)! }, 9, null)).toMatchObject([{ kind: "zone" }]);
      // Who says no limit is an older Worker.
      expect(queue.read((tx) => listKeys(tx, "user"))).toHaveLength(1_000);
      expect(page(queue, null, 5_000)).toHaveLength(1_000);
      // A place in another kind is before all of this one, or behind it.
      expect(page(queue, { kind: "shop", value: "a" }, 1)).toMatchObject([{ value: sorted[0] }]);
      expect(page(queue, { kind: "zone", value: "z" }, 1)).toEqual([]);
      expect(page(queue, null, 9, "use")).toEqual([]);
    },
  },
  {
    name: "a key that is there all the while is on one page once, whatever comes and goes beside it",
    run(queue) {
      const steady = names("m", 300);
      addUsers(queue, steady, -1);
      let made = 0;
      const seen = allPages(queue, 10, () => {
        addUsers(queue, [...names(`a${made}-`, 49), `z${made}`]);
        made += 50;
        queue.turn("s", { settle: queue.claim("s", 49).map(done) });
      });
      expect(made).toBeGreaterThan(1_400);
      expect(seen.slice(0, 300)).toEqual([...steady].sort());
      expect(seen.length).toBeGreaterThan(300);
      expect(seen).toEqual([...new Set(seen)].sort());
    },
  },
  {
    name: "a key that came since the last look is listed in its place; one that ended is not",
    run(queue) {
      const values = () => page(queue, null, 50).map(({ value, holders, waiters }) => [value, holders, waiters]);
      addUsers(queue, ["b", "d"]);
      expect(values()).toEqual([
        ["b", 0, 1],
        ["d", 0, 1],
      ]);
      addUsers(queue, ["c", "a", "b"]);
      queue.write((tx) => closeKey(tx, "user", "aa", 60_000, null));
      expect(values()).toEqual([
        ["a", 0, 1],
        ["aa", 0, 0],
        ["b", 0, 2],
        ["c", 0, 1],
        ["d", 0, 1],
      ]);
      expect(page(queue, { kind: "user", value: "aa" }, 2).map(({ value }) => value)).toEqual(["b", "c"]);
      const claimed = queue.claim("s", 2);
      expect(values().slice(2)).toEqual([
        ["b", 1, 1],
        ["c", 0, 1],
        ["d", 1, 0],
      ]);
      queue.turn("s", { settle: claimed.map(done) });
      queue.write((tx) => pauseKey(tx, "user", "aa", 0, null));
      expect(values()).toEqual([
        ["a", 0, 1],
        ["b", 0, 1],
        ["c", 0, 1],
      ]);
    },
  },
  {
    name: "a key that has spent of its rate is listed until its bucket is full",
    run(queue) {
      const rateLimit = { limit: 5, perMs: 5_000, burst: 5 };
      set(queue, { rateLimit: { ...rateLimit, burst: 100 }, limits: { user: { rateLimit } } });
      queue.add({ keys: { user: "a" } }, 5);
      queue.turn("s", { settle: queue.claim("s").map(done) });
      const spent = (tokens: number) => [{ kind: "user", value: "a", holders: 0, waiters: 0, rateLimit, tokens }];
      expect(page(queue, null, 50, null)).toMatchObject(spent(0));
      queue.now += 4_999;
      queue.restart();
      expect(page(queue, null, 50, null)).toMatchObject(spent(4));
      queue.now += 1;
      expect(page(queue, null, 50, null)).toEqual([]);
    },
  },
];
