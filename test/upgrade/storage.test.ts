import { createHash } from "node:crypto";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Entry,
  type ExchangeInput,
  type JobRecord,
  type LeasedTuple,
  type QueueDescription,
  type Rollup,
  recordOf,
} from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { describe as describeQueue, get } from "../../durable-objects/engine/inspect.ts";
import { resume } from "../../durable-objects/engine/operate.ts";
import { beginFlush, confirmFlush, nextFlush } from "../../durable-objects/engine/outbox.ts";
import type { Tx } from "../../durable-objects/engine/ports.ts";
import { SCHEMA_VERSION } from "../../durable-objects/engine/schema.ts";
import { wake } from "../../durable-objects/engine/wake.ts";
import { ROOT } from "../../scripts/root.ts";
import { nodeStorage } from "../support/node-storage.ts";

const FIXTURES = join(ROOT, "test", "fixtures");
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-upgrade-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

interface Books {
  now: number;
  books: Omit<QueueDescription, "metrics">;
  records: (JobRecord | "deleted" | null)[];
  session: { id: string; n: number; holding: [id: string, fence: number][] };
}

const read = (release: string, file: string) => JSON.parse(readFileSync(join(FIXTURES, release, file), "utf8"));
const digest = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
const seqOf = (id: string): number => Number(id.split(":")[2]);

/** A queue of an earlier release, in the hands of this code. */
function open(release: string) {
  const file = join(folder, "queue.sqlite");
  copyFileSync(join(FIXTURES, release, "queue.sqlite"), file);
  const storage = nodeStorage(file);
  const engine = new Engine({ queue: "work", partition: 0, storage, settings: {}, random: () => 0.5 });
  const then = read(release, "books.json") as Books;
  let { now } = then;
  const history = new Map<number, JobRecord>();
  const deletes: [number, number][] = [];
  const rollups: Rollup[] = [];
  const queue = {
    file,
    then,
    db: storage.db,
    look: <Result>(look: (tx: Tx) => Result): Result => engine.read(now, look)!,
    run: <Result>(verb: (tx: Tx) => Result): Result => engine.write(now, verb).result,
    pass(ms: number) {
      now += ms;
      queue.run(wake);
    },
    exchange(session: string, n: number, ask: Partial<ExchangeInput>) {
      const input = { session, n, worker: { name: session, runtime: "test" }, channel: null, want: 0 };
      const reply = queue.run((tx) => exchange(tx, { ...input, holding: [], settle: [], progress: [], ...ask }));
      if (!reply.ok) throw new Error(reply.detail);
      return { ...reply, jobs: JSON.parse(reply.jobs) as LeasedTuple[] };
    },
    flush() {
      for (;;) {
        queue.look((tx) => {
          beginFlush(tx);
          tx.books.outbox.rolledUpto ??= 0;
        });
        const next = queue.look(nextFlush);
        if (!next) return;
        for (const text of next.records) {
          for (const entry of JSON.parse(text) as Entry[]) {
            const record = recordOf(entry);
            expect(history.get(record.seq)?.fence ?? 0).toBeLessThan(record.fence);
            history.set(record.seq, record);
          }
        }
        deletes.push(...next.deletes);
        if (next.rollup) rollups.push(next.rollup.body);
        queue.run((tx) => confirmFlush(tx, next.upto, next.rollup?.upto ?? tx.books.outbox.rolledUpto ?? 0));
      }
    },
    history,
    deletes,
    rollups,
  };
  return queue;
}

const unfinished = ({ counts }: QueueDescription): number =>
  counts.scheduled + counts.blocked + counts.ready + counts.running;

describe.each(readdirSync(FIXTURES))("a queue of %s", (release) => {
  it("is seen as that release saw it", () => {
    const { then, look, db } = open(release);
    const { metrics: _, outboxRows, ...books } = look((tx) => describeQueue(tx, null));
    const { outboxRows: before, ...rest } = then.books;
    expect(books).toMatchObject(rest);
    // What the history has of them is not known when a queue is opened: all are sent again.
    expect(outboxRows).toBeGreaterThanOrEqual(before);
    for (const [index, record] of then.records.entries()) {
      const now = look((tx) => get(tx, index + 1));
      if (record === null || record === "deleted") expect(now, `job ${index + 1}`).toBe(record);
      else expect(now, `job ${index + 1}`).toMatchObject(record);
    }
    db.close();
  });

  it("has a job in every state, and one of each thing that this release keeps", () => {
    const { db, then } = open(release);
    const values = (query: string) =>
      db
        .prepare(query)
        .all()
        .map((row) => Object.values(row)[0]);
    const states = release === "v1" ? ["scheduled", "ready", "running"] : ["scheduled", "blocked", "ready", "running"];
    expect(new Set(values("SELECT state FROM jobs"))).toEqual(new Set(states));
    expect(new Set(values("SELECT kind FROM outbox"))).toEqual(new Set(["history", "sent", "result", "delete"]));
    expect(values("SELECT key FROM meta")).toEqual(expect.arrayContaining(["overrides", "paused", "schema"]));
    expect(values("SELECT count(*) FROM idempotency")).toEqual([1]);
    expect(values("SELECT count(*) FROM jobs WHERE request IS NOT NULL")).toEqual([1]);
    const tables = release === "v1" ? [] : ["uniques", "closures", "buckets", "outgoing", "schedules"];
    for (const table of tables) expect(values(`SELECT count(*) FROM ${table}`), table).not.toEqual([0]);
    if (release !== "v1") expect(values("SELECT count(*) FROM jobs WHERE logs IS NOT NULL")).toEqual([2]);
    if (release !== "v1") expect(values("SELECT ended FROM uniques ORDER BY key")).toEqual([null, "dead"]);
    expect(then.books.sessions.map(({ leaseUntil }) => leaseUntil > then.now)).toEqual([true, false]);
    db.close();
  });

  it("remembers what was asked of it", () => {
    const { run, db } = open(release);
    const { enqueueInput, enqueueReply } = read(release, "wire.json");
    expect(run((tx) => enqueue(tx, enqueueInput))).toMatchObject(enqueueReply);
    const key = { key: "token\nroute\nkey-1", bodyHash: "abc" };
    const again = { ...enqueueInput, requestId: null, jobs: enqueueInput.jobs.slice(0, 1) };
    expect(run((tx) => enqueue(tx, { ...again, idempotency: key }))).toMatchObject({ ok: true, replayed: true });
    const other = { ...key, bodyHash: "xyz" };
    expect(run((tx) => enqueue(tx, { ...again, idempotency: other }))).toMatchObject({ code: "idempotency_mismatch" });
    db.close();
  });

  it("comes to its end: every job, once, under the fences and limits of before", () => {
    const queue = open(release);
    const { then, run, look } = queue;
    const known = then.records.flatMap((record) => (record === null || record === "deleted" ? [] : [record]));
    const ids = known.filter(({ finishedAt }) => finishedAt === null).map(({ seq }) => seq);
    expect(ids.length).toBeGreaterThan(10);
    expect(queue.exchange("early", 1, { want: 50 }).jobs).toEqual([]);
    run(resume);

    // The session that lives goes on where it was, with the exchange after its last.
    const { id, n, holding } = then.session;
    const held = holding.map(([job, fence]): [number, number] => [seqOf(job), fence]);
    const { lost, cancel } = queue.exchange(id, n + 1, { holding: held });
    expect(lost).toEqual([]);
    expect(cancel).toHaveLength(1);
    const settle = held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const, result: "1" }));
    expect(queue.exchange(id, n + 2, { settle }).refused).toEqual([]);

    // The one that died has lost its job, and everything else is worked by others, in its time.
    for (let stay = 0; stay < 200 && unfinished(look((tx) => describeQueue(tx, null))) > 0; stay++) {
      queue.pass(15 * 60_000 * (stay > 20 ? 50 : 1));
      const worker = `new-${stay}`;
      let done: ExchangeInput["settle"] = [];
      for (let turn = 1; turn === 1 || done.length > 0; turn++) {
        const { jobs, refused } = queue.exchange(worker, turn, { settle: done, want: 3 });
        expect(refused).toEqual([]);
        for (const [seq, , , , fence, , , runAt] of jobs) {
          expect(fence).toBeGreaterThan(known.find((record) => record.seq === seq)!.fence);
          expect(runAt).toBeLessThanOrEqual(look((tx) => tx.now));
        }
        done = jobs.map(([seq, , , , fence]) => ({ seq, fence, outcome: "completed", result: "2" }));
      }
      queue.flush();
    }
    const { counts, sessions } = look((tx) => describeQueue(tx, null));
    expect({ ...counts, sessions }).toEqual({
      scheduled: 0,
      retrying: 0,
      blocked: 0,
      ready: 0,
      running: 0,
      sessions: [],
    });
    for (const seq of ids) expect(queue.history.get(seq)?.state, `job ${seq}`).toMatch(/completed|cancelled/);
    for (const { seq, payload, options } of known.filter((record) => ids.includes(record.seq))) {
      expect(queue.history.get(seq)).toMatchObject({ payload, options });
    }
    for (const record of known.filter(({ state }) => state === "cancelled")) {
      expect(queue.history.get(record.seq)).toEqual(record);
    }
    // Deleted, and flushed as such before the last stripped row: it is neither sent again nor brought back.
    expect(queue.history.has(2)).toBe(false);
    expect(queue.rollups.length).toBeGreaterThan(0);

    const { enqueueInput } = read(release, "wire.json");
    const next = run((tx) => enqueue(tx, { ...enqueueInput, requestId: null }));
    expect(next.ok && next.jobs[0]!.seq).toBe(Math.max(...known.map(({ seq }) => seq)) + 1);
    queue.db.close();
  });
});

it("is kept of this release: the newest fixture has this schema", () => {
  const newest = readdirSync(FIXTURES)
    .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
    .at(-1)!;
  const { db } = open(newest);
  expect(db.prepare("SELECT value FROM meta WHERE key = 'schema'").get()).toEqual({ value: String(SCHEMA_VERSION) });
  const tables = (of: typeof db) => of.prepare("SELECT type, name, sql FROM sqlite_master ORDER BY name").all();
  const fresh = nodeStorage();
  new Engine({ queue: "work", partition: 0, storage: fresh, settings: {} }).write(1, () => {});
  expect(tables(db)).toEqual(tables(fresh.db));
  db.close();
});

it("refuses a queue that newer code has written to, and leaves it as it is", () => {
  const made = open("v1");
  made.db.exec(`UPDATE meta SET value = '${SCHEMA_VERSION + 1}' WHERE key = 'schema'`);
  made.db.exec("ALTER TABLE jobs ADD COLUMN of_the_future TEXT");
  made.db.close();
  const before = digest(made.file);

  const storage = nodeStorage(made.file);
  const engine = new Engine({ queue: "work", partition: 0, storage, settings: {} });
  const message = `its storage has schema ${SCHEMA_VERSION + 1}, this code knows up to ${SCHEMA_VERSION}`;
  expect(() => engine.read(made.then.now, (tx) => get(tx, 1))).toThrow(message);
  expect(() => engine.write(made.then.now, wake)).toThrow("Deploy the newer code again");
  const { enqueueInput } = read("v1", "wire.json");
  expect(() => engine.write(made.then.now, (tx) => enqueue(tx, enqueueInput))).toThrow(message);
  storage.db.close();
  expect(digest(made.file)).toBe(before);
});
