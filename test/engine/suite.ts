import { CLAIM } from "./claim-cases.ts";
import { ENQUEUE } from "./enqueue-cases.ts";
import type { Case } from "./queue.ts";
import { SETTLE } from "./settle-cases.ts";

/** The conformance of the engine: what must hold on every storage, by verb. */
export const SUITE: Record<string, Case[]> = {
  enqueue: ENQUEUE,
  claim: CLAIM,
  settle: SETTLE,
};
