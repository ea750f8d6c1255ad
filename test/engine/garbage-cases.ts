import { expect } from "vitest";
import type { EnqueueInput, ExchangeInput } from "../../client/wire.ts";
import { type Books, laneKey } from "../../durable-objects/engine/books.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { openBooks } from "../../durable-objects/engine/open.ts";
import { Random } from "../sim/random.ts";
import type { Case, TestQueue } from "./queue.ts";

const ODD: unknown[] = [
  null,
  undefined,
  true,
  0,
  -1,
  1,
  2,
  1e308,
  Number.NaN,
  0.5,
  "",
  "1",
  "x'); DROP TABLE jobs; --",
  "\u0000",
  "\ud800",
  [],
  [1, 1],
  ["1", "1"],
  {},
  { outcome: "completed" },
  { seq: 1, fence: 1, outcome: "completed", result: "}{" },
  { seq: 1, fence: 1, outcome: "failed", error: { name: 1, message: "m", stack: {} } },
  { seq: 2, fence: 1, outcome: "snoozed", forMs: 1e300 },
  { seq: 1e300, fence: 1, outcome: "released" },
  { seq: "1", fence: "1", outcome: "dead", error: { message: "" } },
];

/** Something that looks about like an input: some fields right, some not. */
function garbage(random: Random, right: Record<string, () => unknown>): Record<string, unknown> {
  const entries = Object.entries(right).map(([key, make]) => {
    if (random.chance(0.75)) return [key, make()];
    const list = Array.from({ length: random.int(0, 4) }, () => random.pick(ODD));
    return [key, random.chance(0.5) ? list : random.pick(ODD)];
  });
  return Object.fromEntries(entries);
}

/** Does it; what throws must have changed nothing. */
function attempt(queue: TestQueue, run: () => unknown): void {
  const before = queue.everything();
  try {
    run();
  } catch {
    expect(queue.everything()).toBe(before);
  }
}

/** Of lanes what the tables say; where they stand is found out by claims. */
function tabled({ lanes }: Books): unknown[] {
  return [...lanes.values()].map(({ id, ready, group, gates, ...lane }) => {
    const holders = [group.gate, ...gates].map(({ key, holders }) => [key, holders]);
    return [id, ready, laneKey(lane), holders];
  });
}

/** The tables are whole, and the memory is what the tables say. */
function checkWhole(queue: TestQueue): void {
  expect(
    queue.rows("SELECT count(*) AS n FROM jobs AS j LEFT JOIN lanes AS l ON l.id = j.lane WHERE l.id IS NULL"),
  ).toEqual([{ n: 0 }]);
  const fresh = openBooks(queue.storage.sql, {})!;
  queue.read(({ books }) => {
    expect(books.running).toBe(fresh.running);
    expect(books.nextSeq).toBe(fresh.nextSeq);
    expect(tabled(books)).toEqual(tabled(fresh));
    expect([...books.sessions.values()].sort()).toEqual([...fresh.sessions.values()].sort());
  });
  const held = [...fresh.sessions.values()].flatMap((session) => [...session.held.keys()]);
  const running = queue.rows("SELECT seq FROM jobs WHERE state = 'running'").map(({ seq }) => Number(seq));
  expect(held.sort()).toEqual(running.sort());
}

export const GARBAGE: Case[] = [
  {
    name: "whatever a worker says, it is refused or throws, and nothing is corrupted",
    run(queue) {
      const random = new Random(2026);
      for (let round = 0; round < 150; round++) {
        if (round % 5 === 0) queue.add({ maxAttempts: 50 }, 2);
        const held = (): [number, number][] =>
          queue
            .rows("SELECT seq, fence FROM jobs WHERE state = 'running'")
            .map((row) => [Number(row.seq), Number(row.fence)]);
        const input = garbage(random, {
          session: () => random.pick(["a", "b"]),
          n: () => round + 1,
          worker: () => ({ name: "w", runtime: "test" }),
          channel: () => null,
          holding: () => held(),
          settle: () =>
            held().map(([seq, fence]) => ({ seq, fence, outcome: random.pick(["completed", "released", "vanished"]) })),
          progress: () => [],
          want: () => random.int(0, 3),
        });
        attempt(queue, () => queue.write((tx) => exchange(tx, input as unknown as ExchangeInput)));
        queue.now += 1_000;
      }
      checkWhole(queue);
    },
  },
  {
    name: "whatever is enqueued, all of it is accepted or nothing",
    run(queue) {
      queue.add();
      const random = new Random(4711);
      const template = (): Record<string, unknown> =>
        garbage(random, {
          task: () => "mail",
          priority: () => 0,
          runAt: () => null,
          delayMs: () => 0,
          maxAttempts: () => 1,
          backoff: () => null,
          ownBackoff: () => false,
          timeoutMs: () => 1_000,
          expiresInMs: () => null,
          tags: () => [],
          meta: () => null,
          actor: () => null,
          version: () => null,
          traceparent: () => null,
        });
      for (let round = 0; round < 150; round++) {
        const input = garbage(random, {
          templates: () => [template()],
          jobs: () => [
            [0, "1"],
            [0, null],
          ],
          requestId: () => null,
          idempotency: () => null,
        }) as unknown as EnqueueInput;
        attempt(queue, () => {
          const reply = queue.write((tx) => enqueue(tx, input));
          if (!reply.ok) return;
          for (const { seq } of reply.jobs) expect(queue.job(seq).seq).toBe(seq);
        });
      }
      checkWhole(queue);
    },
  },
];
