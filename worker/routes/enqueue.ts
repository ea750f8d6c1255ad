/**
 * `POST /v1/queues/{queue}/jobs` and `POST /v1/jobs`.
 *
 * @module
 */

import { z } from "zod";
import type { EnqueuedJob, NewJob } from "../../client/types.ts";
import type { EnqueueInput } from "../../client/wire.ts";
import { refuseQueue } from "../allow.ts";
import { restrictJobs } from "../allow-jobs.ts";
import { sha256Text } from "../bytes.ts";
import { type Caller, PRODUCERS } from "../caller.ts";
import { queueName } from "../fields.ts";
import { formatJobId } from "../job.ts";
import { type Refused, refuse } from "../problem.ts";
import { type Resolved, type ResolveInput, resolveJobs } from "../resolve.ts";
import { enqueued, enqueuedJob, jobOrJobs, jobOrJobsWithQueue, queueParams } from "../schemas.ts";
import { type Answer, type Call, route, type Services } from "./route.ts";

const headers = z.object({
  "Idempotency-Key": z.string().max(255).optional().describe("The same call within 24 h makes nothing new."),
  "Millrace-Request-Id": z.string().optional().describe("The same call within 5 min makes nothing new (the SDK's)."),
});
const answers = {
  200: { description: "One job, which its unique key came to: `outcome` says how.", schema: enqueuedJob },
  201: { description: "The jobs, in order: all were accepted, or none.", schema: enqueued },
};
const errors = [
  "not_found",
  "conflict",
  "payload_too_large",
  "unsupported_media_type",
  "unknown_task",
  "rate_limited",
] as const;

export const enqueueToQueue = route({
  method: "post",
  path: "/v1/queues/{queue}/jobs",
  roles: PRODUCERS,
  asksReach: true,
  summary: "Enqueue one job, or up to 1,000",
  params: queueParams,
  body: { schema: jobOrJobs, checked: false },
  headers,
  answers,
  errors: [...errors, "idempotency_mismatch"],
  handle: (call) => enqueue(call, call.params.queue),
});

export const enqueueToTask = route({
  method: "post",
  path: "/v1/jobs",
  roles: PRODUCERS,
  asksReach: true,
  summary: "Enqueue to the queue that the task declares, or that the body names",
  body: { schema: jobOrJobsWithQueue, checked: false },
  headers,
  answers,
  errors: [...errors, "idempotency_mismatch"],
  handle: (call) => enqueue(call, null),
});

async function enqueue(call: Call<unknown, unknown, unknown>, pathQueue: string | null): Promise<Answer> {
  const asked = readJobs(call.body, pathQueue);
  if (!asked.ok) return asked;
  const keys = readKeys(call, pathQueue);
  if (!keys.ok) return keys;
  const resolved = await resolve(call, asked.ask, pathQueue === null);
  if (!resolved.ok) return resolved;
  const { queue, templates, jobs } = resolved;
  const { requestId } = keys;
  const idempotency = await keys.idempotency(queue);
  const ownOnly = call.caller.role === "producer";
  const asks = { templates, jobs, requestId, idempotency, ownOnly, ...rateOf(call.caller) };
  const reply = await call.stub(queue).enqueue(asks);
  if (!reply.ok) return reply;
  const made = reply.jobs.map(
    ({ seq, state, outcome }): EnqueuedJob => ({ id: formatJobId(queue, 0, seq), state, outcome }),
  );
  if (call.config.log.jobs) {
    call.log("info", "jobs_enqueued", { requestId: call.requestId, queue, jobs: made.length, job: made[0]!.id });
  }
  return {
    ok: true,
    status: asked.ask.single && made[0]!.outcome !== "created" ? 200 : 201,
    body: asked.ask.single ? made[0] : { jobs: made },
    headers: reply.replayed ? { "idempotency-replayed": "true" } : {},
  };
}

/**
 * What the token says goes before what the config says: a queue or task that it is not for is not told about.
 * `unnamed`: the path does not name the queue.
 */
async function resolve(
  { config, caller, target }: Services,
  { queue, jobs, single = false }: Ask,
  unnamed: boolean,
): Promise<Resolved | Refused> {
  if (unnamed && queue !== null) target(`queue ${queue}`);
  const barred = queue === null ? null : refuseQueue(caller, queue);
  if (barred) return barred;
  const restricted = restrictJobs(caller, jobs, single);
  if (!restricted.ok) return restricted;
  const asked = { queue, jobs: restricted.jobs, single, actor: caller.actor, parsed: true };
  const resolved = await resolveJobs(config, asked);
  if (unnamed && resolved.ok) target(`queue ${resolved.queue}`);
  return resolved.ok ? (refuseQueue(caller, resolved.queue) ?? resolved) : resolved;
}

/** Counted for the actor: a page that gets itself another token has no more than with the first. */
function rateOf({ actor, rate }: Caller): Pick<EnqueueInput, "caller"> {
  if (rate === null) return {};
  const { limit, perMs, burst } = rate;
  return { caller: { id: JSON.stringify([actor, limit, perMs, burst]), rate } };
}

type Ask = Pick<ResolveInput, "queue" | "jobs" | "single">;
type Asked = { ok: true; ask: Ask } | Refused;

/** One job, or `{ jobs: [ … ] }`; beside it `queue`, where the path names none. */
function readJobs(body: unknown, pathQueue: string | null): Asked {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    const is = Array.isArray(body) ? "a list" : body === null ? "null" : `a ${typeof body}`;
    return refuse("invalid_request", `The body is ${is}: send one job, or { "jobs": [ … ] }.`);
  }
  const { queue: bodyQueue, ...rest } = body as Record<string, unknown>;
  if (bodyQueue !== undefined) {
    const wrong = wrongQueue(bodyQueue, pathQueue);
    if (wrong) return refuse("invalid_request", "The queue is not valid.", [{ path: "queue", message: wrong }]);
  }
  const queue = pathQueue ?? (bodyQueue as string | undefined) ?? null;
  if (!Object.hasOwn(rest, "jobs"))
    return { ok: true, ask: { queue, jobs: [rest as unknown as NewJob], single: true } };
  const strangers = Object.keys(rest).filter((key) => key !== "jobs");
  if (strangers.length > 0) {
    const said = strangers
      .slice(0, 20)
      .map((key) => ({ path: key.slice(0, 80), message: "stands in each of the jobs" }));
    return refuse("invalid_request", 'Beside "jobs" there is nothing but "queue".', said);
  }
  if (!Array.isArray(rest.jobs)) {
    return refuse("invalid_request", "The body is not valid.", [
      { path: "jobs", message: "is a list of 1 to 1,000 jobs" },
    ]);
  }
  return { ok: true, ask: { queue, jobs: rest.jobs as NewJob[] } };
}

function wrongQueue(queue: unknown, pathQueue: string | null): string | null {
  if (pathQueue !== null) return "is named by the path already: leave it out";
  const checked = queueName.safeParse(queue);
  return checked.success ? null : checked.error.issues[0]!.message;
}

interface Keys {
  ok: true;
  requestId: EnqueueInput["requestId"];
  /** Made once the queue is known. */
  idempotency(queue: string): Promise<EnqueueInput["idempotency"]>;
}

function readKeys(
  { request, bytes, caller }: Call<unknown, unknown, unknown>,
  pathQueue: string | null,
): Keys | Refused {
  const given = request.headers.get("millrace-request-id");
  if (given !== null && !/^[A-Za-z0-9_-]{1,64}$/.test(given)) {
    return refuse("invalid_request", "Millrace-Request-Id is 1 to 64 of letters, digits, _ and -.");
  }
  // Nobody is answered with another's jobs.
  const requestId = given === null || caller.tokenId === null ? given : `${caller.tokenId}/${given}`;
  const key = request.headers.get("idempotency-key");
  if (key === null) return { ok: true, requestId, idempotency: async () => null };
  if (key.length < 1 || key.length > 255) {
    return refuse("invalid_request", `Idempotency-Key has 1 to 255 characters, not ${key.length}.`);
  }
  const route = pathQueue === null ? "jobs" : "queue";
  const idempotency = async (queue: string) => ({
    key: await sha256Text(JSON.stringify([caller.scope, route, queue, key])),
    bodyHash: await sha256Text(bytes),
  });
  return { ok: true, requestId, idempotency };
}
