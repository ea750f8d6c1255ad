/**
 * Emptying a queue: drain, purge, delete. Each wants the queue's name twice, and each is an operation.
 *
 * @module
 */

import { z } from "@hono/zod-openapi";
import type { OperationAction } from "../../client/types.ts";
import { OPERATORS } from "../caller.ts";
import { queueSettings } from "../config.ts";
import { readOperation } from "../operations/ask.ts";
import { type Refused, refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { queueParams } from "../schemas.ts";
import { accepted, begin, bodyErrors } from "./operations.ts";
import { type Answer, route, type Services } from "./route.ts";

const WAITING = ["scheduled", "retrying", "blocked", "ready"] as const;
const NOT_RUNNING = [...WAITING, "completed", "dead", "cancelled"] as const;

const CONFIRM = "is the queue's name again: nothing can bring back what goes";
const confirm = z.string(CONFIRM).describe("The queue's name again.");
const listOf = (states: readonly string[]) => {
  const names = states.join(", ");
  const message = `is a list of ${names}`;
  return z
    .array(z.enum(states as [string, ...string[]], `is one of ${names}`), message)
    .min(1, message)
    .optional();
};

export const drainQueue = route({
  method: "post",
  path: "/v1/queues/{queue}/drain",
  roles: OPERATORS,
  summary: "Cancel all jobs of a queue that wait",
  params: queueParams,
  body: { schema: z.strictObject({ confirm, states: listOf(WAITING).describe("Default all that wait.") }) },
  answers: accepted,
  errors: ["not_found", ...bodyErrors],
  handle: (call) => empty(call, call.params.queue, "cancel", call.body, ["scheduled", "blocked", "ready"]),
});

export const purgeQueue = route({
  method: "post",
  path: "/v1/queues/{queue}/purge",
  roles: OPERATORS,
  summary: "Delete all jobs of a queue that do not run, history too",
  params: queueParams,
  body: { schema: z.strictObject({ confirm, states: listOf(NOT_RUNNING).describe("Default all but running.") }) },
  answers: accepted,
  errors: ["not_found", ...bodyErrors],
  handle: (call) =>
    empty(
      call,
      call.params.queue,
      "delete",
      call.body,
      NOT_RUNNING.filter((state) => state !== "retrying"),
    ),
});

export const deleteQueue = route({
  method: "delete",
  path: "/v1/queues/{queue}",
  roles: OPERATORS,
  summary: "Delete a queue of which no job runs or waits: its history, and what the API changed of it. Ids go on",
  params: queueParams,
  body: { schema: z.strictObject({ confirm }) },
  answers: accepted,
  errors: ["not_found", "conflict", ...bodyErrors],
  async handle(call) {
    const { queue } = call.params;
    const unconfirmed = refuseUnconfirmed(queue, call.body.confirm);
    if (unconfirmed) return unconfirmed;
    const isDeclared = queueSettings(call.config, queue) !== null;
    if (!isDeclared && (await call.history().queue(queue)) === null)
      return refuse("not_found", undeclared(call.config, queue));
    const described = await call.stub(queue).describe();
    if (described === null) return refuse("not_found", `Queue "${queue}" is declared, and has not been used yet.`);
    const { scheduled, blocked, ready, running } = described.counts;
    if (scheduled + blocked + ready + running > 0) {
      const jobs = `${running} jobs run and ${scheduled + blocked + ready} wait`;
      const remedy = isDeclared ? "Drain it" : "It is not declared any more: declare it again, drain it";
      return refuse("conflict", `Cannot delete queue "${queue}": ${jobs}. ${remedy}, and wait for what runs.`);
    }
    const filter = { queue, states: null, task: null, tag: null, from: null, to: null, fingerprint: null };
    return begin(call, "delete", {
      filter,
      shown: { filter: { queue }, args: null, rate: null },
      runAt: null,
      priority: null,
      rate: null,
      canary: null,
      dryRun: false,
      forget: true,
    });
  },
});

async function empty(
  call: Services,
  queue: string,
  action: OperationAction & ("cancel" | "delete"),
  body: { confirm: string; states?: string[] | undefined },
  usual: readonly string[],
): Promise<Answer> {
  const unconfirmed = refuseUnconfirmed(queue, body.confirm);
  if (unconfirmed) return unconfirmed;
  const state = (body.states ?? usual).join(",");
  const asked = readOperation(call.config, { action, filter: { queue, state } }, Date.now());
  if (!asked.ok) return asked;
  const { ok: _, ...rest } = asked;
  return begin(call, action, rest);
}

function refuseUnconfirmed(queue: string, confirm: string): Refused | null {
  if (confirm === queue) return null;
  return refuse("invalid_request", `This empties queue "${queue}" for good: send its name as "confirm" too.`, [
    { path: "confirm", message: `is not "${queue}"` },
  ]);
}
