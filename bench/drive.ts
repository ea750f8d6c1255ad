/**
 * Drives a queue from inside its object, so that no transport is in the time that is taken.
 *
 * @module
 */
import type { ExchangeInput, LeasedTuple, QueueRpc, QueueTextRpc } from "../client/wire.ts";
import type { Taken } from "./counters.ts";
import { realNow } from "./counting.ts";
import { JOBS_PER_CALL, type Keyed, keyValue, requestOf } from "./requests.ts";

/** What is asked of the object; each drive reads what it needs. */
export interface DriveAsk {
  jobs: number;
  /** Absent: the jobs have no key. */
  keys?: Keyed;
  calls: number;
  want: number;
  /** As many jobs wait afterwards as before. */
  level?: boolean;
}

type Queue = Pick<QueueRpc, "pauseKey"> & QueueTextRpc;
/** Resolves when what was written is on disk. */
type Sync = () => Promise<void>;

/** Longer than any suite runs: what it closes stays closed. */
const CLOSED_MS = 3_600_000;

/** Calls of the object by name. */
export const drives: { [name: string]: (queue: Queue, ask: DriveAsk, sync: Sync) => Promise<unknown> } = {
  seed: (queue, { jobs, keys }) => seed(queue, jobs, keys),
  hold: async (queue, { want }) => (await stay(queue).claim(want)).length,
  async close(queue, { keys }) {
    for (let n = 0; n < keys!.count; n++)
      await queue.pauseKey(keys!.kind, keyValue(keys!.first + n), CLOSED_MS, "benchmark");
  },
  claims,
  wake,
  enqueues,
};

/** Makes jobs, 1,000 a call. */
async function seed(queue: Queue, jobs: number, keys?: Keyed): Promise<void> {
  for (let from = 0; from < jobs; from += JOBS_PER_CALL) {
    await queue.enqueueText(requestOf(from, Math.min(JOBS_PER_CALL, jobs - from), keys));
  }
}

/** A session at the queue. */
function stay(queue: Queue) {
  const session = crypto.randomUUID();
  let n = 0;
  let ms = 0;
  const exchange = async (more: Partial<ExchangeInput>): Promise<LeasedTuple[]> => {
    n += 1;
    const worker = { name: "benchmark", runtime: "workerd" };
    const input = { session, n, worker, channel: "short", holding: [], settle: [], progress: [], want: 0, ...more };
    const text = JSON.stringify(input);
    const startedAt = realNow();
    const answer = queue.exchangeText(text);
    // The object's own work is done within the call; what is awaited is only its answer.
    ms = realNow() - startedAt;
    const { reply, jobs } = await answer;
    const { ok, detail } = JSON.parse(reply) as { ok: boolean; detail?: string };
    if (!ok) throw new Error(detail);
    return JSON.parse(jobs) as LeasedTuple[];
  };
  return {
    claim: (want: number) => exchange({ want }),
    complete: (jobs: LeasedTuple[]) =>
      exchange({ settle: jobs.map(([seq, , , , fence]) => ({ seq, fence, outcome: "completed", result: null })) }),
    /** That the latest exchange took. */
    latestMs: () => ms,
  };
}

/** Claims and completes; the time is that of the claims but a first. Rejects where fewer jobs were there than wanted. */
async function claims(queue: Queue, { calls, want, level }: DriveAsk): Promise<Taken> {
  const session = stay(queue);
  let ms = 0;
  // Storage that another queue has pushed out of the caches is read again by the first.
  for (let call = -1; call < calls; call++) {
    const jobs = await session.claim(want);
    if (call >= 0) ms += session.latestMs();
    if (jobs.length < want) throw new Error(`A claim of ${want} jobs got ${jobs.length}: others are closed or taken`);
    await session.complete(jobs);
    if (level) await seed(queue, want);
  }
  return { calls, ms };
}

/** The first claim of an object that has just been put to sleep. */
async function wake(queue: Queue, { want }: DriveAsk): Promise<Taken> {
  const session = stay(queue);
  const jobs = await session.claim(want);
  const ms = session.latestMs();
  await session.complete(jobs);
  return { calls: 1, ms };
}

/** Calls of 1,000 jobs, each until it is on disk. */
async function enqueues(queue: Queue, { calls, level }: DriveAsk, sync: Sync): Promise<Taken> {
  let ms = 0;
  for (let call = 0; call < calls; call++) {
    const request = requestOf(0, JOBS_PER_CALL);
    const startedAt = realNow();
    await queue.enqueueText(request);
    await sync();
    ms += realNow() - startedAt;
  }
  const session = stay(queue);
  for (let left = level ? calls * JOBS_PER_CALL : 0; left > 0; left -= 500)
    await session.complete(await session.claim(500));
  return { calls, ms };
}
