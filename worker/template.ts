/**
 * The options of one job after resolution: its own, then its task's, then Millrace's.
 *
 * @module
 */
import { parseDuration } from "../client/duration.ts";
import type { NewJob } from "../client/types.ts";
import type { JobTemplate } from "../client/wire.ts";
import { type Config, type KnownTask, PUSH_TIMEOUT_MS } from "./config.ts";
import { parseInstant } from "./instant.ts";
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

const MAX_AHEAD_MS = 366 * 86_400_000;

/** Checks everything of a job but its payload. */
export function makeTemplate(
  config: Config,
  job: NewJob,
  about: About,
): { ok: true; template: JobTemplate; task: KnownTask } | Refused {
  const { payload: _payload, runAt, ...rest } = job;
  const asked = runAt === undefined ? rest : { ...rest, runAt: textOf(runAt) };
  const checked = newJob.safeParse(asked);
  if (!checked.success) {
    const errors = errorsOf(checked.error.issues, asked, about.where, unknownJobFields);
    return refuse("invalid_request", "The job is not valid.", errors);
  }
  const options = checked.data;
  const wrong = contradiction(options, about.now);
  if (wrong)
    return refuse("invalid_request", "The job is not valid.", [{ ...wrong, path: joinPath(about.where, wrong.path) }]);
  const task = config.tasks.get(options.task);
  if (!task) return refuseTask(config, options.task, about.where);
  return { ok: true, template: resolve(options, task, about.actor), task };
}

function textOf(runAt: string | Date): string {
  if (!(runAt instanceof Date)) return runAt;
  return Number.isNaN(runAt.getTime()) ? "Invalid Date" : runAt.toISOString();
}

/** What no field alone can tell. */
function contradiction(options: CheckedJob, now: number): { path: string; message: string } | null {
  const { runAt, delay, timeout, tags, meta } = options;
  if (runAt !== undefined && delay !== undefined) {
    return { path: "delay", message: "stands beside runAt: give one of them" };
  }
  if (runAt !== undefined && parseInstant(runAt)! > now + MAX_AHEAD_MS) {
    return { path: "runAt", message: "is more than 366 days ahead" };
  }
  if (timeout !== undefined && parseDuration(timeout) > PUSH_TIMEOUT_MS) {
    return { path: "timeout", message: "is over 13m, which needs a remote worker: not built yet" };
  }
  for (const [path, value] of Object.entries({ tags, meta })) {
    if (value !== undefined && holdsLoneSurrogate(JSON.stringify(value))) {
      return { path, message: "holds half of a surrogate pair, which is no character" };
    }
  }
  return null;
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
