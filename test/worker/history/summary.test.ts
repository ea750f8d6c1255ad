import { describe, expect, it } from "vitest";
import { bucketOf } from "../../../durable-objects/engine/rollup.ts";
import { compactRollups } from "../../../worker/history/compact.ts";
import { type SummaryInput, summarise } from "../../../worker/history/summary.ts";
import { cell, counted, DAY, db, freshDatabase, HOUR, MINUTE, NOW, storeRollup } from "./support.ts";

freshDatabase();

const RANGE: SummaryInput = { queue: null, from: NOW - DAY, to: NOW + DAY, by: "hour" };

describe("the summary", () => {
  it("counts by time, task and state, over queues or for one", async () => {
    await storeRollup("mail", 0, 1, counted(NOW, 1));
    await storeRollup("mail", 1, 2, counted(NOW + 30 * MINUTE, 2));
    await storeRollup("mail", 2, 3, { [NOW / MINUTE]: { constructor: { dead: cell(5) } } });
    await storeRollup("post", 0, 1, counted(NOW + HOUR, 4));
    const counts = async (input: Partial<SummaryInput>) =>
      (await summarise(db, { ...RANGE, ...input })).items.map(({ from, task, state, count }) => [
        from,
        task,
        state,
        count,
      ]);

    const five = "2026-11-22T05:00:00.000Z";
    const six = "2026-11-22T06:00:00.000Z";
    expect(await counts({})).toEqual([
      [five, "constructor", "dead", 5],
      [five, "greet", "completed", 3],
      [six, "greet", "completed", 4],
    ]);
    expect(await counts({ queue: "post" })).toEqual([[six, "greet", "completed", 4]]);
    expect(await counts({ queue: "none" })).toEqual([]);
    expect(await counts({ by: "day", queue: "mail" })).toEqual([
      ["2026-11-22T00:00:00.000Z", "constructor", "dead", 5],
      ["2026-11-22T00:00:00.000Z", "greet", "completed", 3],
    ]);
    expect(await counts({ by: "minute", from: NOW + 1 * MINUTE, to: NOW + HOUR })).toEqual([
      ["2026-11-22T05:30:00.000Z", "greet", "completed", 2],
    ]);
  });

  it("merges times: percentiles within 10 %, the largest exactly, nothing measured as null", async () => {
    const run = (ms: number) => cell(1, { run: { [bucketOf(ms)]: 1 }, runMaxMs: ms });
    for (let index = 0; index < 100; index++) {
      await storeRollup("mail", index, index + 1, { [NOW / MINUTE]: { greet: { completed: run((index + 1) * 10) } } });
    }
    const [item] = (await summarise(db, RANGE)).items;
    expect(item!.count).toBe(100);
    expect(Math.abs(item!.run.p50Ms! - 500)).toBeLessThanOrEqual(50);
    expect(Math.abs(item!.run.p95Ms! - 950)).toBeLessThanOrEqual(95);
    expect(item!.run.p99Ms).toBeLessThanOrEqual(1_000);
    expect(item!.run.maxMs).toBe(1_000);
    expect(item!.wait).toEqual({ p50Ms: null, p95Ms: null, p99Ms: null, maxMs: null });
  });

  it("is the same before and after compaction", async () => {
    for (let index = 0; index < 90; index++) {
      await storeRollup("mail", index, index + 1, counted(NOW + index * MINUTE, index + 1));
    }
    const byMinute = await summarise(db, { ...RANGE, by: "minute" });
    const byHour = await summarise(db, RANGE);
    await compactRollups(db, { queue: "mail", partition: 0 }, NOW + 5 * HOUR);
    expect(await summarise(db, { ...RANGE, by: "minute" })).toEqual(byMinute);
    await compactRollups(db, { queue: "mail", partition: 0 }, NOW + 5 * DAY);
    expect(await summarise(db, RANGE)).toEqual(byHour);
    expect((await summarise(db, { ...RANGE, by: "minute" })).items).toHaveLength(2);
  });

  it("takes in what the object has not flushed, and not twice what it flushed meanwhile", async () => {
    await storeRollup("mail", 0, 5, counted(NOW, 5));
    const live = [{ queue: "mail", partition: 0, upto: 5, body: counted(NOW, 3) }];
    await storeRollup("mail", 5, 8, counted(NOW, 3));
    expect((await summarise(db, RANGE, live)).items).toMatchObject([{ count: 8 }]);
  });

  it("pages through many rollups, and says when it stops before the end", async () => {
    const insert = db.prepare(`INSERT INTO rollups SELECT 'mail', 0, value, ?1, ?1, 1, ?2 FROM json_each(?3)`);
    const numbers = (from: number, to: number) => JSON.stringify(Array.from({ length: to - from }, (_, i) => from + i));
    const body = JSON.stringify(counted(NOW, 1));
    await insert.bind(NOW / MINUTE, body, numbers(1, 1_235)).run();
    expect(await summarise(db, RANGE)).toMatchObject({ items: [{ count: 1_234 }], complete: true });
    await insert.bind(NOW / MINUTE, body, numbers(2_000, 23_000)).run();
    expect((await summarise(db, RANGE)).complete).toBe(false);
  });
});
