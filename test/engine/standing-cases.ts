import { expect } from "vitest";
import { bulkHere } from "../../durable-objects/engine/bulk.ts";
import { describe } from "../../durable-objects/engine/inspect.ts";
import { cancel } from "../../durable-objects/engine/operate.ts";
import { type Case, done, ERROR, given, TEMPLATE } from "./queue.ts";
import { MINUTE, put } from "./schedule-queue.ts";
import { handed, stand, used, wants } from "./standing-queue.ts";

export const STANDING: Case[] = [
  {
    name: "a job starts at a session that stands ready with the transaction that made it: no ticket, one message",
    run(queue) {
      queue.add();
      const held = queue.claim("other");
      expect(given(stand(queue, "s", 3))).toEqual([]);
      const [seq] = queue.add();
      expect(queue.effects).toMatchObject({ tickets: [], silent: [] });
      expect(queue.effects.handouts).toMatchObject([{ session: "s", n: 1, cancel: [] }]);
      expect(handed(queue)).toEqual({ s: [[seq, 1]] });
      expect(queue.job(seq!)).toMatchObject({ state: "running", fence: 1, startedAt: queue.now });
      expect(wants(queue)).toEqual({ s: 2 });
      expect(queue.effects.wakeAt).toBe(queue.now + 30_000);
      expect(queue.read((tx) => describe(tx, null)).metrics.handouts).toBe(1);
      expect(queue.turn("s", { settle: [done([seq!, 1])] }).refused).toEqual([]);
      expect(queue.job(seq!).state).toBe("completed");
      expect(queue.turn("other", { holding: held }).lost).toEqual([]);
    },
  },
  {
    name: "no more than is wanted, the rest by a ticket; what the exchange itself was given is not wanted any more",
    run(queue) {
      queue.add({}, 2);
      queue.restart();
      expect(given(stand(queue, "s", 3))).toHaveLength(2);
      expect(queue.effects.handouts).toEqual([]);
      queue.add({}, 2);
      expect(handed(queue)).toEqual({ s: [[3, 1]] });
      expect(queue.effects.tickets).toEqual(["short"]);
      expect(wants(queue)).toEqual({ s: 0 });
    },
  },
  {
    name: "each exchange says anew what stands; one that does not stand, and a socket that closes, take it back, without a row",
    run(queue) {
      used(queue);
      stand(queue, "s", 3);
      stand(queue, "s", 5);
      expect(wants(queue)).toEqual({ s: 5 });
      queue.turn("s", { want: 5 });
      expect(wants(queue)).toEqual({});
      stand(queue, "s", 5);
      const before = queue.everything();
      queue.leave("s");
      expect(queue.everything()).toBe(before);
      queue.add();
      expect(queue.effects).toMatchObject({ handouts: [], tickets: ["short"] });
    },
  },
  {
    name: "a lost message loses nothing: the jobs are granted again at their fence, at the next exchange and when the last is repeated",
    run(queue) {
      used(queue);
      for (const [n, restart] of [
        [1, false],
        [2, true],
        [3, false],
      ] as const) {
        if (n === 1) stand(queue, "s", 2);
        const [seq] = n === 1 ? queue.add() : [2];
        if (n === 1) expect(handed(queue)).toEqual({ s: [[seq, 1]] });
        if (restart) queue.restart();
        expect(given(stand(queue, "s", 2, { n }))).toEqual([[seq, 1]]);
        expect(given(stand(queue, "s", 2, { n }))).toEqual([[seq, 1]]);
        expect(wants(queue)).toEqual({ s: 1 });
      }
      expect(queue.turn("s", { settle: [done([2, 1])] }).refused).toEqual([]);
    },
  },
  {
    name: "handed a job while its next exchange is on the way: that one grants it again, and more only for the rest",
    run(queue) {
      queue.add();
      const [first] = given(stand(queue, "s", 4));
      queue.add();
      expect(handed(queue)).toEqual({ s: [[2, 1]] });
      queue.add();
      // Sent before either of them came.
      const reply = stand(queue, "s", 3, { holding: [first!] });
      expect(given(reply)).toEqual([
        [2, 1],
        [3, 1],
      ]);
      expect(reply.lost).toEqual([]);
      expect(wants(queue)).toEqual({ s: 1 });
      queue.add({}, 2);
      expect(handed(queue)).toEqual({ s: [[4, 1]] });
      const settle = [first!, [2, 1], [3, 1], [4, 1]].map((one) => done(one as [number, number]));
      expect(queue.turn("s", { settle }).refused).toEqual([]);
    },
  },
  {
    name: "an exchange that is repeated after a handout refuses what it refused, and settles nothing twice",
    run(queue) {
      queue.add({ maxAttempts: 9 });
      const [held] = queue.claim("s", 1);
      const settle = [
        { seq: held![0], fence: 1, outcome: "failed" as const, error: ERROR },
        { seq: 99, fence: 1, outcome: "completed" as const },
      ];
      const refused = [{ seq: 99, fence: 1, code: "not_held" }];
      expect(stand(queue, "s", 2, { n: 2, settle }).refused).toEqual(refused);
      expect(queue.rows("SELECT * FROM sessions")).toEqual([]);
      const [seq] = queue.add();
      expect(handed(queue)).toEqual({ s: [[seq, 1]] });
      for (const restart of [false, true]) {
        if (restart) queue.restart();
        const again = stand(queue, "s", 2, { n: 2, settle });
        expect(again.refused).toEqual(refused);
        expect(given(again)).toEqual([[seq, 1]]);
      }
      expect(queue.job(held![0])).toMatchObject({ state: "scheduled", failures: 1 });
      expect(queue.exchange("s", { n: 1 })).toMatchObject({ ok: false, code: "conflict" });
    },
  },
  {
    name: "after an eviction the wants are those that the sockets keep, and what has been handed out is not wanted again",
    run(queue) {
      used(queue);
      stand(queue, "s", 2);
      queue.add();
      queue.restart();
      expect(wants(queue)).toEqual({ s: 1 });
      expect(queue.exchange("s", { n: 0 })).toMatchObject({ ok: false });
      queue.add({}, 2);
      expect(handed(queue)).toEqual({ s: [[3, 1]] });
      queue.restart();
      expect(wants(queue)).toEqual({ s: 0 });
      queue.add();
      expect(queue.effects.handouts).toEqual([]);
    },
  },
  {
    name: "one that stood at a queue which nobody had used is handed its first job",
    run(queue) {
      queue.sockets.set("s", { session: "s", n: 1, want: 1, bytes: 0, tasks: null, worker: "w" });
      queue.add();
      expect(handed(queue)).toEqual({ s: [[1, 1]] });
      expect(queue.rows("SELECT worker, n FROM sessions")).toMatchObject([{ worker: "w", n: 1 }]);
    },
  },
  {
    name: "one whose socket is silent gets nothing and stands no more: the job goes to the next, or a ticket is sent",
    run(queue) {
      used(queue);
      stand(queue, "dead", 9);
      stand(queue, "s", 1);
      queue.dead.add("dead");
      queue.add();
      expect(queue.effects).toMatchObject({ silent: ["dead"], tickets: [] });
      expect(handed(queue)).toEqual({ s: [[2, 1]] });
      expect(wants(queue)).toEqual({ s: 0 });
      stand(queue, "dead", 9);
      queue.add();
      expect(queue.effects).toMatchObject({ silent: ["dead"], handouts: [], tickets: ["short"] });
    },
  },
  {
    name: "one that holds jobs and does not speak until its lease is over stands no more; a handout does not renew the lease",
    run(queue) {
      queue.add();
      stand(queue, "s", 9);
      const leaseUntil = queue.now + 30_000;
      queue.now += 20_000;
      queue.add();
      expect(handed(queue)).toEqual({ s: [[2, 1]] });
      expect(queue.rows("SELECT lease_until FROM sessions")).toEqual([{ lease_until: leaseUntil }]);
      queue.now = leaseUntil;
      queue.add();
      expect(queue.effects.handouts).toEqual([]);
      queue.pass(0);
      expect(queue.effects).toMatchObject({ silent: ["s"], handouts: [] });
      expect(queue.job(1)).toMatchObject({ state: "ready", lapses: 1 });
      expect(wants(queue)).toEqual({});
      expect(stand(queue, "s", 0, { settle: [done([2, 1])] }).refused).toMatchObject([{ code: "not_held" }]);
    },
  },
  {
    name: "a job that it holds is cancelled: it is told at once, and at each exchange until it lets go",
    run(queue) {
      queue.add({}, 3);
      const held = given(stand(queue, "s", 3));
      queue.write((tx) => cancel(tx, 1));
      expect(queue.effects.handouts).toEqual([{ session: "s", n: 1, jobs: "[]", cancel: [1] }]);
      queue.write((tx) => cancel(tx, 1));
      expect(queue.effects.handouts).toEqual([]);
      const jobs = held.slice(1);
      queue.write((tx) => bulkHere(tx, { action: "cancel", jobs, states: null, runAt: null, priority: null }));
      expect(queue.effects.handouts).toMatchObject([{ session: "s", cancel: [2, 3] }]);
      expect(stand(queue, "s", 0, { holding: held }).cancel).toEqual([1, 2, 3]);
    },
  },
  {
    name: "told of a cancel beside the jobs that take its place; not one that stands no more",
    run(queue) {
      put(queue, "tick", { overlap: "cancel-other", template: { ...TEMPLATE, timeoutMs: 600_000 } });
      stand(queue, "s", 9);
      queue.pass(60_000);
      const holding = handed(queue).s!;
      for (let i = 0; i < 2; i++) {
        queue.now += 20_000;
        stand(queue, "s", 9, { holding });
      }
      queue.pass(20_000);
      expect(queue.effects.handouts).toMatchObject([{ session: "s", cancel: [holding[0]![0]] }]);
      expect(handed(queue).s).toHaveLength(1);
      queue.leave("s");
      queue.write((tx) => cancel(tx, handed(queue).s![0]![0]));
      expect(queue.effects.handouts).toEqual([]);
    },
  },
  {
    name: "one that is silent is not told of a cancel, and stands no more",
    run(queue) {
      queue.add();
      stand(queue, "s", 1);
      queue.dead.add("s");
      queue.write((tx) => cancel(tx, 1));
      expect(queue.effects).toMatchObject({ handouts: [], silent: ["s"] });
    },
  },
  {
    name: "the job whose cancel it is to be told of leaves it in the same transaction: there is nothing to tell",
    run(queue) {
      used(queue);
      put(queue, "every minute", { overlap: "cancel-other", template: { ...TEMPLATE, timeoutMs: MINUTE - 30_000 } });
      stand(queue, "s", 1);
      queue.pass(MINUTE);
      const [held] = handed(queue).s!;
      for (let i = 0; i < 6; i++) {
        queue.now += 9_000;
        stand(queue, "s", 0, { holding: [held!] });
      }
      queue.pass(6_000);
      expect(queue.effects).toMatchObject({ handouts: [], silent: [] });
      expect(queue.job(held![0])).toMatchObject({ state: "cancelled" });
    },
  },
  {
    name: "outcomes that were refused are counted",
    run(queue) {
      queue.add();
      const [held] = queue.claim("s");
      const settle = [done([99, 1]), { seq: held![0], fence: 1, outcome: "odd" as never }];
      expect(stand(queue, "s", 0, { settle }).refused).toHaveLength(2);
      expect(queue.read((tx) => tx.books.metrics.settlesRefused)).toBe(2);
    },
  },
  {
    name: "the next job of an idle session costs no more rows than one that it claims itself",
    run(queue) {
      const written = queue.storage.rowsWritten;
      const cost = (run: () => void): number => {
        const before = written?.() ?? 0;
        run();
        return (written?.() ?? 0) - before;
      };
      used(queue);
      const byExchange = cost(() => {
        queue.add();
        expect(queue.claim("polls", 1)).toHaveLength(1);
      });
      stand(queue, "s", 1);
      const byHandout = cost(() => {
        queue.add();
        expect(handed(queue).s).toHaveLength(1);
      });
      expect(byHandout).toBeLessThanOrEqual(byExchange);
      expect(written === undefined || byHandout > 0).toBe(true);
    },
  },
];
