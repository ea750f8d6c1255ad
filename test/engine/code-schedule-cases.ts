import { expect } from "vitest";
import type { ScheduleInput } from "../../client/wire.ts";
import { pause, put as putSchedule, remove } from "../../durable-objects/engine/schedules.ts";
import type { Case, TestQueue } from "./queue.ts";
import { get, HOUR, instants, live, MINUTE, put, SECOND, scheduled, write } from "./schedule-queue.ts";

/** A deploy: the object begins anew with what code now declares. */
function deploy(queue: TestQueue, inputs: Record<string, ScheduleInput>): void {
  queue.schedules = { version: JSON.stringify(inputs), inputs: new Map(Object.entries(inputs)) };
  queue.restart();
}

const names = (queue: TestQueue) => queue.rows("SELECT name, origin FROM schedules ORDER BY name");

export const CODE_SCHEDULES: Case[] = [
  {
    name: "begin with the first write, and are there no more when code has them no more",
    run(queue) {
      deploy(queue, { a: scheduled(), constructor: scheduled() });
      queue.pass(0);
      put(queue, "mine");
      expect(names(queue)).toEqual([
        { name: "a", origin: "code" },
        { name: "constructor", origin: "code" },
        { name: "mine", origin: "api" },
      ]);
      live(queue, MINUTE);
      expect(instants(queue, "a")).toHaveLength(1);
      deploy(queue, { constructor: scheduled() });
      queue.pass(0);
      expect(names(queue).map(({ name }) => name)).toEqual(["constructor", "mine"]);
      live(queue, MINUTE);
      expect(instants(queue, "a")).toHaveLength(1);
      expect(instants(queue, "constructor")).toHaveLength(2);
    },
  },
  {
    name: "go on over a deploy that does not change them: nothing is written, missed or doubled",
    run(queue) {
      const from = queue.now;
      deploy(queue, { a: scheduled() });
      queue.pass(30 * SECOND);
      const before = queue.everything();
      deploy(queue, { a: scheduled() });
      queue.pass(0);
      expect(queue.everything()).toBe(before);
      queue.now += 5 * MINUTE;
      deploy(queue, { a: scheduled({ payload: "2" }) });
      queue.pass(0);
      expect(instants(queue, "a").map((at) => (at - from) / MINUTE)).toEqual([4, 5]);
      expect(get(queue, "a").next[0]).toBe(from + 6 * MINUTE);
    },
  },
  {
    name: "with other times go by those from the deploy on, and what was due before is made first",
    run(queue) {
      const from = queue.now;
      deploy(queue, { a: scheduled() });
      queue.pass(0);
      queue.now += MINUTE + 10 * SECOND;
      deploy(queue, { a: scheduled({ everyMs: HOUR }) });
      queue.pass(0);
      expect(instants(queue, "a")).toEqual([from + MINUTE]);
      expect(get(queue, "a")).toMatchObject({ origin: "code", last: { instant: from + MINUTE } });
      expect(get(queue, "a").next[0]).toBe(from + HOUR);
    },
  },
  {
    name: "are changed by code alone, but for a pause, which lasts over deploys",
    run(queue) {
      deploy(queue, { a: scheduled() });
      queue.pass(0);
      const before = queue.everything();
      expect(queue.write((tx) => putSchedule(tx, "a", scheduled({ everyMs: HOUR })))).toMatchObject({
        ...{ ok: false, code: "conflict", detail: expect.stringContaining("declared in code") },
      });
      expect(queue.write((tx) => remove(tx, "a"))).toMatchObject({ ok: false, code: "conflict" });
      expect(queue.everything()).toBe(before);
      write(queue, (tx) => pause(tx, "a", true, "by hand"));
      deploy(queue, { a: scheduled({ everyMs: 2 * MINUTE }) });
      live(queue, 10 * MINUTE);
      expect(get(queue, "a").paused?.reason).toBe("by hand");
      expect(instants(queue, "a")).toEqual([]);
    },
  },
  {
    name: "paused in code are paused once: whoever resumes one has the last word",
    run(queue) {
      deploy(queue, { a: scheduled({}, true) });
      queue.pass(0);
      expect(get(queue, "a").paused).not.toBeNull();
      write(queue, (tx) => pause(tx, "a", false, null));
      deploy(queue, { a: scheduled({}, true) });
      queue.pass(0);
      expect(get(queue, "a").paused).toBeNull();
      deploy(queue, { a: scheduled({}, true) });
      write(queue, (tx) => pause(tx, "a", true, null));
      deploy(queue, { a: scheduled() });
      queue.pass(0);
      expect(get(queue, "a").paused).toBeNull();
    },
  },
  {
    name: "take over one of the same name that came through the API",
    run(queue) {
      put(queue, "a", { everyMs: HOUR });
      deploy(queue, { a: scheduled() });
      queue.pass(0);
      expect(names(queue)).toEqual([{ name: "a", origin: "code" }]);
      expect(get(queue, "a").next[0]).toBe(queue.now + MINUTE);
    },
  },
  {
    name: "a transaction that fails takes nothing over, and the next one does",
    run(queue) {
      deploy(queue, { a: scheduled() });
      expect(() =>
        queue.write(() => {
          throw new Error("no");
        }),
      ).toThrow("no");
      queue.pass(0);
      expect(names(queue)).toHaveLength(1);
    },
  },
];
