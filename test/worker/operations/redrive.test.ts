import { describe, expect, it } from "vitest";
import type { Operation, Page } from "../../../client/types.ts";
import { newOperationId, operationsIn } from "../../../worker/history/operations.ts";
import { runDueOperations, runOperation } from "../../../worker/operations/run.ts";
import { answer, ask, claim, db, enqueue, getJob, migrated, problem, stubOf, work } from "../api/support.ts";
import { counts, deadJobs, flushed, leaseOver, live, look, noted, over, sources, start } from "./support.ts";

migrated();

describe("a redrive", () => {
  it("puts thousands of dead jobs of two queues back in line, each once, and no others", async () => {
    await Promise.all([deadJobs("q-red-a", 1_400, { tags: ["red"] }), deadJobs("q-red-b", 1_100, { tags: ["red"] })]);
    await deadJobs("q-red-a", 3);
    const op = await start({ action: "retry", filter: { tag: "red" } });
    expect(op).toMatchObject({ state: "running", filter: { tag: "red", state: "dead" }, matched: 0, canary: null });
    expect(await over(op)).toMatchObject({
      state: "completed",
      matched: 2_500,
      changed: 2_500,
      failed: 0,
      reason: null,
    });
    for (const [queue, count] of [
      ["q-red-a", 1_400],
      ["q-red-b", 1_100],
    ] as const) {
      const jobs = await live(queue);
      expect(jobs).toHaveLength(count);
      expect(jobs.every(({ state, failures, reopened }) => state === "ready" && failures === 0 && reopened === 3)).toBe(
        true,
      );
    }
  });

  it("goes on where it was after it was cut short at any place, and retries nothing twice", async () => {
    await deadJobs("q-cut", 900);
    const id = await noted({ action: "retry", filter: { queue: "q-cut", state: "dead" } });
    const real = sources().history().operations;
    for (let run = 1, saves = 0; (await counts(id)).state === "running"; run++) {
      expect(run).toBeLessThan(20);
      // What was changed in a step is not noted: the answer of D1, or the Worker, is lost.
      const dies = sources({
        operations: {
          save: async (...args) => {
            saves += 1;
            if (saves % 2 === 0) throw new Error("The Worker is gone");
            return real.save(...args);
          },
        },
      });
      await runOperation(dies, id, 20_000);
      await leaseOver(id);
    }
    expect(await counts(id)).toMatchObject({ state: "completed", matched: 900, changed: 900, failed: 0 });
    const jobs = await live("q-cut");
    expect(jobs).toHaveLength(900);
    expect(jobs.every(({ state, failures, reopened }) => state === "ready" && failures === 0 && reopened === 3)).toBe(
      true,
    );
  });

  it("leaves a job alone that died again before the step was repeated", async () => {
    await deadJobs("q-again", 10);
    const id = await noted({ action: "retry", filter: { queue: "q-again", state: "dead" } });
    const real = sources().history().operations;
    let saves = 0;
    const dies = sources({
      operations: {
        save: async (...args) => {
          if (++saves === 2) throw new Error("gone");
          return real.save(...args);
        },
      },
    });
    await runOperation(dies, id, 20_000);
    expect(await live("q-again")).toHaveLength(10);
    await deadJobs("q-again", 0);
    await leaseOver(id);
    await runOperation(sources(), id, 20_000);
    expect(await counts(id)).toMatchObject({ state: "completed", changed: 10 });
    expect(await live("q-again")).toEqual([]);
  });

  it("is worked on by one at a time, and by the sweep", async () => {
    await deadJobs("q-lease", 400);
    const id = await noted({ action: "retry", filter: { queue: "q-lease", state: "dead" } });
    await Promise.all([1, 2, 3].map(() => runOperation(sources(), id, 20_000)));
    expect(await counts(id)).toMatchObject({ state: "completed", matched: 400, changed: 400 });
    await deadJobs("q-lease", 0);
    const next = await noted({ action: "retry", filter: { queue: "q-lease", state: "dead" } });
    await runDueOperations(sources(), 20_000);
    expect(await counts(next)).toMatchObject({ state: "completed", matched: 400, changed: 400 });
  });

  it("keeps its hands off jobs that died after it began, and off those of other fingerprints", async () => {
    await deadJobs("q-late", 5, {}, "first 17");
    const id = await noted({ action: "retry", filter: { queue: "q-late", state: "dead" } });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await deadJobs("q-late", 4, {}, "second 18");
    await runOperation(sources(), id, 20_000);
    expect(await counts(id)).toMatchObject({ matched: 5, changed: 5 });
    const { items } = await answer<{ items: { fingerprint: string; count: number }[] }>(
      await ask("/v1/errors?queue=q-late&limit=200"),
    );
    const { fingerprint } = items.find(({ count }) => count === 4)!;
    const op = await over(await start({ action: "retry", filter: { queue: "q-late", fingerprint } }));
    expect(op).toMatchObject({ matched: 4, changed: 4 });
    expect(await over(await start({ action: "retry", filter: { fingerprint: "0000000000000000" } }))).toMatchObject({
      state: "completed",
      matched: 0,
    });
  });
});

describe("an operation", () => {
  it.each(["retry", "delete"])(
    "finds no job that ended after it began, with a queue and without (%s)",
    async (action) => {
      const queue = `q-ends-${action}`;
      await deadJobs(queue, 3, { tags: [queue] });
      await enqueue(queue, { task: "any", tags: [queue] });
      const ids = [
        await noted({ action, filter: { queue, state: "dead" }, dryRun: true }),
        await noted({ action, filter: { tag: queue }, dryRun: true }),
        await noted({ action, filter: { queue, state: "dead" } }),
      ];
      await new Promise((resolve) => setTimeout(resolve, 5));
      await deadJobs(queue, 0);
      for (const id of ids) {
        await runOperation(sources(), id, 20_000);
        expect(await counts(id)).toMatchObject({ state: "completed", matched: 3 });
      }
      expect(await getJob(`${queue}:0:4`)).toMatchObject({ state: "dead" });
    },
  );

  it("that deletes in all queues leaves completed jobs", async () => {
    await deadJobs("q-del-all", 2, { tags: ["del-all"] });
    const { id } = await enqueue("q-del-all", { task: "any", tags: ["del-all"] });
    await work("q-del-all");
    await flushed("q-del-all");
    const op = await over(await start({ action: "delete", filter: { tag: "del-all" } }));
    expect(op).toMatchObject({ filter: { state: "dead,cancelled" }, state: "completed", matched: 2, changed: 2 });
    expect(await getJob(id)).toMatchObject({ state: "completed" });
  });

  it("only counts in a dry run", async () => {
    await deadJobs("q-dry", 250);
    const one = await start({ action: "retry", filter: { queue: "q-dry" }, dryRun: true });
    expect(await over(one)).toMatchObject({ state: "completed", dryRun: true, matched: 250, changed: 0 });
    expect(await live("q-dry")).toEqual([]);
    await over(await start({ action: "retry", filter: { queue: "q-dry" } }));
    // The history still says dead; the object knows better.
    const all = await start({
      action: "retry",
      filter: { state: "dead", task: "any", from: "2020-01-01T00:00:00Z" },
      dryRun: true,
    });
    await over(all);
    const again = await over(await start({ action: "retry", filter: { queue: "q-dry" }, dryRun: true }));
    expect(again.matched).toBe(0);
  });

  it("keeps its rate, and saves nothing up while nobody works on it", async () => {
    await deadJobs("q-rate", 60);
    const id = await noted({ action: "retry", filter: { queue: "q-rate" }, rate: { limit: 10, per: "1s" } });
    const startedAt = Date.now();
    await runOperation(sources(), id, 1_000);
    const first = (await counts(id)).changed;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(10 + (10 * (Date.now() - startedAt)) / 1_000);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const again = Date.now();
    await runOperation(sources(), id, 1_000);
    expect((await counts(id)).changed - first).toBeLessThanOrEqual(10 + (10 * (Date.now() - again)) / 1_000);
  });

  it("can be stopped, and what was done stays", async () => {
    await deadJobs("q-stop", 30);
    const op = await start({ action: "retry", filter: { queue: "q-stop" }, rate: { limit: 5, per: "1s" } });
    await new Promise((resolve) => setTimeout(resolve, 700));
    const stopped = await answer<Operation>(await ask(`/v1/operations/${op.id}`, { method: "DELETE" }));
    expect(stopped).toMatchObject({ state: "stopped", reason: "stopped by request" });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const after = await look(op.id);
    expect(after).toMatchObject({ state: "stopped", reason: "stopped by request" });
    expect(after.changed).toBeGreaterThan(0);
    expect(after.changed).toBe((await live("q-stop")).length);
    expect(after.changed).toBeLessThan(30);
    expect(await answer<Operation>(await ask(`/v1/operations/${op.id}`, { method: "DELETE" }))).toEqual(after);
  });

  it("is given up when its steps fail for an hour", async () => {
    await deadJobs("q-bad-steps", 3);
    const id = await noted({ action: "retry", filter: { queue: "q-bad-steps" } });
    const broken = sources({
      stub: (queue) => ({
        ...stubOf(queue),
        list: (input) => stubOf(queue).list(input),
        bulk: () => Promise.reject(new Error("overloaded")),
      }),
    });
    // Somebody who waits for it looks, and every look is a step.
    for (let looks = 0; looks < 70; looks++) await runOperation(broken, id, 0);
    expect(await counts(id)).toMatchObject({ state: "running", changed: 0 });
    await db
      .prepare("UPDATE operations SET progress = json_set(progress, '$.troubledSince', ?2) WHERE id = ?1")
      .bind(id, Date.now() - 3_600_000)
      .run();
    await runOperation(broken, id, 0);
    expect(await counts(id)).toMatchObject({ state: "failed", reason: expect.stringContaining("overloaded") });
  });

  it("cancels, reschedules and sets priorities of what waits, and counts what it may not change", async () => {
    const running = await enqueue("q-many", { task: "any" });
    await claim("q-many");
    const waiting = await Promise.all([1, 2, 3].map(() => enqueue("q-many", { task: "any", delay: "1h" })));
    const priority = { action: "setPriority", filter: { queue: "q-many" }, args: { priority: 7 } };
    expect(await over(await start(priority))).toMatchObject({ matched: 3, changed: 3, failed: 0 });
    expect(await over(await start(priority))).toMatchObject({ matched: 3, changed: 0, failed: 0 });
    expect(await getJob(waiting[0]!.id)).toMatchObject({ priority: 7, state: "scheduled" });
    const moved = { action: "reschedule", filter: { queue: "q-many", state: "scheduled" }, args: { delay: "2h" } };
    const op = await over(await start(moved));
    expect(op).toMatchObject({ matched: 3, changed: 3, args: { delay: "2h" } });
    const { runAt } = await getJob(waiting[1]!.id);
    expect(Math.abs(Date.parse(runAt) - Date.parse(op.createdAt) - 2 * 3_600_000)).toBeLessThan(1_000);
    const all = { queue: "q-many", state: "scheduled,ready,running,dead" };
    expect(await over(await start({ action: "delete", filter: all }))).toMatchObject({
      matched: 4,
      changed: 3,
      failed: 1,
    });
    expect(await over(await start({ action: "cancel", filter: all }))).toMatchObject({ matched: 1, changed: 1 });
    expect(await getJob(running.id)).toMatchObject({ state: "running", cancelRequestedAt: expect.any(String) });
  });

  it("is forgotten 30 days after its end, and none is read that began since", async () => {
    const day = 86_400_000;
    const now = Date.now();
    const ended = async (beganAt: number, state: string, endedAt: number): Promise<string> => {
      const id = newOperationId(beganAt);
      const insert = `INSERT INTO operations (id, action, asked, state, matched, changed, failed, progress, lease_until,
        created_at, updated_at) VALUES (?1, 'retry', '{}', ?2, 0, 0, 0, '{}', 9e15, ?3, ?4)`;
      await db.prepare(insert).bind(id, state, beganAt, endedAt).run();
      return id;
    };
    const old = await ended(now - 40 * day, "completed", now - 31 * day);
    const kept = [
      await ended(now - 40 * day, "completed", now - 29 * day),
      await ended(now - 40 * day, "running", now - 31 * day),
      await ended(now, "stopped", now),
    ];
    let plan = "";
    const explaining = {
      prepare: (query: string) => ({
        bind: (...values: unknown[]) => ({
          run: async () => {
            const { results } = await db
              .prepare(`EXPLAIN QUERY PLAN ${query}`)
              .bind(...values)
              .all<{ detail: string }>();
            plan = results.map(({ detail }) => detail).join();
            await db
              .prepare(query)
              .bind(...values)
              .run();
          },
        }),
      }),
    } as unknown as D1Database;
    await operationsIn(explaining).prune(now - 30 * day);
    expect(plan).toBe("SEARCH operations USING PRIMARY KEY (id<?)");
    const { results } = await db.prepare("SELECT id FROM operations").all<{ id: string }>();
    const left = results.map(({ id }) => id);
    expect(left).toEqual(expect.arrayContaining(kept));
    expect(left).not.toContain(old);
    await db.prepare("DELETE FROM operations WHERE asked = '{}'").run();
  });

  it("is listed, newest first, in pages", async () => {
    const ids = [];
    for (let at = 0; at < 5; at++) {
      ids.push((await start({ action: "retry", filter: { queue: "q-listed" }, dryRun: true })).id);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const seen: string[] = [];
    for (let cursor: string | null = null; ; ) {
      const more = cursor === null ? "" : `&cursor=${cursor}`;
      const page: Page<Operation> = await answer(await ask(`/v1/operations?limit=2${more}`));
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
      if (cursor === null) break;
    }
    expect(seen.slice(0, 5)).toEqual(ids.reverse());
    expect(new Set(seen).size).toBe(seen.length);
    await problem(await ask("/v1/operations?cursor=bad"), 400, "invalid_request");
    await problem(await ask("/v1/operations/op-none"), 404, "not_found");
    await problem(await ask("/v1/operations/op-none", { method: "DELETE" }), 404, "not_found");
  });
});

describe("a canary", () => {
  const redrive = (queue: string, minSuccess: number) =>
    noted({ action: "retry", filter: { queue }, canary: { count: 5, minSuccess } });

  it("goes ahead alone, and the rest follows when enough of it has completed", async () => {
    await deadJobs("q-can-good", 40);
    const id = await redrive("q-can-good", 0.8);
    await runOperation(sources(), id, 500);
    expect(await look(id)).toMatchObject({
      state: "running",
      changed: 5,
      canary: { started: 5, completed: 0, failed: 0 },
    });
    let done = 0;
    expect(await work("q-can-good", () => ({ outcome: ++done === 1 ? "dead" : "completed" }))).toHaveLength(5);
    expect(await over({ id })).toMatchObject({
      state: "completed",
      matched: 40,
      changed: 40,
      canary: { count: 5, minSuccess: 0.8, started: 5, completed: 4, failed: 1 },
    });
    expect(await live("q-can-good")).toHaveLength(35);
  });

  it("stops the rest when too many of it fail", async () => {
    await deadJobs("q-can-bad", 40);
    const id = await redrive("q-can-bad", 0.8);
    await runOperation(sources(), id, 500);
    let done = 0;
    await work("q-can-bad", () => ({ outcome: ++done <= 2 ? "dead" : "completed" }));
    const stopped = await over({ id });
    expect(stopped).toMatchObject({ state: "stopped", matched: 5, changed: 5, canary: { failed: 2 } });
    expect(stopped.reason).toContain("2 of the 5 jobs that went ahead did not complete");
    expect(await live("q-can-bad")).toEqual([]);
  });
});
