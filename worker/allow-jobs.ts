/**
 * What a caller's token says of the jobs that it enqueues: tasks, options, pinned fields of the payload, how many.
 *
 * @module
 */
import type { JobOptions, Json, NewJob } from "../client/types.ts";
import type { Caller } from "./caller.ts";
import type { Wrong } from "./flow-fields.ts";
import { JOB_OPTIONS } from "./job-schema.ts";
import { joinPath } from "./json.ts";
import { type Refused, refuse } from "./problem.ts";

type Fields = { [field: string]: Json };

/** The jobs as the token lets them pass, with pinned fields filled in. What is no job at all is left to others to refuse. */
export function restrictJobs(
  caller: Caller,
  jobs: readonly NewJob[],
  single: boolean,
): { ok: true; jobs: readonly NewJob[] } | Refused {
  const { tasks, options, pin, rate } = caller;
  if (rate !== null && jobs.length > rate.burst) {
    return refuse("forbidden", `This token enqueues at most ${rate.burst} jobs at once, not ${jobs.length}.`);
  }
  if (tasks === null && options === null && pin === null) return { ok: true, jobs };
  for (const [index, job] of jobs.entries()) {
    const wrong = isObject(job) ? (wrongTask(caller, job) ?? wrongOption(caller, job) ?? wrongPin(caller, job)) : null;
    if (wrong === null) continue;
    const path = joinPath(single ? "" : `jobs[${index}]`, wrong.path);
    return refuse("forbidden", "This token may not enqueue such a job.", [{ path, message: wrong.message }]);
  }
  return { ok: true, jobs: pin === null ? jobs : jobs.map((job) => (isObject(job) ? withPin(job, pin) : job)) };
}

function wrongTask({ tasks }: Caller, { task }: NewJob): Wrong | null {
  if (tasks === null || typeof task !== "string" || tasks.has(task)) return null;
  return { path: "task", message: `is not one that this token may enqueue: ${[...tasks].join(", ")}` };
}

/** A field that no job has is left to those who know what was meant. */
function wrongOption({ options }: Caller, job: NewJob): Wrong | null {
  if (options === null) return null;
  const strange = Object.keys(job).find((name) => JOB_OPTIONS.includes(name) && !options.has(name as keyof JobOptions));
  if (strange === undefined) return null;
  const may = options.size === 0 ? "it may give none" : `it may give ${[...options].join(", ")}`;
  return { path: strange, message: `is not an option that this token may give: ${may}` };
}

function wrongPin({ pin }: Caller, { payload }: NewJob): Wrong | null {
  if (pin === null || payload === undefined) return null;
  if (!isObject(payload)) {
    return { path: "payload", message: `is an object, because this token pins ${Object.keys(pin).join(", ")}` };
  }
  const given = payload as Fields;
  const other = Object.keys(pin).find((field) => Object.hasOwn(given, field) && !isSame(given[field]!, pin[field]!));
  if (other === undefined) return null;
  return { path: joinPath("payload", other), message: "is another than the one that this token pins: leave it out" };
}

/** Spreading defines: a field may be called `__proto__`. */
function withPin(job: NewJob, pin: NonNullable<Caller["pin"]>): NewJob {
  return { ...job, payload: { ...(job.payload as Fields | undefined), ...pin } };
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether two values are the same JSON, whatever the order of their fields. */
function isSame(a: Json, b: Json): boolean {
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((one, at) => isSame(one, b[at]!));
  }
  if (!isObject(a) || !isObject(b)) return a === b;
  const [left, right] = [a as Fields, b as Fields];
  const fields = Object.keys(left);
  if (fields.length !== Object.keys(right).length) return false;
  return fields.every((field) => Object.hasOwn(right, field) && isSame(left[field]!, right[field]!));
}
