import { expect } from "vitest";
import { closeKey, listKeys, pauseKey } from "../../durable-objects/engine/keys.ts";
import { pause, resume } from "../../durable-objects/engine/operate.ts";
import { type Case, done, seqs, set, TEMPLATE } from "./queue.ts";

const tenant = (name: string) => ({ keys: { tenant: name } });

export const LIMITS: Case[] = [
  {
    name: "a key's concurrency holds its own jobs only, and each end lets the next start",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 2, values: { big: { concurrency: 3 } } } } });
      const small = queue.add(tenant("small"), 5);
      const big = queue.add(tenant("big"), 5);
      const free = queue.add({}, 2);
      const first = queue.claim("a");
      expect(seqs(first)).toEqual([...small.slice(0, 2), ...big.slice(0, 3), ...free]);
      expect(queue.claim("b")).toEqual([]);
      expect(queue.effects.tickets).toEqual([]);
      expect(seqs(queue.claim("a", 9, { settle: [done(first[0]!)], holding: first.slice(1) }))).toEqual([small[2]]);
      expect(seqs(queue.claim("b", 9))).toEqual([]);
    },
  },
  {
    name: "every limit that applies must let a job start",
    run(queue) {
      set(queue, {
        concurrency: 5,
        tasks: { mail: { concurrency: 4 } },
        limits: { tenant: { concurrency: 3 }, vendor: { concurrency: 2 } },
      });
      queue.add({ keys: { tenant: "a", vendor: "x" } }, 4);
      queue.add({ keys: { tenant: "a", vendor: "y" } }, 4);
      queue.add({ keys: { tenant: "b", vendor: "y" } }, 4);
      queue.add({ task: "other" }, 4);
      const jobs = seqs(queue.claim("s")).map((seq) => queue.job(seq));
      const count = (match: (keys: Record<string, string>) => boolean) =>
        jobs.filter(({ options }) => match(JSON.parse(options).keys ?? {})).length;
      expect(jobs).toHaveLength(5);
      expect(jobs.filter(({ task }) => task === "mail")).toHaveLength(4);
      expect(count((keys) => keys.tenant === "a")).toBe(3);
      expect(count((keys) => keys.vendor === "x")).toBe(2);
      expect(count((keys) => keys.vendor === "y")).toBe(2);
    },
  },
  {
    name: "a slot that one job cannot use goes to another behind the same gate",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 1 }, vendor: { concurrency: 1 } } });
      const [held] = queue.add({ keys: { vendor: "x" } });
      const claimed = queue.claim("a", 1);
      expect(seqs(claimed)).toEqual([held]);
      const [busy] = queue.add({ keys: { tenant: "busy" } });
      const other = queue.claim("b", 1);
      expect(seqs(other)).toEqual([busy]);
      // The first in line for x meets another closed gate; the next does not.
      queue.add({ keys: { tenant: "busy", vendor: "x" } });
      const [free] = queue.add({ keys: { tenant: "free", vendor: "x" } });
      expect(queue.claim("c")).toEqual([]);
      expect(seqs(queue.claim("a", 5, { settle: [done(claimed[0]!)] }))).toEqual([free]);
    },
  },
  {
    name: "a rate limit gives its burst at once, then one at a time, and the alarm is set for the next",
    run(queue) {
      set(queue, { limits: { tenant: { rateLimit: { limit: 10, perMs: 1_000, burst: 3 } } } });
      queue.add(tenant("a"), 6);
      expect(queue.claim("s")).toHaveLength(3);
      expect(queue.turn("t", { want: 5, channel: "short" }).retryInMs).toBe(100);
      queue.now += 99;
      expect(queue.claim("t")).toEqual([]);
      queue.now += 1;
      expect(queue.claim("t")).toHaveLength(1);
      queue.restart();
      expect(queue.claim("u")).toEqual([]);
      queue.now += 200;
      expect(queue.claim("u")).toHaveLength(2);
    },
  },
  {
    name: "nobody there: the alarm comes when the gate opens, and sends a ticket",
    run(queue) {
      set(queue, { rateLimit: { limit: 1, perMs: 60_000, burst: 1 } });
      queue.add({}, 2);
      expect(queue.claim("s", 5, { channel: "short" })).toHaveLength(1);
      expect(queue.effects.tickets).toEqual([]);
      expect(queue.effects.wakeAt).toBe(queue.now + 30_000);
      queue.pass(30_000);
      expect(queue.effects.wakeAt).toBe(queue.now + 30_000);
      expect(queue.effects.tickets).toEqual([]);
      queue.pass(30_000);
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "a cost takes so many tokens, and what is dear is not starved by what is cheap",
    run(queue) {
      set(queue, { limits: { vendor: { rateLimit: { limit: 10, perMs: 10_000, burst: 10 } } } });
      queue.add({ keys: { vendor: "x" }, cost: { vendor: 8 } });
      expect(queue.claim("a")).toHaveLength(1);
      const [dear] = queue.add({ keys: { vendor: "x" }, cost: { vendor: 5 } });
      queue.now += 1;
      const cheap = queue.add({ keys: { vendor: "x" } }, 5);
      const [free] = queue.add();
      expect(seqs(queue.claim("b"))).toEqual([free]);
      queue.now += 2_999;
      expect(seqs(queue.claim("c"))).toEqual([dear]);
      queue.now += 2_000;
      expect(seqs(queue.claim("d"))).toEqual(cheap.slice(0, 2));
    },
  },
  {
    name: "a cost over the burst starts when the bucket is full",
    run(queue) {
      set(queue, { limits: { vendor: { rateLimit: { limit: 1, perMs: 1_000, burst: 2 } } } });
      queue.add({ keys: { vendor: "x" }, cost: { vendor: 50 } }, 2);
      expect(queue.claim("a")).toHaveLength(1);
      queue.now += 1_999;
      expect(queue.claim("b")).toHaveLength(0);
      queue.now += 1;
      expect(queue.claim("c")).toHaveLength(1);
    },
  },
  {
    name: "a closed key starts nothing until its instant, whatever else is open, also after a restart",
    run(queue) {
      queue.add(tenant("a"), 2);
      const [other] = queue.add(tenant("b"));
      queue.write((tx) => closeKey(tx, "tenant", "a", 60_000, "429"));
      expect(seqs(queue.claim("s"))).toEqual([other]);
      queue.restart();
      queue.now += 59_999;
      expect(queue.claim("t")).toEqual([]);
      expect(queue.read((tx) => listKeys(tx, "tenant"))).toMatchObject([
        { value: "a", waiters: 2, paused: { until: queue.now + 1, reason: "429" } },
        { value: "b", holders: 1, paused: null },
      ]);
      queue.now += 1;
      expect(queue.claim("t")).toHaveLength(2);
    },
  },
  {
    name: "a handler that is told to slow down closes its job's key for all, and no other",
    run(queue) {
      const [a, b] = queue.add(tenant("a"), 2);
      const [other] = queue.add(tenant("b"));
      const [[seq, fence]] = queue.claim("s", 1) as [[number, number]];
      const settle = (kind: string) => [
        { seq, fence, outcome: "snoozed" as const, forMs: 1_000, rateLimited: { kind, forMs: 30_000 } },
      ];
      expect(queue.turn("s", { settle: settle("constructor") }).refused).toEqual([]);
      queue.now += 1_000;
      const [[again, next]] = queue.claim("t", 1) as [[number, number]];
      expect([again, next]).toEqual([b, 1]);
      queue.turn("t", { settle: [{ ...settle("tenant")[0]!, seq: again, fence: next }] });
      expect(seqs(queue.claim("u"))).toEqual([other]);
      queue.now += 29_999;
      expect(queue.claim("v")).toEqual([]);
      queue.now += 1;
      expect(seqs(queue.claim("v")).sort()).toEqual([a, b]);
    },
  },
  {
    name: "a key that people close opens when they say so, and tickets go out",
    run(queue) {
      queue.add(tenant("a"));
      const close = (forMs: number) => queue.write((tx) => pauseKey(tx, "tenant", "a", forMs, "quiet"));
      expect(close(3_600_000)).toMatchObject({ ok: true, key: { paused: { reason: "quiet" } } });
      queue.claim("s");
      queue.pass(600_000);
      expect(queue.effects.tickets).toEqual([]);
      expect(close(0)).toMatchObject({ ok: true, key: { paused: null } });
      expect(queue.effects.tickets).toEqual(["short"]);
      expect(queue.claim("t")).toHaveLength(1);
      expect(close(-1)).toMatchObject({ ok: false, code: "invalid_request" });
      expect(close(1.5)).toMatchObject({ ok: false, code: "invalid_request" });
    },
  },
  {
    name: "what changes a limit opens what it kept, and a stricter one ends nothing",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 1 } } });
      queue.add(tenant("a"), 5);
      const [first] = queue.claim("s", 1);
      expect(queue.claim("t")).toEqual([]);
      set(queue, { limits: { tenant: { concurrency: 3 } } });
      queue.pass(5_000);
      expect(queue.effects.tickets).toEqual(["short"]);
      const more = queue.claim("t");
      expect(more).toHaveLength(2);
      set(queue, { limits: { tenant: { concurrency: 1 } } });
      expect(queue.claim("t", 9, { settle: [done(more[0]!)], holding: [more[1]!] })).toEqual([]);
      expect(queue.claim("s", 9, { settle: [done(first!)] })).toEqual([]);
      expect(queue.claim("t", 9, { settle: [done(more[1]!)] })).toHaveLength(1);
    },
  },
  {
    name: "holders come back with the sessions after a restart, and a lapse gives their slots back",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 1 } } });
      const [first, second] = queue.add(tenant("a"), 2);
      expect(seqs(queue.claim("s"))).toEqual([first]);
      queue.restart();
      expect(queue.claim("t")).toEqual([]);
      queue.pass(30_000);
      expect(seqs(queue.claim("t", 9))).toEqual([first]);
      queue.write((tx) => pause(tx, null));
      queue.write(resume);
      expect(queue.job(second!)).toMatchObject({ state: "ready" });
    },
  },
  {
    name: "a lane whose jobs are taken away leaves its place to others",
    run(queue) {
      set(queue, { limits: { tenant: { concurrency: 1 } } });
      const [running] = queue.add(tenant("a"));
      const claimed = queue.claim("s");
      expect(seqs(claimed)).toEqual([running]);
      const [gone] = queue.add({ ...tenant("a"), priority: 5, expiresInMs: 1_000 });
      const [left] = queue.add({ ...tenant("a"), task: "other" });
      expect(queue.claim("t")).toEqual([]);
      queue.pass(1_000);
      expect(queue.job(gone!).state).toBe("cancelled");
      expect(seqs(queue.claim("s", 9, { settle: [done(claimed[0]!)] }))).toEqual([left]);
    },
  },
  {
    name: "a key that comes back after long has a lane again, and lanes that nobody uses go",
    run(queue) {
      for (let i = 0; i < 1_200; i += 100) {
        const templates = Array.from({ length: 100 }, (_, k) => ({ ...TEMPLATE, keys: { user: `u${i + k}` } }));
        const input = { templates, jobs: templates.map((_, k): [number, null] => [k, null]), requestId: null };
        queue.enqueue({ ...input, idempotency: null });
        queue.turn("s", { settle: queue.claim("s").map(done) });
      }
      const [lanes] = queue.rows("SELECT count(*) AS n FROM lanes");
      expect(Number(lanes!.n)).toBeLessThan(1_100);
      const [again] = queue.add({ keys: { user: "u0" } });
      expect(seqs(queue.claim("s"))).toEqual([again]);
    },
  },
  {
    name: "a keyed job alone costs at most four rows more than a plain one",
    run(queue) {
      const written = queue.storage.rowsWritten;
      if (!written) return;
      set(queue, { limits: { tenant: { concurrency: 5, rateLimit: { limit: 10, perMs: 1_000, burst: 10 } } } });
      const cost = (options: object): number => {
        const before = written.call(queue.storage);
        queue.add(options);
        queue.turn("s", { settle: queue.claim("s").map(done) });
        return written.call(queue.storage) - before;
      };
      cost({});
      const plain = cost({});
      expect(cost(tenant("a")) - plain).toBeLessThanOrEqual(2);
      expect(cost(tenant("a")) - plain).toBeLessThanOrEqual(1);
    },
  },
];
