import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { faults } from "../support/runtime-worker.ts";
import { enqueue, evict, freshWorld, queueObject, stateOf, stopClock, until, workAll, worker } from "./support.ts";

freshWorld();

describe("settings", () => {
  it("come from the default, then code, then the API, and a null takes one back", async () => {
    const stub = queueObject();
    faults.settings = { slots: 2, leaseMs: 60_000 };
    expect(await stub.configure({ slots: 9, concurrency: 4 })).toMatchObject({
      ok: true,
      settings: {
        slots: { value: 9, origin: "api" },
        concurrency: { value: 4, origin: "api" },
        leaseMs: { value: 60_000, origin: "code" },
        maxSessions: { value: 20, origin: "default" },
      },
    });
    await evict(stub);
    expect((await stub.describe())?.settings.slots).toEqual({ value: 9, origin: "api" });
    const back = await stub.configure({ slots: null, concurrency: null });
    expect(back).toMatchObject({ settings: { slots: { value: 2, origin: "code" }, concurrency: { value: null } } });
  });

  it("from code are those of the latest deploy", async () => {
    const stub = queueObject();
    faults.settings = { slots: 2 };
    await enqueue(stub);
    faults.settings = { slots: 3 };
    await evict(stub);
    expect((await stub.describe())?.settings.slots).toEqual({ value: 3, origin: "code" });
  });

  it("of the API survive a deploy, and what is gone from code is gone, limit by limit", async () => {
    const stub = queueObject();
    const rate = { limit: 10, perMs: 1_000, burst: 10 };
    const values = JSON.parse('{ "__proto__": { "concurrency": 9 }, "big-co": { "concurrency": 50 } }');
    faults.settings = {
      rateLimit: rate,
      tasks: { echo: { concurrency: 2 } },
      limits: { customer: { concurrency: 5, rateLimit: rate, values } },
      weights: { acme: 2 },
    };
    const limits = { customer: { concurrency: 6, values: JSON.parse('{ "__proto__": { "rateLimit": null } }') } };
    limits.customer.values["big-co"] = { rateLimit: rate };
    expect(await stub.configure({ limits, weights: { tiny: 0.5 } })).toMatchObject({ ok: true });
    const before = (await stub.describe())?.settings;
    expect(before).toMatchObject({
      rateLimit: { value: rate, origin: "code" },
      tasks: { echo: { concurrency: { value: 2, origin: "code" } } },
      limits: {
        customer: {
          concurrency: { value: 6, origin: "api" },
          rateLimit: { value: rate, origin: "code" },
          values: {
            "big-co": { concurrency: { value: 50, origin: "code" }, rateLimit: { value: rate, origin: "api" } },
          },
        },
      },
      weights: { acme: { value: 2, origin: "code" }, tiny: { value: 0.5, origin: "api" } },
    });
    expect(Object.entries(before!.limits.customer!.values!)).toContainEqual([
      "__proto__",
      { concurrency: { value: 9, origin: "code" } },
    ]);

    faults.settings = { slots: 3, limits: { customer: { concurrency: 4 } } };
    await evict(stub);
    const after = (await stub.describe())?.settings;
    expect(after).toMatchObject({ slots: { value: 3, origin: "code" }, rateLimit: { value: null, origin: "default" } });
    expect({ tasks: after?.tasks, limits: after?.limits, weights: after?.weights }).toEqual({
      tasks: {},
      limits: {
        customer: {
          concurrency: { value: 6, origin: "api" },
          values: { "big-co": { rateLimit: { value: rate, origin: "api" } } },
        },
      },
      weights: { tiny: { value: 0.5, origin: "api" } },
    });
    expect(await stub.configure({ limits: null, weights: null })).toMatchObject({
      settings: { limits: { customer: { concurrency: { value: 4, origin: "code" } } }, weights: {} },
    });
  });

  it("are refused together when one of them is wrong", async () => {
    const stub = queueObject();
    await enqueue(stub);
    for (const patch of [
      { slots: 0 },
      { leaseMs: 1 },
      { concurrency: 1.5 },
      { maxSessions: "2" },
      { unknown: 1 },
      { limits: { a: { b: 1 } } },
    ]) {
      expect(await stub.configure({ slots: 5, ...patch } as never)).toMatchObject({
        ok: false,
        code: "invalid_request",
      });
    }
    expect((await stub.describe())?.settings.slots.origin).toBe("default");
  });
});

describe("concurrency", () => {
  it("is never exceeded, whoever asks, and what waits is sent for when it may run", async () => {
    const stub = queueObject();
    await stub.configure({ concurrency: 3 });
    await enqueue(stub, 10);
    const workers = Array.from({ length: 4 }, () => worker(stub));
    const got = await Promise.all(workers.map(({ exchange }) => exchange({ want: 10 })));
    expect(got.reduce((sum, { jobs }) => sum + jobs.length, 0)).toBe(3);
    expect((await stub.describe())?.counts).toMatchObject({ running: 3, ready: 7 });

    faults.ticketsSent.length = 0;
    const holder = got.findIndex(({ jobs }) => jobs.length > 0);
    await workers[holder]!.exchange({
      settle: got[holder]!.jobs.map((job) => ({ ...job, outcome: "completed" as const })),
    });
    expect(await workAll(stub)).toHaveLength(7);
  });

  it("counts what a dead session held, until it is taken from it", async () => {
    const clock = stopClock();
    const stub = queueObject();
    await stub.configure({ concurrency: 1 });
    await enqueue(stub, 2);
    await worker(stub).exchange({ want: 2 });
    expect((await worker(stub).exchange({ want: 2 })).jobs).toEqual([]);
    clock.advance(30_000);
    await runDurableObjectAlarm(stub);
    expect((await worker(stub).exchange({ want: 2 })).jobs).toHaveLength(1);
  });
});

describe("a paused queue", () => {
  it("starts nothing and sends nobody, lets finish what runs, and goes on when resumed", async () => {
    const clock = stopClock();
    const stub = queueObject();
    await enqueue(stub, 2);
    const hand = worker(stub);
    const { jobs } = await hand.exchange({ want: 1 });
    await stub.pause("migrating");
    faults.ticketsSent.length = 0;
    await enqueue(stub, 3);
    await enqueue(stub, 1, { delayMs: 1_000 });
    clock.advance(10 * 60_000);
    await hand.exchange({ settle: [{ ...jobs[0]!, outcome: "completed" }], want: 5 });
    await runDurableObjectAlarm(stub);
    expect(await stateOf(stub, jobs[0]!.seq)).toBe("completed");
    expect(await workAll(stub)).toEqual([]);
    expect(faults.ticketsSent).toEqual([]);
    expect(await stub.describe()).toMatchObject({ paused: { reason: "migrating" }, counts: { ready: 5, running: 0 } });

    await stub.resume();
    await until(() => faults.ticketsSent.length > 0);
    expect(await workAll(stub)).toHaveLength(5);
  });
});

it("lets go of an idle object at once: no timer and no call is left under way", async () => {
  const stub = queueObject();
  for (let round = 0; round < 3; round++) {
    await enqueue(stub, 10);
    await workAll(stub);
    await stub.poke();
  }
  await until(async () => (await stub.describe())?.outboxRows === 0);
  // An eviction waits for what is under way: the history's time limit alone would be 30 s.
  const from = Date.now();
  await evict(stub);
  expect(Date.now() - from).toBeLessThan(1_000);
});
