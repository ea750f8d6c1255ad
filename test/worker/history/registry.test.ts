import { describe, expect, it } from "vitest";
import { checkHistory } from "../../../worker/history/health.ts";
import {
  getQueue,
  isRegistered,
  listQueues,
  markPaused,
  overdueQueues,
  recordPoke,
  register,
} from "../../../worker/history/registry.ts";
import { db, freshDatabase, HOUR, MINUTE, NOW } from "./support.ts";

freshDatabase();

const at = (ms: number) => new Date(ms).toISOString();
const overdue = async (now: number, limit?: number) => (await overdueQueues(db, now, limit)).map((key) => key.queue);

describe("the registry", () => {
  it("knows a queue from its first registration on, which later ones do not change", async () => {
    await register(db, "mail", 0, NOW);
    await register(db, "mail", 0, NOW + 5);
    await register(db, "mail", 1, NOW + 3);
    expect(await getQueue(db, "mail")).toEqual({ name: "mail", partitions: 2, paused: false, updatedAt: at(NOW + 3) });
    expect(await getQueue(db, "post")).toBeNull();
    expect(await isRegistered(db, "mail", 1)).toBe(true);
    expect(await isRegistered(db, "mail", 2)).toBe(false);
  });

  it("lists queues by name in pages", async () => {
    for (const name of ["c", "a", "b"]) await register(db, name, 0, NOW);
    const first = await listQueues(db, { cursor: null, limit: 2 });
    expect(first.items.map((queue) => queue.name)).toEqual(["a", "b"]);
    const second = await listQueues(db, { cursor: first.nextCursor, limit: 2 });
    expect(second).toMatchObject({ items: [{ name: "c" }], nextCursor: null });
  });

  it("notes pauses, and when they changed", async () => {
    await register(db, "mail", 0, NOW);
    await markPaused(db, "mail", true, NOW + 1);
    await markPaused(db, "mail", true, NOW + 2);
    expect(await getQueue(db, "mail")).toMatchObject({ paused: true, updatedAt: at(NOW + 1) });
    await recordPoke(db, "mail", 0, { nextWakeAt: null, paused: true }, NOW + 3);
    expect(await getQueue(db, "mail")).toMatchObject({ paused: true, updatedAt: at(NOW + 1) });
    await recordPoke(db, "mail", 0, { nextWakeAt: null, paused: false }, NOW + 4);
    expect(await getQueue(db, "mail")).toMatchObject({ paused: false, updatedAt: at(NOW + 4) });
  });
});

describe("whom to poke", () => {
  it("is a new queue after a minute, until it was poked", async () => {
    await register(db, "mail", 0, NOW);
    expect(await overdue(NOW + MINUTE - 1)).toEqual([]);
    expect(await overdue(NOW + MINUTE)).toEqual(["mail"]);
    await recordPoke(db, "mail", 0, null, NOW + MINUTE);
    expect(await overdue(NOW + MINUTE)).toEqual([]);
  });

  it("is one that meant to wake over 30 s ago", async () => {
    await register(db, "mail", 0, NOW);
    await recordPoke(db, "mail", 0, { nextWakeAt: NOW + MINUTE, paused: false }, NOW);
    expect(await overdue(NOW + MINUTE + 29_999)).toEqual([]);
    expect(await overdue(NOW + MINUTE + 30_000)).toEqual(["mail"]);
  });

  it("is every one an hour after its last poke, idle or not", async () => {
    for (const name of ["idle", "later"]) await register(db, name, 0, NOW);
    await recordPoke(db, "idle", 0, { nextWakeAt: null, paused: false }, NOW);
    await recordPoke(db, "later", 0, { nextWakeAt: NOW + 99 * HOUR, paused: false }, NOW + 1);
    expect(await overdue(NOW + HOUR - 1)).toEqual([]);
    expect(await overdue(NOW + HOUR + 1)).toEqual(["idle", "later"]);
  });

  it("is bounded, the longest unpoked first", async () => {
    for (const [index, name] of ["c", "b", "a"].entries()) await register(db, name, 0, NOW + index);
    expect(await overdue(NOW + HOUR, 2)).toEqual(["c", "b"]);
  });
});

describe("the health of the history", () => {
  it("says how full D1 is", async () => {
    const health = await checkHistory(db, { maxBytes: 1_000_000 });
    expect(health.ok).toBe(true);
    if (health.ok) expect(health.fullness).toBeGreaterThan(0);
    expect(await checkHistory(db, { maxBytes: 1 })).toEqual({ ok: true, fullness: 1 });
  });

  it("says what is wrong when a migration is missing", async () => {
    await db.exec("ALTER TABLE queues RENAME COLUMN pruned_to TO gone");
    const health = { ok: false, lacksMigrations: true, detail: expect.stringMatching(/migrations apply.*pruned_to/) };
    expect(await checkHistory(db)).toEqual(health);
  });

  it("does not take every error for a missing migration", async () => {
    const broken = new Error("D1_ERROR: D1 DB is overloaded. no such luck");
    const away = { prepare: () => null, batch: () => Promise.reject(broken) } as unknown as D1Database;
    expect(await checkHistory(away)).toMatchObject({ ok: false, lacksMigrations: false });
  });
});
