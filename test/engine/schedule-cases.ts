import { expect } from "vitest";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { backfill, list, pause, remove, runNow, trim } from "../../durable-objects/engine/schedules.ts";
import { fireTime } from "../../durable-objects/engine/timing.ts";
import { nextDue } from "../../durable-objects/engine/wake.ts";
import { type Case, TEMPLATE, type TestQueue } from "./queue.ts";
import { DAY, get, HOUR, instants, live, MINUTE, put, SECOND, type scheduled, write } from "./schedule-queue.ts";

/** Ends all that is ready. */
function work(queue: TestQueue): void {
  const session = `w${queue.now}`;
  const held = queue.claim(session);
  queue.turn(session, { settle: held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" })) });
}

const since = (from: number, all: number[]): number[] => all.map((instant) => (instant - from) / MINUTE);

export const SCHEDULES: Case[] = [
  {
    name: "a job is made at each instant, ready and told its instant, whenever the alarm comes",
    run(queue) {
      const from = queue.now;
      put(queue, "a");
      expect(queue.effects.wakeAt).toBe(from + MINUTE);
      queue.pass(MINUTE + 700);
      queue.pass(MINUTE);
      queue.pass(30 * SECOND);
      expect(since(from, instants(queue, "a"))).toEqual([1, 2]);
      expect(queue.read(nextDue)).toBe(from + 3 * MINUTE);
      const job = queue.job(1);
      expect(job).toMatchObject({ state: "ready", payload: '{"n":1}' });
      expect(JSON.parse(job.options).schedule).toEqual({ name: "a", instant: from + MINUTE });
      expect(get(queue, "a")).toMatchObject({
        next: [3, 4, 5, 6, 7].map((n) => from + n * MINUTE),
        last: { instant: from + 2 * MINUTE, outcome: "enqueued", seq: 2 },
      });
    },
  },
  {
    name: "a restart, an alarm that comes twice and a clock that goes back neither miss nor double",
    run(queue) {
      const from = queue.now;
      put(queue, "a", { everyMs: 10 * SECOND });
      for (let step = 0; step < 60; step++) {
        queue.restart();
        queue.now += [9_000, -4_000, 0, 13_000, 31_000][step % 5]!;
        queue.pass(0);
        queue.pass(0);
      }
      const made = instants(queue, "a");
      expect(made).toEqual(made.map((_, index) => from + (index + 1) * 10 * SECOND));
      expect(made.at(-1)).toBeGreaterThan(queue.now - 20 * SECOND);
    },
  },
  {
    name: "what was missed is made up for: the latest of the window, and all that is late by less than a minute",
    run(queue) {
      const from = queue.now;
      put(queue, "two", { everyMs: HOUR, catchUpMax: 2, catchUpWindowMs: 5 * HOUR });
      put(queue, "none", { everyMs: HOUR, catchUpMax: 0 });
      put(queue, "short", { everyMs: HOUR, catchUpMax: 5, catchUpWindowMs: 90 * MINUTE });
      put(queue, "dense", { everyMs: 20 * SECOND, catchUpMax: 1 });
      queue.pass(8 * HOUR + 59 * SECOND);
      expect(since(from, instants(queue, "two")).map((n) => n / 60)).toEqual([6, 7, 8]);
      expect(since(from, instants(queue, "none")).map((n) => n / 60)).toEqual([8]);
      expect(since(from, instants(queue, "short")).map((n) => n / 60)).toEqual([7, 8]);
      expect(since(from, instants(queue, "dense")).map((n) => n * 3)).toEqual(
        [1_437, 1_438, 1_439, 1_440, 1_441, 1_442].slice(2),
      );
      queue.pass(HOUR + MINUTE);
      expect(get(queue, "none").last).toEqual({ instant: from + 9 * HOUR, outcome: "missed", seq: null });
    },
  },
  {
    name: "a year of seconds is not gone through one by one",
    run(queue) {
      put(queue, "every", { everyMs: SECOND, catchUpMax: 3 });
      put(queue, "cron", { cron: "* * 0-11 * * *", catchUpMax: 3 });
      write(queue, (tx) => pause(tx, "every", true, null));
      write(queue, (tx) => pause(tx, "cron", true, null));
      queue.now += 365 * DAY + HOUR;
      const from = Date.now();
      write(queue, (tx) => pause(tx, "every", false, null));
      write(queue, (tx) => pause(tx, "cron", false, null));
      expect(Date.now() - from).toBeLessThan(5_000);
      for (const name of ["every", "cron"]) {
        // Three of before the last minute, those of the last minute, and now.
        expect(instants(queue, name)).toHaveLength(3 + 60);
        expect(instants(queue, name).at(-1)).toBe(queue.now);
        expect(get(queue, name).next[0]).toBe(queue.now + SECOND);
      }
    },
  },
  {
    name: "thousands that are due at once fire in steps",
    run(queue) {
      for (let n = 0; n < 450; n++) put(queue, `s${n}`);
      queue.pass(MINUTE);
      expect(queue.effects.wakeAt).toBe(queue.now);
      for (let step = 0; step < 4; step++) queue.pass(0);
      expect(queue.rows("SELECT count(*) AS jobs FROM jobs")).toEqual([{ jobs: 450 }]);
      expect(queue.read((tx) => list(tx, "s449", 10)).map(({ name }) => name)).toEqual([
        "s45",
        "s46",
        "s47",
        "s48",
        "s49",
        "s5",
        "s50",
        "s51",
        "s52",
        "s53",
      ]);
    },
  },
  {
    name: "overlap skip: no job while one has not ended, and the next instant after it has",
    run(queue) {
      const from = queue.now;
      put(queue, "a", { overlap: "skip" });
      live(queue, 3 * MINUTE);
      expect(since(from, instants(queue, "a"))).toEqual([1]);
      expect(get(queue, "a").last).toEqual({ instant: from + 3 * MINUTE, outcome: "skipped", seq: null });
      work(queue);
      live(queue, MINUTE);
      expect(since(from, instants(queue, "a"))).toEqual([4]);
      queue.add();
      put(queue, "b", { overlap: "skip" });
      live(queue, MINUTE);
      expect(instants(queue, "b")).toHaveLength(1);
    },
  },
  {
    name: "overlap buffer-one: at most one waits behind the one before it, and they never run side by side",
    run(queue) {
      const from = queue.now;
      queue.restart({ leaseMs: 10 * MINUTE });
      put(queue, "a", { overlap: "buffer-one" });
      live(queue, MINUTE);
      const [held] = queue.claim("s");
      live(queue, 4 * MINUTE);
      expect(since(from, instants(queue, "a"))).toEqual([1, 2]);
      expect(queue.job(2)).toMatchObject({ state: "blocked", reason: "ordering" });
      expect(queue.claim("s2")).toEqual([]);
      queue.turn("s", { settle: [{ seq: held![0], fence: held![1], outcome: "completed" }] });
      expect(queue.claim("s2")).toHaveLength(1);
      live(queue, 2 * MINUTE);
      expect(since(from, instants(queue, "a"))).toEqual([2, 6]);
    },
  },
  {
    name: "overlap cancel-other: the one before is cancelled, running or not",
    run(queue) {
      const from = queue.now;
      queue.restart({ leaseMs: 10 * MINUTE });
      put(queue, "a", { overlap: "cancel-other" });
      live(queue, 2 * MINUTE);
      expect(since(from, instants(queue, "a"))).toEqual([2]);
      expect(queue.job(1)).toMatchObject({ state: "cancelled" });
      const held = queue.claim("s");
      live(queue, MINUTE);
      expect(queue.turn("s", { holding: held }).cancel).toEqual([2]);
    },
  },
  {
    name: "cancel-other leaves a job of somebody else alone that stands for its own by a unique key",
    run(queue) {
      const unique = { key: "k", states: ["waiting" as const], ttlMs: null, onConflict: "return" as const };
      const template = { ...TEMPLATE, unique: { ...unique, waitMs: null, maxWaitMs: null } };
      const input = { templates: [template], jobs: [[0, null] as [number, null]], requestId: null, idempotency: null };
      queue.write((tx) => enqueue(tx, input));
      put(queue, "a", { overlap: "cancel-other", template });
      live(queue, 3 * MINUTE);
      expect(queue.job(1).state).toBe("ready");
    },
  },
  {
    name: "jitter puts off each job by its own time, always the same, and never beyond the next instant",
    run(queue) {
      const from = queue.now;
      put(queue, "a", { jitterMs: 10 * MINUTE });
      const fires = Array.from({ length: 200 }, (_, n) =>
        fireTime("a", 10 * MINUTE, from + n * MINUTE, from + (n + 1) * MINUTE),
      );
      expect(fires.every((at, n) => at >= from + n * MINUTE && at < from + (n + 1) * MINUTE)).toBe(true);
      expect(new Set(fires.map((at) => at % MINUTE)).size).toBeGreaterThan(150);
      for (let n = 1; n <= 5; n++) {
        live(queue, fires[n]! - queue.now - 1);
        expect(instants(queue, "a")).toHaveLength(n - 1);
        live(queue, 1);
        expect(instants(queue, "a").at(-1)).toBe(from + n * MINUTE);
      }
      expect(fireTime("a", HOUR, from, null)).toBeLessThanOrEqual(from + HOUR);
    },
  },
  {
    name: "it begins at its start, counts from there, and ends before its end",
    run(queue) {
      const startAt = queue.now + 90 * SECOND;
      put(queue, "a", { startAt, endAt: startAt + 3 * MINUTE });
      expect(get(queue, "a").next).toEqual([0, 1, 2].map((n) => startAt + n * MINUTE));
      live(queue, HOUR);
      expect(instants(queue, "a")).toEqual([0, 1, 2].map((n) => startAt + n * MINUTE));
      expect(get(queue, "a").next).toEqual([]);
    },
  },
  {
    name: "a pause holds it, says why, and what was missed follows catchUp",
    run(queue) {
      const from = queue.now;
      put(queue, "a");
      const { schedule } = write(queue, (tx) => pause(tx, "a", true, "the vendor is down"));
      expect(schedule.paused).toEqual({ reason: "the vendor is down", since: from });
      live(queue, 10 * MINUTE);
      expect(instants(queue, "a")).toEqual([]);
      expect(get(queue, "a").next[0]).toBe(from + 11 * MINUTE);
      queue.now += 10 * SECOND;
      expect(write(queue, (tx) => pause(tx, "a", false, null)).schedule.paused).toBeNull();
      expect(since(from, instants(queue, "a"))).toEqual([9, 10]);
    },
  },
  {
    name: "the same spec again changes nothing; another one holds from now on, and what was due before is made first",
    run(queue) {
      const from = queue.now;
      expect(put(queue, "a").created).toBe(true);
      queue.now += 30 * SECOND;
      const before = queue.everything();
      expect(put(queue, "a").created).toBe(false);
      expect(queue.everything()).toBe(before);
      put(queue, "a", { payload: '{"n":2}' });
      expect(get(queue, "a").next[0]).toBe(from + MINUTE);
      queue.now = from + MINUTE + 5 * SECOND;
      put(queue, "a", { everyMs: HOUR, payload: '{"n":3}' });
      expect(since(from, instants(queue, "a"))).toEqual([1]);
      expect(queue.job(1).payload).toBe('{"n":2}');
      expect(get(queue, "a")).toMatchObject({
        next: [from + HOUR, ...[2, 3, 4, 5].map((n) => from + n * HOUR)],
        last: { instant: from + MINUTE },
      });
    },
  },
  {
    name: "an instant that jitter puts off when the times change is made first, once",
    run(queue) {
      put(queue, "a", { everyMs: DAY, jitterMs: HOUR });
      put(queue, "held", { everyMs: DAY, jitterMs: HOUR });
      const at = get(queue, "a").next[0]!;
      expect(fireTime("a", HOUR, at, at + DAY)).toBeGreaterThan(at + 2 * MINUTE);
      queue.pass(at + 2 * MINUTE - queue.now);
      expect(instants(queue, "a")).toEqual([]);
      put(queue, "held", { everyMs: DAY, jitterMs: HOUR, catchUpMax: 0 });
      expect(instants(queue, "held")).toEqual([]);
      put(queue, "a", { everyMs: DAY, jitterMs: HOUR, catchUpMax: 0, endAt: at + 3 * DAY });
      put(queue, "a", { everyMs: 2 * DAY, jitterMs: HOUR, catchUpMax: 0 });
      expect(instants(queue, "a")).toEqual([at]);
      live(queue, DAY / 2);
      expect(instants(queue, "a")).toEqual([at]);
      expect(instants(queue, "held")).toEqual([at]);
    },
  },
  {
    name: "the instant that comes next stands when the rules of its zone change; those after it follow the new ones",
    run(queue) {
      put(queue, "a", { cron: "0 6 * * *" });
      const at = get(queue, "a").next[0]!;
      // As rules stored it by which it was an hour later.
      queue.write((tx) => tx.sql.exec("UPDATE schedules SET next_at = ?1, fires_at = ?1", at + HOUR));
      queue.restart();
      live(queue, at + 3 * DAY - queue.now);
      expect(instants(queue, "a")).toEqual([at + HOUR, at + DAY, at + 2 * DAY, at + 3 * DAY]);
    },
  },
  {
    name: "a spec that says paused is obeyed, one that says nothing leaves a pause alone",
    run(queue) {
      put(queue, "a", {}, true);
      expect(get(queue, "a").paused).not.toBeNull();
      put(queue, "a", { payload: "1" });
      expect(get(queue, "a").paused).toBeNull();
      write(queue, (tx) => pause(tx, "a", true, "by hand"));
      put(queue, "a", { payload: "2" });
      expect(get(queue, "a").paused?.reason).toBe("by hand");
      put(queue, "a", { payload: "2" }, false);
      expect(get(queue, "a").paused).toBeNull();
    },
  },
  {
    name: "run now makes a job each time, whatever runs, and no instant of the schedule is taken by it",
    run(queue) {
      const from = queue.now;
      put(queue, "a", { overlap: "skip" });
      queue.now += MINUTE;
      expect([1, 2].map(() => write(queue, (tx) => runNow(tx, "a")).seq)).toEqual([1, 2]);
      expect(instants(queue, "a").map((at) => at - from - MINUTE)).toEqual([1, 2]);
      expect(queue.job(1).state).toBe("ready");
      work(queue);
      queue.pass(0);
      expect(instants(queue, "a")).toEqual([from + MINUTE]);
    },
  },
  {
    name: "a backfill makes each past instant once for ever, with what fired and what is caught up for",
    run(queue) {
      const from = queue.now;
      put(queue, "a", { everyMs: HOUR });
      live(queue, 2 * HOUR);
      const ask = (a: number, b: number) => write(queue, (tx) => backfill(tx, "a", from + a * HOUR, from + b * HOUR));
      expect(ask(-3, 2)).toMatchObject({ jobs: [3, 4, 5, 6], already: 1 });
      expect(ask(-4, 2)).toMatchObject({ jobs: [7], already: 5 });
      write(queue, (tx) => pause(tx, "a", true, null));
      queue.now += 3 * HOUR;
      expect(ask(2, 5)).toMatchObject({ jobs: [8, 9], already: 1 });
      write(queue, (tx) => pause(tx, "a", false, null));
      expect(instants(queue, "a").slice(-2)).toEqual([from + 4 * HOUR, from + 5 * HOUR]);
      write(queue, (tx) => remove(tx, "a"));
      put(queue, "a", { everyMs: HOUR });
      expect(ask(-4, 5)).toMatchObject({ jobs: [], already: 9 });
    },
  },
  {
    name: "a backfill is of the past, of at most a thousand instants, and says so",
    run(queue) {
      put(queue, "a");
      const ask = (from: number, to: number) =>
        queue.write((tx) => backfill(tx, "a", queue.now + from, queue.now + to));
      const before = queue.everything();
      expect(ask(-HOUR, 1)).toMatchObject({
        ok: false,
        code: "invalid_request",
        detail: expect.stringMatching(/past/),
      });
      expect(ask(0, 0)).toMatchObject({ detail: expect.stringMatching(/from is not before to/) });
      expect(ask(-1_001 * MINUTE, 0)).toMatchObject({
        detail: expect.stringContaining(
          `at most 1000 jobs of this payload, and there are more instants. Ask for those before ${new Date(queue.now - MINUTE).toISOString()} first`,
        ),
      });
      expect(queue.write((tx) => backfill(tx, "b", 0, 1))).toMatchObject({ code: "not_found" });
      expect(queue.everything()).toBe(before);
      expect(ask(-1_000 * MINUTE, 0)).toMatchObject({ ok: true, already: 0 });
    },
  },
  {
    name: "after 90 days it is forgotten which instants had their job, and none is made again",
    run(queue) {
      const from = queue.now;
      put(queue, "a", { everyMs: DAY });
      live(queue, 5 * DAY);
      write(queue, (tx) => backfill(tx, "a", from - DAY, from));
      queue.now += 91 * DAY;
      queue.write(trim);
      const kept = queue
        .rows("SELECT instant FROM schedule_runs ORDER BY instant")
        .map((row) => (Number(row.instant) - from) / DAY);
      expect(kept).toEqual([-1, 1, 5].slice(0, 2));
      expect(write(queue, (tx) => backfill(tx, "a", from - 2 * DAY, from + 5 * DAY))).toMatchObject({
        jobs: [7, 8],
        already: 5,
      });
    },
  },
  ...(["reject", "return", "throttle"] as const).map(
    (onConflict): Case => ({
      name: `an instant whose unique key another job has is skipped, and may be backfilled: ${onConflict}`,
      run(queue) {
        const from = queue.now;
        const waits = onConflict === "throttle" ? { waitMs: 1, maxWaitMs: null } : { waitMs: null, maxWaitMs: null };
        const unique = { key: "k", states: ["waiting" as const], ttlMs: null, onConflict, ...waits };
        put(queue, "a", { template: { ...TEMPLATE, unique } });
        live(queue, 2 * MINUTE);
        expect(instants(queue, "a")).toHaveLength(1);
        expect(get(queue, "a").last).toMatchObject({ outcome: "skipped", seq: null });
        expect(queue.write((tx) => runNow(tx, "a"))).toMatchObject({ ok: false, code: "conflict" });
        expect(queue.rows("SELECT instant FROM schedule_runs")).toHaveLength(1);
        queue.run({ outcome: "completed" });
        if (onConflict === "reject") return;
        const filled = write(queue, (tx) => backfill(tx, "a", from, queue.now));
        expect(filled).toMatchObject({ jobs: [2], already: 1 });
        expect(queue.rows("SELECT instant FROM schedule_runs")).toHaveLength(2);
      },
    }),
  ),
  {
    name: "what cannot be is refused in words, and nothing has changed",
    run(queue) {
      put(queue, "a");
      const before = queue.everything();
      const wrong: [Parameters<typeof scheduled>[0], RegExp][] = [
        [{ cron: "61 * * * *" }, /"61 \* \* \* \*" is no cron expression: Invalid value for minute/],
        [{ cron: "every day" }, /five fields/],
        [{ cron: "2026-01-01T00:00:00" }, /five fields/],
        [{ cron: "0 0 0 * * * 2030" }, /five fields/],
        [{ cron: "0 0 30 2 *" }, /no instant in the next four years/],
        [{ cron: "* * * * *", timezone: "Mars/Olympus" }, /"Mars\/Olympus" is no IANA time zone/],
        [{ cron: "* * * * *", timezone: "+01:00" }, /no IANA time zone/],
        [{ cron: "* * * * *", everyMs: MINUTE }, /either cron or every/],
        [{ everyMs: null }, /either cron or every/],
        [{ everyMs: 999 }, /every is a duration from 1s/],
        [{ jitterMs: 2 * DAY }, /jitter/],
        [{ catchUpMax: 1_001 }, /catchUp.max/],
        [{ catchUpMax: 1.5 }, /catchUp.max/],
        [{ catchUpWindowMs: -1 }, /catchUp.window/],
        [{ startAt: queue.now, endAt: queue.now }, /endAt is not after startAt/],
        [{ overlap: "buffer-one", template: { ...TEMPLATE, orderingKey: "mine" } }, /leave orderingKey out/],
        [{ catchUpMax: 1_000, payload: JSON.stringify("x".repeat(100_000)) }, /27 at most may be made up for/],
        [{ payload: JSON.stringify('"'.repeat(500_000)) }, /its payload takes more than is kept/],
      ];
      for (const [fields, words] of wrong) expect(() => put(queue, "b", fields), String(words)).toThrow(words);
      for (const verb of [remove, runNow])
        expect(queue.write((tx) => verb(tx, "b"))).toMatchObject({ code: "not_found" });
      expect(queue.write((tx) => pause(tx, "b", true, null))).toMatchObject({ code: "not_found" });
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "a fire costs its job and three rows",
    run(queue) {
      if (!queue.storage.rowsWritten) return;
      put(queue, "a");
      queue.pass(MINUTE);
      const before = queue.storage.rowsWritten();
      queue.pass(MINUTE);
      // The job and its entry in line, the note of its instant, the schedule.
      expect(queue.storage.rowsWritten() - before).toBe(4);
    },
  },
];
