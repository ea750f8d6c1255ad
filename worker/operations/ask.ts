/**
 * Operations as they are asked for, checked, and as the API shows them.
 *
 * @module
 */
import { z } from "@hono/zod-openapi";
import { parseDuration } from "../../client/duration.ts";
import type { Duration, Operation, OperationAction } from "../../client/types.ts";
import { type Config, queueSettings } from "../config.ts";
import { duration, instant, wholeNumber } from "../fields.ts";
import type { OperationAsked, OperationRow } from "../history/operations.ts";
import { MAX_AHEAD_MS, parseInstant } from "../instant.ts";
import { type Refused, refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { toFilter } from "../routes/list.ts";
import { jobFilter } from "../schemas.ts";

const ACTIONS = ["cancel", "retry", "delete", "reschedule", "setPriority"] as const satisfies OperationAction[];
const SHARE = "is a number from 0 to 1";

const filter = jobFilter.omit({ limit: true, cursor: true });

export const operationBody = z
  .strictObject({
    action: z.enum(ACTIONS, `is one of ${ACTIONS.join(", ")}`),
    filter: z
      .strictObject(filter.shape, "is an object of the fields of GET /v1/jobs")
      .describe(
        "As `GET /v1/jobs` takes it; without `queue` dead and cancelled jobs only. Without `state`: what the action is for.",
      ),
    args: z
      .strictObject({
        runAt: instant.optional(),
        delay: duration("0ms", "366d").optional(),
        priority: wholeNumber(-32_768, 32_767).optional(),
      })
      .optional()
      .describe("For reschedule `runAt` or `delay` (from now), for setPriority `priority`."),
    rate: z
      .strictObject({ limit: wholeNumber(1, 1_000_000), per: duration("1s", "1d") }, "is { limit, per }")
      .optional()
      .describe("Most jobs in each `per`, on average."),
    canary: z
      .strictObject(
        { count: wholeNumber(1, 100), minSuccess: z.number(SHARE).min(0, SHARE).max(1, SHARE) },
        "is { count, minSuccess }",
      )
      .optional()
      .describe("For retry: the rest waits until so many have ended, and stops unless this share of them completed."),
    dryRun: z.boolean("is true or false").optional().describe("Counts what matches and changes nothing."),
  })
  .meta({ example: { action: "retry", filter: { queue: "mail", state: "dead" }, rate: { limit: 50, per: "1s" } } });

export type OperationBody = z.infer<typeof operationBody>;

/**
 * What an action is for, where no state is named: within a queue, and over all queues (null: it needs a queue). Over
 * all queues the history finds no completed jobs but the latest (see `recent.ts`): an operation would end with the
 * others left, and say that it was completed.
 */
const STATES: Record<OperationAction, { queue: string; all: string | null }> = {
  cancel: { queue: "scheduled,blocked,ready,running", all: null },
  retry: { queue: "dead", all: "dead" },
  delete: { queue: "scheduled,blocked,ready,completed,dead,cancelled", all: "dead,cancelled" },
  reschedule: { queue: "scheduled,blocked,ready", all: null },
  setPriority: { queue: "scheduled,blocked,ready", all: null },
};

/** Checks what the fields say together. Refuses with words; nothing is changed yet. */
export function readOperation(
  config: Config,
  body: OperationBody,
  now: number,
): (OperationAsked & { ok: true }) | Refused {
  const { action, args = {}, rate, canary, dryRun = false } = body;
  const wrong = wrongFilter(body) ?? wrongArgs(body, now);
  if (wrong) return refuse("invalid_request", "The operation is not valid.", [wrong]);
  const { queue } = body.filter;
  if (queue !== undefined && queueSettings(config, queue) === null)
    return refuse("not_found", undeclared(config, queue));
  const { all } = STATES[action];
  const shown = { ...body.filter, state: body.filter.state ?? (queue === undefined ? all! : STATES[action].queue) };
  const asked = toFilter(shown);
  const { runAt, delay, priority } = args as { runAt?: string; delay?: Duration; priority?: number };
  return {
    ok: true,
    // Jobs that come later are no business of this operation, nor are ends of those that it has retried.
    filter: { ...asked, queue: queue ?? null, to: Math.min(asked.to ?? now + 1, now + 1) },
    shown: {
      filter: shown,
      args: body.args === undefined ? null : { runAt, delay, priority },
      rate: rate === undefined ? null : { limit: rate.limit, per: rate.per as Duration },
    },
    runAt: runAt === undefined ? (delay === undefined ? null : now + parseDuration(delay)) : parseInstant(runAt),
    priority: priority ?? null,
    rate: rate === undefined ? null : { limit: rate.limit, perMs: parseDuration(rate.per) },
    canary: canary ?? null,
    dryRun,
    forget: false,
  };
}

type Wrong = { path: string; message: string } | null;

function wrongFilter({ action, filter }: OperationBody): Wrong {
  const { queue, state } = filter;
  if (Object.keys(filter).length === 0) {
    return { path: "filter", message: "is empty: name at least one field, so that it is clear which jobs are meant" };
  }
  if (queue !== undefined) return null;
  if (STATES[action].all === null) {
    return {
      path: "filter.queue",
      message: `is missing: without a queue only dead and cancelled jobs are found, and ${action} can change none of them`,
    };
  }
  const needy = (state ?? "dead").split(",").filter((one) => one !== "dead" && one !== "cancelled");
  if (needy.length === 0) return null;
  return {
    path: "filter.state",
    message: `${needy.join(", ")} needs a queue: without one only dead and cancelled jobs are found`,
  };
}

function wrongArgs({ action, args = {}, canary }: OperationBody, now: number): Wrong {
  const given = Object.keys(args);
  if (action === "reschedule" && (args.runAt === undefined) === (args.delay === undefined)) {
    return { path: "args", message: "of reschedule is { runAt } or { delay }" };
  }
  if (args.runAt !== undefined && parseInstant(args.runAt)! > now + MAX_AHEAD_MS) {
    return { path: "args.runAt", message: "is more than 366 days ahead" };
  }
  if (action === "setPriority" && args.priority === undefined) {
    return { path: "args", message: "of setPriority is { priority }" };
  }
  const takes: readonly string[] =
    action === "reschedule" ? ["runAt", "delay"] : action === "setPriority" ? ["priority"] : [];
  const strange = given.find((name) => !takes.includes(name));
  if (strange !== undefined) return { path: `args.${strange}`, message: `is nothing that ${action} takes` };
  if (canary !== undefined && action !== "retry") {
    return { path: "canary", message: `goes with retry only: ${action} has no success to wait for` };
  }
  return null;
}

export function toOperation(row: OperationRow): Operation {
  const { id, action, asked, state, reason, matched, changed, failed, progress } = row;
  const ahead = progress.canary;
  return {
    id,
    action,
    ...asked.shown,
    canary: asked.canary && {
      ...asked.canary,
      started: ahead === null ? 0 : ahead.waiting.length + ahead.completed + ahead.failed,
      completed: ahead?.completed ?? 0,
      failed: ahead?.failed ?? 0,
    },
    state,
    reason,
    dryRun: asked.dryRun,
    matched,
    changed,
    failed,
    createdAt: new Date(row.createdAt).toISOString(),
    updatedAt: new Date(row.updatedAt).toISOString(),
  };
}
