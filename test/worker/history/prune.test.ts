import { describe, expect, it } from "vitest";
import { retentionAt } from "../../../worker/history/fullness.ts";
import { type PruneResult, pruneHistory } from "../../../worker/history/prune.ts";
import { recordPoke, register } from "../../../worker/history/registry.ts";
import { counted, countRows, DAY, db, freshDatabase, HOUR, NOW, record, store, storeRollup } from "./support.ts";

freshDatabase();

const CONFIGURED = { keepMs: 7 * DAY, keepDeadMs: 30 * DAY };
const prune = (now: number = NOW, fullness: number = 0): Promise<PruneResult> =>
  pruneHistory(db, { now, fullness, retention: () => CONFIGURED });

async function seqs(queue: string = "mail"): Promise<number[]> {
  const { results } = await db
    .prepare("SELECT seq FROM history WHERE queue = ? ORDER BY seq")
    .bind(queue)
    .all<{ seq: number }>();
  return results.map((row) => row.seq);
}

/** A job that was accepted and finished so long before NOW. */
const old = (seq: number, ageMs: number, fields: Partial<Parameters<typeof record>[0]> = {}) =>
  record({ seq, createdAt: NOW - ageMs, finishedAt: NOW - ageMs, ...fields });

describe("prune", () => {
  it("forgets completed jobs after keep, dead and cancelled ones after keepDead", async () => {
    await register(db, "mail", 0, NOW - 40 * DAY);
    await store("mail", [
      old(1, 31 * DAY, { state: "dead" }),
      old(2, 31 * DAY),
      old(3, 29 * DAY, { state: "dead" }),
      old(4, 8 * DAY, { state: "cancelled" }),
      old(5, 8 * DAY),
      old(6, 8 * DAY, { finishedAt: NOW - 6 * DAY }),
      old(7, 6 * DAY),
      old(8, 31 * DAY, { state: "cancelled" }),
    ]);
    expect(await prune()).toEqual({ queues: 1, deletedJobs: 4, more: false });
    expect(await seqs()).toEqual([3, 4, 6, 7]);
  });

  it("asks each queue for its own retention", async () => {
    for (const queue of ["mail", "post"]) {
      await register(db, queue, 0, NOW - DAY);
      await store(queue, [old(1, 2 * HOUR), old(2, 2 * HOUR, { state: "dead" })]);
    }
    const retention = (queue: string) =>
      queue === "mail" ? { keepMs: HOUR, keepDeadMs: DAY } : { keepMs: DAY, keepDeadMs: HOUR };
    await pruneHistory(db, { now: NOW, fullness: 0, retention });
    expect([await seqs("mail"), await seqs("post")]).toEqual([[2], [1]]);
  });

  it("finds what expired behind thousands of rows that are kept", async () => {
    await register(db, "mail", 0, NOW - 40 * DAY);
    const jobs = Array.from({ length: 12_000 }, (_, i) =>
      old(i + 1, 20 * DAY, { state: i < 6_000 ? "dead" : "completed" }),
    );
    await store("mail", [...jobs, old(20_000, DAY)]);
    expect(await prune()).toEqual({ queues: 1, deletedJobs: 6_000, more: false });
    expect(await seqs()).toHaveLength(6_001);
  });

  it("does bounded work a call, goes on where it stopped, and comes to an end", async () => {
    await register(db, "mail", 0, NOW - 40 * DAY);
    await store(
      "mail",
      Array.from({ length: 57_000 }, (_, i) => old(i + 1, 10 * DAY)),
    );
    expect(await prune()).toEqual({ queues: 1, deletedJobs: 50_000, more: true });
    expect(await prune(NOW + 1)).toEqual({ queues: 1, deletedJobs: 7_000, more: false });
    expect(await prune(NOW + 2)).toEqual({ queues: 0, deletedJobs: 0, more: false });
  });

  it("visits a busy queue about once an hour, an idle one once a day, ten queues a call", async () => {
    for (let index = 0; index < 12; index++) await register(db, `q-${index}`, 0, NOW - DAY);
    expect(await prune()).toMatchObject({ queues: 10, more: true });
    expect(await prune()).toMatchObject({ queues: 2, more: false });
    await recordPoke(db, "q-3", 0, { nextWakeAt: NOW + 90 * DAY, paused: false }, NOW);
    expect(await prune(NOW + HOUR - 1)).toMatchObject({ queues: 0 });
    expect(await prune(NOW + HOUR)).toMatchObject({ queues: 1 });
    expect(await prune(NOW + 24 * HOUR)).toMatchObject({ queues: 10 });
  });

  it("keeps rollups few, but the newest of each queue", async () => {
    await register(db, "mail", 0, NOW - DAY);
    for (let index = 0; index < 5; index++) await storeRollup("mail", index, index + 1, counted(NOW - 91 * DAY, 1));
    for (let index = 5; index < 9; index++) await storeRollup("mail", index, index + 1, counted(NOW - 3 * HOUR, 1));
    await prune();
    expect(await countRows("rollups")).toBe(1);
  });
});

describe("a database that fills up", () => {
  it("keeps completed jobs for less, then dead ones", () => {
    expect(retentionAt(0.8, CONFIGURED)).toEqual(CONFIGURED);
    expect(retentionAt(0.85, CONFIGURED).keepMs).toBeCloseTo(3.5 * DAY, -4);
    expect(retentionAt(0.9, CONFIGURED)).toEqual({ keepMs: 0, keepDeadMs: CONFIGURED.keepDeadMs });
    expect(retentionAt(0.95, CONFIGURED).keepDeadMs).toBeCloseTo(15 * DAY, -4);
    expect(retentionAt(1, CONFIGURED)).toEqual({ keepMs: 0, keepDeadMs: 0 });
  });

  it("is pruned early and more often", async () => {
    await register(db, "mail", 0, NOW - DAY);
    await recordPoke(db, "mail", 0, { nextWakeAt: NOW + HOUR, paused: false }, NOW);
    await store("mail", [old(1, HOUR), old(2, HOUR, { state: "dead" })]);
    expect(await prune(NOW, 0.79)).toMatchObject({ deletedJobs: 0 });
    expect(await prune(NOW + 300_000, 0.9)).toMatchObject({ deletedJobs: 1 });
    expect(await seqs()).toEqual([2]);
  });

  it("has room again once it was pruned", async () => {
    await register(db, "mail", 0, NOW - DAY);
    const payload = JSON.stringify("x".repeat(1_000));
    await store(
      "mail",
      Array.from({ length: 3_000 }, (_, i) => old(i + 1, 8 * DAY, { payload })),
    );
    const size = async () => (await db.prepare("SELECT 1").run()).meta.size_after;
    const before = await size();
    await prune();
    expect(await size()).toBeLessThan(before / 2);
  });
});
