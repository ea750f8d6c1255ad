import { type JobTemplate, readOptions } from "../../client/wire.ts";
import type { Limits } from "./limits.ts";
import type { Model, ModelJob } from "./model.ts";
import type { LiveRow } from "./tables.ts";
import { startOf } from "./uniques.ts";

/** What a template comes to when it is accepted. `firstAt`: when the first of those that it is debounced with was. */
export function termsOf(limits: Limits, template: JobTemplate, now: number, firstAt: number) {
  const start = startOf(template, now, firstAt);
  const { deadlineAt = null, deadlineMs = null } = template;
  return {
    template,
    fairKey: template.fairKey ?? null,
    passages: limits.passages(template),
    notBefore: start > now ? start : 0,
    runAt: start,
    deadlineAt: deadlineAt ?? (deadlineMs === null ? null : now + deadlineMs),
  };
}

/** The row of a job that has just been accepted, or changed, must be what was asked for. */
export function checkTerms(
  model: Model,
  { seq, runAt, template, deadlineAt }: ModelJob,
  row: LiveRow,
  now: number,
): void {
  model.expect(row.run_at === runAt, "never-early", () => `job ${seq} runs at ${row.run_at}, not ${runAt}`);
  const startBy = template.expiresInMs === null ? Number.POSITIVE_INFINITY : now + template.expiresInMs;
  const expiresAt = Math.min(startBy, deadlineAt ?? Number.POSITIVE_INFINITY);
  const timed = (row.expires_at ?? Number.POSITIVE_INFINITY) === expiresAt;
  model.expect(timed, "expiry", () => `job ${seq} expires at ${row.expires_at}, not ${expiresAt}`);
  const { priority, task, keys, cost, fairKey = null, orderingKey = null, parent = null, schedule = null } = template;
  const asked = row.priority === priority && row.task === task;
  model.expect(asked, "order", () => `job ${seq} is not of the task and priority asked for`);
  const laned = sameNames(row.keys, keys) && sameNames(row.cost, cost) && row.fair_key === fairKey;
  model.expect(laned, "limits", () => `job ${seq} stands with ${row.keys}, costs ${row.cost}, share ${row.fair_key}`);
  model.expect(row.ordering === orderingKey, "ordering", () => `job ${seq} has key ${row.ordering}`);
  const options = readOptions(row.options);
  model.expect(options.deadlineAt === deadlineAt, "deadline", () => `job ${seq} is over at ${options.deadlineAt}`);
  const scheduled = JSON.stringify(options.schedule) === JSON.stringify(schedule);
  model.expect(scheduled, "schedules", () => `job ${seq} is of ${JSON.stringify(options.schedule)}`);
  model.expect(options.parent === parent, "follow-ups", () => `job ${seq} has parent ${options.parent}`);
}

/** Whether the deadline of a job has passed. */
export function isOver({ deadlineAt }: ModelJob, now: number): boolean {
  return deadlineAt !== null && deadlineAt <= now;
}

/** Whether JSON text holds these names and values, in any order. */
function sameNames(text: string | null, asked: { [name: string]: unknown } | null | undefined): boolean {
  const flat = (of: object | null | undefined): string => JSON.stringify(Object.entries(of ?? {}).sort());
  return flat(text === null ? null : JSON.parse(text)) === flat(asked);
}
