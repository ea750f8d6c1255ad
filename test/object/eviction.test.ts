import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { QueueDescription } from "../../client/wire.ts";
import {
  countedEnds,
  enqueue,
  evict,
  freshWorld,
  inHistory,
  queueObject,
  rows,
  type Stub,
  stateOf,
  stopClock,
  until,
  workAll,
  worker,
} from "./support.ts";

freshWorld();

/** What must be the same before and after; metrics are counted since the object was loaded. */
async function books(stub: Stub): Promise<Omit<QueueDescription, "metrics">> {
  const { metrics: _, ...description } = (await stub.describe())!;
  return description;
}

describe("between any two calls an eviction loses nothing", () => {
  it("of a job's way through every state", async () => {
    const clock = stopClock();
    const stub = queueObject();
    const step = async (): Promise<void> => {
      const before = { ...(await books(stub)), outboxRows: 0 };
      await evict(stub);
      expect({ ...(await books(stub)), outboxRows: 0 }).toEqual(before);
    };
    await enqueue(stub, 3, { delayMs: 1_000 });
    await step();
    await enqueue(stub, 2, { timeoutMs: 60_000, priority: 5 });
    await step();
    clock.advance(1_000);
    await runDurableObjectAlarm(stub);
    await step();
    const hand = worker(stub);
    const { jobs } = await hand.exchange({ want: 4 });
    expect(jobs.map(({ seq }) => seq)).toEqual([4, 5, 1, 2]);
    await step();
    const [failed, snoozed, completed, kept] = jobs;
    const refused = await hand.exchange({
      settle: [
        { ...failed!, outcome: "failed", error: { name: "Error", message: "no", stack: null } },
        { ...snoozed!, outcome: "snoozed", forMs: 5_000 },
        { ...completed!, outcome: "completed", result: '"done"' },
      ],
      holding: [[kept!.seq, kept!.fence]],
      progress: [{ ...kept!, progress: { percent: 50, note: "half" } }],
    });
    expect(refused.refused).toEqual([]);
    await step();
    await stub.cancel(kept!.seq);
    await step();
    const told = await hand.exchange({ holding: [[kept!.seq, kept!.fence]] });
    expect(told.cancel).toEqual([kept!.seq]);
    await step();
    await stub.pause("for now");
    await stub.configure({ slots: 2, concurrency: 7 });
    await step();
    await hand.exchange({ settle: [{ ...kept!, outcome: "released" }] });
    await step();
    expect(await stub.get(kept!.seq)).toMatchObject({ state: "cancelled", progress: '{"percent":50,"note":"half"}' });
    expect(await stub.get(failed!.seq)).toMatchObject({ state: "scheduled", failures: 1, reason: "retrying" });
    expect(await stub.get(completed!.seq)).toMatchObject({ state: "completed", result: '"done"' });
    expect((await books(stub)).counts).toMatchObject({ scheduled: 2, retrying: 1, ready: 1, running: 0 });
  });

  it("of the line: ids go on, also once the table is empty", async () => {
    const stub = queueObject();
    const seen = new Set<number>();
    for (let round = 0; round < 6; round++) {
      for (const seq of await enqueue(stub, 3)) {
        expect(seen.has(seq)).toBe(false);
        seen.add(seq);
      }
      if (round % 2 === 0) await workAll(stub);
      if (round === 3) await stub.remove(Math.max(...seen));
      await evict(stub);
    }
    await workAll(stub);
    await until(async () => (await stub.describe())?.outboxRows === 0);
    await evict(stub);
    expect(await rows(stub, "SELECT seq FROM jobs")).toEqual([]);
    const [next] = await enqueue(stub);
    expect(next).toBe(Math.max(...seen) + 1);
    // All but the one that was removed.
    await until(async () => (await inHistory()).size === seen.size - 1);
    expect(await countedEnds(stub)).toBe(seen.size - 1);
  });

  it("of what was asked: request ids and idempotency keys answer as before", async () => {
    const stub = queueObject();
    const byRequest = { requestId: crypto.randomUUID() };
    const byKey = { idempotency: { key: "token route key", bodyHash: "abc" } };
    const first = await enqueue(stub, 2, {}, byRequest);
    const second = await enqueue(stub, 1, {}, byKey);
    await evict(stub);
    expect(await enqueue(stub, 2, {}, byRequest)).toEqual(first);
    await workAll(stub);
    await until(async () => (await stub.describe())?.outboxRows === 0);
    await evict(stub);
    expect(await enqueue(stub, 2, {}, byRequest)).toEqual(first);
    expect(await enqueue(stub, 1, {}, byKey)).toEqual(second);
    await expect(enqueue(stub, 1, {}, { idempotency: { key: "token route key", bodyHash: "xyz" } })).rejects.toThrow(
      "used within the last 24 hours with another body",
    );
    expect((await stub.describe())?.counts.ready).toBe(0);
  });

  it("of a session: a lost answer is given again, at the same fence, and settled once", async () => {
    const stub = queueObject();
    await enqueue(stub, 2);
    const session = "a-session";
    const first = await worker(stub, session).exchange({ want: 2 });
    await evict(stub);
    // The answer was lost: the worker repeats n = 1 and holds nothing.
    const again = await worker(stub, session).exchange({ want: 2 });
    expect(again.jobs).toEqual(first.jobs);
    expect(again.jobs).toHaveLength(2);

    const settle = again.jobs.map((job) => ({ ...job, outcome: "completed" as const }));
    const hand = worker(stub, session);
    await hand.exchange({ holding: again.jobs.map(({ seq, fence }) => [seq, fence]) });
    await hand.exchange({ settle });
    await evict(stub);
    // That answer was lost too: another with the same n.
    const repeat = worker(stub, session);
    await repeat.exchange();
    expect(await repeat.exchange({ settle })).toMatchObject({ refused: [], lost: [], jobs: [] });
    expect(await countedEnds(stub)).toBe(2);
    expect(await stateOf(stub, 1)).toBe("completed");
  });

  it("of what was on its way to the history", async () => {
    const stub = queueObject();
    for (let round = 0; round < 4; round++) {
      await enqueue(stub, 100);
      await workAll(stub);
      await evict(stub);
    }
    await runDurableObjectAlarm(stub);
    await stub.poke();
    await until(async () => (await inHistory()).size === 400);
    expect(await countedEnds(stub)).toBe(400);
  });
});
