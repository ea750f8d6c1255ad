import { describe, expect, it } from "vitest";
import { ENTRY_BODY, ENTRY_KEYS } from "../../../client/wire.ts";
import { readJob } from "../../../worker/history/read.ts";
import { createHistory } from "../../../worker/history/write.ts";
import { bodyOf, countRows, db, freshDatabase, metered, NOW, record } from "./support.ts";

freshDatabase();

const thousand = (fence: number) => Array.from({ length: 1_000 }, (_, index) => record({ seq: index + 1, fence }));

function write(records: string[], on: D1Database = db) {
  return createHistory(on).write({ queue: "mail", partition: 0, records, deletes: [], rollup: null });
}

describe("rows written", () => {
  it("are one a completed job, and none when the same comes again", async () => {
    const first = metered();
    await write([bodyOf(thousand(2))], first.db);
    expect(first.rowsWritten()).toBe(1_000);

    const again = metered();
    await write([bodyOf(thousand(2))], again.db);
    expect(again.rowsWritten()).toBe(0);
    expect(await countRows("history")).toBe(1_000);
  });

  it("are two a dead job: the row and its place in the index", async () => {
    const meter = metered();
    await write([bodyOf(thousand(2).map((job) => ({ ...job, state: "dead" as const })))], meter.db);
    expect(meter.rowsWritten()).toBe(2_000);
  });

  it("are one more a flush for its counts", async () => {
    const meter = metered();
    await createHistory(meter.db).write({
      queue: "mail",
      partition: 0,
      records: [bodyOf(thousand(2).slice(0, 500)), bodyOf(thousand(2).slice(500))],
      deletes: [],
      rollup: { after: 0, upto: 2, body: {} },
    });
    expect(meter.rowsWritten()).toBe(1_001);
  });
});

describe("a record", () => {
  it("comes back as it went in", async () => {
    const whole = record({
      seq: 4_294_967_296,
      fence: 9,
      task: "video.encode",
      state: "dead",
      reason: "exhausted",
      priority: -5,
      failures: 3,
      lapses: 1,
      payload: JSON.stringify({ text: "\u0000 \ud800 ü 👋 ' \" \\ \n" }),
      result: null,
      error: JSON.stringify({ name: "TypeError", message: "no", stack: null }),
      progress: '{"percent":40,"note":null}',
      attempts: "[[1,2,3,4,null,null]]",
      cancelRequestedAt: NOW + 1,
      startedAt: null,
    });
    await write([bodyOf([whole])]);
    expect(await readJob(db, "mail", 0, whole.seq)).toEqual(whole);
    expect(await readJob(db, "mail", 1, whole.seq)).toBeNull();
  });

  it("has a column for each key, and a place in the body for each other field", async () => {
    const { results } = await db.prepare("SELECT name FROM pragma_table_info('history')").all<{ name: string }>();
    const columns = ENTRY_KEYS.map((key) => key.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`));
    expect(results.map((row) => row.name)).toEqual(["queue", "partition", ...columns, "body", "logs"]);
    expect([...ENTRY_KEYS, ...ENTRY_BODY].sort()).toEqual(Object.keys(record({ seq: 1 })).sort());
  });

  it("wins by fence, in whatever order the forms arrive", async () => {
    const forms = [2, 5, 3].map((fence) => record({ seq: 1, fence, state: fence === 5 ? "dead" : "completed" }));
    for (const form of forms) await write([bodyOf([form])]);
    expect(await readJob(db, "mail", 0, 1)).toMatchObject({ fence: 5, state: "dead" });
    await write([bodyOf([record({ seq: 1, fence: 7 }), record({ seq: 1, fence: 6, state: "cancelled" })])]);
    expect(await readJob(db, "mail", 0, 1)).toMatchObject({ fence: 7, state: "completed" });
  });
});

describe("deletes", () => {
  it("forget rows up to their fence, and newer forms stay", async () => {
    await write([bodyOf([1, 2, 3].map((seq) => record({ seq, fence: 4 })))]);
    const deletes: [number, number][] = [
      [1, 3],
      [2, 4],
      [3, 9],
      [99, 1],
    ];
    await createHistory(db).write({ queue: "mail", partition: 0, records: [], deletes, rollup: null });
    expect(await readJob(db, "mail", 0, 1)).not.toBeNull();
    expect(await readJob(db, "mail", 0, 2)).toBeNull();
    expect(await readJob(db, "mail", 0, 3)).toBeNull();
  });

  it("of the same batch come after its records", async () => {
    const batch = { queue: "mail", partition: 0, records: [bodyOf([record({ seq: 1, fence: 2 })])], rollup: null };
    await createHistory(db).write({ ...batch, deletes: [[1, 3]] });
    expect(await countRows("history")).toBe(0);
  });

  it("leave other queues and partitions alone", async () => {
    const history = createHistory(db);
    const records = [bodyOf([record({ seq: 1 })])];
    await history.write({ queue: "mail", partition: 0, records, deletes: [], rollup: null });
    await history.write({ queue: "mail", partition: 1, records, deletes: [], rollup: null });
    await history.write({ queue: "mail", partition: 1, records: [], deletes: [[1, 9]], rollup: null });
    await history.write({ queue: "post", partition: 0, records: [], deletes: [[1, 9]], rollup: null });
    expect(await history.read("mail", 0, 1)).not.toBeNull();
    expect(await history.read("mail", 1, 1)).toBeNull();
  });
});

describe("a batch", () => {
  it("of nothing does nothing", async () => {
    await expect(write([])).resolves.toBeUndefined();
  });

  it("is applied whole or not at all", async () => {
    await expect(write([bodyOf([record({ seq: 1 })]), "not JSON"])).rejects.toThrow();
    expect(await countRows("history")).toBe(0);
  });

  it("with a text over 1.9 MB is refused before D1 sees it", async () => {
    const payload = JSON.stringify("ü".repeat(960_000));
    await expect(write([bodyOf([record({ seq: 1, payload })])])).rejects.toThrow(RangeError);
    const fits = JSON.stringify("ü".repeat(900_000));
    await expect(write([bodyOf([record({ seq: 1, payload: fits })])])).resolves.toBeUndefined();
  });
});

describe("a database that fills up", () => {
  const both = [record({ seq: 1 }), record({ seq: 2, state: "dead", result: null })];

  /** Writes twice, as the first write is what tells how full D1 is. */
  async function writeAt(fullness: number) {
    const { meta } = await db.prepare("SELECT 1").run();
    const history = createHistory(db, { maxBytes: meta.size_after / fullness });
    await history.write({
      queue: "mail",
      partition: 0,
      records: [bodyOf([record({ seq: 9 })])],
      deletes: [],
      rollup: null,
    });
    await history.write({ queue: "mail", partition: 0, records: [bodyOf(both)], deletes: [], rollup: null });
    expect(history.fullness()).toBeCloseTo(fullness, 1);
  }

  it("keeps payloads below 90 %", async () => {
    await writeAt(0.85);
    expect(await readJob(db, "mail", 0, 1)).toMatchObject({ payload: both[0]!.payload, result: "true" });
  });

  it("keeps no payload of completed jobs beyond, and says so", async () => {
    await writeAt(0.92);
    expect(await readJob(db, "mail", 0, 1)).toMatchObject({ payload: null, result: null, encoding: "dropped" });
    expect(await readJob(db, "mail", 0, 2)).toMatchObject({ payload: both[1]!.payload, encoding: "json" });
  });

  it("keeps no payload at all beyond 95 %", async () => {
    await writeAt(0.97);
    expect(await readJob(db, "mail", 0, 2)).toMatchObject({ payload: null, encoding: "dropped", state: "dead" });
  });
});
