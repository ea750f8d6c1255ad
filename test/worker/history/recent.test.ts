import { describe, expect, it } from "vitest";
import type { FinalState } from "../../../client/types.ts";
import { type FinishedCursor, type FinishedListInput, listFinished } from "../../../worker/history/recent.ts";
import { register } from "../../../worker/history/registry.ts";
import { db, freshDatabase, NOW, randomOf, record, store } from "./support.ts";

freshDatabase();

const ALL: FinishedListInput = { states: null, task: null, tag: null, from: null, to: null, cursor: null, limit: 50 };

/** Every page to the end: ids and finish times. */
async function listAll(input: Partial<FinishedListInput>): Promise<{ ids: string[]; times: number[]; pages: number }> {
  const ids: string[] = [];
  const times: number[] = [];
  let cursor: FinishedCursor | null = null;
  for (let pages = 1; ; pages++) {
    const page = await listFinished(db, { ...ALL, ...input, cursor });
    expect(page.items.length).toBeLessThanOrEqual(input.limit ?? ALL.limit);
    ids.push(...page.items.map((item) => `${item.queue}:${item.record.seq}`));
    times.push(...page.items.map((item) => item.record.finishedAt!));
    if (page.nextCursor === null) return { ids, times, pages };
    cursor = page.nextCursor;
  }
}

async function storeIn(queue: string, jobs: [seq: number, finishedAt: number, state?: FinalState][]): Promise<void> {
  await register(db, queue, 0, NOW);
  const records = jobs.map(([seq, finishedAt, state = "completed"]) => record({ seq, finishedAt, state }, [state]));
  await store(queue, records);
}

describe("the list over all queues", () => {
  it("is newest finished first, ties by queue and seq", async () => {
    await storeIn("mail", [
      [1, NOW + 5],
      [2, NOW + 3, "dead"],
      [3, NOW + 3],
    ]);
    await storeIn("post", [
      [1, NOW + 3],
      [2, NOW + 9, "cancelled"],
    ]);
    expect((await listAll({})).ids).toEqual(["post:2", "mail:1", "post:1", "mail:3", "mail:2"]);
    const [first] = (await listFinished(db, { ...ALL, limit: 1 })).items;
    expect(first).toEqual({
      queue: "post",
      partition: 0,
      record: record({ seq: 2, finishedAt: NOW + 9, state: "cancelled" }, ["cancelled"]),
    });
  });

  it("shows each job once and in order whatever the page size, with many ties", async () => {
    const random = randomOf(3);
    const states: FinalState[] = ["completed", "dead", "cancelled"];
    const expected: string[] = [];
    for (const queue of ["a", "b", "c"]) {
      const jobs = Array.from({ length: 60 }, (_, index): [number, number, FinalState] => {
        expected.push(`${queue}:${index + 1}`);
        return [index + 1, NOW + Math.floor(random() * 4), states[Math.floor(random() * 3)]!];
      });
      await storeIn(queue, jobs);
    }
    const whole = await listAll({ limit: 200 });
    expect(whole.ids.toSorted()).toEqual(expected.toSorted());
    expect(whole.times).toEqual(whole.times.toSorted((a, b) => b - a));
    for (const limit of [1, 7, 50]) expect((await listAll({ limit })).ids).toEqual(whole.ids);
  });

  it("keeps to its filters", async () => {
    await storeIn("mail", [
      [1, NOW + 1],
      [2, NOW + 2, "dead"],
      [3, NOW + 3, "cancelled"],
      [4, NOW + 4],
    ]);
    expect((await listAll({ states: ["dead", "cancelled"] })).ids).toEqual(["mail:3", "mail:2"]);
    expect((await listAll({ states: ["dead"] })).ids).toEqual(["mail:2"]);
    expect((await listAll({ states: ["completed"] })).ids).toEqual(["mail:4", "mail:1"]);
    expect((await listAll({ states: ["completed", "dead"] })).ids).toEqual(["mail:4", "mail:2", "mail:1"]);
    expect((await listAll({ states: [] })).ids).toEqual([]);
    expect((await listAll({ from: NOW + 2, to: NOW + 4 })).ids).toEqual(["mail:3", "mail:2"]);
    expect((await listAll({ tag: "dead" })).ids).toEqual(["mail:2"]);
    expect((await listAll({ task: "other" })).ids).toEqual([]);
  });

  it("reaches all that did not complete, by the index, in bounded pages", async () => {
    const jobs = Array.from({ length: 12_000 }, (_, i): [number, number, FinalState] => [
      i + 1,
      NOW + i,
      i === 0 ? "cancelled" : "dead",
    ]);
    await storeIn("mail", jobs);
    const { ids, pages } = await listAll({ states: ["cancelled"] });
    expect(ids).toEqual(["mail:1"]);
    expect(pages).toBe(2);
    const plan = await db
      .prepare(
        `EXPLAIN QUERY PLAN SELECT 1 FROM history INDEXED BY history_not_completed WHERE state <> 'completed'
       AND finished_at <= coalesce(?1, 9e15) AND finished_at >= coalesce(?2, 0)
       ORDER BY finished_at DESC, queue DESC, partition DESC, seq DESC`,
      )
      .bind(null, null)
      .all<{ detail: string }>();
    expect(plan.results.map((row) => row.detail).join()).not.toContain("TEMP B-TREE");
  });

  it("shows nothing older than where one of its searches stopped, so that what it finds later still fits in", async () => {
    await register(db, "mail", 0, NOW);
    const newest = Array.from({ length: 10_500 }, (_, i) => record({ seq: i + 1, state: "dead", finishedAt: NOW + 9 }));
    const rare = (seq: number, finishedAt: number, state: FinalState) =>
      record({ seq, finishedAt, state, task: "rare" });
    await store("mail", [...newest, rare(20_001, NOW + 1, "completed"), rare(20_002, NOW + 2, "dead")]);
    expect((await listAll({ task: "rare" })).ids).toEqual(["mail:20002", "mail:20001"]);
  });

  it("looks for completed jobs among the latest accepted of each queue only", async () => {
    const jobs = Array.from({ length: 10_500 }, (_, i): [number, number] => [i + 1, NOW + i]);
    await storeIn(
      "mail",
      jobs.map(([seq, at]): [number, number] => [seq, seq === 1 ? NOW + 99_999 : at]),
    );
    await storeIn("post", [[1, NOW]]);
    const { ids } = await listAll({ states: ["completed"], limit: 200 });
    expect(ids).toHaveLength(10_001);
    expect(ids[0]).toBe("mail:10500");
    expect(ids.at(-1)).toBe("post:1");
  });
});
