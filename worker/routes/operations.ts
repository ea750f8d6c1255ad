/**
 * Operations: one thing done to all jobs that a filter finds.
 *
 * @module
 */

import { z } from "@hono/zod-openapi";
import type { ErrorCode, Operation, OperationAction, Page } from "../../client/types.ts";
import { refuseWhole } from "../allow.ts";
import { OPERATORS, READERS } from "../caller.ts";
import { newOperationId, type OperationAsked, type OperationRow } from "../history/operations.ts";
import { operationBody, readOperation, toOperation } from "../operations/ask.ts";
import { runOperation } from "../operations/run.ts";
import { type Refused, refuse } from "../problem.ts";
import { operation, pageOf, paging } from "../schemas.ts";
import { afterIds, pageAsked } from "./cursor.ts";
import { ok, route, type Services, type Success } from "./route.ts";

/** After an answer an invocation may go on for 30 s; the sweep goes on with what is left. */
const RUN_MS = 20_000;

const params = z.strictObject({ id: z.string().meta({ example: "op-0mhxqyy3k-3f2b8c71d9aa" }) });
const answers = { 200: { description: "The operation.", schema: operation } };
export const accepted = { 202: { description: "It has begun.", schema: operation } };
export const bodyErrors: ErrorCode[] = ["unsupported_media_type", "payload_too_large"];

export const startOperation = route({
  method: "post",
  path: "/v1/operations",
  roles: OPERATORS,
  asksReach: true,
  summary: "Do one thing to all jobs that a filter finds, in steps",
  body: { schema: operationBody },
  answers: accepted,
  errors: ["not_found", ...bodyErrors],
  async handle(call) {
    call.target(targetOf(call.body.action, call.body));
    const barred = refuseWhole(call.caller, call.body.filter.queue ?? null);
    if (barred) return barred;
    const asked = readOperation(call.config, call.body, Date.now());
    if (!asked.ok) return asked;
    const { ok: _, ...rest } = asked;
    return begin(call, call.body.action, rest);
  },
});

export const listOperations = route({
  method: "get",
  path: "/v1/operations",
  roles: READERS,
  asksReach: true,
  summary: "Operations, newest first",
  query: paging,
  answers: { 200: { description: "A page.", schema: pageOf(operation) } },
  errors: [],
  async handle(call) {
    const page = pageAsked("operations", call.query);
    if (!page.ok) return page;
    const { place, limit } = page;
    const rows = await call.history().operations.list(place?.[0] ?? null, limit);
    const nextCursor = afterIds("operations", rows, limit);
    const reached = rows.filter((row) => barredFrom(call, row) === null);
    return ok({ items: reached.map(toOperation), nextCursor } satisfies Page<Operation>);
  },
});

export const getOperation = route({
  method: "get",
  path: "/v1/operations/{id}",
  roles: READERS,
  asksReach: true,
  summary: "How far an operation has come",
  params,
  answers,
  errors: ["not_found"],
  async handle(call) {
    const row = await call.history().operations.get(call.params.id);
    if (row === null) return absent(call.params.id);
    const barred = barredFrom(call, row);
    if (barred) return barred;
    // Who waits for it helps it on: the sweep comes round once a minute.
    if (row.state === "running") goOn(call, row.id);
    return ok(toOperation(row));
  },
});

export const stopOperation = route({
  method: "delete",
  path: "/v1/operations/{id}",
  roles: OPERATORS,
  asksReach: true,
  summary: "Stop an operation; what it has changed stays so",
  params,
  answers,
  errors: ["not_found"],
  async handle(call) {
    const { operations } = call.history();
    const row = await operations.get(call.params.id);
    const barred = row && barredFrom(call, row);
    if (barred) return barred;
    const stopped = await operations.stop(call.params.id, "stopped by request", Date.now());
    return stopped === null ? absent(call.params.id) : ok(toOperation(stopped));
  },
});

/** An operation without a queue is for those who reach all of them. */
function barredFrom({ caller }: Services, { asked }: OperationRow): Refused | null {
  return refuseWhole(caller, asked.filter.queue);
}

/** Notes an operation, and begins with it after the answer. */
export async function begin(call: Services, action: OperationAction, asked: OperationAsked): Promise<Success> {
  const now = Date.now();
  const id = newOperationId(now);
  call.target(`${id} ${targetOf(action, { ...asked.shown, dryRun: asked.dryRun })}`);
  const row = await call.history().operations.create(id, action, asked, now);
  goOn(call, row.id);
  return {
    ok: true,
    status: 202,
    body: toOperation(row),
    headers: { location: `${call.config.basePath}/v1/operations/${row.id}` },
  };
}

function targetOf(
  action: OperationAction,
  { filter, dryRun }: { filter: object; dryRun?: boolean | undefined },
): string {
  return `${action}${dryRun ? " (dry run)" : ""} ${JSON.stringify(filter)}`;
}

function goOn(call: Services, id: string): void {
  call.background(runOperation(call, id, RUN_MS));
}

function absent(id: string): Refused {
  const shown = id.toWellFormed().slice(0, 100);
  return refuse("not_found", `There is no operation ${shown}: it was never begun, or ended over 30 days ago.`);
}
