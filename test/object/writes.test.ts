import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { faults } from "../support/runtime-worker.ts";
import {
  alarmAt,
  countedEnds,
  enqueue,
  env,
  freshWorld,
  inHistory,
  queueObject,
  rows,
  stateOf,
  until,
  workAll,
  worker,
} from "./support.ts";

freshWorld();

const TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'";

describe("an object that was never used", () => {
  it("writes nothing, whatever is asked of it", async () => {
    const stub = queueObject();
    const filter = { beforeSeq: null, limit: 50, states: null, task: null, tag: null, from: null, to: null };
    expect(await stub.get(1)).toBeNull();
    expect(await stub.list(filter)).toEqual({ items: [], scannedTo: null, hidden: [] });
    expect(await stub.describe()).toBeNull();
    expect(await stub.poke()).toBeNull();
    expect(await stub.rollupSince(0)).toEqual({});
    expect(await worker(stub).exchange({ want: 10, holding: [[7, 1]] })).toMatchObject({ jobs: [], lost: [[7, 1]] });
    for (const act of ["cancel", "retry", "remove"] as const) {
      expect(await stub[act](1)).toMatchObject({ ok: false, code: "not_found" });
    }

    expect(await rows(stub, TABLES)).toEqual([]);
    expect(await alarmAt(stub)).toBeNull();
    expect(faults.rowsWritten).toBe(0);
    expect(await env.DB.prepare("SELECT * FROM queues").first()).toBeNull();
  });
});

describe("the first write", () => {
  it("makes the tables, sets the alarm and makes the queue known before it is answered", async () => {
    const stub = queueObject();
    const [seq] = await enqueue(stub);
    expect(seq).toBe(1);
    expect(await rows(stub, TABLES)).toContainEqual({ name: "jobs" });
    expect(await alarmAt(stub)).toBeGreaterThan(Date.now());
    expect(await env.DB.prepare("SELECT name, partition FROM queues").all()).toMatchObject({
      results: [{ name: "mail", partition: 0 }],
    });
    expect(faults.ticketsSent).toEqual([{ queue: "mail", partition: 0, channel: "short" }]);
  });

  it.each(["pause", "resume", "configure"] as const)("may be %s", async (act) => {
    const stub = queueObject();
    const reply = await (act === "configure" ? stub.configure({ slots: 3 }) : stub[act](null as never));
    expect(reply.ok).toBe(true);
    expect(await env.DB.prepare("SELECT name FROM queues").first()).toEqual({ name: "mail" });
  });

  it("that is refused leaves no job and no queue", async () => {
    const stub = queueObject();
    const refused = await stub.enqueue({ templates: [], jobs: [], requestId: null, idempotency: null });
    expect(refused).toMatchObject({ ok: false, code: "invalid_request" });
    expect((await stub.configure({ slots: 0 })).ok).toBe(false);
    expect(await env.DB.prepare("SELECT name FROM queues").first()).toBeNull();
  });
});

describe("a verb that throws", () => {
  it("leaves the tables as they were, and the object works on", async () => {
    const stub = queueObject();
    await enqueue(stub);
    const tooLarge: [number, string] = [0, JSON.stringify("x".repeat(2_000_000))];
    await expect(enqueue(stub, 1, {}, { jobs: [[0, "1"], tooLarge] })).rejects.toThrow(/at most 1900000 bytes/);
    expect(await rows(stub, "SELECT seq FROM jobs")).toEqual([{ seq: 1 }]);
    expect(await enqueue(stub)).toEqual([2]);
    expect(await workAll(stub)).toEqual([1, 2]);
  });
});

const written = (): number => faults.rowsWritten + faults.alarmsSet;

describe("rows written, alarms included", () => {
  /** A queue that has been used before: the tables, its lane and its place in the registry stand. */
  async function used() {
    const stub = queueObject();
    await enqueue(stub);
    await workAll(stub);
    await until(async () => (await stub.describe())?.outboxRows === 0);
    while (await runDurableObjectAlarm(stub));
    return stub;
  }

  it("are at most 9 for a lone job from enqueue to history", async () => {
    const stub = await used();
    const before = written();
    // Their counts reach the history together, every fourth time, and their outbox rows go then.
    const rounds = 8;
    for (let round = 0; round < rounds; round++) {
      const [seq] = await enqueue(stub);
      expect(await workAll(stub)).toEqual([seq]);
      await until(async () => (await stub.describe())?.outboxRows === 0);
      while (await runDurableObjectAlarm(stub));
    }
    expect((await inHistory()).size).toBe(rounds + 1);
    expect((written() - before) / rounds).toBeLessThanOrEqual(9);
  });

  it("are at most 4.1 a job in bulk", async () => {
    const stub = await used();
    const before = written();
    for (let call = 0; call < 3; call++) await enqueue(stub, 1000);
    expect(await workAll(stub)).toHaveLength(3000);
    await until(async () => (await inHistory()).size === 3001);
    while (await runDurableObjectAlarm(stub));
    expect((written() - before) / 3000).toBeLessThanOrEqual(4.1);
    expect(await countedEnds(stub)).toBe(3001);
  });
});

describe("an object with nothing left to do", () => {
  it("has no alarm and no work under way, and still knows what it did", async () => {
    const stub = queueObject();
    const [first, second] = await enqueue(stub, 2);
    await workAll(stub);
    await until(async () => (await stub.describe())?.outboxRows === 0);
    // At most two alarms are left over: the one for a ticket's answer, and the one for the session's lease.
    let ran = 0;
    while (await runDurableObjectAlarm(stub)) ran += 1;
    expect(ran).toBeLessThanOrEqual(2);
    expect(await alarmAt(stub)).toBeNull();
    expect(await stub.describe()).toMatchObject({ nextWakeAt: null, outboxRows: 0, sessions: [] });
    const at = written();
    await stub.poke();
    expect(await alarmAt(stub)).toBeNull();
    expect(written()).toBe(at);
    expect([await stateOf(stub, first!), await stateOf(stub, second!)]).toEqual(["completed", "completed"]);
  });
});
