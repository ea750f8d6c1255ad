import type { ScheduleInput, ScheduleReport } from "../../client/wire.ts";
import type { Tx } from "../../durable-objects/engine/ports.ts";
import * as schedules from "../../durable-objects/engine/schedules.ts";
import { nextDue } from "../../durable-objects/engine/wake.ts";
import { TEMPLATE, type TestQueue } from "./queue.ts";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A schedule of every minute, with other fields where they are given. `pausedIn` is what its spec says. */
export function scheduled(fields: Partial<ScheduleInput> = {}, pausedIn?: boolean): ScheduleInput {
  const times = fields.cron ? {} : { everyMs: MINUTE };
  const input: ScheduleInput = {
    ...{ spec: "", cron: null, everyMs: null, timezone: "UTC", template: { ...TEMPLATE }, payload: '{"n":1}' },
    ...{ overlap: "allow", catchUpWindowMs: DAY, catchUpMax: 1, jitterMs: 0, startAt: null, endAt: null },
    ...{ paused: pausedIn === true, ...times, ...fields },
  };
  return { ...input, spec: JSON.stringify({ cron: input.cron, everyMs: input.everyMs, paused: pausedIn }) };
}

/** Sets a schedule, and says what it then is. */
export function put(queue: TestQueue, name: string, fields: Partial<ScheduleInput> = {}, pausedIn?: boolean) {
  return done(queue.write((tx) => schedules.put(tx, name, scheduled(fields, pausedIn))));
}

export function get(queue: TestQueue, name: string): ScheduleReport {
  const found = queue.read((tx) => schedules.get(tx, name));
  if (!found) throw new Error(`There is no schedule ${name}`);
  return found;
}

export const write = <Reply extends { ok: boolean }>(queue: TestQueue, verb: (tx: Tx) => Reply) =>
  done(queue.write(verb));

function done<Reply extends { ok: boolean }>(reply: Reply): Extract<Reply, { ok: true }> {
  if (!reply.ok) throw new Error((reply as { detail?: string }).detail);
  return reply as Extract<Reply, { ok: true }>;
}

/** The instants that have had a job, of one schedule, in order: those of the jobs that are there. */
export function instants(queue: TestQueue, name: string): number[] {
  return queue
    .rows("SELECT options FROM jobs ORDER BY seq")
    .map(({ options }) => JSON.parse(String(options)).schedule as { name: string; instant: number } | undefined)
    .flatMap((schedule) => (schedule?.name === name ? [schedule.instant] : []));
}

/** Goes from alarm to alarm until `ms` have passed. */
export function live(queue: TestQueue, ms: number): void {
  const end = queue.now + ms;
  for (let next = queue.read(nextDue); next <= end; next = queue.read(nextDue))
    queue.pass(Math.max(next - queue.now, 0));
  queue.now = end;
}
