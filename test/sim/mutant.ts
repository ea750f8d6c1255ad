import { expect } from "vitest";
import { drawFeatures } from "./features.ts";
import type { Hooks } from "./host.ts";
import type { Invariant } from "./violation.ts";
import { World } from "./world.ts";

const SEEDS = 40;
const STEPS = 100;
/** Some mutants go on for ever: another seed shows them sooner. */
const EVENTS_MAX = 30_000;

export interface Mutant {
  what: string;
  /** Which guarantee must be seen to break. */
  breaks: Invariant[];
  /** What jobs ask for in these runs, by name. Absent: nothing that a core would not have. */
  features?: string;
  hooks?: () => Hooks;
  prepare?: (world: World) => void;
}

/** Changes one statement of the engine; fails when the engine has no such statement any more. */
export function rewritten(find: string, replace: string): () => Hooks {
  return () => ({ withoutBooks: true, sql: (query) => query.replace(find, replace) });
}

/** Runs a mutant until a guarantee breaks, and expects one of those that it should break. */
export async function expectCaught({ breaks, features = "none", hooks, prepare }: Mutant): Promise<void> {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new World({
      seed,
      steps: STEPS,
      features: drawFeatures(seed, features),
      hooks: hooks?.() ?? {},
      eventsMax: EVENTS_MAX,
      ...(prepare ? { prepare } : {}),
    });
    const { violation, events } = await world.run();
    if (!violation || events > EVENTS_MAX) continue;
    expect(breaks, violation.message).toContain(violation.invariant);
    return;
  }
  expect.unreachable(`no violation in ${SEEDS} seeds`);
}
