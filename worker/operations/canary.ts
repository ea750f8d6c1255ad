/**
 * The jobs that go ahead: the rest follows when enough of them have completed.
 *
 * @module
 */
import type { JobState } from "../../client/types.ts";
import type { OperationRow } from "../history/operations.ts";
import { isFinal, type Sources } from "../listing.ts";

/** Whether as many went ahead as should, and are yet to be judged. */
export function canaryIsFull({ asked: { canary, dryRun }, progress: { canary: ahead } }: OperationRow): boolean {
  if (canary === null || ahead === null || ahead.passed || dryRun) return false;
  return ahead.waiting.length + ahead.completed + ahead.failed >= canary.count;
}

/** Looks at the jobs that went ahead. Judges as soon as those that have not ended cannot change the verdict. */
export async function judgeCanary(
  sources: Sources,
  { asked, progress }: OperationRow,
): Promise<"passed" | "waits" | { reason: string }> {
  const ahead = progress.canary!;
  const states = await Promise.all(ahead.waiting.map(([queue, seq]) => stateOf(sources, queue, seq)));
  ahead.completed += states.filter((state) => state === "completed").length;
  ahead.failed += states.filter((state) => state === null || (isFinal(state) && state !== "completed")).length;
  ahead.waiting = ahead.waiting.filter((_, index) => states[index] !== null && !isFinal(states[index]!));

  const { minSuccess } = asked.canary!;
  const all = ahead.completed + ahead.failed + ahead.waiting.length;
  // Rounded, so that nine of ten are 0.9.
  const needed = Math.ceil(Number((minSuccess * all).toFixed(6)));
  if (ahead.completed >= needed) {
    ahead.passed = true;
    return "passed";
  }
  if (all - ahead.failed >= needed) return "waits";
  const share = `${ahead.failed} of the ${all} jobs that went ahead did not complete`;
  return { reason: `The canary did not pass: ${share}, and at least ${needed} were to` };
}

/** Null: it is gone. */
async function stateOf(sources: Sources, queue: string, seq: number): Promise<JobState | null> {
  const here = await sources.stub(queue).get(seq);
  if (here === "deleted") return null;
  return here?.state ?? (await sources.history().job(queue, 0, seq))?.state ?? null;
}
