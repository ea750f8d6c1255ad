import { describe, expect, it } from "vitest";
import type { Buckets } from "../../../client/wire.ts";
import { mergeBuckets } from "../../../client/wire.ts";
import { bucketOf } from "../../../durable-objects/engine/rollup.ts";
import { percentile } from "../../../worker/history/buckets.ts";
import { randomOf } from "./support.ts";

function bucketsOf(values: number[]): Buckets {
  const buckets: Buckets = {};
  for (const value of values) mergeBuckets(buckets, { [bucketOf(value)]: 1 });
  return buckets;
}

function exact(values: number[], q: number): number {
  return values.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(values.length * q)) - 1]!;
}

describe("percentiles of buckets", () => {
  it("are at most 10 % off for every time up to a minute, and for larger ones up to weeks", () => {
    const error = (ms: number) => Math.abs(percentile({ [bucketOf(ms)]: 1 }, 0.5)! - ms) / ms;
    for (let ms = 1; ms <= 60_000; ms++) expect(error(ms), `${ms} ms`).toBeLessThanOrEqual(0.1);
    for (let ms = 60_001; ms < 3e9; ms = Math.ceil(ms * 1.001)) expect(error(ms), `${ms} ms`).toBeLessThanOrEqual(0.1);
  });

  it("are at most 10 % off the exact ones of any sample", () => {
    const random = randomOf(42);
    for (let round = 0; round < 300; round++) {
      const size = 1 + Math.floor(random() * 400);
      const spread = 1 + random() * 14;
      const values = Array.from({ length: size }, () => Math.max(1, Math.floor(Math.exp(random() * spread))));
      for (const q of [0, 0.5, 0.95, 0.99, 1]) {
        const truth = exact(values, q);
        expect(Math.abs(percentile(bucketsOf(values), q)! - truth)).toBeLessThanOrEqual(truth * 0.1);
      }
    }
  });

  it("are the same whether counted at once or merged", () => {
    const values = Array.from({ length: 500 }, (_, index) => index * 7);
    const merged = bucketsOf(values.slice(0, 123));
    mergeBuckets(merged, bucketsOf(values.slice(123)));
    expect(merged).toEqual(bucketsOf(values));
  });

  it("are whole milliseconds, and null of nothing", () => {
    expect(percentile({}, 0.5)).toBeNull();
    expect(percentile({ 0: 1, 13: 98, 20: 1 }, 0.5)).toBe(9);
    expect(percentile({ 0: 1, 13: 98, 20: 1 }, 0)).toBe(1);
  });
});
