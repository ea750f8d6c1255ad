import { createExecutionContext, createScheduledController, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { QueueRpc } from "../../client/wire.ts";
import { createSweep, type SweepDeps } from "../../worker/scheduled.ts";
import {
  alarmAt,
  enqueue,
  env,
  freshWorld,
  inHistory,
  queueObject,
  stopClock,
  until,
  workAll,
} from "../object/support.ts";
import { faults } from "../support/runtime-worker.ts";

freshWorld();

const logged: { event: string; [field: string]: unknown }[] = [];

/** The sweep over the objects that tests have in hand. */
function sweep(stub: (queue: string) => QueueRpc = queueObject, database: D1Database = env.DB): Promise<void> {
  return sweeper(stub, database)();
}

/** One that stays loaded. */
function sweeper(
  stub: (queue: string) => QueueRpc,
  database: D1Database,
  schedules: SweepDeps<unknown>["schedules"] = new Map(),
) {
  logged.length = 0;
  const scheduled = createSweep<unknown>({
    database: () => database,
    stub: (_env, queue) => stub(queue),
    retention: () => ({ keepMs: 60_000, keepDeadMs: 60_000 }),
    schedules,
    operations: async () => {},
    log: (_level, event, fields) => logged.push({ event, ...fields }),
  });
  return () => scheduled(createScheduledController(), env, createExecutionContext());
}

const registered = (queue: string) =>
  env.DB.prepare("SELECT next_wake_at, poked_at FROM queues WHERE name = ?").bind(queue).first();

describe("the sweep", () => {
  it("repairs a lost alarm and gets its work going, and notes when the queue will wake next", async () => {
    const clock = stopClock();
    const stub = queueObject("lost");
    await enqueue(stub, 1, { delayMs: 30_000 });
    await runInDurableObject(stub as DurableObjectStub, (_object, state) => state.storage.deleteAlarm());
    clock.advance(90_000);
    await sweep();
    expect(faults.ticketsSent).toEqual([{ queue: "lost", partition: 0, channel: "short" }]);
    expect(await alarmAt(stub)).toBeGreaterThan(Date.now());
    expect(await registered("lost")).toMatchObject({ next_wake_at: await alarmAt(stub), poked_at: Date.now() });
  });

  it("leaves a queue alone that will wake by itself, and an idle one for an hour", async () => {
    const clock = stopClock();
    const later = queueObject("later");
    const idle = queueObject("idle");
    await enqueue(later, 1, { delayMs: 3 * 3_600_000 });
    await enqueue(idle);
    await workAll(idle);
    await until(async () => (await idle.describe())?.outboxRows === 0);
    clock.advance(90_000);
    const poked: string[] = [];
    const counting = (queue: string): QueueRpc => {
      poked.push(queue);
      return queueObject(queue);
    };
    await sweep(counting);
    expect(new Set(poked)).toEqual(new Set(["later", "idle"]));
    const before = poked.length;
    for (let minute = 0; minute < 20; minute++) {
      clock.advance(60_000);
      await sweep(counting);
    }
    expect(poked.slice(before).filter((queue) => queue === "later")).toEqual([]);
    clock.advance(3_600_000);
    await sweep(counting);
    expect(poked.slice(before)).toContain("idle");
  });

  it("does not let one queue in trouble keep the others waiting", async () => {
    const clock = stopClock();
    for (const name of ["a-bad", "b-good"]) await enqueue(queueObject(name), 1, { delayMs: 30_000 });
    clock.advance(90_000);
    await sweep((queue) => {
      if (queue === "a-bad") throw new Error("overloaded");
      return queueObject(queue);
    });
    expect(logged).toContainEqual(expect.objectContaining({ event: "poke_failed", queue: "a-bad" }));
    expect(faults.ticketsSent).toEqual([{ queue: "b-good", partition: 0, channel: "short" }]);
  });

  it("tells a queue of the code's schedules until it goes by them, and again after an hour", async () => {
    const clock = stopClock();
    let version = "old";
    const poked: string[] = [];
    const object = (queue: string): QueueRpc => ({
      ...queueObject(queue),
      async poke() {
        poked.push(queue);
        if (poked.length === 1) throw new Error("overloaded");
        return { nextWakeAt: null, paused: false, historyKeepMs: 1, historyKeepDeadMs: 1, schedules: version };
      },
    });
    const scheduled = sweeper(object, env.DB, new Map([["reports", { version: "new" }]]));
    const minutes = async (count: number) => {
      for (let minute = 0; minute < count; minute++) {
        await scheduled();
        clock.advance(60_000);
      }
    };
    await minutes(3);
    expect(poked).toHaveLength(3);
    expect(logged).toContainEqual(expect.objectContaining({ event: "schedules_untold", queue: "reports" }));
    version = "new";
    await minutes(60);
    expect(poked).toHaveLength(4);
    await minutes(1);
    expect(poked).toHaveLength(5);
  });

  it("never throws, whatever is broken", async () => {
    await env.DB.exec("DROP TABLE queues");
    await expect(sweep()).resolves.toBeUndefined();
    expect(logged.map(({ event }) => event)).toContain("sweep_failed");
    const fail = () => {
      throw new Error("D1 is gone");
    };
    const gone = { prepare: fail, batch: fail } as unknown as D1Database;
    await expect(sweep(queueObject, gone)).resolves.toBeUndefined();
  });

  it("forgets finished jobs that are past their time, and keeps what is not", async () => {
    const clock = stopClock();
    const stub = queueObject("old");
    faults.settings = { historyKeepMs: 3_600_000, historyKeepDeadMs: 86_400_000 };
    const error = { name: "Error", message: "no", stack: null };
    const [done, dead] = await enqueue(stub, 2);
    await workAll(stub, ({ seq }) => (seq === dead ? { outcome: "dead", error } : {}));
    await until(async () => (await inHistory("old")).size === 2);
    clock.advance(2 * 3_600_000);
    const [recent] = await enqueue(stub);
    await workAll(stub);
    await until(async () => (await inHistory("old")).size === 3);
    for (let minute = 0; minute < 70; minute++) {
      clock.advance(60_000);
      await sweep();
      if (!(await inHistory("old")).has(done!)) break;
    }
    expect(await inHistory("old")).toEqual(new Set([dead, recent]));
  });
});
