/**
 * `GET /v1/jobs`: of one queue, object and history read as one list; of all queues, what has ended.
 *
 * @module
 */

import type { FinalState, Job, Page } from "../../client/types.ts";
import type { ListInput } from "../../client/wire.ts";
import { READERS } from "../caller.ts";
import { queueSettings } from "../config.ts";
import { parseInstant } from "../instant.ts";
import { toJob } from "../job.ts";
import { isCurrent, isFinal, readPage } from "../listing.ts";
import { refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { job, jobFilter, pageOf } from "../schemas.ts";
import { badCursor, DEFAULT_LIMIT, readCursor, writeCursor } from "./cursor.ts";
import { type Answer, ok, route, type Services } from "./route.ts";

type Filter = Omit<ListInput, "beforeSeq">;

export const listJobs = route({
  method: "get",
  path: "/v1/jobs",
  roles: READERS,
  summary: "Jobs of a queue, newest accepted first; without a queue those that have ended, newest finished first",
  query: jobFilter,
  answers: { 200: { description: "A page; short or empty ones may have a next.", schema: pageOf(job) } },
  errors: ["not_found"],
  async handle(call) {
    const { queue, cursor, limit, ...asked } = call.query;
    const filter: Filter = { ...toFilter(asked), limit: limit === undefined ? DEFAULT_LIMIT : Number(limit) };
    return queue === undefined ? listEnded(call, filter, cursor) : listQueue(call, queue, filter, cursor);
  },
});

type Asked = { [Field in "state" | "task" | "tag" | "from" | "to" | "fingerprint"]?: string | undefined };

/** A checked query in the form in which lists take it. */
export function toFilter({ state, task, tag, from, to, fingerprint }: Asked) {
  return {
    states: state === undefined ? null : ([...new Set(state.split(","))] as ListInput["states"]),
    task: task ?? null,
    tag: tag ?? null,
    from: from === undefined ? null : parseInstant(from),
    to: to === undefined ? null : parseInstant(to),
    fingerprint: fingerprint ?? null,
  };
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

async function listEnded(call: Services, filter: Filter, cursor: string | undefined): Promise<Answer> {
  const unfinished = filter.states?.filter((state) => !isFinal(state)) ?? [];
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
