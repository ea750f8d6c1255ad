/**
 * Schedules as people write them, made into what the object takes: times in its units, and one job resolved and checked
 * as an enqueue is.
 *
 * @module
 */
import { parseDuration } from "../client/duration.ts";
import type { ScheduleSpec } from "../client/types.ts";
import type { JobTemplate, ScheduleInput } from "../client/wire.ts";
import { invalidSchedule } from "../durable-objects/engine/timing.ts";
import type { Config, MillraceConfig } from "./config.ts";
import { MAX_AHEAD_MS, parseInstant } from "./instant.ts";
import { errorsOf } from "./issues.ts";
import { joinPath } from "./json.ts";
import { type Refused, refuse } from "./problem.ts";
import { beginJobs, resolveJobs } from "./resolve.ts";
import { type CheckedSpec, codeSchedule, SPEC_FIELDS, scheduleName } from "./schedule-schema.ts";

const CATCH_UP = { window: "1d", max: 1 } as const;

/** What holds where a spec says nothing. */
export const SPEC_DEFAULTS = { timezone: "UTC", overlap: "allow", catchUp: CATCH_UP, jitter: "0s" } as const;

/** The schedules that code declares for one queue. */
export interface QueueSchedules {
  /** Another one whenever any of them is another. */
  version: string;
  inputs: ReadonlyMap<string, ScheduleInput>;
}

/** Checks a spec's job as an enqueue to the queue is checked, and resolves it. */
export async function resolveSchedule(
  config: Config,
  queue: string,
  spec: CheckedSpec,
): Promise<{ ok: true; input: ScheduleInput } | Refused> {
  const resolved = await resolveJobs(config, jobOf(queue, spec, true));
  if (!resolved.ok) return inSpec(resolved);
  return toInput(spec, resolved.templates[resolved.jobs[0]![0]]!, resolved.jobs[0]![1]);
}

function jobOf(queue: string | null, { task, payload, options }: CheckedSpec, parsed: boolean) {
  const job = { ...options, task, payload } as Parameters<typeof beginJobs>[1]["jobs"][number];
  return { queue, jobs: [job], actor: null, parsed, single: true };
}

/** A job's errors, at the places that they have in a spec. */
function inSpec(refused: Refused): Refused {
  const errors = refused.errors?.map(({ path, message }) => {
    const isOption = !/^(task|payload)\b/.test(path);
    return { path: isOption ? joinPath("options", path) : path, message };
  });
  return { ...refused, errors };
}

const NOT_VALID = "The schedule is not valid.";

function toInput(
  spec: CheckedSpec,
  template: JobTemplate,
  payload: string | null,
): { ok: true; input: ScheduleInput } | Refused {
  if ((template.deadlineAt ?? null) !== null) {
    const message = "is an instant, which later jobs are past: give a duration";
    return refuse("invalid_request", NOT_VALID, [{ path: "options.deadline", message }]);
  }
  const { cron = null, every = null, timezone = null, startAt = null, endAt = null, catchUp = CATCH_UP } = spec;
  if (startAt !== null && parseInstant(startAt)! > Date.now() + MAX_AHEAD_MS) {
    return refuse("invalid_request", NOT_VALID, [{ path: "startAt", message: "is more than 366 days ahead" }]);
  }
  if (every !== null && timezone !== null) {
    const message = "is for cron: every counts real time, which is the same in all zones";
    return refuse("invalid_request", NOT_VALID, [{ path: "timezone", message }]);
  }
  const input: ScheduleInput = {
    spec: JSON.stringify(Object.fromEntries(SPEC_FIELDS.map((field) => [field, spec[field] ?? undefined]))),
    cron,
    everyMs: every === null ? null : parseDuration(every),
    timezone: timezone ?? SPEC_DEFAULTS.timezone,
    template,
    payload,
    overlap: spec.overlap ?? SPEC_DEFAULTS.overlap,
    catchUpWindowMs: parseDuration(catchUp.window),
    catchUpMax: catchUp.max,
    jitterMs: parseDuration(spec.jitter ?? SPEC_DEFAULTS.jitter),
    startAt: startAt === null ? null : parseInstant(startAt),
    endAt: endAt === null ? null : parseInstant(endAt),
    paused: spec.paused === true,
  };
  return { ok: true, input };
}

/**
 * Reads the schedules of a program, by queue.
 *
 * @throws {TypeError} naming the schedule, what is wrong with it and what it should be
 */
export function readSchedules(
  config: Config,
  schedules: NonNullable<MillraceConfig["schedules"]>,
): ReadonlyMap<string, QueueSchedules> {
  if (typeof schedules !== "object" || schedules === null || Array.isArray(schedules)) {
    throw new TypeError("schedules is an object, by the names of the schedules.");
  }
  const byQueue = new Map<string, Map<string, ScheduleInput>>();
  for (const [name, given] of Object.entries(schedules)) {
    const { queue, input } = readSchedule(config, name, given);
    byQueue.set(queue, (byQueue.get(queue) ?? new Map()).set(name, input));
  }
  return new Map(
    [...byQueue].map(([queue, inputs]) => [queue, { version: hashOf(JSON.stringify([...inputs])), inputs }]),
  );
}

function readSchedule(config: Config, name: string, given: ScheduleSpec & { queue?: string }) {
  const where = `schedules["${name.slice(0, 200)}"]`;
  const badName = scheduleName.safeParse(name).error?.issues[0];
  if (badName) throw new TypeError(`${where} ${badName.message}.`);
  const checked = codeSchedule.safeParse(given);
  if (!checked.success) {
    const [wrong] = errorsOf(checked.error.issues, given, "", { known: [...SPEC_FIELDS, "queue"] });
    throw new TypeError(`${where}: ${wrong!.path} ${wrong!.message}.`);
  }
  const { queue = null, ...spec } = checked.data;
  const resolved = beginJobs(config, jobOf(queue, spec, false));
  if (!resolved.ok) throw asError(where, inSpec(resolved));
  if (resolved.waiting.length > 0) {
    throw new TypeError(
      `${where}: the schema of task "${spec.task}" checks asynchronously, which cannot be waited for while a Worker starts. Set this schedule through the API.`,
    );
  }
  const [[template, payload]] = resolved.jobs as [[number, string | null]];
  const made = toInput(spec, resolved.templates[template]!, payload);
  if (!made.ok) throw asError(where, made);
  const wrong = invalidSchedule(made.input, Date.now());
  if (wrong) throw new TypeError(`${where}: ${wrong}.`);
  return { queue: resolved.queue, input: made.input };
}

function asError(where: string, { detail, errors = [] }: Refused): TypeError {
  const wrong = errors.map(({ path, message }) => `${path} ${message}`).join("; ");
  return new TypeError(`${where}: ${wrong === "" ? detail : `${detail} ${wrong}.`}`);
}

/** Tells texts apart (two runs of FNV-1a); not meant to withstand anybody who wants two alike. */
function hashOf(text: string): string {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (let at = 0; at < text.length; at++) {
    a = Math.imul(a ^ text.charCodeAt(at), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(at), 0x5bd1e995);
  }
  return [a, b].map((part) => (part >>> 0).toString(16).padStart(8, "0")).join("");
}
