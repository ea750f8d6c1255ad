import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { Row } from "../../durable-objects/engine/ports.ts";
import { type CountingStorage, TestQueue } from "../engine/queue.ts";
import { SUITE } from "../engine/suite.ts";
import { freshWorld, queueObject } from "./support.ts";

freshWorld();

/** The storage of an object, counting the rows that are billed. */
function countingStorage({ storage }: DurableObjectState): CountingStorage & { rowsWritten(): number } {
  let rows = 0;
  return {
    sql: {
      exec(query, ...params) {
        const cursor = storage.sql.exec(query, ...params);
        const result = cursor.toArray() as Row[];
        rows += cursor.rowsWritten;
        return result;
      },
    },
    transaction: (run) => storage.transactionSync(run),
    rowsWritten: () => rows,
  };
}

function inObject(run: (queue: TestQueue, rowsWritten: () => number) => void): Promise<void> {
  return runInDurableObject(queueObject(), (_object, state) => {
    const storage = countingStorage(state);
    run(new TestQueue(storage), storage.rowsWritten);
  });
}

describe.each(Object.entries(SUITE))("%s, in a Durable Object", (_verb, cases) => {
  it.each(cases)("$name", ({ run }) => inObject(run));
});

describe("rows written", () => {
  it("by bulk: at most 2 a job to enqueue, 1 to claim, 1 to complete, and a few a call", () =>
    inObject((queue, rowsWritten) => {
      queue.add();
      queue.run({ outcome: "completed" });
      const written = (run: () => void): number => {
        const before = rowsWritten();
        run();
        return rowsWritten() - before;
      };
      expect(written(() => queue.add({}, 500))).toBeLessThanOrEqual(2 * 500);
      let held: [number, number][] = [];
      expect(
        written(() => {
          held = queue.claim("s");
        }),
      ).toBeLessThanOrEqual(500 + 1);
      const settle = held.map(([seq, fence]) => ({ seq, fence, outcome: "completed" as const }));
      expect(written(() => queue.turn("s", { settle }))).toBeLessThanOrEqual(500 + 2);
      expect(written(() => queue.turn("t", { want: 5 }))).toBe(0);
    }));

  it("by one job from enqueue to end: 6", () =>
    inObject((queue, rowsWritten) => {
      queue.add();
      queue.run({ outcome: "completed" });
      const before = rowsWritten();
      queue.add();
      queue.run({ outcome: "completed" });
      expect(rowsWritten() - before).toBeLessThanOrEqual(7);
    }));

  it("by a heartbeat: one, however many jobs run", () =>
    inObject((queue, rowsWritten) => {
      queue.add({}, 100);
      const holding = queue.claim("s");
      const before = rowsWritten();
      queue.turn("s", { holding });
      expect(rowsWritten() - before).toBe(1);
    }));
});
