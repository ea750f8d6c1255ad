import { runDurableObjectAlarm } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { FollowUps } from "../../client/wire.ts";
import { faults } from "../support/runtime-worker.ts";
import { alarmAt, enqueue, freshWorld, queueObject, rows, stopClock, template, until, worker } from "./support.ts";

freshWorld();

const followUps = (queue: string, count = 1): FollowUps => ({
  queue,
  partition: 0,
  templates: [template({ task: "child" })],
  jobs: Array.from({ length: count }, (_, index): [number, string] => [0, String(index)]),
});

/** Completes the next job of `mail` with these follow-up jobs. */
async function complete(...groups: FollowUps[]): Promise<void> {
  const mail = queueObject("mail");
  await enqueue(mail);
  const { exchange } = worker(mail);
  const { jobs } = await exchange({ want: 1 });
  await exchange({ settle: [{ ...jobs[0]!, outcome: "completed", enqueue: groups }] });
}

const waiting = async () =>
  (await rows(queueObject("mail"), "SELECT queue FROM outgoing ORDER BY id")).map((r) => r.queue);
const arrived = async (queue: string): Promise<number> => {
  const { items } = await queueObject(queue).list({
    ...{ beforeSeq: null, limit: 100, states: null, task: null, tag: null, from: null, to: null },
  });
  return items.length;
};

describe("follow-up jobs for other queues", () => {
  it("are delivered at once, and leave nothing behind", async () => {
    await complete(followUps("one", 3), followUps("two"));
    await until(async () => (await waiting()).length === 0);
    expect([await arrived("one"), await arrived("two")]).toEqual([3, 1]);
    const { items } = await queueObject("one").list({
      ...{ beforeSeq: null, limit: 1, states: null, task: null, tag: null, from: null, to: null },
    });
    expect(JSON.parse(items[0]!.options)).toMatchObject({ parent: "mail:0:1" });
  });

  it("arrive once though every answer is lost at first, and the object is cut off meanwhile", async () => {
    let lost = 0;
    faults.deliver = async (_, real) => {
      await real();
      lost += 1;
      if (lost <= 2) throw new Error("Network connection lost");
      return real();
    };
    await complete(followUps("one", 2));
    await until(async () => lost >= 1);
    expect(await waiting()).toEqual(["one"]);
    await until(async () => (await waiting()).length === 0, 15_000);
    expect(lost).toBe(3);
    expect(await arrived("one")).toBe(2);
    const { metrics } = (await queueObject("mail").describe())!;
    expect(metrics).toMatchObject({ followUpsDelivered: 2, followUpsRefused: 0 });
  });

  it("wait for a queue that does not answer, longer each time, and hold up no other", async () => {
    const clock = stopClock();
    let tries = 0;
    faults.deliver = (to, real) => {
      if (to !== "away") return real();
      tries += 1;
      return Promise.reject(new Error("overloaded"));
    };
    await complete(followUps("away"), followUps("one"));
    await until(async () => (await arrived("one")) === 1 && tries === 1);
    await complete(followUps("away"), followUps("one"));
    await until(async () => (await arrived("one")) === 2);
    expect(tries).toBe(1);
    for (const [seconds, expected] of [
      [1, 2],
      [2, 3],
      [4, 4],
    ] as const) {
      clock.advance(seconds * 1_000);
      await runDurableObjectAlarm(queueObject("mail"));
      await until(() => tries === expected);
      const alarm = await alarmAt(queueObject("mail"));
      expect(alarm! - Date.now()).toBeLessThanOrEqual(seconds * 2_000 + 10);
    }
    expect(await waiting()).toEqual(["away", "away"]);
    faults.deliver = null;
    clock.advance(8_000);
    await runDurableObjectAlarm(queueObject("mail"));
    await until(async () => (await waiting()).length === 0);
    expect(await arrived("away")).toBe(2);
    expect(faults.logged.filter(({ event }) => event === "followups_failed")).toHaveLength(4);
  });

  it("that can never be taken are dropped, and said to be", async () => {
    faults.deliver = async () => [{ ok: false, code: "invalid_request", detail: "too many" }];
    await complete(followUps("one", 2));
    await until(async () => (await waiting()).length === 0);
    const refused = faults.logged.filter(({ event }) => event === "followup_refused");
    expect(refused).toMatchObject([
      { level: "error", queue: "mail", to: "one:0", source: "mail:0:1/1/1", jobs: 2, code: "invalid_request" },
    ]);
    expect((await queueObject("mail").describe())!.metrics.followUpsRefused).toBe(2);
  });

  it("cost few rows: one each to leave and to be gone, one to be known again, whatever their number", async () => {
    const before = queueObject("mail");
    await enqueue(before);
    await enqueue(queueObject("one"));
    const held = worker(before);
    const { jobs } = await held.exchange({ want: 1 });
    faults.rowsWritten = 0;
    await held.exchange({ settle: [{ ...jobs[0]!, outcome: "completed", enqueue: [followUps("one", 100)] }] });
    await until(async () => (await waiting()).length === 0);
    // The completion: outbox, job, session. Each job: its row and its place in line.
    expect(faults.rowsWritten).toBeLessThanOrEqual(3 + 2 + 1 + 2 * 100 + 2);
  });
});
