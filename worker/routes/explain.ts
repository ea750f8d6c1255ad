/**
 * `GET /v1/jobs/{id}/explain`: why a job is not running.
 *
 * @module
 */

import type { Explanation } from "../../client/types.ts";
import type { ExplainReply, JobRecord } from "../../client/wire.ts";
import { JOB_READERS } from "../caller.ts";
import { explanation } from "../limit-schema.ts";
import { isFinal } from "../listing.ts";
import { refuse } from "../problem.ts";
import { jobParams } from "../schemas.ts";
import { absent, addressOf, findJob } from "./jobs.ts";
import { ok, route } from "./route.ts";

/** A job that is retried between two questions is asked for again. */
const LOOKS_MAX = 3;

export const explainJob = route({
  method: "get",
  path: "/v1/jobs/{id}/explain",
  roles: JOB_READERS,
  summary: "Why a job is not running: what holds it back, its place in line, about how long until it starts",
  params: jobParams,
  answers: {
    200: { description: "Each gate that is closed to it; none: it only waits its turn.", schema: explanation },
  },
  errors: ["not_found"],
  async handle(call) {
    const { id } = call.params;
    const address = addressOf(call.config, id);
    if (!address.ok) return address;
    const { queue, seq } = address;
    if (call.caller.role === "producer" && (await findJob(call, address)) === null) return absent(id);
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const reply = await call.stub(queue).explain(seq);
      if (reply.ok) return ok(toExplanation(reply.explanation));
      if (reply.code !== "not_found") return reply;
      const record = await findJob(call, address);
      if (record === null) return absent(id);
      if (isFinal(record.state)) return ok(ended(record));
    }
    return refuse("unavailable", `Job ${id} kept changing while it was looked at: try again.`);
  },
});

function toExplanation({ runnable, gates, position, etaMs }: ExplainReply): Explanation {
  return {
    runnable,
    gates: gates.map(({ gate, detail, since, until }) => ({
      gate,
      detail,
      ...(since === null ? {} : { since: new Date(since).toISOString() }),
      ...(until === null ? {} : { until: new Date(until).toISOString() }),
    })),
    ...(position === null ? {} : { position }),
    ...(etaMs === null ? {} : { etaMs }),
  };
}

function ended({ state, reason, finishedAt }: JobRecord): Explanation {
  const why = reason === null ? "" : ` (${reason})`;
  const detail = `The job is ${state}${why}: it starts again only when somebody retries it.`;
  const since = finishedAt === null ? {} : { since: new Date(finishedAt).toISOString() };
  return { runnable: false, gates: [{ gate: "final", detail, ...since }] };
}
