/**
 * `GET /v1/errors`: jobs that did not complete, grouped by the fingerprint of their error.
 *
 * @module
 */

import { z } from "@hono/zod-openapi";
import { READERS } from "../caller.ts";
import { queueSettings } from "../config.ts";
import type { ErrorsInput } from "../history/errors.ts";
import { parseInstant } from "../instant.ts";
import { refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { errorGroup, jobFilter } from "../schemas.ts";
import { DEFAULT_LIMIT } from "./cursor.ts";
import { ok, route } from "./route.ts";

const STATES = /^(dead|cancelled)(,(dead|cancelled))?$/;

const query = z.strictObject({
  queue: jobFilter.shape.queue.describe("Absent: all queues."),
  state: z
    .string()
    .regex(STATES, "is dead, cancelled, or both with a comma between")
    .optional()
    .describe("Default dead."),
  from: jobFilter.shape.from.describe("On `finishedAt`. Inclusive."),
  to: jobFilter.shape.to,
  limit: jobFilter.shape.limit.describe("Groups, 1 to 200; default 50."),
});

export const listErrors = route({
  method: "get",
  path: "/v1/errors",
  roles: READERS,
  summary: "The latest 10,000 jobs that did not complete, grouped by what went wrong, the largest group first",
  query,
  answers: {
    200: {
      description: "The groups. A retried job counts until it has ended again.",
      schema: z.object({
        items: z.array(errorGroup),
        complete: z.boolean().describe("False when there is more than was looked at: ask for a narrower range."),
      }),
    },
  },
  errors: ["not_found"],
  async handle(call) {
    const { queue, state = "dead", from, to, limit } = call.query;
    if (queue !== undefined && queueSettings(call.config, queue) === null) {
      return refuse("not_found", undeclared(call.config, queue));
    }
    return ok(
      await call.history().errors({
        queue: queue ?? null,
        states: [...new Set(state.split(","))] as ErrorsInput["states"],
        from: from === undefined ? null : parseInstant(from),
        to: to === undefined ? null : parseInstant(to),
        limit: limit === undefined ? DEFAULT_LIMIT : Number(limit),
      }),
    );
  },
});
