import {
  createExecutionContext,
  createMessageBatch,
  getQueueResult,
  runDurableObjectAlarm,
  waitOnExecutionContext,
} from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { Job } from "../../client/index.ts";
import type { ExchangeInput, QueueRpc } from "../../client/wire.ts";
import { readConfig } from "../../worker/config.ts";
import { createConsumer } from "../../worker/consumer.ts";
import { env, freshWorld, type Stub, stopClock, template, until } from "../object/support.ts";
import { mill } from "../support/runtime-worker.ts";
import { held, seen, shutGate, TASKS } from "../support/tasks.ts";

freshWorld();

const client = () => mill.client(env);
const job = (id: string): Promise<Job> => client().job(id).get();
const object = (queue: string): Stub => env.MILLRACE.getByName(`${queue}:0`) as unknown as Stub;
const started = () => seen.filter(({ what }) => what === "started");

function batch(...bodies: unknown[]): MessageBatch {
  const messages = bodies.map((body, index) => ({ id: String(index), timestamp: new Date(), attempts: 1, body }));
  return createMessageBatch("some-queue", messages);
}

const ticket = (queue: string) => ({ kind: "millrace-ticket", queue, partition: 0, channel: "short" });

describe("a running job that is cancelled", () => {
  it("gets its signal and ends cancelled; its neighbours go on", async () => {
    seen.length = 0;
    shutGate();
    const [doomed, neighbour] = await Promise.all(
      ["a", "b"].map((name) => client().enqueue("patient", name, { queue: "attentive-1" })),
    );
    await until(() => started().length === 2);
    expect(await doomed!.cancel()).toMatchObject({ state: "running", cancelRequestedAt: expect.any(String) });
    await until(async () => (await job(doomed!.id)).state === "cancelled");
    expect(await job(doomed!.id)).toMatchObject({
      reason: "cancelled_by_user",
      failures: 0,
      attempts: [{ attempt: 1 }],
    });
    expect(seen.filter(({ what }) => what === "aborted")).toEqual([{ what: "aborted", input: "a" }]);
    expect((await job(neighbour!.id)).state).toBe("running");
    held.open();
    await until(async () => (await job(neighbour!.id)).state === "completed");
  });

  it("stays completed when it completes first", async () => {
    seen.length = 0;
    shutGate();
    const { id } = await client().enqueue("patient", "c");
    await until(() => started().length === 1);
    await client().job(id).cancel();
    held.open();
    await until(async () => (await job(id)).state !== "running");
    expect(await job(id)).toMatchObject({ state: "completed", result: "patience" });
  });

  it("cannot be retried or deleted while it runs", async () => {
    seen.length = 0;
    shutGate();
    const { id } = await client().enqueue("patient", "d");
    await until(() => started().length === 1);
    await expect(client().job(id).retry()).rejects.toMatchObject({ status: 409 });
    await expect(client().job(id).delete()).rejects.toMatchObject({ status: 409 });
    held.open();
    await until(async () => (await job(id)).state === "completed");
    // Again from its end: a fence later, told what it was before.
    shutGate();
    held.open();
    expect(await client().job(id).retry()).toMatchObject({ state: "ready", failures: 0 });
    await until(async () => (await job(id)).state === "completed" && started().length === 2);
    expect(started()[1]!.fence).toBeGreaterThan(started()[0]!.fence as number);
  });
});

describe("a task that this Worker does not know", () => {
  it("is declined, waits longer each time, and its neighbours go on", async () => {
    const reply = await object("mixed").enqueue({
      templates: [template({ task: "of-an-older-deploy" }), template()],
      jobs: [
        [0, "1"],
        [1, '"fine"'],
      ],
      requestId: null,
      idempotency: null,
    });
    expect(reply.ok).toBe(true);
    await until(async () => (await job("mixed:0:2")).state === "completed");
    await until(async () => (await job("mixed:0:1")).state === "scheduled");
    const declined = await job("mixed:0:1");
    expect(declined).toMatchObject({ reason: "declined", failures: 0, lapses: 0, attempt: 1 });
    expect(declined.attempts).toMatchObject([{ outcome: "declined", error: { message: "unknown_task" } }]);
    const delayMs = (one: Job): number => Date.parse(one.runAt) - Date.parse(one.attempts.at(-1)!.finishedAt!);
    expect(delayMs(declined)).toBe(60_000);

    await client().job(declined.id).retry();
    await until(async () => (await job(declined.id)).attempts.length === 2);
    expect(delayMs(await job(declined.id))).toBe(120_000);
  });
});

describe("several queues at once", () => {
  it("do not wait for each other: a quick one beside one that is stuck", async () => {
    seen.length = 0;
    shutGate();
    const stuck = await client().enqueueMany("patient", ["x", "y"], { queue: "stuck" });
    await until(() => started().length === 2);
    const quick = await Promise.all(
      [1, 2, 3].map((n) => client().enqueueMany("echo", [n, n], { queue: `quick-${n}` })),
    );
    const from = Date.now();
    for (const { id } of quick.flat()) await until(async () => (await job(id)).state === "completed", 4_000);
    expect(Date.now() - from).toBeLessThan(4_000);
    expect((await job(stuck[0]!.id)).state).toBe("running");
    held.open();
    await until(async () => (await job(stuck[1]!.id)).state === "completed");
  });

  it("nor do short jobs wait for the long ones of their own queue", async () => {
    seen.length = 0;
    shutGate();
    const { id: long } = await client().enqueue("patient", "long", { queue: "both", timeout: "5m" });
    await until(() => started().length === 1);
    const { id: short } = await client().enqueue("echo", 1, { queue: "both" });
    await until(async () => (await job(short)).state === "completed", 4_000);
    held.open();
    await until(async () => (await job(long)).state === "completed");
  });

  it("run as many side by side as they have slots, and new work beside what runs", async () => {
    seen.length = 0;
    shutGate();
    await client().enqueueMany("patient", ["1", "2", "3"], { queue: "attentive-2" });
    await until(() => started().length === 3);
    await client().enqueue("patient", "4", { queue: "attentive-2" });
    await until(() => started().length === 4, 8_000);
    held.open();
    await until(async () => (await client().queue("attentive-2").get()).counts.running === 0);
  });
});

describe("the queue handler", () => {
  it("answers false for a batch that is not Millrace's, and leaves it untouched", async () => {
    const strange = [null, undefined, 5, "millrace-ticket", [], {}, { kind: "order" }, { kind: "millrace-ticket" }];
    const nearly = [
      { ...ticket("q"), partition: "0" },
      { ...ticket("q"), channel: "fast" },
      { ...ticket("q"), queue: 7 },
      { ...ticket("q"), partition: -1 },
      ticket(""),
      ticket("UPPER"),
    ];
    const messages = batch(...strange, ...nearly);
    const ctx = createExecutionContext();
    expect(await mill.queue(messages, env, ctx)).toBe(false);
    const result = await getQueueResult(messages, ctx);
    expect(result).toMatchObject({ ackAll: false, explicitAcks: [], retryMessages: [] });
    expect(result.retryBatch.retry).toBe(false);
  });

  it("acknowledges only its own messages of a mixed batch", async () => {
    const messages = batch({ kind: "order" }, ticket("mixed"), { kind: "order" });
    const ctx = createExecutionContext();
    expect(await mill.queue(messages, env, ctx)).toBe(true);
    expect(await getQueueResult(messages, ctx)).toMatchObject({ explicitAcks: ["1"], retryMessages: [] });
  });

  it("makes nothing of a ticket for a queue that was never used", async () => {
    const ctx = createExecutionContext();
    await mill.queue(batch(ticket("never-used")), env, ctx);
    await waitOnExecutionContext(ctx);
    expect(await object("never-used").describe()).toBeNull();
  });

  it("does nothing twice with doubled tickets", async () => {
    const { id } = await client().enqueue("echo", 1, { queue: "doubled" });
    const ctx = createExecutionContext();
    const ours = [ticket("doubled"), ticket("doubled"), ticket("doubled")];
    await Promise.all([mill.queue(batch(...ours), env, ctx), mill.queue(batch(...ours), env, ctx)]);
    await waitOnExecutionContext(ctx);
    await until(async () => (await job(id)).state === "completed");
    expect((await job(id)).attempts).toHaveLength(1);
  });
});

describe("a consumer whose object cannot be reached", () => {
  const logged: { event: string }[] = [];
  const consumer = (stub: () => QueueRpc) =>
    createConsumer<unknown>({
      config: readConfig({ tasks: TASKS }),
      stub,
      local: () => false,
      log: (_level, event) => logged.push({ event }),
    });

  it("never throws, acknowledges, and gives up when its lease would be over", async () => {
    const clock = stopClock();
    const broken = consumer(() => {
      clock.advance(20_000);
      throw new Error("Durable Object reset because its code was updated");
    });
    const messages = batch(ticket("away"));
    const ctx = createExecutionContext();
    expect(await broken(messages, {}, ctx)).toBe(true);
    expect(await getQueueResult(messages, ctx)).toMatchObject({ explicitAcks: ["0"] });
    expect(logged).toContainEqual({ event: "session_troubled" });
  });

  it("loses nothing when answers are lost: what it was given comes again, and is settled once", async () => {
    const stub = env.FAULTY.getByName("lossy:0") as unknown as Stub;
    const jobs: [number, string][] = [[0, '"kept"']];
    await stub.enqueue({ templates: [template()], jobs, requestId: null, idempotency: null });
    const exchanged: number[] = [];
    const lossy = consumer(
      () =>
        ({
          async exchange(input: ExchangeInput) {
            const reply = await stub.exchange(input);
            exchanged.push(input.n);
            if (exchanged.filter((n) => n === input.n).length === 1) throw new Error("Network connection lost");
            return reply;
          },
        }) as unknown as QueueRpc,
    );
    await lossy(batch(ticket("lossy")), {}, createExecutionContext());
    expect(exchanged.filter((n) => n === 1)).toHaveLength(2);
    const ended = { state: "completed", result: '"kept"', failures: 0, lapses: 0, fence: 2 };
    expect(await stub.get(1)).toMatchObject(ended);
  });

  it("whose sessions die holding a job five times leaves it dead, and its neighbours done", async () => {
    const clock = stopClock();
    const stub = env.FAULTY.getByName("deadly:0") as unknown as Stub;
    const input = { templates: [template()], requestId: null, idempotency: null };
    await stub.enqueue({ ...input, jobs: [[0, '"kills"']] });
    let given = 0;
    for (let round = 0; round < 12 && given < 5; round++) {
      const reply = await stub.exchange({
        ...{ session: `dies-${round}`, n: 1, worker: { name: "w", runtime: "test" }, channel: null, want: 5 },
        ...{ holding: [], settle: [], progress: [] },
      });
      if (reply.ok && reply.jobs !== "[]") given += 1;
      clock.advance(20 * 60_000);
      await runDurableObjectAlarm(stub);
      await runDurableObjectAlarm(stub);
    }
    expect(given).toBe(5);
    expect(await stub.get(1)).toMatchObject({ state: "dead", reason: "crashed", lapses: 5, failures: 0 });
    await stub.enqueue({ ...input, jobs: [[0, '"fine"']] });
    await consumer(() => stub)(batch(ticket("deadly")), {}, createExecutionContext());
    expect(await stub.get(2)).toMatchObject({ state: "completed" });
  });
});
