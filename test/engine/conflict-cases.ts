import { expect } from "vitest";
import { readOptions, type UniqueTemplate } from "../../client/wire.ts";
import { type Case, ERROR } from "./queue.ts";
import { ALL, call, MINUTE, one, refused, settle, unique } from "./unique-calls.ts";

/** What a request comes to whose key is held. */
export const CONFLICTS: Case[] = [
  {
    name: "reject: the whole call is refused, and says which job and who holds its key",
    run(queue) {
      queue.add({ unique: unique() });
      const reply = refused(queue, [{}, { unique: unique("reject", { key: "free" }) }, { unique: unique("reject") }]);
      expect(reply).toMatchObject({ code: "conflict" });
      expect(reply.detail).toMatch(
        /^Cannot enqueue jobs\[2\]: its unique key "u" is held by job \S+:1, which is ready$/,
      );
      const twice = refused(queue, [
        {},
        { unique: unique("reject", { key: "v" }) },
        { unique: unique("reject", { key: "v" }) },
      ]);
      expect(twice.detail).toBe('Cannot enqueue jobs[2]: its unique key "v" is held by jobs[1] of the same call');
      expect(one(queue, { unique: unique("reject", { key: "v" }) })).toEqual([2, "created", "ready"]);
      expect(refused(queue, [{ unique: unique("reject") }]).detail).toMatch(/^Cannot enqueue the job: its unique key/);
    },
  },
  {
    name: "replace: the job that waits becomes what is asked for, under its id",
    run(queue) {
      queue.add({ unique: unique("replace"), tags: ["old"], priority: 1, maxAttempts: 5 });
      const accepted = queue.now;
      queue.run({ outcome: "failed", error: ERROR });
      expect(queue.job(1)).toMatchObject({ state: "scheduled", failures: 1 });
      queue.now += 10;
      const options = { task: "report", tags: ["new"], priority: 7, expiresInMs: 9 * MINUTE, timeoutMs: 60_000 };
      expect(one(queue, { ...options, unique: unique("replace"), payload: '"new"' })).toEqual([1, "replaced", "ready"]);
      const job = queue.job(1);
      expect(job).toMatchObject({
        ...{ task: "report", state: "ready", reason: null, priority: 7, payload: '"new"', failures: 0, fence: 1 },
        ...{ createdAt: accepted, runAt: queue.now },
      });
      expect(readOptions(job.options)).toMatchObject({
        tags: ["new"],
        maxAttempts: 3,
        expiresAt: queue.now + 9 * MINUTE,
      });
      expect(queue.claim("mail", 1, { worker: { name: "w", runtime: "test", tasks: ["mail"] } })).toEqual([]);
      expect(queue.claim("report", 1, { worker: { name: "w", runtime: "test", tasks: ["report"] } })).toEqual([[1, 2]]);
      expect(queue.read((tx) => [...tx.books.sessions.values()][0]!.held.get(1)!.until)).toBe(
        queue.now + 60_000 + 30_000,
      );
    },
  },
  {
    name: "replace: a later start waits, an end of waiting counts from now, and a large payload fits",
    run(queue) {
      queue.add({ unique: unique("replace"), expiresInMs: MINUTE });
      queue.now += 30_000;
      const payload = JSON.stringify("€".repeat(150_000));
      const other = { unique: unique("replace", { key: "v" }), payload };
      call(queue, [other, { unique: unique("replace", { key: "w" }) }]);
      const again = { delayMs: 20_000, expiresInMs: MINUTE, unique: unique("replace"), payload };
      const asked = [again, other, { unique: unique("replace", { key: "w" }), payload }];
      expect(call(queue, asked).map(([seq, outcome]) => [seq, outcome])).toEqual(
        [1, 2, 3].map((seq) => [seq, "replaced"]),
      );
      for (const seq of [1, 2, 3]) expect(queue.job(seq).payload).toBe(payload);
      queue.pass(30_000);
      expect(queue.job(1).state).toBe("ready");
      queue.pass(30_000);
      expect(queue.job(1)).toMatchObject({ state: "cancelled", reason: "expired" });
    },
  },
  {
    name: "replace and debounce: a holder that cannot be changed any more is returned",
    run(queue) {
      const held = { states: ALL, ttlMs: MINUTE };
      queue.add({ unique: unique("replace", held) });
      queue.claim("s");
      expect(one(queue, { unique: unique("replace", held), payload: '"no"' })).toEqual([1, "returned", "running"]);
      settle(queue, 1, { outcome: "completed" });
      const debounced = unique("debounce", { ...held, waitMs: 5 });
      expect(one(queue, { unique: debounced, payload: '"no"' })).toEqual([1, "returned", "completed"]);
      expect(queue.job(1).payload).toBe('{"to":"ü€😀"}');
    },
  },
  {
    name: "replace: the terms of the key are those of the latest request, its time that of the first",
    run(queue) {
      queue.add({ unique: unique("replace") });
      queue.now += 40_000;
      const terms = unique("replace", { states: ["waiting", "running"], ttlMs: MINUTE });
      expect(one(queue, { unique: terms })[1]).toBe("replaced");
      queue.claim("s");
      expect(one(queue, { unique: unique() })).toEqual([1, "returned", "running"]);
      queue.now += 20_000;
      expect(one(queue, { unique: unique() })).toEqual([2, "created", "ready"]);
    },
  },
  {
    name: "replace: a job keeps its place in the line of its ordering key, and leaves it for another",
    run(queue) {
      const replacing = (key: string, orderingKey: string | null) => ({
        unique: unique("replace", { key }),
        orderingKey,
      });
      call(
        queue,
        ["a", "b", "c"].map((key) => replacing(key, "k")),
      );
      expect(call(queue, [replacing("b", "k"), replacing("a", "k")])).toEqual([
        [2, "replaced", "blocked"],
        [1, "replaced", "ready"],
      ]);
      // The first leaves for another line, where one waits already; the last for none.
      queue.add({ orderingKey: "l" });
      expect(call(queue, [replacing("a", "l"), replacing("c", null)])).toEqual([
        [1, "replaced", "blocked"],
        [3, "replaced", "ready"],
      ]);
      expect([1, 2, 3, 4].map((seq) => queue.job(seq).state)).toEqual(["blocked", "ready", "ready", "ready"]);
      // Into a line that another change of the same call leaves empty.
      expect(call(queue, [replacing("b", null), replacing("c", "k")])).toEqual([
        [2, "replaced", "ready"],
        [3, "replaced", "ready"],
      ]);
      queue.restart();
      expect(queue.claim("s").map(([seq]) => seq)).toEqual([2, 3, 4]);
    },
  },
  {
    name: "debounce: starts `wait` after the latest request, and `maxWait` after the first at most",
    run(queue) {
      const debounced = unique("debounce", { waitMs: 10_000, maxWaitMs: 25_000 });
      const first = queue.now;
      expect(one(queue, { unique: debounced, payload: "1" })).toEqual([1, "created", "scheduled"]);
      expect(queue.job(1).runAt).toBe(first + 10_000);
      queue.pass(8_000);
      expect(one(queue, { unique: debounced, payload: "2" })).toEqual([1, "debounced", "scheduled"]);
      expect(queue.job(1)).toMatchObject({ runAt: first + 18_000, payload: "2" });
      queue.pass(8_000);
      expect(one(queue, { unique: debounced, payload: "3" })).toEqual([1, "debounced", "scheduled"]);
      expect(queue.job(1).runAt).toBe(first + 25_000);
      queue.pass(9_000);
      expect(queue.job(1)).toMatchObject({ state: "ready", payload: "3" });
      expect(one(queue, { unique: debounced, payload: "4" })).toEqual([1, "debounced", "ready"]);
      queue.claim("s");
      expect(one(queue, { unique: debounced, payload: "5" })).toEqual([2, "created", "scheduled"]);
      expect([queue.job(1).payload, queue.job(2).runAt]).toEqual(["4", queue.now + 10_000]);
    },
  },
  {
    name: "debounce: one that is ready waits again, and a maxWait shorter than wait counts from the start",
    run(queue) {
      const debounced = unique("debounce", { waitMs: 1_000 });
      queue.add({ unique: debounced });
      queue.pass(1_000);
      expect(one(queue, { unique: debounced })).toEqual([1, "debounced", "scheduled"]);
      const [seq] = queue.add({ unique: unique("debounce", { key: "v", waitMs: 1_000, maxWaitMs: 400 }) });
      expect(queue.job(seq!).runAt).toBe(queue.now + 400);
    },
  },
  {
    name: "throttle: one job in each `wait`, whatever became of it",
    run(queue) {
      const throttled = unique("throttle", { states: ALL, ttlMs: MINUTE, waitMs: MINUTE });
      expect(one(queue, { unique: throttled })).toEqual([1, "created", "ready"]);
      expect(one(queue, { unique: throttled })).toEqual([1, "throttled", "ready"]);
      queue.run({ outcome: "dead", error: ERROR });
      queue.now += MINUTE - 1;
      expect(one(queue, { unique: throttled })).toEqual([1, "throttled", "dead"]);
      queue.now += 1;
      expect(one(queue, { unique: throttled })).toEqual([2, "created", "ready"]);
    },
  },
  {
    name: "jobs of one call are resolved in order, and ids are consecutive in the order of creation",
    run(queue) {
      queue.add();
      const key = (name: string, onConflict: UniqueTemplate["onConflict"] = "return", more = {}) =>
        unique(onConflict, { key: name, states: ["waiting"], ...more });
      const asked = [
        { unique: key("a"), payload: "1" },
        { payload: "2" },
        { unique: key("a"), payload: "3" },
        { unique: key("b", "replace"), payload: "4" },
        { unique: key("b", "replace"), payload: "5", priority: 5 },
        { unique: key("a", "debounce", { waitMs: 9_000 }), payload: "6" },
        { unique: key("c", "throttle", { states: ALL, ttlMs: 5 }), payload: "7" },
        { unique: key("c", "throttle", { states: ALL, ttlMs: 5 }), payload: "8" },
        { payload: "9" },
      ];
      expect(call(queue, asked)).toEqual([
        [2, "created", "scheduled"],
        [3, "created", "ready"],
        [2, "returned", "scheduled"],
        [4, "created", "ready"],
        [4, "replaced", "ready"],
        [2, "debounced", "scheduled"],
        [5, "created", "ready"],
        [5, "throttled", "ready"],
        [6, "created", "ready"],
      ]);
      expect([2, 3, 4, 5, 6].map((seq) => queue.job(seq).payload)).toEqual(["6", "2", "5", "7", "9"]);
      expect(queue.job(4).priority).toBe(5);
      expect(queue.read((tx) => tx.books.metrics.enqueued)).toBe(6);
      const next = [
        { unique: key("b", "replace"), payload: "10" },
        { unique: key("b", "replace"), payload: "11" },
        { unique: key("b"), payload: "12", orderingKey: "k" },
      ];
      expect(call(queue, next).map(([seq, outcome]) => [seq, outcome])).toEqual([
        [4, "replaced"],
        [4, "replaced"],
        [4, "returned"],
      ]);
      expect(queue.job(4).payload).toBe("11");
      expect(queue.add()).toEqual([7]);
    },
  },
  {
    name: "a unique key that cannot hold is refused, and nothing of the call is made",
    run(queue) {
      const wrong = (more: Partial<UniqueTemplate>, onConflict: UniqueTemplate["onConflict"] = "return") =>
        refused(queue, [{ task: "new" }, { unique: unique(onConflict, more) }]);
      expect(wrong({ states: ["running"] }).detail).toMatch(/^Cannot enqueue jobs\[1\]: .* leave out "waiting"/);
      expect(wrong({ states: ["waiting", "dead"], ttlMs: 5 }).detail).toMatch(/name "dead" and leave out "running"/);
      expect(wrong({ states: ALL }).detail).toMatch(/name "completed", for which a ttl is needed/);
      expect(wrong({}, "debounce").detail).toMatch(/says no wait/);
      expect(wrong({ states: 5 as never }).detail).toMatch(/names no states/);
      expect(wrong({}, "debounce").code).toBe("invalid_request");
    },
  },
];
