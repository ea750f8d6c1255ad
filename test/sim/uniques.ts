import type { EnqueueOutcome, JobState } from "../../client/types.ts";
import type { JobTemplate, UniqueTemplate } from "../../client/wire.ts";
import type { ModelJob } from "./model.ts";

/** Where a job is, as unique keys name it; null: nowhere any more. */
export type Place = "waiting" | "running" | "completed" | "dead" | "cancelled" | null;

/** What must come of jobs that are asked for together. */
export interface Resolved {
  /** In the order of their ids. */
  created: JobTemplate[];
  /** Waiting jobs that become what was asked for. */
  changed: Map<ModelJob, JobTemplate>;
  /** For each that was asked for: the job that stands for it, or (null) the one that is made as the `made`th. */
  answers: { job: ModelJob | null; made: number; outcome: EnqueueOutcome }[];
}

export function placeOf({ live, deleted, ends }: ModelJob): Place {
  if (live) return placeOfState(live.state as JobState);
  // One that has not ended either is made in this transaction: over by its end, it waits until then.
  return deleted ? null : ((ends.at(-1)?.state as Place | undefined) ?? "waiting");
}

export function placeOfState(state: JobState): Place {
  return state === "scheduled" || state === "blocked" || state === "ready" ? "waiting" : state;
}

/** At most one job of a key is in the states that it names. */
export class Uniques {
  readonly #jobs = new Map<string, Set<ModelJob>>();
  /** Keys that something happened to in this transaction. */
  readonly #touched = new Set<string>();

  /** Something happens to a job. */
  touch(job: ModelJob): void {
    const { unique } = job.template;
    if (!unique) return;
    const jobs = this.#jobs.get(unique.key);
    if (jobs) jobs.add(job);
    else this.#jobs.set(unique.key, new Set([job]));
    this.#touched.add(unique.key);
  }

  /** Who has a key; `where` says where a job is at that moment. */
  holderOf(key: string, now: number, where: (job: ModelJob) => Place): ModelJob | null {
    for (const job of this.#jobs.get(key) ?? []) if (holds(job, where(job), now)) return job;
    return null;
  }

  /** What is not as it must be of the keys that were touched; null: nothing. */
  check(now: number): string | null {
    for (const key of this.#touched) {
      const jobs = this.#jobs.get(key) ?? new Set();
      const holders = [...jobs].filter((job) => holds(job, placeOf(job), now));
      if (holders.length > 1) {
        return `${key} is held by ${holders.map((job) => `${job.seq} (${placeOf(job)})`)}`;
      }
      for (const job of jobs) if (!job.live && !holders.includes(job)) jobs.delete(job);
      if (jobs.size === 0) this.#jobs.delete(key);
    }
    this.#touched.clear();
    return null;
  }

  /** What the unique keys of jobs come to, in order; null: the whole call is refused. */
  resolve(asked: JobTemplate[], now: number, where: (job: ModelJob) => Place, mayReject: boolean): Resolved | null {
    const resolved: Resolved = { created: [], changed: new Map(), answers: [] };
    const fresh = new Map<string, number>();
    for (const template of asked) {
      const unique = template.unique ?? null;
      const made = unique ? fresh.get(unique.key) : undefined;
      const job = unique && made === undefined ? this.#holderIn(resolved.changed, unique.key, now, where) : null;
      if (unique && (made !== undefined || job)) {
        if (unique.onConflict === "reject" && mayReject) return null;
        const outcome = outcomeOf(unique, job ? where(job) : "waiting");
        resolved.answers.push({ job, made: made ?? -1, outcome });
        if (outcome !== "replaced" && outcome !== "debounced") continue;
        if (job) resolved.changed.set(job, template);
        else resolved.created[made!] = template;
        continue;
      }
      if (unique) fresh.set(unique.key, resolved.created.length);
      resolved.answers.push({ job: null, made: resolved.created.length, outcome: "created" });
      resolved.created.push(template);
    }
    return resolved;
  }

  /** What was changed earlier in the same call holds its key by its new terms. */
  #holderIn(
    changed: Map<ModelJob, JobTemplate>,
    key: string,
    now: number,
    where: (job: ModelJob) => Place,
  ): ModelJob | null {
    for (const [job, template] of changed) {
      if (template.unique?.key === key) return holds({ ...job, template }, where(job), now) ? job : null;
    }
    return this.holderOf(key, now, where);
  }
}

function holds({ template, acceptedAt }: ModelJob, place: Place, now: number): boolean {
  const { unique } = template;
  if (!unique || place === null || !unique.states.includes(place)) return false;
  return unique.ttlMs === null || acceptedAt + unique.ttlMs > now;
}

/** A holder that cannot be changed any more is answered as it is. */
function outcomeOf({ onConflict }: UniqueTemplate, place: Place): EnqueueOutcome {
  if (onConflict === "throttle") return "throttled";
  if (onConflict === "replace" && place === "waiting") return "replaced";
  if (onConflict === "debounce" && place === "waiting") return "debounced";
  return "returned";
}

/** When a job may start, and (debounced) with which instant its series began. */
export function startOf({ runAt, delayMs, unique }: JobTemplate, now: number, firstAt: number): number {
  const debounced = unique?.onConflict === "debounce";
  const asked = debounced
    ? Math.min(now + unique.waitMs!, unique.maxWaitMs === null ? Number.POSITIVE_INFINITY : firstAt + unique.maxWaitMs)
    : (runAt ?? now + delayMs);
  return Math.max(asked, now);
}
