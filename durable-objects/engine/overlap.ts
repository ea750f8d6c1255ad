/**
 * What happens when a schedule is due while a job of it has not ended.
 *
 * @module
 */
import type { JobTemplate } from "../../client/wire.ts";
import { cancel } from "./operate.ts";
import type { Tx } from "./ports.ts";
import type { Schedule } from "./schedule-rows.ts";
import { unfinishedRuns } from "./schedule-runs.ts";

/** Carries out the policy. False: the instant is to be skipped. */
export function makeRoom(tx: Tx, { name, input: { overlap } }: Schedule): boolean {
  if (overlap === "allow") return true;
  const unfinished = unfinishedRuns(tx, name);
  if (overlap === "skip") return unfinished.length === 0;
  if (overlap === "buffer-one") return unfinished.length < 2;
  for (const seq of unfinished) cancel(tx, seq);
  return true;
}

/** The job of an instant. Those of `buffer-one` go one after the other. */
export function templateFor(tx: Tx, { name, input }: Schedule, instant: number): JobTemplate {
  const { template, overlap } = input;
  const orderingKey = overlap === "buffer-one" ? `schedule:${name}` : (template.orderingKey ?? null);
  return { ...template, runAt: Math.min(instant, tx.now), delayMs: 0, orderingKey, schedule: { name, instant } };
}
