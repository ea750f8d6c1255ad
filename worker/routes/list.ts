/**
 * `GET /v1/jobs`: of one queue, object and history read as one list; of all queues, what has ended.
 *
 * @module
 */
import type { FinalState, Job, Page } from "../../client/types.ts";
import type { JobRecord, ListInput } from "../../client/wire.ts";
import { queueSettings } from "../config.ts";
import type { FinishedJob } from "../history/recent.ts";
import { parseInstant } from "../instant.ts";
import { toJob } from "../job.ts";
import { refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { job, jobFilter, pageOf } from "../schemas.ts";
import { readCursor, writeCursor } from "./cursor.ts";
import { type Answer, ok, route, type Services } from "./route.ts";

const DEFAULT_LIMIT = 50;
const FINAL: readonly string[] = ["completed", "dead", "cancelled"];

type Filter = Omit<ListInput, "beforeSeq">;

export const listJobs = route({
  method: "get",
  path: "/v1/jobs",
  summary: "Jobs of a queue, newest accepted first; without a queue those that have ended, newest finished first",
  query: jobFilter,
  answers: { 200: { description: "A page; short or empty ones may have a next.", schema: pageOf(job) } },
  errors: ["not_found"],
  async handle(call) {
    const { queue, cursor, state, task, tag, from, to, limit } = call.query;
    const filter: Filter = {
      limit: limit === undefined ? DEFAULT_LIMIT : Number(limit),
      states: state === undefined ? null : ([...new Set(state.split(","))] as ListInput["states"]),
      task: task ?? null,
      tag: tag ?? null,
      from: from === undefined ? null : parseInstant(from),
      to: to === undefined ? null : parseInstant(to),
    };
    return queue === undefined ? listEnded(call, filter, cursor) : listQueue(call, queue, filter, cursor);
  },
});

export function badCursor(): Answer {
  return refuse("invalid_request", "This cursor is none that a page of this list was answered with: begin without.", [
    { path: "cursor", message: "is no cursor of this list" },
  ]);
}

async function listQueue(call: Services, queue: string, filter: Filter, cursor: string | undefined): Promise<Answer> {
  if (queueSettings(call.config, queue) === null) return refuse("not_found", undeclared(call.config, queue));
  const place = cursor === undefined ? null : readCursor("queue", cursor);
  if (cursor !== undefined && place?.[0] !== queue) return badCursor();
  const { records, nextSeq } = await readPage(call, queue, { ...filter, beforeSeq: place?.[1] ?? null });
  return ok({
    items: records.map((record) => toJob(queue, 0, record)),
    nextCursor: nextSeq === null ? null : writeCursor("queue", [queue, nextSeq]),
  } satisfies Page<Job>);
}

/**
 * One page of object and history together. The object is asked first: what leaves it afterwards is in the history by
 * the time that is read, so nothing falls between. Below where one of them stopped looking nothing is shown yet, and
 * the next page begins there. For a job that both have, the object's word counts.
 */
async function readPage(
  call: Services,
  queue: string,
  input: ListInput,
): Promise<{ records: JobRecord[]; nextSeq: number | null }> {
  const here = await call.stub(queue).list(input);
  const states = input.states?.filter((state): state is FinalState => FINAL.includes(state)) ?? null;
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

async function listEnded(call: Services, filter: Filter, cursor: string | undefined): Promise<Answer> {
  const unfinished = filter.states?.filter((state) => !FINAL.includes(state)) ?? [];
  if (unfinished.length > 0) {
    return refuse(
      "invalid_request",
      "Without a queue only jobs that have ended are listed: add queue=…, or ask for final states.",
      [{ path: "state", message: `${unfinished.join(", ")} needs a queue` }],
    );
  }
  const place = cursor === undefined ? null : readCursor("finished", cursor);
  if (cursor !== undefined && place === null) return badCursor();
  const states = filter.states as FinalState[] | null;
  const page = await call.history().finishedJobs({ ...filter, states, cursor: place });
  const current = await Promise.all(page.items.map((item) => isCurrent(call, item)));
  return ok({
    items: page.items
      .filter((_, index) => current[index])
      .map(({ queue, partition, record }) => toJob(queue, partition, record)),
    nextCursor: page.nextCursor === null ? null : writeCursor("finished", page.nextCursor),
  } satisfies Page<Job>);
}

/** False for a job that was retried or deleted since; its latest form comes into the history within seconds of its end. */
async function isCurrent(call: Services, { queue, partition, record }: FinishedJob): Promise<boolean> {
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
