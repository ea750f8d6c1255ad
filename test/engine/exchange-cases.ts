import { expect } from "vitest";
import type { WireOutcome } from "../../client/wire.ts";
import { type Case, ERROR, given } from "./queue.ts";

export const EXCHANGE: Case[] = [
  {
    name: "a repeated number is answered from the books, and settles nothing twice",
    run(queue) {
      queue.add({}, 3);
      const [[seq, fence]] = queue.claim("s", 1) as [[number, number]];
      const turn = { n: 2, want: 1, settle: [{ seq, fence, outcome: "failed" as const, error: ERROR }] };
      const first = queue.turn("s", turn);
      const after = queue.job(seq);
      for (let i = 0; i < 3; i++) {
        if (i === 1) queue.restart();
        const again = queue.turn("s", turn);
        expect(given(again)).toEqual(given(first));
        expect(again.refused).toEqual([]);
      }
      expect(queue.job(seq)).toEqual(after);
    },
  },
  {
    name: "an older number is refused, and changes nothing",
    run(queue) {
      queue.add({}, 3);
      queue.claim("s", 1);
      queue.claim("s", 1);
      const before = queue.everything();
      const settle: WireOutcome[] = [{ seq: 1, fence: 1, outcome: "completed" }];
      expect(queue.exchange("s", { n: 1, settle, want: 5 })).toMatchObject({ ok: false, code: "conflict" });
      queue.restart();
      expect(queue.exchange("s", { n: 1, settle, want: 5 })).toMatchObject({ ok: false, code: "conflict" });
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "what is held and not named is granted again at the same fence; what is named and not held is lost",
    run(queue) {
      queue.add({}, 4);
      const held = queue.claim("s", 3);
      const reply = queue.turn("s", { holding: [held[0]!, [4, 1], [held[1]![0], 9]], want: 1 });
      expect(reply.lost).toEqual([
        [4, 1],
        [held[1]![0], 9],
      ]);
      expect(given(reply)).toEqual([held[2]]);
      expect(queue.job(4).state).toBe("ready");
    },
  },
  {
    name: "a late settle changes nothing and is told; one settled before by its holder is accepted silently",
    run(queue) {
      queue.add({ maxAttempts: 5 }, 2);
      const [a, b] = queue.claim("s", 2) as [[number, number], [number, number]];
      queue.pass(30_000);
      const [again] = queue.claim("t", 1) as [[number, number]];
      expect(again).toEqual([a[0], 2]);
      const before = queue.everything();
      const late = queue.turn("s", { settle: [a, b].map(([seq, fence]) => ({ seq, fence, outcome: "completed" })) });
      expect(late.refused).toEqual([a, b].map(([seq, fence]) => ({ seq, fence, code: "not_held" })));
      expect(queue.everything()).toBe(before);
      for (let i = 0; i < 2; i++) {
        const settle: WireOutcome[] = [{ seq: again[0], fence: 2, outcome: "completed" }];
        expect(queue.turn("t", { settle }).refused).toEqual([]);
      }
    },
  },
  {
    name: "what was refused is refused again when the exchange is repeated, also by a session without jobs",
    run(queue) {
      queue.add();
      const settle: WireOutcome[] = [{ seq: 1, fence: 1, outcome: "completed" }];
      const first = queue.turn("s", { n: 1, settle });
      expect(first.refused).toEqual([{ seq: 1, fence: 1, code: "not_held" }]);
      expect(queue.turn("s", { n: 1, settle }).refused).toEqual(first.refused);
    },
  },
  {
    name: "one malformed outcome is refused alone, and its job stays with its session",
    run(queue) {
      const wrong = [
        { outcome: "vanished" },
        { outcome: "failed" },
        { outcome: "failed", error: { message: 7 } },
        { outcome: "failed", error: ERROR, retryInMs: -1 },
        { outcome: "failed", error: ERROR, retryInMs: "soon" },
        { outcome: "failed", error: ERROR, retryInMs: Number.NaN },
        { outcome: "dead" },
        { outcome: "snoozed" },
        { outcome: "snoozed", forMs: -5 },
        { outcome: "completed", result: { not: "text" } },
        { outcome: "completed", result: "x".repeat(2_000_000) },
      ] as unknown as WireOutcome[];
      queue.add({}, wrong.length + 1);
      const held = queue.claim("s");
      const settle = held.map(
        ([seq, fence], index): WireOutcome => ({ ...(wrong[index] ?? { outcome: "completed" }), seq, fence }),
      );
      const { refused, jobs } = queue.turn("s", { settle });
      expect(refused.map(({ seq, code }) => `${seq} ${code}`)).toEqual(
        wrong.map((_, index) => `${index + 1} invalid_outcome`),
      );
      expect(jobs).toBe("[]");
      expect(queue.job(wrong.length + 1).state).toBe("completed");
      expect(given(queue.turn("s"))).toHaveLength(wrong.length);
    },
  },
  {
    name: "of two outcomes for one attempt the first counts",
    run(queue) {
      queue.add();
      const [[seq, fence]] = queue.claim("s") as [[number, number]];
      const settle: WireOutcome[] = [
        { seq, fence, outcome: "completed" },
        { seq, fence, outcome: "dead", error: ERROR },
      ];
      expect(queue.turn("s", { settle }).refused).toEqual([]);
      expect(queue.job(seq).state).toBe("completed");
    },
  },
  {
    name: "refuses what is too much for one exchange",
    run(queue) {
      queue.add();
      const before = queue.everything();
      expect(queue.exchange("s", { want: 501 })).toMatchObject({ ok: false, code: "invalid_request" });
      const settle = Array.from({ length: 1_001 }, (): WireOutcome => ({ seq: 1, fence: 1, outcome: "completed" }));
      expect(queue.exchange("s", { settle })).toMatchObject({ ok: false, code: "invalid_request" });
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "long notes of many jobs fit, and their records do",
    run(queue) {
      queue.add({}, 500);
      const held = queue.claim("s");
      const note = (text: string): void => {
        const progress = held.map(([seq, fence]) => ({
          seq,
          fence,
          progress: { percent: 1, note: text.repeat(1_000) },
        }));
        queue.turn("s", { holding: held, progress: [...progress, progress[0]!] });
      };
      const bytesOf = (): unknown => queue.read((tx) => tx.books.sessions.get("s")!.held.get(1)!.bytes);
      const before = Number(bytesOf());
      for (const text of ["€", '"', '"']) note(text);
      expect(bytesOf()).toBe(before + '{"percent":1,"note":""}'.length + 2_000);
      queue.turn("s", { settle: held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" })) });
      const [largest] = queue.rows("SELECT max(octet_length(body)) AS bytes, sum(count) AS jobs FROM outbox");
      expect(Number(largest!.bytes)).toBeLessThan(1_900_000);
      expect(largest!.jobs).toBe(500);
    },
  },
  {
    name: "notes progress of what is held, and of nothing else",
    run(queue) {
      queue.add({}, 2);
      queue.claim("s", 1);
      const progress = { percent: 40, note: "half\u0000way" };
      queue.turn("s", { holding: [[1, 1]], progress: [1, 2].map((seq) => ({ seq, fence: 1, progress })) });
      expect(JSON.parse(queue.job(1).progress!)).toEqual(progress);
      expect(queue.job(2).progress).toBeNull();
      queue.turn("t", { progress: [{ seq: 1, fence: 1, progress: { percent: 1, note: null } }] });
      expect(JSON.parse(queue.job(1).progress!)).toEqual(progress);
    },
  },
  {
    name: "each exchange renews the lease of all jobs with one row",
    run(queue) {
      queue.add({}, 50);
      const held = queue.claim("s", 50);
      for (let i = 0; i < 5; i++) {
        queue.pass(20_000);
        expect(queue.turn("s", { holding: held }).lost).toEqual(i < 1 ? [] : held);
        if (i >= 1) break;
      }
      expect(queue.rows("SELECT * FROM jobs WHERE state = 'running'")).toEqual([]);
    },
  },
  {
    name: "tells a session to ask again when many jobs come, and not when few do",
    run(queue) {
      queue.add();
      expect(queue.turn("s", { want: 6 }).retryInMs).toBeNull();
      queue.add({}, 30);
      expect(queue.turn("s", { want: 500, holding: [[1, 1]] }).retryInMs).toBe(25);
      queue.now += 2_000;
      expect(queue.turn("s", { want: 1 }).retryInMs).toBeNull();
    },
  },
  {
    name: "settles of a thousand jobs that it does not hold are looked up at once, and told apart",
    run(queue) {
      queue.add({}, 4);
      const [done, moved, lapsed] = queue.claim("s", 3) as [number, number][];
      queue.turn("s", {
        holding: [lapsed!],
        settle: [
          { seq: done![0], fence: done![1], outcome: "completed" },
          { seq: moved![0], fence: moved![1], outcome: "failed", error: ERROR },
        ],
      });
      queue.pass(30_000);
      const others = Array.from({ length: 996 }, (_, index): [number, number] => [index + 4, 1]);
      const settle = [...others, done!, moved!, lapsed!, [done![0], 2] as [number, number]].map(([seq, fence]) => ({
        ...{ seq, fence, outcome: "completed" as const },
      }));
      let refused: { seq: number; fence: number }[] = [];
      const statements = queue.statements(() => {
        ({ refused } = queue.turn("t", { settle }));
      });
      expect(statements.length).toBeLessThan(5);
      expect(refused.map(({ seq, fence }) => [seq, fence])).toEqual([...others, lapsed, [done![0], 2]]);
    },
  },
];
