import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";
import { World } from "./world.ts";

const STEPS = 100;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** Each commit brings a seed of its own; a failure says which. */
function seedOfCommit(): number {
  try {
    return Number.parseInt(execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8" }).slice(0, 8), 16);
  } catch {
    return 4711;
  }
}

it.each([...SEEDS, seedOfCommit()])("keeps every guarantee under faults, seed %i", async (seed) => {
  const { violation, jobs, trace } = await new World({ seed, steps: STEPS }).run();
  expect(violation?.message, `npm run sim -- --seed ${seed} --steps ${STEPS}\n${trace.join("\n")}`).toBeUndefined();
  expect(jobs).toBeGreaterThan(5);
});

it("does the same again with the same seed", async () => {
  const runs = [new World({ seed: 7, steps: 40 }), new World({ seed: 7, steps: 40 })];
  const [first, second] = [await runs[0]!.run(), await runs[1]!.run()];
  expect(second.trace).toEqual(first.trace);
  expect(second.events).toBe(first.events);
});
