/**
 * What a job logged.
 *
 * @module
 */
import { countLines, linesAfter, toLine } from "../../durable-objects/engine/events.ts";
import { JOB_READERS } from "../caller.ts";
import { jobParams, logs } from "../schemas.ts";
import { absent, addressOf, findJob } from "./jobs.ts";
import { ok, route } from "./route.ts";

export const getLogs = route({
  method: "get",
  path: "/v1/jobs/{id}/logs",
  roles: JOB_READERS,
  summary: "The latest lines that a job logged, at most 1,000",
  params: jobParams,
  answers: { 200: { description: "In order.", schema: logs } },
  errors: ["not_found"],
  async handle(call) {
    const { id } = call.params;
    const address = addressOf(call.config, id);
    if (!address.ok) return address;
    const record = await findJob(call, address, true);
    if (record === null) return absent(id);
    const text = record.logs ?? null;
    const items = linesAfter(0, text).map(([n, line]) => ({ n, ...toLine(line) }));
    return ok({ items, count: countLines(text) });
  },
});
