import { describe, expect, it } from "vitest";
import { groupErrors } from "../../../worker/history/errors.ts";
import { db, freshDatabase, MINUTE, NOW, record, store } from "./support.ts";

freshDatabase();

const input = { queue: null, states: ["dead" as const], from: null, to: null, limit: 50 };
const error = (fingerprint: string, message: string) =>
  JSON.stringify({ name: "TypeError", message, stack: null, fingerprint });

function dead(seq: number, fields: Parameters<typeof record>[0] extends infer R ? Partial<R> : never = {}) {
  return record({
    seq,
    state: "dead",
    reason: "exhausted",
    error: error("aa", `no user ${seq}`),
    finishedAt: NOW + seq,
    ...fields,
  });
}

describe("groups of errors", () => {
  it("hold count, times, tasks, the latest message and the latest examples, the largest group first", async () => {
    await store("mail", [
      ...[1, 2, 3, 4, 5, 6, 7].map((seq) => dead(seq, { task: seq % 2 ? "odd" : "even" })),
      dead(8, { error: error("bb", "timeout") }),
      dead(9, { state: "cancelled", error: error("cc", "stopped") }),
      record({ seq: 10 }),
    ]);
    await store("hooks", [dead(1, { error: error("bb", "timeout 2"), finishedAt: NOW + MINUTE })]);
    const { items, complete } = await groupErrors(db, input);
    expect(complete).toBe(true);
    expect(items).toEqual([
      {
        fingerprint: "aa",
        name: "TypeError",
        message: "no user 7",
        count: 7,
        first: new Date(NOW + 1).toISOString(),
        last: new Date(NOW + 7).toISOString(),
        tasks: ["even", "odd"],
        examples: [7, 6, 5, 4, 3].map((seq) => `mail:0:${seq}`),
      },
      expect.objectContaining({
        fingerprint: "bb",
        count: 2,
        message: "timeout 2",
        examples: ["hooks:0:1", "mail:0:8"],
      }),
    ]);
    expect((await groupErrors(db, { ...input, queue: "hooks" })).items).toMatchObject([{ count: 1 }]);
    expect((await groupErrors(db, { ...input, states: ["dead", "cancelled"] })).items).toHaveLength(3);
    expect((await groupErrors(db, { ...input, from: NOW + 8, to: NOW + MINUTE })).items).toMatchObject([{ count: 1 }]);
    expect(await groupErrors(db, { ...input, limit: 1 })).toMatchObject({ complete: false, items: [{ count: 7 }] });
  });

  it("say in words what no error tells", async () => {
    const old = JSON.stringify({ name: "Error", message: "of an earlier attempt", stack: null, fingerprint: "dd" });
    await store("mail", [
      dead(1, { reason: "crashed", error: old }),
      dead(2, { reason: "crashed", error: null }),
      dead(3, { reason: "unknown_task", error: null }),
      dead(4, { error: JSON.stringify({ name: "Error", message: "from before", stack: null }) }),
      dead(5, { reason: null, error: null }),
    ]);
    const { items } = await groupErrors(db, input);
    const words = Object.fromEntries(items.map(({ fingerprint, name, message }) => [fingerprint, [name, message]]));
    expect(words).toEqual({
      crashed: ["crashed", expect.stringContaining("fell silent")],
      unknown_task: ["unknown_task", expect.any(String)],
      exhausted: ["Error", "from before"],
      none: ["none", expect.any(String)],
    });
  });

  it("are those of the latest 10,000 jobs, and say so", async () => {
    await store(
      "mail",
      Array.from({ length: 10_500 }, (_, seq) => dead(seq + 1)),
    );
    const { items, complete } = await groupErrors(db, input);
    expect(complete).toBe(false);
    expect(items).toMatchObject([{ count: 10_000, examples: expect.arrayContaining(["mail:0:10500"]) }]);
  });

  it("read 64 MiB of records at most", async () => {
    const payload = JSON.stringify("x".repeat(900_000));
    for (let seq = 1; seq <= 80; seq++) await store("mail", [dead(seq, { payload })]);
    const { items, complete } = await groupErrors(db, input);
    expect(complete).toBe(false);
    expect(items[0]!.count).toBeGreaterThan(60);
    expect(items[0]!.count).toBeLessThan(80);
  });

  it("read the index of what did not complete, and sort nothing of the whole", async () => {
    const plans: string[] = [];
    const explaining = {
      prepare: (query: string) => db.prepare(`EXPLAIN QUERY PLAN ${query}`),
      batch: async (statements: D1PreparedStatement[]) => {
        for (const { results } of await db.batch<{ detail: string }>(statements)) {
          plans.push(results.map(({ detail }) => detail).join("\n"));
        }
        throw new Error("only looked");
      },
    } as unknown as D1Database;
    await expect(groupErrors(explaining, input)).rejects.toThrow("only looked");
    expect(plans).toHaveLength(2);
    for (const plan of plans) {
      expect(plan).toMatch(
        /SEARCH history USING (COVERING )?INDEX history_not_completed \(finished_at>\? AND finished_at<\?\)/,
      );
      expect(plan).toMatch(/SEARCH h USING PRIMARY KEY \(queue=\? AND partition=\? AND seq=\?\)/);
      expect(plan).not.toMatch(/SCAN (history|h)\b/);
    }
  });
});
