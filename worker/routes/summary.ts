/**
 * `GET /v1/history/summary`.
 *
 * @module
 */
import { READERS } from "../caller.ts";
import { queueSettings } from "../config.ts";
import type { LiveRollup } from "../history/summary.ts";
import { parseInstant } from "../instant.ts";
import { refuse } from "../problem.ts";
import { summary, summaryQuery } from "../schemas.ts";
import { ok, route, type Services } from "./route.ts";

const DAY_MS = 86_400_000;

export const getSummary = route({
  method: "get",
  path: "/v1/history/summary",
  roles: READERS,
  summary: "How many jobs ended, how long they ran and waited, per task and final state",
  query: summaryQuery,
  answers: { 200: { description: "With a queue exact to the moment, else some seconds behind.", schema: summary } },
  errors: [],
  async handle(call) {
    const { queue = null, by = "hour" } = call.query;
    const to = call.query.to === undefined ? Date.now() : parseInstant(call.query.to)!;
    const from = call.query.from === undefined ? to - DAY_MS : parseInstant(call.query.from)!;
    if (from >= to) {
      return refuse("invalid_request", "The range is empty.", [{ path: "from", message: "is before `to`" }]);
    }
    const live = queue === null ? [] : await notYetCounted(call, queue);
    const { items, complete } = await call.history().summary({ queue, from, to, by }, live);
    return ok({ from: new Date(from).toISOString(), to: new Date(to).toISOString(), by, items, complete });
  },
});

/** What the object has beyond the rollups; how far they reach is read before it is asked. */
async function notYetCounted(call: Services, queue: string): Promise<LiveRollup[]> {
  if (queueSettings(call.config, queue) === null) return [];
  const upto = await call.history().rollupUpto(queue, 0);
  return [{ queue, partition: 0, upto, body: await call.stub(queue).rollupSince(upto) }];
}
