import { describe, expect, it } from "vitest";
import type { JobRecord } from "../../../client/wire.ts";
import { listQueueHistory, type QueueListInput, SCAN_ROWS } from "../../../worker/history/read.ts";
import { DAY, db, freshDatabase, HOUR, NOW, record, store } from "./support.ts";

freshDatabase();

const ALL: QueueListInput = {
  queue: "mail",
  partition: 0,
  states: null,
  task: null,
  tag: null,
  from: null,
  to: null,
  beforeSeq: null,
  limit: 50,
};

/** Every page to the end. */
async function listAll(input: Partial<QueueListInput>): Promise<{ items: JobRecord[]; pages: number }> {
  const items: JobRecord[] = [];
  let beforeSeq: number | null = null;
  for (let pages = 1; ; pages++) {
    const page = await listQueueHistory(db, { ...ALL, ...input, beforeSeq });
    items.push(...page.items);
    if (page.scannedTo === null) return { items, pages };
    beforeSeq = page.scannedTo;
  }
}

const seqs = (items: JobRecord[]) => items.map((item) => item.seq);

describe("the list of a queue", () => {
  it("is newest accepted first, in pages without gaps or repeats", async () => {
    await store(
      "mail",
      Array.from({ length: 7 }, (_, index) => record({ seq: index + 1 })),
    );
    await store("post", [record({ seq: 100 })]);
    const { items, pages } = await listAll({ limit: 3 });
    expect(seqs(items)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    expect(pages).toBe(3);
    expect(items[0]).toEqual(record({ seq: 7 }));
  });

  it("is empty for a queue without history", async () => {
    expect(await listAll({})).toEqual({ items: [], pages: 1 });
  });

  it("keeps to every filter at once", async () => {
    await store("mail", [
      record({ seq: 1, task: "a", state: "dead", createdAt: NOW }, ["nightly"]),
      record({ seq: 2, task: "a", state: "completed", createdAt: NOW + 1 }, ["nightly", "x%'\""]),
      record({ seq: 3, task: "b", state: "cancelled", createdAt: NOW + 2 }, ["nightl"]),
      record({ seq: 4, task: "a", state: "dead", createdAt: NOW + 3 }),
    ]);
    const found = async (filter: Partial<QueueListInput>) => seqs((await listAll(filter)).items);
    expect(await found({ states: ["dead"] })).toEqual([4, 1]);
    expect(await found({ states: ["dead", "cancelled"] })).toEqual([4, 3, 1]);
    expect(await found({ states: ["completed", "cancelled"] })).toEqual([3, 2]);
    expect(await found({ states: [] })).toEqual([]);
    expect(await found({ task: "a" })).toEqual([4, 2, 1]);
    expect(await found({ tag: "nightly" })).toEqual([2, 1]);
    expect(await found({ tag: "x%'\"" })).toEqual([2]);
    expect(await found({ tag: "night%" })).toEqual([]);
    expect(await found({ from: NOW + 1, to: NOW + 3 })).toEqual([3, 2]);
    expect(await found({ states: ["dead"], tag: "nightly", task: "a", from: NOW, to: NOW + 1 })).toEqual([1]);
  });

  it("looks at 10,000 rows a page, and goes on where it stopped", async () => {
    const rare = (seq: number) => (seq === 1 || seq === 12_000 ? "rare" : "greet");
    await store(
      "mail",
      Array.from({ length: 2 * SCAN_ROWS + 5 }, (_, i) => record({ seq: i + 1, task: rare(i + 1) })),
    );
    const first = await listQueueHistory(db, { ...ALL, task: "rare" });
    expect(first).toMatchObject({ items: [{ seq: 12_000 }], scannedTo: SCAN_ROWS + 6 });
    const { items, pages } = await listAll({ task: "rare" });
    expect(seqs(items)).toEqual([12_000, 1]);
    expect(pages).toBe(3);
  });

  it("finds the few dead among many completed in one page", async () => {
    const dead = (seq: number) => (seq === 3 || seq === 15_000 ? "dead" : "completed");
    await store(
      "mail",
      Array.from({ length: 20_000 }, (_, i) => record({ seq: i + 1, state: dead(i + 1) })),
    );
    await store("post", [record({ seq: 4, state: "dead" })]);
    const { items, pages } = await listAll({ states: ["dead"] });
    expect(seqs(items)).toEqual([15_000, 3]);
    expect(pages).toBe(1);
  });

  it("does not walk on where all is older than asked for", async () => {
    const jobs = Array.from({ length: 3 * SCAN_ROWS }, (_, i) => record({ seq: i + 1, createdAt: NOW + i }));
    await store("mail", [...jobs, record({ seq: 99_999, createdAt: NOW + DAY })]);
    const { items, pages } = await listAll({ from: NOW + HOUR + 2 * 3 * SCAN_ROWS });
    expect(seqs(items)).toEqual([99_999]);
    expect(pages).toBe(1);
  });
});
