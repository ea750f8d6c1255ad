/**
 * `GET /v1/jobs/{id}/explain`: why a job is not running.
 *
 * @module
 */
import type { Explanation } from "../../client/types.ts";
import type { ExplainReply, JobRecord } from "../../client/wire.ts";
import { explanation } from "../limit-schema.ts";
import { jobParams } from "../schemas.ts";
import { absent, addressOf } from "./jobs.ts";
import { ok, route } from "./route.ts";

export const explainJob = route({
  method: "get",
  path: "/v1/jobs/{id}/explain",
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
    const { queue, partition, seq } = address;
    const reply = await call.stub(queue).explain(seq);
    if (reply.ok) return ok(toExplanation(reply.explanation));
    if (reply.code !== "not_found") return reply;
    const here = await call.stub(queue).get(seq);
    if (here === "deleted") return absent(id);
    const record = here ?? (await call.history().job(queue, partition, seq));
    return record === null ? absent(id) : ok(ended(record));
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
