import { expect } from "vitest";
import type { FollowUps, JobTemplate, Parcel } from "../../client/wire.ts";
import { makeFollowUps, takeParcels } from "../../durable-objects/engine/follow-ups.ts";
import { confirmDelivery, deliveryFailed, dueTargets, nextDelivery } from "../../durable-objects/engine/outgoing.ts";
import { nextDue } from "../../durable-objects/engine/wake.ts";
import { type Case, ERROR, TEMPLATE, type TestQueue, thrown } from "./queue.ts";

const SECOND = 1_000;
const DAY = 86_400_000;

/** Follow-up jobs as the Worker resolves them. */
function followUps(queue: string, payloads: string[], options: Partial<JobTemplate> = {}): FollowUps {
  const template = { ...TEMPLATE, task: "wipe", ...options };
  return { queue, partition: 0, templates: [template], jobs: payloads.map((payload) => [0, payload]) };
}

const live = (queue: TestQueue) =>
  queue
    .rows("SELECT seq, payload, options FROM jobs ORDER BY seq")
    .map(({ seq, payload, options }) => [seq, payload, JSON.parse(String(options)).parent]);

const outgoing = (queue: TestQueue) => queue.rows("SELECT * FROM outgoing ORDER BY id");
const parcels = (queue: TestQueue): Parcel[] =>
  outgoing(queue).map(({ source, body }): Parcel => [String(source), String(body)]);

/** The next parcels, as the shell takes them. */
function next(queue: TestQueue) {
  return queue.read((tx) => {
    const [target] = dueTargets(tx);
    return target ? nextDelivery(tx, target, tx.now + 35 * SECOND) : null;
  });
}

export const FOLLOW_UPS: Case[] = [
  {
    name: "into the own queue: in the transaction of the completion, with their parent",
    run(queue) {
      queue.add();
      const { seq } = queue.run({
        outcome: "completed",
        enqueue: [followUps("mail", ['"a"', '"b"']), followUps("mail", ['"c"'], { delayMs: 5_000 })],
      });
      const parent = `mail:0:${seq}`;
      expect(live(queue)).toEqual([
        [2, '"a"', parent],
        [3, '"b"', parent],
        [4, '"c"', parent],
      ]);
      expect(queue.job(2)).toMatchObject({ state: "ready", task: "wipe", failures: 0, fence: 0 });
      expect(queue.job(4)).toMatchObject({ state: "scheduled", runAt: queue.now + 5_000 });
      expect(outgoing(queue)).toEqual([]);
      expect(queue.effects.deliver).toBe(false);
    },
  },
  {
    name: "are claimed by the very exchange that completes their parent",
    run(queue) {
      queue.add();
      const [[seq, fence] = [0, 0]] = queue.claim("s", 1);
      const enqueue = [followUps("mail", ["1"])];
      expect(queue.claim("s", 5, { settle: [{ seq, fence, outcome: "completed", enqueue }] })).toEqual([[2, 1]]);
    },
  },
  {
    name: "are made by a completion only, once: nothing by other ends, by a refused settle, or by a repetition",
    run(queue) {
      const enqueue = [followUps("mail", ["1"]), followUps("other", ["2"])];
      queue.add({}, 6);
      for (const ending of [
        { outcome: "failed", error: ERROR },
        { outcome: "dead", error: ERROR },
        { outcome: "snoozed", forMs: 1 },
        { outcome: "cancelled" },
        { outcome: "released" },
      ] as const) {
        queue.run({ ...ending, enqueue });
      }
      expect(live(queue).every(([, , parent]) => parent === undefined)).toBe(true);
      expect(outgoing(queue)).toEqual([]);

      const held = queue.claim("s", 1);
      const [[seq, fence] = [0, 0]] = held;
      const settle = [{ seq, fence, outcome: "completed" as const, enqueue }];
      const before = live(queue).length;
      const early = queue.turn("other", { settle });
      expect(early.refused).toMatchObject([{ code: "not_held" }]);
      expect(queue.turn("s", { holding: held, settle: [{ ...settle[0]!, fence: fence + 1 }] }).refused).toHaveLength(1);
      expect(outgoing(queue)).toEqual([]);
      expect(queue.turn("s", { n: 3, settle }).refused).toEqual([]);
      // The answer is lost: the same exchange again, the same settle under the next number, and from a new object.
      queue.turn("s", { n: 3, settle });
      queue.turn("s", { n: 4, settle });
      queue.restart();
      queue.turn("s", { n: 5, settle });
      expect(live(queue)).toHaveLength(before - 1 + 1);
      expect(outgoing(queue)).toHaveLength(1);
    },
  },
  {
    name: "into other queues: a row for each queue and settle, to be delivered at once, and again after a restart",
    run(queue) {
      queue.add({}, 3);
      const held = queue.claim("s");
      const settle = held.map(([seq, fence]) => ({
        seq,
        fence,
        outcome: "completed" as const,
        enqueue: [followUps("other", [`${seq}`, `"x"`]), followUps("third", [`${seq}`])],
      }));
      queue.turn("s", { settle });
      expect(queue.effects.deliver).toBe(true);
      expect(outgoing(queue)).toMatchObject([
        { queue: "other", partition: 0, source: "mail:0:1/1/1" },
        { queue: "third", partition: 0, source: "mail:0:1/1/2" },
      ]);
      const { templates, jobs } = JSON.parse(String(outgoing(queue)[0]!.body));
      expect(templates.map(({ parent }: JobTemplate) => parent)).toEqual(["mail:0:1", "mail:0:2", "mail:0:3"]);
      expect(jobs).toEqual([
        [0, "1"],
        [0, '"x"'],
        [1, "2"],
        [1, '"x"'],
        [2, "3"],
        [2, '"x"'],
      ]);
      queue.restart();
      expect(queue.read(nextDue)).toBe(0);
      expect(queue.read(dueTargets)).toMatchObject([
        { queue: "other", waiting: 1 },
        { queue: "third", waiting: 1 },
      ]);
    },
  },
  {
    name: "wait for a queue that does not answer, longer each time, and hold up no other; nothing waits, no alarm",
    run(queue) {
      queue.add({}, 2);
      const complete = (...to: string[]) =>
        queue.run({ outcome: "completed", enqueue: to.map((name) => followUps(name, ["1"])) });
      complete("away", "here");
      const first = next(queue)!;
      expect(first.parcels).toHaveLength(1);
      expect(queue.read(dueTargets)).toMatchObject([{ queue: "here" }]);
      const waits = [1, 2, 3, 4, 12].map((failures) => {
        first.target.failures = failures - 1;
        return queue.read((tx) => deliveryFailed(tx, first.target))! - queue.now;
      });
      expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 300_000]);
      const here = next(queue)!;
      queue.write((tx) => confirmDelivery(tx, here, here.ids.length));
      expect(queue.read(dueTargets)).toEqual([]);
      // New parcels for it wait with the old ones; after a failure one goes at a time, the oldest first.
      complete("away");
      expect(queue.effects.deliver).toBe(false);
      queue.pass(300_000);
      expect(queue.effects.deliver).toBe(true);
      const again = next(queue)!;
      expect(again.parcels).toEqual([parcels(queue)[0]]);
      queue.write((tx) => confirmDelivery(tx, again, again.ids.length));
      // Confirmed twice, by two who did not know of each other: the other parcel still waits.
      queue.write((tx) => confirmDelivery(tx, again, again.ids.length));
      again.target.dueAt = queue.now;
      const last = next(queue)!;
      expect(last.parcels).toHaveLength(1);
      queue.write((tx) => confirmDelivery(tx, last, last.ids.length));
      expect(outgoing(queue)).toEqual([]);
      expect(queue.read(dueTargets)).toEqual([]);
    },
  },
  {
    name: "wait for an answer of their own: that of two who sent the one before leaves them, though ids begin anew",
    run(queue) {
      queue.add({}, 2);
      const complete = () => queue.run({ outcome: "completed", enqueue: [followUps("other", ["1"])] });
      complete();
      const first = next(queue)!;
      thrown(() =>
        queue.write(() => {
          throw new Error("the books are read anew, without the try that is under way");
        }),
      );
      const second = next(queue)!;
      expect(second.parcels).toEqual(first.parcels);
      queue.write((tx) => confirmDelivery(tx, first, 1));
      complete();
      expect(outgoing(queue)).toMatchObject([{ id: first.ids[0], source: "mail:0:2/1/1" }]);
      queue.write((tx) => confirmDelivery(tx, second, 1));
      expect(outgoing(queue)).toMatchObject([{ source: "mail:0:2/1/1" }]);
      expect(queue.read(dueTargets)).toMatchObject([{ queue: "other", waiting: 1 }]);
    },
  },
  {
    name: "are taken once for each source, also thirty days later and after a restart; a refusal makes nothing",
    run(queue) {
      const body = (jobs: number) =>
        JSON.stringify({ templates: [{ ...TEMPLATE, parent: "from:0:7" }], jobs: Array(jobs).fill([0, "1"]) });
      const take = (...all: Parcel[]) => queue.write((tx) => takeParcels(tx, all));
      expect(take(["from:0:7/1/1", body(2)], ["from:0:8/1/1", body(1)])).toEqual([
        { ok: true, replayed: false },
        { ok: true, replayed: false },
      ]);
      queue.restart();
      queue.now += 30 * DAY - 1;
      expect(take(["from:0:7/1/1", body(2)], ["from:0:7/2/1", body(1)])).toEqual([
        { ok: true, replayed: true },
        { ok: true, replayed: false },
      ]);
      expect(live(queue).map(([, , parent]) => parent)).toEqual(Array(4).fill("from:0:7"));
      const before = queue.everything();
      expect(take(["from:0:9/1/1", body(1_001)])).toMatchObject([{ ok: false, code: "invalid_request" }]);
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "count their delay from the completion, however late they arrive",
    run(queue) {
      queue.add();
      queue.run({
        outcome: "completed",
        enqueue: [followUps("other", ["1"], { delayMs: 60_000, deadlineMs: 90_000 }), followUps("other", ["2"])],
      });
      const [first, second] = JSON.parse(parcels(queue)[0]![1]).templates;
      expect(first).toMatchObject({ runAt: queue.now + 60_000, delayMs: 0, deadlineAt: queue.now + 90_000 });
      expect(second).toMatchObject({ runAt: null, delayMs: 0 });
    },
  },
  {
    name: "are cut: parcels of 512 KiB and a thousand jobs, and no more than a thousand jobs an exchange",
    run(queue) {
      queue.add({}, 3);
      const large = JSON.stringify("x".repeat(200_000));
      queue.run({ outcome: "completed", enqueue: [followUps("other", Array(5).fill(large))] });
      expect(outgoing(queue).map(({ source, body }) => [source, JSON.parse(String(body)).jobs.length])).toEqual([
        ["mail:0:1/1/1", 2],
        ["mail:0:1/1/2", 2],
        ["mail:0:1/1/3", 1],
      ]);
      expect(next(queue)!.parcels).toHaveLength(1);

      const held = queue.claim("s", 2);
      const many = (count: number) => [followUps("mail", Array(count).fill("1"))];
      const settle = held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const, enqueue: many(501) }));
      const before = queue.everything();
      const refused = queue.exchange("s", { settle });
      expect(refused).toMatchObject({ ok: false, code: "invalid_request", detail: expect.stringContaining("1002") });
      expect(queue.everything()).toBe(before);
      expect(queue.turn("s", { n: 2, holding: [held[1]!], settle: [settle[0]!] }).refused).toEqual([]);
      expect(live(queue)).toHaveLength(1 + 501);
    },
  },
  {
    name: "that are malformed are refused alone, with the settle that carries them",
    run(queue) {
      queue.add({}, 2);
      const held = queue.claim("s");
      const [[seq, fence] = [0, 0], good = [0, 0]] = held;
      const group = followUps("mail", ["1"]);
      const bad: unknown[] = [
        {},
        "x",
        [null],
        [{ ...group, queue: 5 }],
        [{ ...group, partition: "0" }],
        [{ ...group, jobs: [] }],
        [{ ...group, jobs: [[1, "1"]] }],
        [{ ...group, jobs: [["0", "1"]] }],
        [{ ...group, jobs: [[0, 1]] }],
        [{ ...group, jobs: [5] }],
        [{ ...group, templates: [null] }],
        [{ ...group, templates: [{ task: "x" }] }],
        [{ ...group, templates: [{ ...TEMPLATE, unique: { key: "u", states: ["running"] } }] }],
        [{ ...group, jobs: Array(1_001).fill([0, "1"]) }],
      ];
      for (const enqueue of bad.slice(0, -1)) {
        const settle = [{ seq, fence, outcome: "completed" as const, enqueue: enqueue as FollowUps[] }];
        expect(queue.turn("s", { holding: [good], settle }).refused, JSON.stringify(enqueue)).toEqual([
          { seq, fence, code: "invalid_outcome" },
        ]);
      }
      expect(queue.job(seq).state).toBe("running");
      const settle = [
        { seq, fence, outcome: "completed" as const, enqueue: bad[0] as FollowUps[] },
        { seq: good[0], fence: good[1], outcome: "completed" as const, enqueue: [group] },
      ];
      expect(queue.turn("s", { settle }).refused).toHaveLength(1);
      expect(live(queue)).toHaveLength(2);
    },
  },
  {
    name: "whose making fails leave nothing of the settle either",
    run(queue) {
      queue.add();
      const [[seq, fence] = [0, 0]] = queue.claim("s");
      const before = queue.everything();
      const enqueue = [followUps("mail", ["1"]), followUps("other", ["2"])];
      const broken = thrown(() =>
        queue.write((tx) => {
          makeFollowUps(tx, [{ seq, fence, enqueue }]);
          throw new Error("the power is gone");
        }),
      );
      expect(broken).toBe("the power is gone");
      expect(queue.everything()).toBe(before);
      expect(outgoing(queue)).toEqual([]);
      expect(queue.read(dueTargets)).toEqual([]);
    },
  },
];
