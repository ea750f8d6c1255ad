/**
 * Follow-up jobs as handlers ask for them, made into what objects take: options resolved and payloads checked as those
 * of an enqueue, grouped by queue. All jobs of one attempt or none: a refusal makes its attempt a failure.
 *
 * @module
 */
import type { FollowUp, JobError, NewJob } from "../client/types.ts";
import type { FollowUps } from "../client/wire.ts";
import type { Config } from "./config.ts";
import type { Refused } from "./problem.ts";
import { MAX_JOBS, resolveJobs } from "./resolve.ts";

export type ResolvedFollowUps = { ok: true; groups: FollowUps[] } | { ok: false; error: JobError };

interface Group {
  /** Null for one whose task is not known, so that it is refused for that. */
  queue: string | null;
  jobs: NewJob[];
  /** Where each stood among those of the attempt. */
  places: number[];
}

/** Resolves the follow-up jobs of one attempt. Never rejects: that would hold up all that is settled with it. */
export async function resolveFollowUps(config: Config, asked: readonly FollowUp[]): Promise<ResolvedFollowUps> {
  try {
    return await resolve(config, asked);
  } catch (error) {
    return failed(`The follow-up jobs could not be resolved: ${error}`);
  }
}

async function resolve(config: Config, asked: readonly FollowUp[]): Promise<ResolvedFollowUps> {
  if (!Array.isArray(asked) || asked.length > MAX_JOBS) {
    const got = Array.isArray(asked) ? `${asked.length} of them` : typeof asked;
    return failed(`The follow-up jobs of an attempt are a list of at most ${MAX_JOBS}, not ${got}.`);
  }
  const groups: FollowUps[] = [];
  for (const { queue, jobs, places } of groupByQueue(config, asked)) {
    const resolved = await resolveJobs(config, { queue, jobs, actor: null, parsed: true });
    if (!resolved.ok) return failed(await blame(config, { queue, jobs, places }, asked.length, resolved));
    groups.push({ queue: resolved.queue, partition: 0, templates: resolved.templates, jobs: resolved.jobs });
  }
  return { ok: true, groups };
}

function groupByQueue(config: Config, asked: readonly FollowUp[]): Iterable<Group> {
  const groups = new Map<string | null, Group>();
  for (const [place, followUp] of asked.entries()) {
    const { queue: named, ...job } = followUp ?? {};
    const queue = named ?? config.tasks.get(job.task as string)?.queue ?? null;
    const group = groups.get(queue) ?? { queue, jobs: [], places: [] };
    groups.set(queue, group);
    group.jobs.push(job as NewJob);
    group.places.push(place);
  }
  return groups.values();
}

/** Says which of them was refused, and why. They are looked at one by one only now. */
async function blame(config: Config, { queue, jobs, places }: Group, of: number, whole: Refused): Promise<string> {
  for (const [index, job] of jobs.entries()) {
    const alone = await resolveJobs(config, { queue, jobs: [job], actor: null, parsed: true, single: true });
    if (alone.ok) continue;
    const fields = alone.code === "unknown_task" ? [] : (alone.errors ?? []);
    const why = fields.map(({ path, message }) => `${path} ${message}`).join("; ");
    return `Follow-up job ${places[index]! + 1} of ${of} (task "${job.task}") was refused: ${alone.detail} ${why}`.trim();
  }
  return `The ${jobs.length} follow-up jobs for queue "${queue}" were refused together: ${whole.detail}`;
}

function failed(message: string): ResolvedFollowUps {
  return { ok: false, error: { name: "FollowUpError", message: message.slice(0, 4_096), stack: null } };
}
