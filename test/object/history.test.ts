import { applyD1Migrations, runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { faults } from "../support/runtime-worker.ts";
import {
  countedEnds,
  enqueue,
  env,
  evict,
  finishedJob,
  freshWorld,
  inHistory,
  queueObject,
  rows,
  stateOf,
  stopClock,
  until,
  workAll,
} from "./support.ts";

freshWorld();

/** The failed tries of the history wait longer and longer: let time pass until nothing is left to send. */
async function catchUp(stub: ReturnType<typeof queueObject>, clock: { advance(ms: number): void }): Promise<void> {
  for (let time = 0; time < 10; time++) {
    clock.advance(6 * 60_000);
    await runDurableObjectAlarm(stub);
    await stub.poke();
    if ((await stub.describe())?.outboxRows === 0) return;
  }
  throw new Error("The history did not catch up");
}

describe("while D1", () => {
  it("is down, work goes on; then the history catches up, once each, and counts right", async () => {
    const clock = stopClock();
    const stub = queueObject();
    await enqueue(stub, 10);
    await workAll(stub);
    await until(async () => (await stub.describe())?.outboxRows === 0);

    // Not a stand-in: the tables are gone.
    for (const table of ["history", "rollups", "queues"])
      await env.DB.exec(`ALTER TABLE ${table} RENAME TO gone_${table}`);
    const down = await enqueue(stub, 600);
    expect(await workAll(stub)).toEqual(down);
    await until(() => faults.logged.some(({ event }) => event === "history_failed"));
    expect(await stateOf(stub, down[0]!)).toBe("completed");
    expect((await stub.describe())?.outboxRows).toBe(600);
    expect(await workAll(stub)).toEqual([]);
    await evict(stub);
    expect(await stateOf(stub, down.at(-1)!)).toBe("completed");
    await expect(stub.retry(down[0]!)).resolves.toMatchObject({ ok: true, job: { state: "ready" } });

    for (const table of ["history", "rollups", "queues"])
      await env.DB.exec(`ALTER TABLE gone_${table} RENAME TO ${table}`);
    await workAll(stub);
    await catchUp(stub, clock);
    const kept = await inHistory();
    expect(kept.size).toBe(610);
    expect(await finishedJob(down[0]!)).toMatchObject({ state: "completed", fence: 5 });
    expect(await countedEnds(stub)).toBe(611);
  });

  it("is down from the first enqueue on, the queue is registered when it is back", async () => {
    const clock = stopClock();
    await env.DB.exec("DROP TABLE queues");
    await env.DB.exec("ALTER TABLE history RENAME TO gone_history");
    const stub = queueObject();
    const [seq] = await enqueue(stub);
    await workAll(stub);
    expect(await stateOf(stub, seq!)).toBe("completed");
    await env.DB.exec("ALTER TABLE gone_history RENAME TO history");
    await env.DB.exec(
      "CREATE TABLE queues (name TEXT, partition INTEGER, paused INTEGER, next_wake_at INTEGER, poked_at INTEGER, pruned_at INTEGER, pruned_to INTEGER, created_at INTEGER, updated_at INTEGER, PRIMARY KEY (name, partition))",
    );
    await catchUp(stub, clock);
    expect((await inHistory()).size).toBe(1);
    await until(() => env.DB.prepare("SELECT name FROM queues").first());
  });

  it("answers late, nothing waits for it", async () => {
    const stub = queueObject();
    let answer = (): void => {};
    const gate = new Promise<void>((resolve) => {
      answer = resolve;
    });
    faults.history.write = async (real) => {
      await gate;
      return real();
    };
    const started = Date.now();
    for (let round = 0; round < 5; round++) {
      await enqueue(stub, 100);
      await workAll(stub);
    }
    expect(Date.now() - started).toBeLessThan(5_000);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect((await inHistory()).size).toBe(0);
    const alarmsBefore = faults.alarmsSet;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(faults.alarmsSet - alarmsBefore).toBeLessThanOrEqual(1);

    answer();
    faults.history = {};
    await until(async () => (await stub.describe())?.outboxRows === 0);
    expect((await inHistory()).size).toBe(500);
    expect(await countedEnds(stub)).toBe(500);
  });

  it("applies what it then fails to answer, each end is counted once", async () => {
    const clock = stopClock();
    const stub = queueObject();
    let lost = 0;
    faults.history.write = async (real) => {
      await real();
      lost += 1;
      if (lost <= 3) throw new Error("D1_ERROR: the connection was lost");
    };
    for (let round = 0; round < 4; round++) {
      await enqueue(stub, 50);
      await workAll(stub);
      clock.advance(10_000);
      await runDurableObjectAlarm(stub);
    }
    await catchUp(stub, clock);
    expect(lost).toBeGreaterThan(3);
    expect((await inHistory()).size).toBe(200);
    expect(await countedEnds(stub)).toBe(200);
  });

  it("fails and the object is evicted in the middle, time and again, each end is counted once", async () => {
    const clock = stopClock();
    const stub = queueObject();
    let call = 0;
    faults.history.write = async (real) => {
      call += 1;
      if (call % 3 === 1) throw new Error("before");
      await real();
      if (call % 3 === 2) throw new Error("after");
    };
    for (let round = 0; round < 6; round++) {
      await enqueue(stub, 20);
      await workAll(stub);
      clock.advance(30_000);
      await runDurableObjectAlarm(stub);
      if (round % 2 === 1) await evict(stub);
    }
    faults.history = {};
    await catchUp(stub, clock);
    expect((await inHistory()).size).toBe(120);
    expect(await countedEnds(stub)).toBe(120);
  });
});

describe("a job that only the history has", () => {
  /** Ended, flushed, and past the time for which the object remembers. */
  async function finished(stub: ReturnType<typeof queueObject>, clock: { advance(ms: number): void }): Promise<number> {
    const [seq] = await enqueue(stub, 5, { tags: ["kept"] });
    await workAll(stub, () => ({ result: '{"first":true}' }));
    await catchUp(stub, clock);
    await enqueue(stub);
    await workAll(stub);
    await catchUp(stub, clock);
    expect(await stub.get(seq!)).toBeNull();
    return seq!;
  }

  it("is retried from there, and its next end takes the place of the first", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const seq = await finished(stub, clock);
    expect(await stub.retry(seq)).toMatchObject({ ok: true, job: { state: "ready", failures: 0, payload: "0" } });
    expect(await workAll(stub, () => ({ result: '{"second":true}' }))).toEqual([seq]);
    await catchUp(stub, clock);
    expect(await finishedJob(seq)).toMatchObject({ result: '{"second":true}', state: "completed" });
    expect(await countedEnds(stub)).toBe(7);
  });

  it("is deleted from there", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const seq = await finished(stub, clock);
    expect(await stub.remove(seq)).toEqual({ ok: true });
    expect(await stub.get(seq)).toBe("deleted");
    await catchUp(stub, clock);
    expect((await inHistory()).has(seq)).toBe(false);
    expect(await stub.retry(seq)).toMatchObject({ ok: false, code: "not_found" });
  });

  it("cannot be looked up while D1 is down, and says so by failing", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const seq = await finished(stub, clock);
    faults.history.read = () => Promise.reject(new Error("D1 is gone"));
    await expect((async () => await stub.retry(seq))()).rejects.toThrow("D1 is gone");
    expect(await rows(stub, "SELECT seq FROM jobs")).toEqual([]);
  });
});

it("keeps no completed job where the settings say so, and answers its result for ten minutes", async () => {
  const clock = stopClock();
  const stub = queueObject();
  faults.settings = { historyCompleted: "none" };
  const [done, dead] = await enqueue(stub, 2);
  const error = { name: "Error", message: "no", stack: null };
  await workAll(stub, ({ seq }) => (seq === dead ? { outcome: "dead", error } : { result: "42" }));
  await until(async () => (await stub.describe())?.outboxRows === 0);
  expect([...(await inHistory()).keys()]).toEqual([dead]);
  expect(await stub.get(done!)).toMatchObject({ state: "completed", result: "42" });
  clock.advance(10 * 60_000);
  expect(await stub.get(done!)).toBeNull();
  expect(await countedEnds(stub)).toBe(2);
});

it("writes to a database that was made anew", async () => {
  const clock = stopClock();
  const stub = queueObject();
  await enqueue(stub, 3);
  await workAll(stub);
  await until(async () => (await inHistory()).size === 3);
  for (const table of ["history", "rollups", "queues", "operations", "tokens", "audit", "d1_migrations"]) {
    await env.DB.exec(`DROP TABLE ${table}`);
  }
  await applyD1Migrations(env.DB, env.MIGRATIONS);
  await enqueue(stub, 4);
  await workAll(stub);
  await catchUp(stub, clock);
  expect((await inHistory()).size).toBe(4);
});
