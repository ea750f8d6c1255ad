/**
 * Queues: list, look at, pause, resume, configure.
 *
 * @module
 */

import type { ErrorCode, Queue, QueueSummary } from "../../client/types.ts";
import type { QueueDescription } from "../../client/wire.ts";
import { refuseWhole } from "../allow.ts";
import { OPERATORS, READERS } from "../caller.ts";
import { type Config, declaredQueue, queueSettings } from "../config.ts";
import { joinPath } from "../json.ts";
import { unknownTask } from "../limit-settings.ts";
import { type Refused, refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { effectiveConfig, noBody, pageOf, paging, pauseBody, queue, queueParams, queueSummary } from "../schemas.ts";
import { settingsPatch, toEffectiveConfig, toSettingsPatch } from "../settings.ts";
import { pageAsked, writeCursor } from "./cursor.ts";
import { type Answer, ok, route, type Services } from "./route.ts";

const answers = { 200: { description: "The queue.", schema: queue } };
const errors: ErrorCode[] = ["not_found", "unsupported_media_type", "payload_too_large"];

export const listQueues = route({
  method: "get",
  path: "/v1/queues",
  roles: READERS,
  asksReach: true,
  summary: "Queues that have been used, by name",
  query: paging,
  answers: { 200: { description: "A page.", schema: pageOf(queueSummary) } },
  errors: [],
  async handle(call) {
    const { caller } = call;
    const barred = caller.jobs === null ? null : refuseWhole(caller, null);
    if (barred) return barred;
    const asked = pageAsked("queues", call.query);
    if (!asked.ok) return asked;
    const page = await call.history().queues({ cursor: asked.place?.[0] ?? null, limit: asked.limit });
    const nextCursor = page.nextCursor === null ? null : writeCursor("queues", [page.nextCursor]);
    return ok({ items: page.items.filter(({ name }) => caller.queue(name)), nextCursor });
  },
});

export const getQueue = route({
  method: "get",
  path: "/v1/queues/{queue}",
  roles: READERS,
  summary: "A queue with its counts, sessions and settings",
  params: queueParams,
  answers,
  errors: ["not_found"],
  async handle(call) {
    const name = call.params.queue;
    const strange = refuseUndeclared(call.config, name);
    if (strange) return strange;
    const described = await call.stub(name).describe();
    if (!described) return refuse("not_found", `Queue "${name}" is declared, and has not been used yet.`);
    return ok(await toQueue(call, name, described));
  },
});

export const pauseQueue = route({
  method: "post",
  path: "/v1/queues/{queue}/pause",
  roles: OPERATORS,
  summary: "From now on no job of this queue starts; what runs goes on",
  params: queueParams,
  body: { schema: pauseBody, optional: true },
  answers,
  errors,
  handle: (call) => hold(call, call.params.queue, true, call.body?.reason ?? null),
});

export const resumeQueue = route({
  method: "post",
  path: "/v1/queues/{queue}/resume",
  roles: OPERATORS,
  summary: "Jobs of this queue start again",
  params: queueParams,
  body: { schema: noBody, optional: true },
  answers,
  errors,
  handle: (call) => hold(call, call.params.queue, false, null),
});

export const configureQueue = route({
  method: "patch",
  path: "/v1/queues/{queue}/config",
  roles: OPERATORS,
  summary: "Change settings (JSON Merge Patch); null takes a change back",
  params: queueParams,
  body: { schema: settingsPatch },
  answers: { 200: { description: "The settings in force, each with where it comes from.", schema: effectiveConfig } },
  errors: [...errors, "unknown_task"],
  async handle(call) {
    const name = call.params.queue;
    const strange = refuseUndeclared(call.config, name) ?? refuseUnknownTask(call.config, call.body);
    if (strange) return strange;
    const reply = await call.stub(name).configure(toSettingsPatch(call.body));
    return reply.ok ? ok(toEffectiveConfig(reply.settings)) : reply;
  },
});

async function hold(call: Services, name: string, paused: boolean, reason: string | null): Promise<Answer> {
  const strange = refuseUndeclared(call.config, name);
  if (strange) return strange;
  const reply = paused ? await call.stub(name).pause(reason) : await call.stub(name).resume();
  if (!reply.ok) return reply;
  try {
    await call.history().markPaused(name, paused, Date.now());
  } catch (error) {
    // The list of queues lags until the sweeper comes round; the queue itself has obeyed.
    call.log("warn", "registry_lags", { requestId: call.requestId, queue: name, error: String(error) });
  }
  return ok(await toQueue(call, name, reply.queue));
}

export function refuseUndeclared(config: Config, name: string): Refused | null {
  return queueSettings(config, name) === null ? refuse("not_found", undeclared(config, name)) : null;
}

function refuseUnknownTask(config: Config, patch: Parameters<typeof unknownTask>[0]): Refused | null {
  const unknown = unknownTask(patch, config.tasks);
  if (!unknown) return null;
  const { name, near } = unknown;
  const message = near === null ? "is not known" : `is not known; did you mean "${near}"?`;
  return refuse("unknown_task", `Cannot limit task "${name}": there is no such task. Nothing was changed.`, [
    { path: joinPath("tasks", name), message },
  ]);
}

async function toQueue(call: Services, name: string, described: QueueDescription): Promise<Queue> {
  const { paused, counts, oldestReadyAt, sessions, settings } = described;
  return {
    ...(await registryRow(call, name)),
    paused: paused !== null,
    pauseReason: paused?.reason ?? null,
    delivery: declaredQueue(call.config, name)?.delivery ?? "push",
    counts,
    oldestReadyAt: oldestReadyAt === null ? null : new Date(oldestReadyAt).toISOString(),
    sessions: sessions.map(({ id, worker, jobs, leaseUntil }) => ({
      id,
      worker,
      jobs,
      leaseExpiresAt: new Date(leaseUntil).toISOString(),
    })),
    config: toEffectiveConfig(settings),
  };
}

/** What only the registry knows. The object's figures are wanted most when the database is down. */
async function registryRow(call: Services, name: string): Promise<QueueSummary> {
  const unknown = { name, partitions: 1, paused: false, updatedAt: new Date().toISOString() };
  try {
    return (await call.history().queue(name)) ?? unknown;
  } catch (error) {
    call.log("warn", "registry_unread", { requestId: call.requestId, queue: name, error: String(error) });
    return unknown;
  }
}
