/**
 * Jobs as lists go through them: object and history read as one.
 *
 * @module
 */
import type { FinalState } from "../client/types.ts";
import type { JobRecord, ListInput } from "../client/wire.ts";
import { queueSettings } from "./config.ts";
import type { FinishedJob } from "./history/recent.ts";
import type { Services } from "./routes/route.ts";

/** What lists need. */
export type Sources = Pick<Services, "config" | "stub" | "history" | "log" | "requestId">;

const FINAL: readonly string[] = ["completed", "dead", "cancelled"];

export const isFinal = (state: string): state is FinalState => FINAL.includes(state);

/**
 * One page of object and history together. The object is asked first: what leaves it afterwards is in the history by
 * the time that is read, so nothing falls between. Below where one of them stopped looking nothing is shown yet, and
 * the next page begins there. For a job that both have, the object's word counts.
 */
export async function readPage(
  call: Sources,
  queue: string,
  input: ListInput,
): Promise<{ records: JobRecord[]; nextSeq: number | null }> {
  const here = await call.stub(queue).list(input);
  const states = input.states?.filter(isFinal) ?? null;
  const nothing = { items: [] as JobRecord[], scannedTo: null };
  const past =
    states?.length === 0 ? nothing : await call.history().jobsOfQueue({ ...input, states, queue, partition: 0 });
  const floor = Math.max(here.scannedTo ?? 0, past.scannedTo ?? 0);
  const hidden = new Set([...here.hidden, ...here.items.map(({ seq }) => seq)]);
  const records = [...here.items, ...past.items.filter(({ seq }) => !hidden.has(seq))]
    .filter(({ seq }) => seq >= floor)
    .sort((a, b) => b.seq - a.seq);
  if (records.length > input.limit) {
    return { records: records.slice(0, input.limit), nextSeq: records[input.limit - 1]!.seq };
  }
  return { records, nextSeq: floor > 0 ? floor : null };
}

/** False for a job that was retried or deleted since; its latest form comes into the history within seconds of its end. */
export async function isCurrent(call: Sources, { queue, partition, record }: FinishedJob): Promise<boolean> {
  if (partition !== 0 || queueSettings(call.config, queue) === null) return true;
  try {
    const here = await call.stub(queue).get(record.seq);
    return here === null || (here !== "deleted" && here.fence === record.fence);
  } catch (error) {
    // One queue in trouble does not take the list from all others.
    call.log("warn", "list_unchecked", { requestId: call.requestId, queue, error: String(error) });
    return true;
  }
}
