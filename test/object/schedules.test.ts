import { createExecutionContext, createScheduledController, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { ScheduleInput } from "../../client/wire.ts";
import { faults, mill } from "../support/runtime-worker.ts";
import { alarmAt, env, evict, freshWorld, queueObject, type Stub, stopClock, template, until } from "./support.ts";

freshWorld();

const SECOND = 1_000;

function everySecond(fields: Partial<ScheduleInput> = {}): ScheduleInput {
  return {
    ...{ spec: "{}", cron: null, everyMs: SECOND, timezone: "UTC", template: template(), payload: "1" },
    ...{ overlap: "allow", catchUpWindowMs: 86_400_000, catchUpMax: 1, jitterMs: 0 },
    ...{ startAt: null, endAt: null, paused: false, ...fields },
  };
}

const declare = (version: string, inputs: Record<string, ScheduleInput>) => {
  faults.schedules = { version, inputs: new Map(Object.entries(inputs)) };
};

async function instants(stub: Stub): Promise<number[]> {
  return runInDurableObject(stub, (_object, { storage }) =>
    storage.sql
      .exec("SELECT instant FROM schedule_runs ORDER BY instant")
      .toArray()
      .map((row) => Number(row.instant)),
  );
}

describe("the real alarm", () => {
  it("fires each second once, over evictions", async () => {
    const stub = queueObject();
    expect(await stub.putSchedule("tick", everySecond())).toMatchObject({ ok: true, created: true });
    await until(async () => (await instants(stub)).length >= 2);
    await evict(stub);
    await until(async () => (await instants(stub)).length >= 4);
    const made = await instants(stub);
    expect(made.every((at) => at % SECOND === 0)).toBe(true);
    expect(made).toEqual(made.map((_, index) => made[0]! + index * SECOND));
    expect((await stub.describe())?.counts.ready).toBe((await instants(stub)).length);
    expect(faults.ticketsSent.length).toBeGreaterThan(0);
  });
});

describe("a schedule that code declares", () => {
  it("begins on a queue that nobody has used when that is poked, and poking again writes nothing", async () => {
    stopClock();
    const stub = queueObject();
    expect(await stub.poke()).toBeNull();
    declare("v1", { hourly: everySecond({ everyMs: 3_600 * SECOND }) });
    await evict(stub);
    expect(await stub.poke()).toMatchObject({ schedules: "v1", nextWakeAt: expect.any(Number) });
    expect((await alarmAt(stub))! % (3_600 * SECOND)).toBe(0);
    expect(await stub.schedule("hourly")).toMatchObject({ origin: "code" });
    await stub.poke();
    faults.rowsWritten = 0;
    expect(await stub.poke()).toMatchObject({ schedules: "v1" });
    await evict(stub);
    await stub.poke();
    expect(faults.rowsWritten).toBe(0);
  });

  it("is there when somebody looks, and gone after a deploy without it", async () => {
    declare("v1", { tick: everySecond() });
    const stub = queueObject();
    expect(await stub.schedules(null, 10)).toMatchObject([{ name: "tick" }]);
    faults.schedules = undefined;
    await evict(stub);
    await stub.poke();
    expect(await stub.schedules(null, 10)).toEqual([]);
  });

  it("fires after a deploy that nobody has told its queue of, and runs with its instant", async () => {
    await mill.scheduled(createScheduledController(), env, createExecutionContext());
    const client = mill.client(env);
    const jobs = () => Array.fromAsync(client.jobs({ queue: "ticking", state: "completed" }));
    await until(async () => (await jobs()).length > 0);
    const result = { for: expect.stringMatching(/:\d\d\.000Z$/) };
    expect((await jobs())[0]).toMatchObject({ task: "when", schedule: "tick", result });
    const [tick] = await Array.fromAsync(client.queue("ticking").schedules());
    expect(tick).toMatchObject({ name: "tick", queue: "ticking", origin: "code", every: "1s", overlap: "allow" });
    const handle = client.queue("ticking").schedule("tick");
    expect(await handle.pause({ reason: "enough" })).toMatchObject({ paused: true, pauseReason: "enough" });
    await expect(handle.delete()).rejects.toMatchObject({ code: "conflict", status: 409 });
    await expect(handle.put({ task: "when", every: "2s" })).rejects.toMatchObject({ code: "conflict" });
  });
});
