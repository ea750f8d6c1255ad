/**
 * The options of one job after resolution: its own, then its task's, then Millrace's.
 *
 * @module
 */
import { parseDuration } from "../client/duration.ts";
import type { NewJob } from "../client/types.ts";
import type { JobTemplate } from "../client/wire.ts";
import { type Config, type KnownTask, PUSH_TIMEOUT_MS, pushes } from "./config.ts";
import { type FlowCall, type OwnFlow, ownFlow, resolveFlow } from "./flow.ts";
import type { Wrong } from "./flow-fields.ts";
import { MAX_AHEAD_MS, parseInstant } from "./instant.ts";
import { errorsOf, nearest } from "./issues.ts";
import { type CheckedJob, newJob, unknownJobFields } from "./job-schema.ts";
import { holdsLoneSurrogate, joinPath } from "./json.ts";
import { type Refused, refuse } from "./problem.ts";

export interface About {
  /** Where in the request the job stands: `jobs[3]`, or nothing. */
  where: string;
  actor: string | null;
  now: number;
}

/** What one request says, but for what its task makes of each payload. */
export interface Draft {
  ok: true;
  base: JobTemplate;
  task: KnownTask;
  own: OwnFlow;
  /** Functions of the task that have to be asked for each payload. */
  calls: readonly FlowCall[];
}

/** Checks everything of a job but its payload and what is made of it. */
export function draftTemplate(config: Config, job: NewJob, about: About): Draft | Refused {
  const { payload: _payload, ...rest } = job;
  const asked = { ...rest, ...dates(rest) };
  const checked = newJob.safeParse(asked);
  if (!checked.success) {
    const errors = errorsOf(checked.error.issues, asked, about.where, unknownJobFields);
    return refuse("invalid_request", NOT_VALID, errors);
  }
  const options = checked.data;
  const wrong = contradiction(options, about.now);
  if (wrong) return refuseField(wrong, about.where);
  const task = config.tasks.get(options.task);
  if (!task) return refuseTask(config, options.task, about.where);
  const own = ownFlow(options);
  const calls = task.flow.calls.filter(([option]) => own.options[option] === undefined);
  return { ok: true, base: resolve(options, task, about.actor), task, own, calls };
}

/** The template of a draft; `made` is JSON text of what its task's functions gave. */
export function makeTemplate(draft: Draft, made: string, about: About): { ok: true; template: JobTemplate } | Refused {
  const flow = resolveFlow(draft.task.flow, draft.own, made, about.now);
  if (!flow.ok) return refuseField(flow.wrong, about.where);
  return { ok: true, template: { ...draft.base, ...flow.fields } };
}

const NOT_VALID = "The job is not valid.";

export function refuseField({ path, message }: Wrong, where: string): Refused {
  return refuse("invalid_request", NOT_VALID, [{ path: joinPath(where, path), message }]);
}

/** Dates as texts, also those that are none: the schema says so. */
function dates({ runAt, deadline }: Omit<NewJob, "payload">): { runAt?: string; deadline?: string } {
  const texts: { runAt?: string; deadline?: string } = {};
  if (runAt instanceof Date) texts.runAt = textOf(runAt);
  if (deadline instanceof Date) texts.deadline = textOf(deadline);
  return texts;
}

function textOf(date: Date): string {
  return Number.isNaN(date.getTime()) ? "Invalid Date" : date.toISOString();
}

/** What no field alone can tell. */
function contradiction(options: CheckedJob, now: number): Wrong | null {
  const { runAt, delay, tags, meta } = options;
  if (runAt !== undefined && delay !== undefined) {
    return { path: "delay", message: "stands beside runAt: give one of them" };
  }
  if (runAt !== undefined && parseInstant(runAt)! > now + MAX_AHEAD_MS) {
    return { path: "runAt", message: "is more than 366 days ahead" };
  }
  for (const [path, value] of Object.entries({ tags, meta })) {
    if (value !== undefined && holdsLoneSurrogate(JSON.stringify(value))) {
      return { path, message: "holds half of a surrogate pair, which is no character" };
    }
  }
  return null;
}

/** Whether a job's attempt may take longer than the consumer Worker lives that would run it. */
export function refuseTimeout(config: Config, queue: string, { base }: Draft, where: string): Refused | null {
  if (base.timeoutMs <= PUSH_TIMEOUT_MS || !pushes(config, queue, base.task)) return null;
  const message = `is over 13m, and queue "${queue}" runs task "${base.task}" in a consumer Worker, which takes no longer: longer attempts are for remote workers, of a queue with delivery "pull", or "both" where the Worker has no handler`;
  return refuseField({ path: "timeout", message }, where);
}

function refuseTask(config: Config, name: string, where: string): Refused {
  const near = nearest(name, config.tasks.keys());
  const hint = near === null ? "Give it to createMillrace in `tasks`." : `Did you mean "${near}"?`;
  return refuse("unknown_task", `There is no task "${name}". ${hint}`, [
    {
      path: joinPath(where, "task"),
      message: near === null ? "is not known" : `is not known; did you mean "${near}"?`,
    },
  ]);
}

function resolve(options: CheckedJob, task: KnownTask, actor: string | null): JobTemplate {
  const { runAt, delay, timeout, expiresIn } = options;
  return {
    task: options.task,
    priority: options.priority ?? task.priority,
    runAt: runAt === undefined ? null : parseInstant(runAt),
    delayMs: delay === undefined ? 0 : parseDuration(delay),
    maxAttempts: options.maxAttempts ?? task.maxAttempts,
    backoff: (options.backoff as JobTemplate["backoff"]) ?? task.backoff,
    ownBackoff: options.backoff !== undefined,
    timeoutMs: timeout === undefined ? task.timeoutMs : parseDuration(timeout),
    expiresInMs: expiresIn === undefined ? task.expiresInMs : parseDuration(expiresIn),
    tags: options.tags ?? task.tags,
    meta: options.meta ?? task.meta,
    actor,
    version: task.version,
    traceparent: null,
  };
}
