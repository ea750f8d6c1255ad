import { expect } from "vitest";
import { type Case, given, type TestQueue } from "./queue.ts";

const gather = (want: number, tasks = ["index"]) => ({ tasks, want, backInMs: 500 });

/** A session that gathers, as of its second exchange. */
function gathering(queue: TestQueue, want: number): [number, number][] {
  const held = queue.claim("g", 1, { channel: "short" });
  return [...held, ...queue.claim("g", 0, { channel: "short", holding: held, gather: gather(want) })];
}

export const GATHER: Case[] = [
  {
    name: "beside what is wanted of any task, so many of the tasks that are gathered",
    run(queue) {
      queue.add({ task: "index" }, 6);
      queue.add({ task: "other" }, 6);
      const held = queue.claim("s", 1);
      expect(queue.claim("s", 2, { holding: held, gather: gather(3) }).map(([seq]) => seq)).toEqual([2, 3, 4, 5, 6]);
      const all = [...held, ...[2, 3, 4, 5, 6].map((seq): [number, number] => [seq, 1])];
      expect(queue.claim("s", 0, { holding: all, gather: gather(3) })).toEqual([]);
      expect(queue.claim("s", 1, { holding: all, gather: gather(3) }).map(([seq]) => seq)).toEqual([7]);
    },
  },
  {
    name: "a lost answer is granted again, and no more than was asked for",
    run(queue) {
      queue.add({ task: "index" }, 9);
      const first = queue.turn("s", { want: 1, gather: gather(3) });
      expect(given(first)).toHaveLength(4);
      expect(given(queue.turn("s", { n: 1, want: 1, gather: gather(3) }))).toEqual(given(first));
      expect(given(queue.turn("s", { n: 2, want: 1, gather: gather(3) }))).toEqual(given(first));
    },
  },
  {
    name: "under every limit, and never more than a claim carries",
    run(queue) {
      queue.restart({ concurrency: 3 });
      queue.add({ task: "index" }, 9);
      expect(queue.claim("s", 2, { gather: gather(5) })).toHaveLength(3);
      expect(queue.exchange("t", { want: 250, gather: gather(251) })).toMatchObject({
        ok: false,
        code: "invalid_request",
        detail: expect.stringContaining("got 501"),
      });
    },
  },
  {
    name: "no ticket for jobs that a session gathers, one for those beyond its room and for other tasks",
    run(queue) {
      queue.add({ task: "index" });
      gathering(queue, 2);
      queue.add({ task: "index" }, 2);
      expect(queue.effects.tickets).toEqual([]);
      queue.add({ task: "index" });
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "a ticket for other tasks at once",
    run(queue) {
      queue.add({ task: "index" });
      gathering(queue, 9);
      queue.add({ task: "index" });
      expect(queue.effects.tickets).toEqual([]);
      queue.add({ task: "other" });
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "a session that does not come back keeps nothing: the alarm sends for another",
    run(queue) {
      queue.add({ task: "index" });
      gathering(queue, 9);
      queue.add({ task: "index" });
      expect(queue.effects.wakeAt).toBeLessThanOrEqual(queue.now + 2_500);
      queue.pass(2_500);
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "nor one that means to stay away for long",
    run(queue) {
      queue.add({ task: "index" });
      const held = queue.claim("g", 1, { channel: "short" });
      queue.turn("g", { channel: "short", holding: held, gather: { ...gather(9), backInMs: 1e9 } });
      queue.add({ task: "index" });
      expect(queue.effects.tickets).toEqual([]);
      queue.pass(7_000);
      expect(queue.effects.tickets).toEqual(["short"]);
    },
  },
  {
    name: "what is no gathering is refused, and changes nothing",
    run(queue) {
      queue.add();
      const before = queue.everything();
      for (const bad of [5, [], {}, { ...gather(1), tasks: "index" }, gather(-1), gather(0.5), gather(Number.NaN)]) {
        const reply = queue.exchange("s", { n: 1, want: 1, gather: bad as never });
        expect(reply, JSON.stringify(bad)).toMatchObject({ ok: false, code: "invalid_request" });
      }
      expect(queue.everything()).toBe(before);
    },
  },
];
