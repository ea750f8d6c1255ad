import { expect } from "vitest";
import type { LogTuple } from "../../client/wire.ts";
import { parseLogs } from "../../durable-objects/engine/events.ts";
import { get } from "../../durable-objects/engine/inspect.ts";
import * as operate from "../../durable-objects/engine/operate.ts";
import { type Case, ERROR, type TestQueue } from "./queue.ts";

const line = (message: string, fields: LogTuple[3] = null): LogTuple => [1_000, "info", message, fields];
const lines = (count: number, from = 1): LogTuple[] =>
  Array.from({ length: count }, (_, n) => line(`line ${from + n}`));

/** What the object has of the job's log. */
function logsOf(queue: TestQueue, seq: number): [count: number, lines: LogTuple[]] {
  const record = queue.read((tx) => get(tx, seq, true));
  if (record === null || record === "deleted") throw new Error(`There is no job ${seq}`);
  return record.logs ? parseLogs(record.logs) : [0, []];
}

const messages = (queue: TestQueue, seq: number): string[] => logsOf(queue, seq)[1].map(([, , message]) => message);

export const LOGS: Case[] = [
  {
    name: "lines of held jobs are kept in order; those of others, and of other fences, are not",
    run(queue) {
      queue.add({}, 3);
      const holding = queue.claim("s", 2);
      const say = (seq: number, fence: number, ...texts: string[]) => ({
        seq,
        fence,
        lines: texts.map((t) => line(t)),
      });
      queue.turn("s", {
        holding,
        logs: [say(1, 1, "a", "b"), say(2, 9, "late"), say(3, 0, "not mine"), say(1, 1, "c")],
      });
      queue.turn("s", { holding, logs: [say(1, 1, "d"), say(99, 1, "nobody's")] });
      expect(logsOf(queue, 1)).toEqual([4, ["a", "b", "c", "d"].map((text) => line(text))]);
      expect([logsOf(queue, 2), logsOf(queue, 3)]).toEqual([
        [0, []],
        [0, []],
      ]);
      expect(queue.job(1).logs).toBeUndefined();
    },
  },
  {
    name: "the latest 1,000 lines are kept, and all are counted",
    run(queue) {
      queue.add();
      const holding = queue.claim("s", 1);
      queue.turn("s", { holding, logs: [{ seq: 1, fence: 1, lines: lines(999) }] });
      queue.turn("s", { holding, logs: [{ seq: 1, fence: 1, lines: lines(3, 1_000) }] });
      const [count, kept] = logsOf(queue, 1);
      expect([count, kept.length, kept[0]![2], kept.at(-1)![2]]).toEqual([1_002, 1_000, "line 3", "line 1002"]);
      queue.turn("s", { holding, logs: [{ seq: 1, fence: 1, lines: lines(2_500, 1_003) }] });
      expect([logsOf(queue, 1)[0], messages(queue, 1)[0]]).toEqual([3_502, "line 2503"]);
    },
  },
  {
    name: "they take at most 128 KiB: the oldest go first",
    run(queue) {
      queue.add();
      const holding = queue.claim("s", 1);
      for (let n = 1; n <= 100; n++) {
        const text = `${n} ${"€".repeat(1_000)}`;
        queue.turn("s", { holding, logs: [{ seq: 1, fence: 1, lines: [line(text)] }] });
      }
      const [row] = queue.rows("SELECT octet_length(logs) AS bytes FROM jobs");
      expect(Number(row!.bytes)).toBeLessThanOrEqual(128 * 1024);
      expect(Number(row!.bytes)).toBeGreaterThan(124 * 1024);
      const [count, kept] = logsOf(queue, 1);
      expect(count).toBe(100);
      expect(kept.at(-1)![2]).toMatch(/^100 /);
      expect(kept.length).toBeLessThan(50);
    },
  },
  {
    name: "a repeated exchange adds nothing twice, with a settle or without",
    run(queue) {
      queue.add({}, 2);
      const holding = queue.claim("s", 2);
      const turn = { n: 2, holding, logs: [{ seq: 1, fence: 1, lines: lines(2) }] };
      queue.turn("s", turn);
      queue.restart();
      queue.turn("s", turn);
      expect(logsOf(queue, 1)[0]).toBe(2);
      const settle = [{ seq: 1, fence: 1, outcome: "failed" as const, error: ERROR }];
      const last = { n: 3, holding: [holding[1]!], settle, logs: [{ seq: 1, fence: 1, lines: [line("last")] }] };
      queue.turn("s", last);
      queue.turn("s", last);
      expect(messages(queue, 1)).toEqual(["line 1", "line 2", "last"]);
    },
  },
  {
    name: "what comes with the end of an attempt stands with it, whatever the end, and costs no row",
    run(queue) {
      const ends = [
        { outcome: "completed" as const, result: '"done"' },
        { outcome: "dead" as const, error: ERROR },
        { outcome: "failed" as const, error: ERROR },
        { outcome: "released" as const },
      ];
      queue.add({}, 8);
      const held = queue.claim("s", 8);
      const settle = held.map(([seq, fence], index) => ({ seq, fence, ...ends[index % 4]! }));
      const logs = held.slice(0, 4).map(([seq, fence]) => ({ seq, fence, lines: lines(2) }));
      const updates = queue
        .statements(() => queue.turn("s", { settle, logs }))
        .filter((query) => query.startsWith("UPDATE jobs") && !query.includes("v.declines"));
      expect(updates).toEqual([]);
      for (const seq of [1, 2, 3, 4]) expect(messages(queue, seq), `job ${seq}`).toEqual(["line 1", "line 2"]);
      for (const seq of [5, 6, 7, 8]) expect(logsOf(queue, seq), `job ${seq}`).toEqual([0, []]);
      expect(queue.outbox().map(({ seq, logs: text }) => [seq, text !== undefined])).toEqual(
        expect.arrayContaining([
          [1, true],
          [2, true],
          [5, false],
          [6, false],
        ]),
      );
    },
  },
  {
    name: "a settle that is refused leaves the lines to the job",
    run(queue) {
      queue.add();
      queue.claim("s", 1);
      const settle = [{ seq: 1, fence: 1, outcome: "nonsense" as never }];
      const { refused } = queue.turn("s", { settle, logs: [{ seq: 1, fence: 1, lines: lines(1) }] });
      expect(refused).toHaveLength(1);
      expect(messages(queue, 1)).toEqual(["line 1"]);
    },
  },
  {
    name: "progress and lines of a job are one row",
    run(queue) {
      queue.add({}, 2);
      const holding = queue.claim("s", 2);
      const turn = {
        holding,
        progress: holding.map(([seq, fence]) => ({ seq, fence, progress: { percent: 1, note: null } })),
        logs: [{ seq: 1, fence: 1, lines: lines(1) }],
      };
      const updates = queue.statements(() => queue.turn("s", turn)).filter((query) => query.startsWith("UPDATE jobs"));
      expect(updates).toHaveLength(1);
      expect(queue.job(2).progress).toBe('{"percent":1,"note":null}');
      queue.turn("s", { holding, logs: [{ seq: 2, fence: 1, lines: lines(1) }] });
      expect([queue.job(2).progress, messages(queue, 2)]).toEqual(['{"percent":1,"note":null}', ["line 1"]]);
    },
  },
  {
    name: "lines of any size and kind are cut or left out",
    run(queue) {
      queue.add();
      const holding = queue.claim("s", 1);
      let deep: unknown = 1;
      for (let n = 0; n < 100_000; n++) deep = [deep];
      const bad: unknown[] = [
        ...[null, 7, "text", {}, [], [1, "info"], [1, "info", 7, null]],
        ["yesterday", "fatal", `${"x".repeat(1_999)}😀`, { ok: 1 }],
        [Number.MAX_VALUE, "warn", "far", { large: "y".repeat(5_000) }],
        [1.5, "error", "deep", { deep }],
        [-1, "error", "list", [1]],
      ];
      const logs = [{ seq: 1, fence: 1, lines: bad }, null, { seq: 1, fence: 1 }, { seq: 1, fence: 1, lines: "no" }];
      queue.turn("s", { holding, logs: logs as never });
      expect(logsOf(queue, 1)).toEqual([
        4,
        [
          [queue.now, "info", `${"x".repeat(1_999)}�`, { ok: 1 }],
          [queue.now, "warn", "far", null],
          [1, "error", "deep", null],
          [-1, "error", "list", null],
        ],
      ]);
      for (const bad of [null, 7, "no", {}]) queue.turn("s", { holding, logs: bad as never });
    },
  },
  {
    name: "a job that is tried again, and one that is reopened, keep them",
    run(queue) {
      queue.add();
      queue.claim("s", 1);
      const logs = [{ seq: 1, fence: 1, lines: lines(1) }];
      queue.turn("s", { settle: [{ seq: 1, fence: 1, outcome: "failed", error: ERROR, retryInMs: 5 }], logs });
      queue.pass(10);
      queue.claim("s", 1);
      const more = [{ seq: 1, fence: 2, lines: lines(1, 2) }];
      queue.turn("s", { settle: [{ seq: 1, fence: 2, outcome: "dead", error: ERROR }], logs: more });
      queue.write((tx) => operate.retry(tx, 1));
      queue.claim("s", 1);
      queue.turn("s", {
        settle: [{ seq: 1, fence: 5, outcome: "completed" }],
        logs: [{ seq: 1, fence: 5, lines: lines(1, 3) }],
      });
      expect(messages(queue, 1)).toEqual(["line 1", "line 2", "line 3"]);
    },
  },
  {
    name: "a result that leaves them no room goes before them: the oldest lines go",
    run(queue) {
      const quotes = '\\"'.repeat(100_000);
      queue.add({}, 1, { jobs: [[0, `"${quotes}"`]] });
      const holding = queue.claim("s", 1);
      const text = '"'.repeat(1_900);
      const many = Array.from({ length: 30 }, (_, n) => line(`${n} ${text}`));
      queue.turn("s", { holding, logs: [{ seq: 1, fence: 1, lines: many }] });
      const result = JSON.stringify("x".repeat(950_000 - 450_000) + '"'.repeat(60_000));
      queue.turn("s", { settle: [{ seq: 1, fence: 1, outcome: "completed", result }] });
      const record = queue.job(1);
      expect([record.state, record.reason, record.result?.length]).toEqual(["completed", null, result.length]);
      const [count, kept] = logsOf(queue, 1);
      expect(count).toBe(30);
      expect(kept.length).toBeLessThan(30);
      expect(kept.at(-1)?.[2] ?? "29").toMatch(/^29/);
      const [row] = queue.rows("SELECT octet_length(body) AS bytes FROM outbox");
      expect(Number(row!.bytes)).toBeLessThanOrEqual(1_900_000);
    },
  },
];
