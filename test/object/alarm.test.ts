import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { SCHEMA_VERSION } from "../../durable-objects/engine/schema.ts";
import { faults } from "../support/runtime-worker.ts";
import {
  alarmAt,
  enqueue,
  env,
  evict,
  freshWorld,
  queueObject,
  rows,
  stateOf,
  stopClock,
  until,
  workAll,
  worker,
} from "./support.ts";

freshWorld();

const loseAlarm = (stub: ReturnType<typeof queueObject>) =>
  runInDurableObject(stub as DurableObjectStub, (_object, state) => state.storage.deleteAlarm());

describe("the alarm", () => {
  it("comes by itself when a delayed job is due, also to an object that was evicted", async () => {
    const stub = queueObject();
    const dueAt = Date.now() + 700;
    const [seq] = await enqueue(stub, 1, { runAt: dueAt });
    expect(await stateOf(stub, seq!)).toBe("scheduled");
    expect(faults.ticketsSent).toEqual([]);
    await evict(stub);
    await until(() => faults.ticketsSent.length > 0, 5_000);
    expect(Date.now()).toBeGreaterThanOrEqual(dueAt);
    expect(await stateOf(stub, seq!)).toBe("ready");
    expect(faults.ticketsSent).toEqual([{ queue: "mail", partition: 0, channel: "short" }]);
  });

  it("is only ever moved earlier", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const now = Date.now();
    await enqueue(stub, 1, { delayMs: 60_000 });
    expect(await alarmAt(stub)).toBe(now + 60_000);
    await enqueue(stub, 1, { delayMs: 90_000 });
    expect(await alarmAt(stub)).toBe(now + 60_000);
    await enqueue(stub, 1, { delayMs: 30_000 });
    expect(await alarmAt(stub)).toBe(now + 30_000);
    expect(faults.alarmsSet).toBe(2);

    clock.advance(30_000);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect((await stub.describe())?.counts).toMatchObject({ ready: 1, scheduled: 2 });
    await workAll(stub);
    // What is left is due at its time, and nothing before.
    clock.advance(5_000);
    await runDurableObjectAlarm(stub);
    expect(await alarmAt(stub)).toBe(now + 60_000);
  });

  it("stands for no job before its time, however often it comes", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const [seq] = await enqueue(stub, 1, { delayMs: 60_000 });
    for (let time = 0; time < 5; time++) {
      clock.advance(10_000);
      await runDurableObjectAlarm(stub);
      expect(await stateOf(stub, seq!)).toBe("scheduled");
      expect((await worker(stub).exchange({ want: 10 })).jobs).toEqual([]);
    }
    clock.advance(10_000);
    expect((await worker(stub).exchange({ want: 10 })).jobs).toMatchObject([{ seq }]);
  });

  it("takes the jobs from a session that died", async () => {
    const clock = stopClock();
    const stub = queueObject();
    await enqueue(stub, 2);
    const dead = worker(stub);
    const { jobs } = await dead.exchange({ want: 2 });
    clock.advance(29_000);
    await runDurableObjectAlarm(stub);
    expect((await stub.describe())?.counts.running).toBe(2);

    clock.advance(1_000);
    await evict(stub);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect(await stub.describe()).toMatchObject({ counts: { running: 0, ready: 2 }, sessions: [] });
    expect(await stub.get(1)).toMatchObject({ state: "ready", lapses: 1, failures: 0 });
    expect(faults.ticketsSent.length).toBeGreaterThanOrEqual(2);

    // The dead one was only slow: what it reports now changes nothing, and it is told.
    const late = await dead.exchange({ settle: [{ ...jobs[0]!, outcome: "completed" }], holding: [[2, 1]] });
    expect(late).toMatchObject({ refused: [{ seq: 1, fence: 1, code: "not_held" }], lost: [[2, 1]] });
    expect(await stateOf(stub, 1)).toBe("ready");
  });

  it("ends what was not started in time", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const [seq] = await enqueue(stub, 1, { expiresInMs: 10_000 });
    await stub.pause(null);
    clock.advance(10_000);
    await runDurableObjectAlarm(stub);
    expect(await stub.get(seq!)).toMatchObject({ state: "cancelled", reason: "expired" });
  });

  it("sends another ticket for work that nobody came for, less and less often", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const start = Date.now();
    await enqueue(stub);
    const sentAt: number[] = [];
    while (Date.now() - start < 10 * 60_000) {
      clock.advance(Math.max(1, (await alarmAt(stub))! - Date.now()));
      const before = faults.ticketsSent.length;
      await runDurableObjectAlarm(stub);
      if (faults.ticketsSent.length > before) sentAt.push(Date.now() - start);
    }
    expect(sentAt[0]).toBeLessThanOrEqual(6_000);
    expect(sentAt.length).toBeGreaterThan(5);
    expect(sentAt.length).toBeLessThan(20);
  });

  it("does not come more often than there is something to do, while work waits", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const start = Date.now();
    await enqueue(stub);
    let alarms = 0;
    for (; Date.now() - start < 60 * 60_000; alarms++) {
      clock.advance(Math.max(1, (await alarmAt(stub))! - Date.now()));
      await runDurableObjectAlarm(stub);
    }
    expect(alarms).toBeLessThan(30);
  });
});

describe("an alarm that is lost", () => {
  it("is set again by a poke, which does what is overdue", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const [soon] = await enqueue(stub, 1, { delayMs: 60_000 });
    await enqueue(stub, 1, { delayMs: 120_000 });
    await loseAlarm(stub);
    clock.advance(61_000);
    expect(await stub.poke()).toMatchObject({ paused: false, nextWakeAt: expect.any(Number) });
    expect(await stateOf(stub, soon!)).toBe("ready");
    expect(await alarmAt(stub)).toBeLessThanOrEqual(Date.now() + 60_000);
  });

  it("is set again by a poke that finds nothing overdue", async () => {
    const stub = queueObject();
    await enqueue(stub, 1, { delayMs: 60_000 });
    const at = await alarmAt(stub);
    await loseAlarm(stub);
    await stub.poke();
    expect(await alarmAt(stub)).toBe(at);
  });

  it("is set again by any write that has something due, once the object was loaded anew", async () => {
    const stub = queueObject();
    await enqueue(stub, 1, { delayMs: 60_000 });
    await loseAlarm(stub);
    await evict(stub);
    await enqueue(stub);
    expect(await alarmAt(stub)).toBeLessThanOrEqual(Date.now() + 60_000);
  });

  it("is found by the sweep", async () => {
    // See scheduled.test.ts for the sweep itself: here, that what it calls is enough.
    const clock = stopClock();
    const stub = queueObject();
    await enqueue(stub);
    faults.ticketsSent.length = 0;
    await loseAlarm(stub);
    clock.advance(60_000);
    await stub.poke();
    expect(faults.ticketsSent).toHaveLength(1);
  });
});

describe("the alarm never throws", () => {
  it("when D1 is gone", async () => {
    const clock = stopClock();
    const stub = queueObject();
    faults.history = {
      register: () => Promise.reject(new Error("D1 is gone")),
      write: () => Promise.reject(new Error("D1 is gone")),
    };
    await enqueue(stub, 1, { delayMs: 1_000 });
    await enqueue(stub);
    await workAll(stub);
    for (let time = 0; time < 8; time++) {
      clock.advance(60_000);
      expect(await runDurableObjectAlarm(stub)).toBe(true);
    }
    expect(await stateOf(stub, 1)).toBe("ready");
    expect(faults.logged.map(({ event }) => event)).toContain("history_failed");
  });

  it("when no ticket can be sent; the work is found waiting and sent for again", async () => {
    const clock = stopClock();
    const stub = queueObject();
    faults.tickets = () => Promise.reject(new Error("Too Many Requests"));
    await enqueue(stub);
    clock.advance(5_100);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    await until(() => faults.logged.filter(({ event }) => event === "tickets_failed").length >= 2);
    expect(faults.ticketsSent).toEqual([]);

    faults.tickets = null;
    clock.advance(30_000);
    await runDurableObjectAlarm(stub);
    await until(() => faults.ticketsSent.length === 1);
  });

  it("when its own storage is not what it should be, and tries again later", async () => {
    const stub = queueObject();
    await enqueue(stub, 1, { delayMs: 10 });
    await rows(stub, "UPDATE meta SET value = '99' WHERE key = 'schema'");
    await evict(stub);
    await until(async () => faults.logged.some(({ event }) => event === "alarm_failed"));
    expect(await alarmAt(stub)).toBeGreaterThan(Date.now());
    await expect(enqueue(stub)).rejects.toThrow(`its storage has schema 99, this code knows up to ${SCHEMA_VERSION}`);
    await expect(stateOf(stub, 1)).rejects.toThrow("Deploy the newer code again");
    expect(await rows(stub, "SELECT state FROM jobs")).toEqual([{ state: "scheduled" }]);

    await rows(stub, `UPDATE meta SET value = '${SCHEMA_VERSION}' WHERE key = 'schema'`);
    await runDurableObjectAlarm(stub);
    expect(await stateOf(stub, 1)).toBe("ready");
  });
});

it("registers later what could not be registered at first", async () => {
  const clock = stopClock();
  const stub = queueObject();
  faults.history.register = () => Promise.reject(new Error("D1 is gone"));
  await enqueue(stub, 1, { delayMs: 60_000 });
  expect(await env.DB.prepare("SELECT name FROM queues").first()).toBeNull();
  faults.history = {};
  clock.advance(60_000);
  // On a busy machine D1 may take longer than the object waits for it: then the next alarm tries again.
  await until(async () => {
    await runDurableObjectAlarm(stub);
    return env.DB.prepare("SELECT name FROM queues").first();
  });
});
