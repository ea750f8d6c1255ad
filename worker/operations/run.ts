/**
 * Carries operations out, in steps: a page of jobs is found and noted, then changed, then the next one is found. What
 * was done stands in D1 after each step, so anybody may go on at any time; a step that was cut short is repeated.
 *
 * @module
 */
import { FORGET_ROWS } from "../history/forget.ts";
import type { OperationRow } from "../history/operations.ts";
import type { Sources } from "../listing.ts";
import { canaryIsFull, judgeCanary } from "./canary.ts";
import { changePage, countPage, findPage, pageLimit } from "./page.ts";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** For so long steps may fail one after the other before the operation is given up. */
const TROUBLED_MS_MAX = 3_600_000;
/** Operations that one sweep goes on with. */
const AT_ONCE = 20;
const KEPT_MS = 30 * 86_400_000;

/** Goes on with every operation that nobody works on, for about `forMs`. Never rejects but with D1's error. */
export async function runDueOperations(sources: Sources, forMs: number): Promise<void> {
  const { operations } = sources.history();
  const ids = await operations.due(Date.now(), AT_ONCE);
  await Promise.all(ids.map((id) => runOperation(sources, id, forMs)));
  await operations.prune(Date.now() - KEPT_MS);
}

/** Goes on with one operation for about `forMs`, unless somebody else does. Never rejects. */
export async function runOperation(sources: Sources, id: string, forMs: number): Promise<void> {
  const lease = crypto.randomUUID();
  const { operations } = sources.history();
  const endsAt = Date.now() + forMs;
  try {
    const row = await operations.take(id, lease, Date.now());
    if (!row) return;
    const { cutShort, ...operation } = row;
    await runSteps(sources, operation, cutShort, lease, endsAt);
    await operations.release(id, lease);
  } catch (error) {
    // D1 does not answer: whoever comes after the lease is over goes on.
    sources.log("warn", "operation_interrupted", { operation: id, error: String(error) });
  }
}

async function runSteps(
  sources: Sources,
  row: OperationRow,
  cutShort: boolean,
  lease: string,
  endsAt: number,
): Promise<void> {
  const { operations } = sources.history();
  let pauseMs = FIRST_PAUSE_MS;
  // Some of the page at hand may have been changed already.
  let repeated = cutShort || row.progress.troubledSince !== null;
  for (;;) {
    const waitMs = await tryStep(sources, row, repeated, pauseMs);
    repeated = row.progress.troubledSince !== null && row.progress.page !== null;
    pauseMs = waitMs === null ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    const goesOn = await operations.save(row.id, lease, row, Date.now());
    if (!goesOn || Date.now() + (waitMs ?? 0) >= endsAt) return;
    if (waitMs !== null) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

/** One step; answers how long to wait before the next (null: not at all). */
async function tryStep(
  sources: Sources,
  row: OperationRow,
  repeated: boolean,
  pauseMs: number,
): Promise<number | null> {
  try {
    const waitMs = await step(sources, row, repeated, pauseMs);
    row.progress.troubledSince = null;
    return waitMs;
  } catch (error) {
    row.progress.troubledSince ??= Date.now();
    sources.log("warn", "operation_troubled", { operation: row.id, error: String(error) });
    if (Date.now() - row.progress.troubledSince >= TROUBLED_MS_MAX) {
      end(row, "failed", `All steps of an hour failed, the last one so: ${error}`);
    }
    return pauseMs;
  }
}

async function step(sources: Sources, row: OperationRow, repeated: boolean, pauseMs: number): Promise<number | null> {
  const { asked, progress } = row;
  if (asked.forget) return forgetQueue(sources, row);
  if (canaryIsFull(row)) {
    const verdict = await judgeCanary(sources, row);
    if (verdict === "waits") return pauseMs;
    if (verdict !== "passed") end(row, "stopped", verdict.reason);
    return null;
  }
  if (progress.page !== null) {
    if (Date.now() < progress.notBefore) return progress.notBefore - Date.now();
    if (asked.dryRun) countPage(row);
    else await changePage(sources, row, repeated);
    progress.cursor = progress.page.next;
    progress.page = null;
    if (progress.cursor === null) end(row, "completed", null);
  }
  if (row.state !== "running" || canaryIsFull(row)) return null;
  progress.page = await findPage(sources, row, pageLimit(row));
  return Math.max(0, progress.notBefore - Date.now()) || null;
}

function end(row: OperationRow, state: "completed" | "stopped" | "failed", reason: string | null): void {
  row.state = state;
  row.reason = reason;
}

/** The object first: what it had to say has then come to the history, and ids below `upto` are never used again. */
async function forgetQueue(sources: Sources, row: OperationRow): Promise<null> {
  const queue = row.asked.filter.queue!;
  const { progress } = row;
  if (progress.upto === null) {
    const forgotten = await sources.stub(queue).forget();
    if (forgotten.ok) progress.upto = forgotten.upto;
    else if (forgotten.code === "conflict") end(row, "failed", forgotten.detail);
    else throw new Error(forgotten.detail);
    return null;
  }
  const gone = await sources.history().forgetJobs(queue, 0, progress.upto);
  row.matched += gone;
  row.changed += gone;
  if (gone === FORGET_ROWS) return null;
  await sources.history().forgetRollups(queue, 0);
  end(row, "completed", null);
  return null;
}
