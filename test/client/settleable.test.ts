import { describe, expect, it } from "vitest";
import { settleable } from "../../client/settleable.ts";
import type { Outcome } from "../../client/types.ts";

const MIB = 1024 * 1024;
const LONG = "\u20ac".repeat(20_000);

const completed = (id: number, more: object = {}): Outcome => ({
  id: `q:0:${id}`,
  fence: 1,
  outcome: "completed",
  ...more,
});
const failed = (id: number): Outcome => ({
  id: `q:0:${id}`,
  fence: 1,
  outcome: "failed",
  error: { name: "Error", message: LONG, stack: null },
});

describe("What one exchange settles", () => {
  it("is at most a thousand ends", () => {
    expect(settleable([])).toBe(0);
    expect(settleable(Array.from({ length: 1_001 }, (_, id) => completed(id)))).toBe(1_000);
  });

  it("has at most a thousand follow-up jobs, but for the first end, whatever it holds", () => {
    const ended = (...counts: number[]) =>
      counts.map((count, id) => completed(id, count > 0 ? { enqueue: Array(count).fill({ task: "far" }) } : {}));
    expect(settleable(ended(400, 0, 600, 0, 1))).toBe(4);
    expect(settleable(ended(1_000, 0, 1))).toBe(2);
    expect(settleable(ended(5_000, 0, 1))).toBe(1);
  });

  it.each([
    ["results", (id: number) => completed(id, { result: LONG })],
    ["errors", failed],
    ["payloads of follow-up jobs", (id: number) => completed(id, { enqueue: [{ task: "far", payload: LONG }] })],
  ])("fits the 8 MiB of a request with long %s", (_what, make) => {
    let left = Array.from({ length: 500 }, (_, id) => make(id));
    while (left.length > 0) {
      const count = settleable(left);
      expect(count).toBeGreaterThan(0);
      expect(Buffer.byteLength(JSON.stringify(left.slice(0, count)))).toBeLessThan(5 * MIB);
      left = left.slice(count);
    }
    expect(settleable([make(0), completed(1)])).toBe(2);
  });
});
