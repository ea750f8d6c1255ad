import { expect } from "vitest";
import { cancel, configure, pause, resume, setPriority } from "../../durable-objects/engine/operate.ts";
import { type Case, seqs, set } from "./queue.ts";

export const CLAIM: Case[] = [
  {
    name: "gives jobs by priority, then by the time at which they became ready, then by acceptance, across tasks",
    run(queue) {
      const [late] = queue.add({ delayMs: 50 });
      const [a, b] = queue.add({}, 2);
      const [high] = queue.add({ task: "other", priority: 5 });
      const [low] = queue.add({ task: "other", priority: -5 });
      queue.now += 10;
      const [c] = queue.add({ task: "third" });
      queue.now += 40;
      expect(seqs(queue.claim("s"))).toEqual([high, a, b, c, late, low]);
    },
  },
  {
    name: "reads on where a lane has more than the first look took",
    run(queue) {
      for (let i = 0; i < 40; i++) queue.add({ task: i % 2 ? "even" : "odd", priority: i < 30 ? 1 : 0 }, 10);
      const order = queue.rows("SELECT seq FROM jobs ORDER BY priority DESC, rank, seq").map((row) => Number(row.seq));
      expect(seqs(queue.claim("s", 333))).toEqual(order.slice(0, 333));
      expect(seqs(queue.claim("t", 500))).toEqual(order.slice(333));
    },
  },
  {
    name: "goes by the order of now, whatever it has read ahead of several lanes",
    run(queue) {
      const [first, second, third, fourth] = queue.add({ task: "a" }, 4);
      queue.add({ task: "b" }, 4);
      const next = () => {
        queue.add({ task: "b", priority: -9 });
        return queue.claim(`s${queue.now++}`, 1)[0]![0];
      };
      expect(next()).toBe(first);
      queue.write((tx) => cancel(tx, second!));
      expect(next()).toBe(third);
      const [low] = queue.add({ task: "a", priority: -1 });
      expect(next()).toBe(fourth);
      const [high] = queue.add({ task: "a", priority: 1 });
      expect(next()).toBe(high);
      queue.now += 3_600_000;
      const [young] = queue.add({ task: "a" });
      queue.write((tx) => setPriority(tx, low!, 2));
      queue.write((tx) => setPriority(tx, young!, 1));
      expect(next()).toBe(low);
      set(queue, { ageing: { perMs: 60_000, priority: 1 } });
      expect(seqs(queue.claim("old", 4))).not.toContain(young);
    },
  },
  {
    name: "gives only the tasks and the channel that a session asks for",
    run(queue) {
      const [mail] = queue.add();
      const [video] = queue.add({ task: "video", timeoutMs: 60_000 });
      const tasks = (names: string[]) => ({ worker: { name: "w", runtime: "test", tasks: names } });
      expect(queue.claim("none", 9, tasks([]))).toEqual([]);
      expect(queue.claim("short", 9, { channel: "long", ...tasks(["mail"]) })).toEqual([]);
      expect(seqs(queue.claim("long", 9, { channel: "long" }))).toEqual([video]);
      expect(seqs(queue.claim("mail", 9, tasks(["mail", "constructor"])))).toEqual([mail]);
    },
  },
  {
    name: "raises the fence at each claim, and keeps payload, attempt and start",
    run(queue) {
      const [seq] = queue.add();
      queue.now += 7;
      const reply = queue.turn("s", { want: 1 });
      const [[id, task, payload, encoding, fence, failures, createdAt, runAt, reopened, options]] = JSON.parse(
        reply.jobs,
      );
      expect([id, task, payload, encoding, fence, failures]).toEqual([seq, "mail", '{"to":"ü€😀"}', "json", 1, 0]);
      expect([createdAt, runAt, reopened]).toEqual([queue.now - 7, queue.now - 7, 0]);
      expect(JSON.parse(options).maxAttempts).toBe(3);
      expect(queue.job(seq!)).toMatchObject({ state: "running", fence: 1, startedAt: queue.now });
      expect(reply.leaseMs).toBe(30_000);
    },
  },
  {
    name: "stops a claim at four MiB, and always gives one",
    run(queue) {
      const payload = JSON.stringify("x".repeat(500_000));
      const jobs = queue.add({}, 20, { jobs: Array.from({ length: 20 }, () => [0, payload]) });
      queue.add({ task: "other" });
      const first = seqs(queue.claim("s", 12));
      expect(first.length).toBeGreaterThan(4);
      expect(first.length).toBeLessThan(10);
      expect(seqs(queue.claim("t", 1))).toEqual([jobs[first.length]]);
      expect(queue.claim("s", 12, { holding: [] }).length).toBeGreaterThan(0);
    },
  },
  {
    name: "starts nothing whose time is over, also where more is due than one step ends",
    run(queue) {
      for (let i = 0; i < 3; i++) queue.add({ expiresInMs: 1_000 }, 1_000);
      const [after] = queue.add();
      queue.now += 2_000;
      expect(queue.claim("s", 500)).toEqual([]);
      expect(queue.effects.wakeAt).toBeLessThanOrEqual(queue.now);
      queue.pass(0);
      queue.pass(0);
      expect(seqs(queue.claim("t", 500))).toEqual([after]);
      expect(queue.rows("SELECT count(*) AS n FROM jobs")[0]!.n).toBe(1);
    },
  },
  {
    name: "holds the concurrency across sessions, and looks again when one ends",
    run(queue) {
      set(queue, { concurrency: 2 });
      queue.add({}, 5);
      const [first] = queue.claim("a", 1);
      const [second] = queue.claim("b", 5);
      expect(first && second).toBeTruthy();
      expect(queue.claim("c", 5)).toEqual([]);
      expect(queue.effects.tickets).toEqual([]);
      const [third] = queue.claim("a", 5, { settle: [{ seq: first![0], fence: 1, outcome: "completed" }] });
      expect(third).toBeDefined();
      expect(queue.rows("SELECT count(*) AS n FROM jobs WHERE state = 'running'")[0]!.n).toBe(2);
    },
  },
  {
    name: "holds the number of sessions, whose jobs are under a lease",
    run(queue) {
      set(queue, { maxSessions: 1 });
      queue.add({}, 3);
      const [held] = queue.claim("a", 1);
      expect(queue.claim("b", 1)).toEqual([]);
      expect(queue.claim("a", 1, { holding: [held!] })).toHaveLength(1);
    },
  },
  {
    name: "gives nothing while paused, and tickets again when it is not",
    run(queue) {
      queue.add({}, 2);
      const [held] = queue.claim("s", 1);
      queue.write((tx) => pause(tx, "maintenance"));
      queue.restart();
      expect(queue.claim("t")).toEqual([]);
      const { refused } = queue.turn("s", { n: 2, settle: [{ seq: held![0], fence: 1, outcome: "completed" }] });
      expect(refused).toEqual([]);
      queue.pass(3_600_000);
      expect(queue.effects.tickets).toEqual([]);
      queue.write(resume);
      expect(queue.effects.tickets).toEqual(["short"]);
      expect(queue.claim("t")).toHaveLength(1);
    },
  },
  {
    name: "writes nothing for a session that gets nothing",
    run(queue) {
      queue.add({ delayMs: 1_000 });
      const before = queue.everything();
      for (let n = 1; n < 5; n++) queue.turn("s", { n, want: 6 });
      expect(queue.everything()).toBe(before);
    },
  },
  {
    name: "refuses settings that are out of range, and takes an override back",
    run(queue) {
      const wrong = [{ concurrency: 0 }, { leaseMs: 1 }, { slots: 1.5 }, { nonsense: 1 }, { historyCompleted: "some" }];
      for (const patch of wrong) {
        const refusal = queue.write((tx) => configure(tx, {}, patch as Parameters<typeof configure>[2]));
        expect(refusal).toMatchObject({ ok: false, code: "invalid_request" });
      }
      set(queue, { slots: 9 });
      queue.restart({ slots: 4 });
      expect(queue.turn("s").slots).toBe(9);
      queue.write((tx) => configure(tx, { slots: 4 }, { slots: null }));
      expect(queue.turn("s").slots).toBe(4);
    },
  },
];
