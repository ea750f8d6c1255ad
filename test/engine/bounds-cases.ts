import { expect } from "vitest";
import { bounded } from "../../durable-objects/engine/limits.ts";
import { SCHEMA_VERSION } from "../../durable-objects/engine/schema.ts";
import { type Case, type TestQueue, thrown } from "./queue.ts";
import { call, unique } from "./unique-calls.ts";

const COLUMNS =
  "seq, lane, state, priority, rank, fence, failures, lapses, created_at, run_at, timeout_ms, encoding, options";
const LEGAL = {
  seq: "99",
  lane: "1",
  state: "'ready'",
  priority: "0",
  fence: "0",
  failures: "0",
  lapses: "0",
  timeout_ms: "1000",
};

/** Inserts a job that is legal but for what `fields` say. */
function insert(queue: TestQueue, fields: Record<string, string>): string {
  const { seq, lane, state, priority, fence, failures, lapses, timeout_ms, ...more } = {
    ...LEGAL,
    ...fields,
  } as Record<string, string>;
  const extra = Object.keys(more);
  const columns = [COLUMNS, ...extra].join(", ");
  const values = `${seq}, ${lane}, ${state}, ${priority}, 1, ${fence}, ${failures}, ${lapses}, 1, 1, ${timeout_ms}, 'json', '{}'`;
  const sql = `INSERT INTO jobs (${columns}) VALUES (${[values, ...extra.map((name) => more[name])].join(", ")})`;
  return thrown(() => queue.rows(sql));
}

const ILLEGAL: Record<string, string>[] = [
  { state: "'sleeping'" },
  { state: "'completed'" },
  { state: "'running'" },
  { state: "'running'", session: "'s'" },
  { state: "'running'", session: "'s'", started_at: "1", wake_at: "1" },
  { state: "'ready'", session: "'s'" },
  { state: "'scheduled'" },
  { state: "'blocked'" },
  { state: "'blocked'", reason: "'ordering'" },
  { state: "'blocked'", ordering: "'k'", ordering_rank: "1" },
  { ordering: "'k'" },
  { ordering_rank: "1" },
  { priority: "32768" },
  { priority: "-32769" },
  { priority: "0.5" },
  { fence: "-1" },
  { failures: "-1" },
  { lapses: "-1" },
  { timeout_ms: "0" },
  { wake_at: "6", expires_at: "5" },
  { wake_at: "'soon'" },
];

export const BOUNDS: Case[] = [
  {
    name: "the tables refuse illegal rows, and take legal ones",
    run(queue) {
      queue.add();
      for (const fields of ILLEGAL) {
        expect(insert(queue, fields), JSON.stringify(fields)).toMatch(/CHECK constraint|REAL value|TEXT value/);
      }
      expect(insert(queue, { state: "'scheduled'", wake_at: "5", expires_at: "5" })).toBe("nothing was thrown");
      const blocked = { seq: "98", state: "'blocked'", reason: "'ordering'", ordering: "'k'", ordering_rank: "98" };
      expect(insert(queue, blocked)).toBe("nothing was thrown");
    },
  },
  {
    name: "the longest keys of a thousand jobs, each its own, fit",
    run(queue) {
      for (const count of [560, 1000]) {
        const key = (n: number) => "界".repeat(245) + (count * 10_000 + n);
        const asked = Array.from({ length: count }, (_, n) => ({
          orderingKey: key(n),
          unique: unique("replace", { key: key(n) }),
        }));
        const seqs = (outcome: string) => call(queue, asked).filter((answer) => answer[1] === outcome).length;
        expect([seqs("created"), seqs("replaced")]).toEqual([count, count]);
      }
    },
  },
  {
    name: "a statement binds at most 100 values, of at most 1.9 MB, and has at most 100 KB",
    run(queue) {
      const sql = bounded(queue.storage.sql);
      const marks = (count: number): string => Array(count).fill("?").join(", ");
      expect(sql.exec(`SELECT ${marks(100)}`, ...Array(100).fill(1))).toHaveLength(1);
      expect(thrown(() => sql.exec(`SELECT ${marks(101)}`, ...Array(101).fill(1)))).toMatch(
        /at most 100 values: got 101/,
      );
      expect(sql.exec("SELECT length(?) AS n", "x".repeat(1_900_000))).toEqual([{ n: 1_900_000 }]);
      expect(thrown(() => sql.exec("SELECT ?", "x".repeat(1_900_001)))).toMatch(/at most 1900000 bytes: got 1900001/);
      expect(thrown(() => sql.exec("SELECT ?", "€".repeat(633_334)))).toMatch(/got 1900002/);
      expect(thrown(() => sql.exec(`SELECT 1 --${"x".repeat(100_000)}`))).toMatch(/at most 100000 bytes/);
    },
  },
  {
    name: "a verb that throws leaves everything as it was, and the next one works",
    run(queue) {
      queue.add({}, 2, { requestId: "r" });
      queue.claim("s", 1);
      const before = queue.everything();
      const failure = thrown(() =>
        queue.write((tx) => {
          tx.sql.exec("DELETE FROM jobs");
          tx.books.nextSeq = 1;
          tx.books.sessions.clear();
          throw new Error("on purpose");
        }),
      );
      expect(failure).toBe("on purpose");
      expect(queue.everything()).toBe(before);
      expect(queue.add()).toEqual([3]);
      expect(queue.add({}, 2, { requestId: "r" })).toEqual([1, 2]);
    },
  },
  {
    name: "older code refuses a newer schema, says what to do, and changes nothing",
    run(queue) {
      queue.add();
      queue.rows(`UPDATE meta SET value = '${SCHEMA_VERSION + 1}' WHERE key = 'schema'`);
      queue.restart();
      const before = queue.everything();
      expect(thrown(() => queue.add())).toMatch(
        `has schema ${SCHEMA_VERSION + 1}, this code knows up to ${SCHEMA_VERSION}. Deploy the newer code again`,
      );
      expect(thrown(() => queue.read(() => 1))).toMatch(/Deploy the newer code again/);
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "reading writes nothing, not even tables",
    run(queue) {
      const look = (): unknown => queue.read(() => "there is a queue");
      expect(look()).toBeNull();
      expect(queue.rows("SELECT name FROM sqlite_master WHERE name IN ('jobs', 'meta')")).toEqual([]);
      queue.add();
      expect(look()).toBe("there is a queue");
    },
  },
  {
    name: "time does not go back for an engine when its clock does",
    run(queue) {
      const [seq] = queue.add();
      queue.claim("s");
      queue.now -= 60_000;
      queue.turn("s", { settle: [{ seq: seq!, fence: 1, outcome: "completed" }] });
      const job = queue.job(seq!);
      expect(job.finishedAt).toBe(job.startedAt);
    },
  },
];
