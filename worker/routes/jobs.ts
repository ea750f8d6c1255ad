/**
 * One job: look at it, wait for it, cancel, retry, delete.
 *
 * @module
 */

import { parseDuration } from "../../client/duration.ts";
import type { ErrorCode } from "../../client/types.ts";
import type { JobRecord, QueueRpc, Refusal, Reply } from "../../client/wire.ts";
import { mayReadJob } from "../allow.ts";
import { JOB_READERS, OPERATORS } from "../caller.ts";
import { type Config, queueSettings } from "../config.ts";
import { type JobAddress, parseJobId, toJob } from "../job.ts";
import { isFinal } from "../listing.ts";
import { type Refused, refuse } from "../problem.ts";
import { job, jobParams, jobQuery, noBody } from "../schemas.ts";
import { type Answer, ok, route, type Services } from "./route.ts";

const answers = { 200: { description: "The job.", schema: job } };
const errors: ErrorCode[] = ["not_found", "conflict", "unsupported_media_type", "payload_too_large"];

/** Between two looks at a job that is waited for; the object rests in between. */
const FIRST_LOOK_MS = 50;
const LONGEST_LOOK_MS = 1_000;

export const getJob = route({
  method: "get",
  path: "/v1/jobs/{id}",
  roles: JOB_READERS,
  summary: "A job, live or from history",
  params: jobParams,
  query: jobQuery,
  answers,
  errors: ["not_found"],
  async handle(call) {
    const address = addressOf(call.config, call.params.id);
    if (!address.ok) return address;
    const waitMs = call.query.wait === undefined ? 0 : parseDuration(call.query.wait);
    const record = await waitFor(call, address, waitMs);
    if (record === null) return absent(call.params.id);
    return { ...ok(toJob(address.queue, address.partition, record)), held: waitMs > 0 };
  },
});

export const cancelJob = route({
  method: "post",
  path: "/v1/jobs/{id}/cancel",
  roles: OPERATORS,
  summary: "Cancel a job: one that does not run never starts, a running one gets its signal",
  params: jobParams,
  body: { schema: noBody, optional: true },
  answers,
  errors,
  handle: (call) => onJob(call, call.params.id, (stub, seq) => stub.cancel(seq)),
});

export const retryJob = route({
  method: "post",
  path: "/v1/jobs/{id}/retry",
  roles: OPERATORS,
  summary: "Put a job that has ended back in line; make a scheduled one due now",
  params: jobParams,
  body: { schema: noBody, optional: true },
  answers,
  errors,
  handle: (call) => onJob(call, call.params.id, (stub, seq) => stub.retry(seq)),
});

export const deleteJob = route({
  method: "delete",
  path: "/v1/jobs/{id}",
  roles: OPERATORS,
  summary: "Forget everything of a job, history too",
  params: jobParams,
  answers: { 204: { description: "It is gone." } },
  errors: ["not_found", "conflict"],
  async handle(call) {
    const address = addressOf(call.config, call.params.id);
    if (!address.ok) return address;
    const reply = await call.stub(address.queue).remove(address.seq);
    return reply.ok ? { ok: true, status: 204 } : named(reply, call.params.id);
  },
});

type Address = (JobAddress & { ok: true }) | Refused;

/** Where a job lives. What cannot exist is refused without waking an object. */
export function addressOf(config: Config, id: string): Address {
  const address = parseJobId(id);
  if (!address) {
    const detail = `"${id.toWellFormed().slice(0, 200)}" is not the id of a job: ids are "<queue>:<partition>:<number>", such as "emails:0:4711".`;
    return refuse("invalid_request", detail, [{ path: "id", message: "is not the id of a job" }]);
  }
  if (address.partition !== 0 || queueSettings(config, address.queue) === null) return absent(id);
  return { ok: true, ...address };
}

export function absent(id: string): Refused {
  return refuse("not_found", `There is no job ${id}: it was never made, was deleted, or is no longer kept.`);
}

async function onJob(
  call: Services,
  id: string,
  act: (stub: QueueRpc, seq: number) => Promise<Reply<{ job: JobRecord }>>,
): Promise<Answer> {
  const address = addressOf(call.config, id);
  if (!address.ok) return address;
  const reply = await act(call.stub(address.queue), address.seq);
  return reply.ok ? ok(toJob(address.queue, address.partition, reply.job)) : named(reply, id);
}

/** The object knows a job by its number; people know it by its id. */
function named(refusal: Refusal, id: string): Refused {
  if (refusal.code === "not_found") return absent(id);
  return { ...refusal, detail: refusal.detail.includes(id) ? refusal.detail : `${refusal.detail} (job ${id}).` };
}

/** A job that the caller may look at, live or from history; null where there is none. `logs`: with what it logged. */
export async function findJob(
  call: Services,
  { queue, partition, seq }: JobAddress,
  logs = false,
): Promise<JobRecord | null> {
  const here = await call.stub(queue).get(seq, logs);
  if (here === "deleted") return null;
  // Asked in this order: what left the object before it was asked is in the history by now.
  const record = here ?? (await call.history().job(queue, partition, seq));
  return record !== null && mayReadJob(call.caller, record) ? record : null;
}

/** The job once it is final, or as it is when the time is over or the caller gone. */
async function waitFor(
  call: Services & { request: Request },
  address: JobAddress,
  waitMs: number,
): Promise<JobRecord | null> {
  const endsAt = Date.now() + waitMs;
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_LOOK_MS)) {
    const record = await findJob(call, address);
    const leftMs = endsAt - Date.now();
    if (record === null || isFinal(record.state) || leftMs <= 0 || call.request.signal?.aborted) return record;
    await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, leftMs)));
  }
}
