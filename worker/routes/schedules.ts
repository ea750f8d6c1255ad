/**
 * Schedules: set, look at, delete, pause, resume, run now, backfill.
 *
 * @module
 */

import type { ErrorCode, Schedule, ScheduleSpec } from "../../client/types.ts";
import type { ScheduleReport } from "../../client/wire.ts";
import { OPERATORS, READERS } from "../caller.ts";
import { parseInstant } from "../instant.ts";
import { formatJobId } from "../job.ts";
import { refuse } from "../problem.ts";
import { backfillBody, backfilled, madeNow, schedule, scheduleParams, scheduleSpec } from "../schedule-schema.ts";
import { resolveSchedule, SPEC_DEFAULTS } from "../schedules.ts";
import { noBody, pageOf, paging, pauseBody, queueParams } from "../schemas.ts";
import { pageAsked, writeCursor } from "./cursor.ts";
import { refuseUndeclared } from "./queues.ts";
import { type Answer, type Call, ok, route } from "./route.ts";

const PATH = "/v1/queues/{queue}/schedules/{name}";
const answers = { 200: { description: "The schedule.", schema: schedule } };
const errors: ErrorCode[] = ["not_found", "unsupported_media_type", "payload_too_large"];

export const listSchedules = route({
  method: "get",
  path: "/v1/queues/{queue}/schedules",
  roles: READERS,
  summary: "The schedules of a queue, by name",
  params: queueParams,
  query: paging,
  answers: { 200: { description: "A page.", schema: pageOf(schedule) } },
  errors: ["not_found"],
  async handle({ config, params: { queue }, query, stub }) {
    const strange = refuseUndeclared(config, queue);
    if (strange) return strange;
    const page = pageAsked("schedules", query);
    if (!page.ok) return page;
    const { place, limit } = page;
    const found = await stub(queue).schedules(place?.[0] ?? null, limit);
    const nextCursor = found.length < limit ? null : writeCursor("schedules", [found.at(-1)!.name]);
    return ok({ items: found.map((one) => toSchedule(queue, one)), nextCursor });
  },
});

export const getSchedule = route({
  method: "get",
  path: PATH,
  roles: READERS,
  summary: "A schedule with its next instants, and what became of the latest",
  params: scheduleParams,
  answers,
  errors: ["not_found"],
  handle: (call) =>
    onQueue(call, async ({ queue, name }) => {
      const found = await call.stub(queue).schedule(name);
      if (found) return ok(toSchedule(queue, found));
      return refuse("not_found", `There is no schedule "${name}" in queue "${queue}".`);
    }),
});

export const putSchedule = route({
  method: "put",
  path: PATH,
  roles: OPERATORS,
  summary: "Make a schedule, or what it is from now on; the same again changes nothing",
  params: scheduleParams,
  body: { schema: scheduleSpec },
  answers: { ...answers, 201: { description: "The new schedule.", schema: schedule } },
  errors: [...errors, "unknown_task", "conflict"],
  handle: (call) =>
    onQueue(call, async ({ queue, name }) => {
      const resolved = await resolveSchedule(call.config, queue, call.body);
      if (!resolved.ok) return resolved;
      const reply = await call.stub(queue).putSchedule(name, resolved.input);
      if (!reply.ok) return reply;
      return { ok: true, status: reply.created ? 201 : 200, body: toSchedule(queue, reply.schedule) };
    }),
});

export const deleteSchedule = route({
  method: "delete",
  path: PATH,
  roles: OPERATORS,
  summary: "Make no more jobs; those that were made stay",
  params: scheduleParams,
  answers: { 204: { description: "It is gone." } },
  errors: ["not_found", "conflict"],
  handle: (call) =>
    onQueue(call, async ({ queue, name }) => {
      const reply = await call.stub(queue).removeSchedule(name);
      return reply.ok ? { ok: true, status: 204 } : reply;
    }),
});

export const runSchedule = route({
  method: "post",
  path: `${PATH}/run`,
  roles: OPERATORS,
  summary: "Make a job of it at once, whatever is running",
  params: scheduleParams,
  body: { schema: noBody, optional: true },
  answers: { 201: { description: "The job.", schema: madeNow } },
  errors: [...errors, "conflict"],
  handle: (call) =>
    onQueue(call, async ({ queue, name }) => {
      const reply = await call.stub(queue).runSchedule(name);
      return reply.ok ? { ok: true, status: 201, body: { id: formatJobId(queue, 0, reply.seq) } } : reply;
    }),
});

export const pauseSchedule = route({
  method: "post",
  path: `${PATH}/pause`,
  roles: OPERATORS,
  summary: "From now on nothing of it is due",
  params: scheduleParams,
  body: { schema: pauseBody, optional: true },
  answers,
  errors,
  handle: (call) => hold(call, true, call.body?.reason ?? null),
});

export const resumeSchedule = route({
  method: "post",
  path: `${PATH}/resume`,
  roles: OPERATORS,
  summary: "It goes on; what it missed is made up for as far as catchUp says",
  params: scheduleParams,
  body: { schema: noBody, optional: true },
  answers,
  errors,
  handle: (call) => hold(call, false, null),
});

export const backfillSchedule = route({
  method: "post",
  path: `${PATH}/backfill`,
  roles: OPERATORS,
  summary: "Make a job for each past instant that has had none; at most 1,000 at once",
  params: scheduleParams,
  body: { schema: backfillBody },
  answers: { 200: { description: "The jobs.", schema: backfilled } },
  errors: [...errors, "conflict"],
  handle: (call) =>
    onQueue(call, async ({ queue, name }) => {
      const { from, to } = call.body;
      const reply = await call.stub(queue).backfill(name, parseInstant(from)!, parseInstant(to)!);
      if (!reply.ok) return reply;
      return ok({ jobs: reply.jobs.map((seq) => formatJobId(queue, 0, seq)), already: reply.already });
    }),
});

type Named<Body = unknown> = Call<{ queue: string; name: string }, unknown, Body>;

function hold<Body>(call: Named<Body>, paused: boolean, reason: string | null): Promise<Answer> {
  return onQueue(call, async ({ queue, name }) => {
    const reply = await call.stub(queue).pauseSchedule(name, paused, reason);
    return reply.ok ? ok(toSchedule(queue, reply.schedule)) : reply;
  });
}

async function onQueue<Body>(
  { config, params }: Named<Body>,
  run: (params: { queue: string; name: string }) => Promise<Answer>,
): Promise<Answer> {
  return refuseUndeclared(config, params.queue) ?? run(params);
}

/** What of a spec has no default. */
const NOT_ASKED = { cron: null, every: null, payload: null, options: null, startAt: null, endAt: null };

function toSchedule(queue: string, { name, origin, spec, paused, next, last }: ScheduleReport): Schedule {
  const { timezone, ...defaults } = SPEC_DEFAULTS;
  const asked: ScheduleSpec = JSON.parse(spec);
  return {
    ...NOT_ASKED,
    ...defaults,
    ...asked,
    timezone: asked.cron === undefined ? null : (asked.timezone ?? timezone),
    name,
    queue,
    origin,
    paused: paused !== null,
    pauseReason: paused?.reason ?? null,
    next: next.map(iso),
    last: last && {
      instant: iso(last.instant),
      outcome: last.outcome,
      job: last.seq === null ? null : formatJobId(queue, 0, last.seq),
    },
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();
