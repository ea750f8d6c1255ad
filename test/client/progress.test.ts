import { describe, expect, it } from "vitest";
import { Attempt, type AttemptListener } from "../../client/execute.ts";
import { defineTask } from "../../client/task.ts";
import type { LeasedJob, Progress } from "../../client/types.ts";

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;

/** What an attempt has to send when its handler says this. */
async function said(progress: Partial<Progress>): Promise<Progress> {
  const task = defineTask({ name: "tell" }).handler((_input, ctx) => ctx.progress(progress));
  const job = { id: "q:0:1", task: "tell", payload: null, attempt: 1, fence: 1, tags: [], meta: {} } as object;
  const { promise, resolve } = Promise.withResolvers<Progress>();
  const listener: AttemptListener = { ended() {}, logged() {}, progressed: (attempt) => resolve(attempt.progress!) };
  const ports = { tasks: new Map([["tell", task]]), env: {}, maxResultBytes: 1, log() {} };
  new Attempt(job as LeasedJob, ports, listener).start();
  return promise;
}

describe("progress", () => {
  it("is what was said, with the percent from 0 to 100", async () => {
    expect(await said({ percent: 33.3, note: "a third ✓" })).toEqual({ percent: 33.3, note: "a third ✓" });
    expect(await said({ percent: 101 })).toEqual({ percent: 100, note: null });
    expect(await said({ percent: Number.NaN, note: 5 as never })).toEqual({ percent: null, note: null });
    expect(await said({ note: "half \ud800" })).toEqual({ percent: null, note: "half \ufffd" });
  });

  it.each([
    ["letters", "a", 1],
    ["letters of three bytes", "€", 3],
    ["letters of two units", "😀", 4],
    ["quotes", '"', 2],
    ["control characters", "\u0001", 6],
    ["halves of letters", "\ud800", 3],
  ])("is at most 4 KiB as JSON: of a note of %s as much as fits", async (_what, letter, size) => {
    const progress = await said({ percent: 33.333_333_333_333_336, note: letter.repeat(5_000) });
    expect(bytes(progress)).toBeLessThanOrEqual(4_096);
    expect(bytes(progress)).toBeGreaterThan(4_096 - size - 3);
    const whole = letter.repeat(Math.floor(4_000 / size));
    expect((await said({ note: whole })).note).toBe(whole.toWellFormed());
  });
});
