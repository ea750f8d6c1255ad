/**
 * Claimed jobs that have not been started: those that run one by one, in order, and those of tasks that take many,
 * which are gathered until there are enough of them or the first has waited for long.
 *
 * @module
 */
import { takeOf } from "./take.ts";
import { type AnyTaskDeclaration, hasHandler } from "./task.ts";
import type { Held, LeasedJob } from "./types.ts";

/** A job, and when it was claimed: one that is gathered has its timeout from then on. */
export interface Claimed {
  job: LeasedJob;
  at: number;
}

/** What fills one slot: one job, or many of a task that takes many. */
export interface Unit {
  jobs: Claimed[];
  many: boolean;
}

interface Gathering {
  max: number;
  waitMs: number;
  jobs: Claimed[];
}

/** How often a gathering looks for more, in parts of its wait and within bounds. */
const POLLS = 4;
const POLL_MS = { min: 100, max: 1_000 };

export class Waiting {
  readonly #tasks: ReadonlyMap<string, AnyTaskDeclaration>;
  #single: Claimed[] = [];
  readonly #gatherings = new Map<string, Gathering>();

  constructor(tasks: ReadonlyMap<string, AnyTaskDeclaration>) {
    this.#tasks = tasks;
  }

  get size(): number {
    let size = this.#single.length;
    for (const { jobs } of this.#gatherings.values()) size += jobs.length;
    return size;
  }

  /** How many slots it would all fill. */
  get units(): number {
    let units = this.#single.length;
    for (const { jobs, max } of this.#gatherings.values()) units += Math.ceil(jobs.length / max);
    return units;
  }

  /** Says whether a gathering began that means to wait. */
  add(job: LeasedJob, at: number): boolean {
    const known = this.#gatherings.get(job.task);
    if (known) {
      known.jobs.push({ job, at });
      return false;
    }
    const task = this.#tasks.get(job.task);
    const take = task && hasHandler(task) ? takeOf(task) : null;
    if (!take) {
      this.#single.push({ job, at });
      return false;
    }
    this.#gatherings.set(job.task, { ...take, jobs: [{ job, at }] });
    return take.waitMs > 0;
  }

  held(): Held[] {
    return this.#all().map(({ job }): Held => [job.id, job.fence]);
  }

  /** Takes out a job; at any fence where none is named. */
  remove(id: string, fence?: number): LeasedJob | null {
    const found = this.#all().find(({ job }) => job.id === id && (fence === undefined || job.fence === fence));
    if (!found) return null;
    this.#removeAll([found]);
    return found.job;
  }

  removeAll(): LeasedJob[] {
    return this.#removeAll(this.#all());
  }

  /**
   * Takes out what would wait for long: single jobs beyond `most` or claimed before `claimedBefore`, and all that was
   * ripe before `ripeBefore`.
   */
  surplus(most: number, ripeBefore: number, claimedBefore: number): LeasedJob[] {
    const late = [...this.#gatherings.values()].filter((gathering) => ripeAt(gathering) < ripeBefore);
    const single = this.#single.filter(({ at }, index) => index >= most || at < claimedBefore);
    return this.#removeAll([...single, ...late.flatMap(({ jobs }) => jobs)]);
  }

  /** What to start next. `rush`: nothing is waited for any more. `more`: an answer with more of them is on its way. */
  next(now: number, { rush, more }: { rush: boolean; more: boolean }): Unit | null {
    for (const [task, gathering] of this.#gatherings) {
      const { max, jobs } = gathering;
      const ripe = jobs.length >= max || rush || (!more && ripeAt(gathering) <= now);
      if (!ripe) continue;
      const taken = jobs.splice(0, max);
      if (jobs.length === 0) this.#gatherings.delete(task);
      return { jobs: taken, many: true };
    }
    const first = this.#single.shift();
    return first ? { jobs: [first], many: false } : null;
  }

  /** Whether there is what could start now. */
  ready(now: number): boolean {
    return this.#single.length > 0 || this.ripeAt() <= now;
  }

  /** When the first gathering has waited long enough. */
  ripeAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const gathering of this.#gatherings.values()) at = Math.min(at, ripeAt(gathering));
    return at;
  }

  /** Of which tasks more jobs are wanted, how many together, and when to look again; null: of none. */
  wanted(): { tasks: string[]; want: number; pollMs: number } | null {
    const open = [...this.#gatherings].filter(([, gathering]) => roomIn(gathering) > 0);
    if (open.length === 0) return null;
    const waitMs = Math.min(...open.map(([, gathering]) => gathering.waitMs));
    return {
      tasks: open.map(([task]) => task),
      want: open.reduce((want, [, gathering]) => want + roomIn(gathering), 0),
      pollMs: Math.min(Math.max(waitMs / POLLS, POLL_MS.min), POLL_MS.max),
    };
  }

  #all(): Claimed[] {
    return [...this.#single, ...[...this.#gatherings.values()].flatMap(({ jobs }) => jobs)];
  }

  #removeAll(claimed: Claimed[]): LeasedJob[] {
    const gone = new Set(claimed);
    this.#single = this.#single.filter((one) => !gone.has(one));
    for (const [task, gathering] of this.#gatherings) {
      gathering.jobs = gathering.jobs.filter((one) => !gone.has(one));
      if (gathering.jobs.length === 0) this.#gatherings.delete(task);
    }
    return claimed.map(({ job }) => job);
  }
}

/** What one more call would take beside those that are full. */
function roomIn({ jobs, max }: Gathering): number {
  return (max - (jobs.length % max)) % max;
}

/** At the latest when half of a job's timeout is over, so that there is time left to run it. */
function ripeAt({ max, waitMs, jobs }: Gathering): number {
  if (jobs.length >= max) return jobs[0]!.at;
  let at = jobs[0]!.at + waitMs;
  for (const { job, at: claimedAt } of jobs) at = Math.min(at, claimedAt + job.timeoutMs / 2);
  return at;
}
