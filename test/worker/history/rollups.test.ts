import { describe, expect, it } from "vitest";
import type { Rollup } from "../../../client/wire.ts";
import { compactRollups, dropRollups } from "../../../worker/history/compact.ts";
import { addRollup, emptyRollup } from "../../../worker/history/rollups.ts";
import { createHistory } from "../../../worker/history/write.ts";
import {
  bodyOf,
  cell,
  counted,
  DAY,
  db,
  freshDatabase,
  HOUR,
  MINUTE,
  NOW,
  randomOf,
  record,
  storeRollup,
} from "./support.ts";

freshDatabase();

const KEY = { queue: "mail", partition: 0 };

interface Row {
  upto: number;
  grain_minutes: number;
  from_minute: number;
  to_minute: number;
  body: string;
}

async function rows(): Promise<Row[]> {
  return (await db.prepare("SELECT * FROM rollups WHERE queue = 'mail' ORDER BY upto").all<Row>()).results;
}

async function total(): Promise<number> {
  const sum = emptyRollup();
  for (const row of await rows()) addRollup(sum, JSON.parse(row.body) as Rollup, 525_600);
  return Object.values(sum).reduce((all, tasks) => all + (tasks.greet?.completed?.count ?? 0), 0);
}

/** Outbox row i counts i jobs. */
const jobsIn = (after: number, upto: number) => (upto * (upto + 1) - after * (after + 1)) / 2;
const flush = (after: number, upto: number) => storeRollup("mail", after, upto, counted(NOW, jobsIn(after, upto)));
const refused = /rows up to \d+ are counted/;

describe("the compare-and-set of rollups", () => {
  it("applies a flush once, however often it arrives", async () => {
    for (let time = 0; time < 3; time++) await flush(0, 4);
    expect(await total()).toBe(jobsIn(0, 4));
    expect(await createHistory(db).rollupUpto("mail", 0)).toBe(4);
    expect(await createHistory(db).rollupUpto("mail", 1)).toBe(0);
  });

  it("refuses what is merged with rows that stand already", async () => {
    await flush(0, 4);
    await expect(flush(0, 6)).rejects.toThrow(refused);
    expect(await total()).toBe(jobsIn(0, 4));
    await flush(4, 6);
    expect(await total()).toBe(jobsIn(0, 6));
  });

  it("refuses a late original after its merged resend", async () => {
    await flush(0, 6);
    await expect(flush(0, 4)).rejects.toThrow(refused);
    expect(await total()).toBe(jobsIn(0, 6));
  });

  it("counts every outbox row up to the highest exactly once, for every order of arrival of every duplicate", async () => {
    const random = randomOf(7);
    for (let round = 0; round < 25; round++) {
      await db.exec("DELETE FROM rollups");
      const inFlight: [number, number][] = [];
      let upto = 0;
      for (let step = 0; step < 12; step++) {
        // The object asks what stands before it sends, as after each lost answer; then the network decides.
        const after = await createHistory(db).rollupUpto("mail", 0);
        upto = Math.max(upto, after) + Math.floor(random() * 3);
        if (upto > after) inFlight.push([after, upto]);
        while (inFlight.length > 0 && random() < 0.7) {
          const index = Math.floor(random() * inFlight.length);
          await flush(...inFlight[index]!).catch((error) => expect(String(error)).toMatch(refused));
          if (random() < 0.5) inFlight.splice(index, 1);
        }
        expect(await total()).toBe(jobsIn(0, await createHistory(db).rollupUpto("mail", 0)));
      }
    }
  });

  it("does not mix queues and partitions up", async () => {
    await flush(0, 4);
    await storeRollup("post", 0, 2, counted(NOW, 1));
    expect(await createHistory(db).rollupUpto("post", 0)).toBe(2);
  });

  it("takes the records of a batch whose counts it refuses", async () => {
    await flush(0, 4);
    const records = [bodyOf([record({ seq: 1 })])];
    const rollup = { after: 0, upto: 6, body: counted(NOW, 1) };
    const write = createHistory(db).write({ queue: "mail", partition: 0, records, deletes: [], rollup });
    await expect(write).rejects.toThrow(refused);
    expect(await createHistory(db).read("mail", 0, 1)).toEqual(record({ seq: 1 }));
  });

  it("refuses a range of no rows as a mistake of the caller", async () => {
    await expect(flush(4, 4)).rejects.toThrow(RangeError);
  });
});

describe("compaction", () => {
  it("makes one row of each hour that ended over an hour ago, and keeps its minutes and its highest upto", async () => {
    for (let index = 0; index < 30; index++) {
      await storeRollup("mail", index, index + 1, counted(NOW - 3 * HOUR + index * 10 * MINUTE, 1));
    }
    expect(await compactRollups(db, KEY, NOW)).toEqual({ more: false });
    // Hours 02 and 03 are one row each; 04, the last, and what follows are as they were flushed.
    expect((await rows()).map((row) => row.upto)).toEqual([6, 12, ...Array.from({ length: 18 }, (_, i) => 13 + i)]);
    expect(Object.keys(JSON.parse((await rows())[0]!.body))).toHaveLength(6);
    expect(await total()).toBe(30);
    expect(await createHistory(db).rollupUpto("mail", 0)).toBe(30);
  });

  it("does nothing when there is nothing to merge", async () => {
    await flush(0, 4);
    await compactRollups(db, KEY, NOW + 5 * HOUR);
    const before = await rows();
    await compactRollups(db, KEY, NOW + 5 * HOUR);
    expect(await rows()).toEqual(before);
    expect(before[0]!.grain_minutes).toBe(1);
  });

  it("lets minutes run together after two days, and takes late counts in again", async () => {
    await storeRollup("mail", 0, 1, counted(NOW, 1));
    await storeRollup("mail", 1, 2, counted(NOW + 5 * MINUTE, 2));
    await compactRollups(db, KEY, NOW + 3 * DAY);
    expect(await rows()).toMatchObject([
      { upto: 2, grain_minutes: 60, from_minute: NOW / MINUTE, to_minute: NOW / MINUTE },
    ]);
    await storeRollup("mail", 2, 3, counted(NOW + 9 * MINUTE, 4));
    await compactRollups(db, KEY, NOW + 3 * DAY);
    expect(await rows()).toMatchObject([{ upto: 3, grain_minutes: 60 }]);
    expect(await total()).toBe(7);
  });

  it("comes to an end with many hours, in several calls", async () => {
    for (let hour = 0; hour < 20; hour++) {
      await storeRollup("mail", hour * 2, hour * 2 + 1, counted(NOW + hour * HOUR, 1));
      await storeRollup("mail", hour * 2 + 1, hour * 2 + 2, counted(NOW + hour * HOUR, 1));
    }
    let calls = 1;
    while (calls < 10 && (await compactRollups(db, KEY, NOW + DAY)).more) calls++;
    expect(calls).toBeLessThan(10);
    expect(await rows()).toHaveLength(20);
    expect(await total()).toBe(40);
  });

  describe("overtaken between its read and its write", () => {
    const compactOvertakenBy = (meanwhile: () => Promise<unknown>) => {
      const batch: D1Database["batch"] = async (statements) => {
        await meanwhile();
        return await db.batch(statements);
      };
      return compactRollups({ prepare: (sql: string) => db.prepare(sql), batch } as D1Database, KEY, NOW + 5 * HOUR);
    };
    const compact = () => compactRollups(db, KEY, NOW + 5 * HOUR);
    const late = () => storeRollup("mail", 20, 21, counted(NOW, 1));

    it.each([
      ["another run", compact, 20, 1],
      ["late counts", late, 21, 2],
      ["late counts and another run", () => late().then(compact), 21, 1],
      ["another run and late counts", () => compact().then(late), 21, 2],
    ] as const)("by %s it loses and doubles nothing", async (_, meanwhile, jobs, left) => {
      for (let index = 0; index < 20; index++) await storeRollup("mail", index, index + 1, counted(NOW, 1));
      await compactOvertakenBy(meanwhile);
      expect(await total()).toBe(jobs);
      expect(await rows()).toHaveLength(left);
    });
  });

  it("never writes a row that D1 would refuse", async () => {
    const wide = (minute: number): Rollup => ({
      [minute]: Object.fromEntries(
        Array.from({ length: 4_000 }, (_, task) => [`task-number-${task}-${"x".repeat(60)}`, { completed: cell(1) }]),
      ),
    });
    for (let index = 0; index < 3; index++) await storeRollup("mail", index, index + 1, wide(NOW / MINUTE + index));
    await compactRollups(db, KEY, NOW + 5 * HOUR);
    for (const row of await rows()) expect(row.body.length).toBeLessThan(1_900_000);
  });

  it("forgets counts after 90 days, but never how far a queue came", async () => {
    await storeRollup("mail", 0, 1, counted(NOW - 100 * DAY, 1));
    await storeRollup("mail", 1, 2, counted(NOW - 95 * DAY, 1));
    await dropRollups(db, KEY, NOW);
    expect((await rows()).map((row) => row.upto)).toEqual([2]);
    await storeRollup("mail", 2, 3, {});
    await storeRollup("mail", 3, 4, counted(NOW - 89 * DAY, 1));
    await dropRollups(db, KEY, NOW);
    expect((await rows()).map((row) => row.upto)).toEqual([4]);
  });
});
