import type { JobState } from "../../client/types.ts";
import { readOptions } from "../../client/wire.ts";
import { Arrivals } from "./arrivals.ts";
import { Attempts } from "./attempts.ts";
import type { Cause, Incarnation } from "./host.ts";
import { ENDED, type Model, type ModelJob } from "./model.ts";
import { madeBy } from "./schedules.ts";
import type { LiveRow, OutboxRow, readMeta, ScheduleRow, SessionRow } from "./tables.ts";
import { isOver } from "./terms.ts";
import { type Place, placeOf, placeOfState } from "./uniques.ts";

/** One transaction. */
export class Step {
  readonly #model: Model;
  readonly #now: number;
  readonly #cause: Cause;
  readonly #outbox: OutboxRow[];
  readonly #arrivals: Arrivals;
  readonly #attempts: Attempts;
  readonly #code: Incarnation["code"];
  readonly #mayHave: (session: string) => boolean;
  readonly #gone = new Map<number, { row: OutboxRow; entry: OutboxRow["entries"][number] }>();

  constructor(
    model: Model,
    incarnation: Incarnation,
    cause: Cause,
    sessions: Map<string, SessionRow>,
    outbox: OutboxRow[],
    /** Whether a session may have been handed a job. */
    mayHave: (session: string) => boolean,
  ) {
    this.#model = model;
    this.#mayHave = mayHave;
    this.#now = incarnation.now;
    this.#cause = cause;
    this.#outbox = outbox;
    this.#code = incarnation.code;
    incarnation.code = null;
    this.#arrivals = new Arrivals(model, incarnation.now, sessions);
    this.#attempts = new Attempts(model, incarnation.now, cause, sessions);
    for (const row of outbox) for (const entry of row.entries) this.#gone.set(entry[0], { row, entry });
  }

  settings({ paused, overrides }: ReturnType<typeof readMeta>): void {
    const model = this.#model;
    model.paused = paused;
    model.limits.passed(this.#now);
    const text = JSON.stringify(overrides);
    if (text === model.settingsText) return;
    model.settingsText = text;
    const counting = ({ weights, ageing }: typeof overrides): string => JSON.stringify([weights ?? {}, ageing ?? null]);
    model.shares.settingsChanged(counting(model.settings) !== counting(overrides));
    model.settings = overrides;
    model.limits.apply(overrides, this.#now);
  }

  changes(rows: Map<number, LiveRow | null>, schedules: Map<string, ScheduleRow>, claimed: LiveRow[]): void {
    const model = this.#model;
    const all = new Set([...rows.keys(), ...this.#gone.keys()]);
    const unknown = [...all].filter((seq) => !model.jobs.has(seq)).sort((a, b) => a - b);
    const arrived = new Set(unknown);
    const others = this.#planned(unknown, rows, schedules);
    const atOnce = unknown.filter((seq) => !model.jobs.has(seq) && !rows.get(seq) && this.#gone.has(seq));
    const fresh = unknown.flatMap((seq) => {
      if (atOnce.includes(seq)) return { seq, state: ENDED } as LiveRow;
      return model.jobs.has(seq) ? [] : (rows.get(seq) ?? []);
    });
    for (const job of this.#arrivals.arrive(this.#cause, fresh, rows, this.#placeAfterSettles(rows))) {
      // One that was changed, and was over by then, has left like any other.
      if (rows.get(job.seq)) arrived.add(job.seq);
    }
    model.checkArrived(this.#now);
    for (const seq of atOnce) if (model.jobs.has(seq)) this.#endAtOnce(model.jobs.get(seq)!);
    for (const [seq, after] of rows) {
      const job = model.jobs.get(seq);
      if (!job) continue;
      if (arrived.has(seq)) {
        if (after?.state === "running") claimed.push(after);
        continue;
      }
      const before = job.live;
      model.stands(job, after);
      if (before && after) this.#moved(job, before, after, claimed);
      else if (before) this.#left(job, before);
      else if (after && this.#cause?.kind === "enqueue") {
        model.expect(job.ends.length === 0 && !job.deleted, "ids", () => `the id of job ${seq} is used again`);
      } else if (after && job.ends.length > 0) this.#reopened(job, after, claimed);
      else if (after) model.expect(!job.deleted, "durable", () => `job ${job.seq} was deleted, and is back`);
    }
    for (const { seq, live } of others) {
      const gone = live === null || (live.state === "running" && live.cancel_requested_at !== null);
      model.expect(gone, "schedules", () => `job ${seq} is ${live?.state}, and the next of its schedule is there`);
    }
    const doubled = model.uniques.check(this.#now);
    if (doubled) model.fail("unique", doubled);
    const disordered = model.orderings.check();
    if (disordered) model.fail("ordering", disordered);
  }

  /** Jobs that schedules make. Answers with those that have to go for them. */
  #planned(unknown: number[], rows: Map<number, LiveRow | null>, schedules: Map<string, ScheduleRow>): ModelJob[] {
    const model = this.#model;
    const made = unknown.flatMap((seq) => {
      const options = rows.get(seq)?.options ?? this.#gone.get(seq)?.entry[5];
      return (options && madeBy(seq, options)) || [];
    });
    const code = this.#code;
    const wrong = model.schedules.transaction(this.#cause, code, schedules, made, this.#now, model.jobs);
    if (wrong) model.fail("schedules", wrong);
    const others = model.schedules.othersOf(model.jobs);
    for (const { seq } of others) {
      model.begin("cancel", seq);
      this.#attempts.displaced.add(seq);
    }
    for (const one of made) {
      const template = model.schedules.templateOf(one, this.#now);
      const row = rows.get(one.seq);
      if (!template) model.fail("schedules", `job ${one.seq} is of ${one.name}, which is not there`);
      else if (row) model.create([row], [template], this.#now);
      else this.#endAtOnce(model.add(one.seq, template, this.#now));
    }
    return others;
  }

  /** Made for one instant, and cancelled for the next, within one transaction. */
  #endAtOnce(job: ModelJob): void {
    const { row, entry } = this.#gone.get(job.seq)!;
    this.#gone.delete(job.seq);
    const [, fence, task, state] = entry;
    this.#model.expect(state === "cancelled", "schedules", () => `job ${job.seq} ended ${state} at once`);
    this.#model.end(job, task, { fence, state, kept: row.kind === "history" });
    this.#model.uniques.touch(job);
  }

  /** Where a job is when the settles of an exchange are done, and its claims are not. */
  #placeAfterSettles(rows: Map<number, LiveRow | null>): (job: ModelJob) => Place {
    return (job) => {
      const was = job.live;
      // One that waited is where it was: if its time is over, it ends behind the settles.
      if (was?.state !== "running") return placeOf(job);
      const ended = this.#gone.get(job.seq)?.entry[3];
      if (ended) return placeOfState(ended as JobState);
      const is = rows.get(job.seq);
      return is && (is.state !== "running" || is.fence !== was.fence) ? "waiting" : "running";
    };
  }

  /** Jobs start after everything else that a transaction does. */
  starts(claimed: LiveRow[]): void {
    const model = this.#model;
    for (const { seq } of claimed) {
      const wrong = model.limits.start(model.jobs.get(seq)!.passages, this.#now);
      if (wrong) model.fail(wrong[0], `job ${seq} was started: ${wrong[1]}`);
    }
  }

  /** Outbox rows that no live row went into: jobs deleted from the history. */
  rest(): void {
    const model = this.#model;
    for (const row of this.#outbox) {
      model.outbox.set(row.id, row);
      model.lastOutboxId = row.id;
    }
    for (const [seq, { row }] of this.#gone) {
      const job = model.jobs.get(seq);
      // Deleted twice is deleted: a batch that landed late may have brought it back to the history.
      const may = row.kind === "delete" && model.allowed("remove", seq) && job;
      model.expect(!!may, "durable", () => `outbox row ${row.id} speaks of job ${seq}, which did not end`);
      if (job) job.deleted = true;
    }
  }

  #left(job: ModelJob, before: LiveRow) {
    const model = this.#model;
    const gone = this.#gone.get(job.seq);
    this.#gone.delete(job.seq);
    if (!gone) return model.fail("durable", `job ${job.seq} was ${before.state}, and is nowhere`);
    const { row, entry } = gone;
    if (row.kind === "delete") {
      model.expect(model.allowed("remove", job.seq), "durable", () => `nobody asked to delete job ${job.seq}`);
      model.expect(before.state !== "running", "durable", () => `job ${job.seq} was deleted while it ran`);
      job.deleted = true;
      return;
    }
    const [, fence, task, state, reason] = entry;
    model.expect(fence === before.fence + 1, "fence", () => `job ${job.seq}/${before.fence} ended at fence ${fence}`);
    const kept = row.kind === "history";
    model.expect(kept || job.ends.length === 0, "history", () => `job ${job.seq} has its old end in the history`);
    model.end(job, task, { fence, state, kept });
    if (before.state === "running") this.#attempts.ended(job, before, { state, reason }, null);
    else if (reason === "expired") {
      const due = before.expires_at !== null && before.expires_at <= this.#now;
      model.expect(
        (due || isOver(job, this.#now)) && state === "cancelled",
        "expiry",
        () => `job ${job.seq} expired before its time`,
      );
    } else {
      const may = model.allowed("cancel", job.seq) && state === "cancelled";
      model.expect(may, "durable", () => `job ${job.seq} was ${before.state}, and ended ${state} (${reason})`);
    }
  }

  #moved(job: ModelJob, before: LiveRow, after: LiveRow, claimed: LiveRow[]): void {
    const model = this.#model;
    if (before.state === after.state && before.fence === after.fence && before.session === after.session) {
      this.#changed(job, before, after);
      return;
    }
    let standing = before;
    if (before.state === "running") {
      this.#attempts.ended(job, before, null, after);
      if (after.state !== "running") return;
      standing = { ...after, state: "ready", fence: before.fence };
    }
    const asked = model.allowed("retry", job.seq) || model.allowed("reschedule", job.seq);
    if ((standing.state === "scheduled" || standing.state === "blocked") && after.state !== "scheduled" && !asked) {
      const early = standing.run_at - this.#now;
      model.expect(early <= 0, "never-early", () => `job ${job.seq} was promoted ${early} ms early`);
    }
    if (after.state === "running") {
      const expired = standing.expires_at !== null && standing.expires_at <= this.#now;
      model.expect(!expired, "expiry", () => `job ${job.seq} was started at ${this.#now}, after it had expired`);
      const its = this.#cause?.kind === "exchange" && this.#cause.input.session === after.session;
      const given = its || this.#mayHave(after.session!);
      model.expect(given, "fence", () => `job ${job.seq} was given to ${after.session}, which did not ask`);
      model.expect(after.fence === standing.fence + 1, "fence", () => `job ${job.seq} claimed at ${after.fence}`);
      this.#changed(job, standing, after);
      claimed.push(after);
    } else {
      const unblocked = standing.state === "blocked" && after.run_at > this.#now;
      const right =
        after.state === "ready" || (after.state === "scheduled" && (unblocked || model.allowed("reschedule", job.seq)));
      model.expect(right, "check", () => `job ${job.seq} went from ${before.state} to ${after.state}`);
      model.expect(after.fence === standing.fence, "fence", () => `job ${job.seq} changed its fence`);
      if (after.state === "ready") job.notBefore = 0;
      this.#changed(job, standing, after);
    }
  }

  /** What may change while a job waits. */
  #changed(job: ModelJob, before: LiveRow, after: LiveRow): void {
    const model = this.#model;
    const prioritised = before.priority === after.priority || model.allowed("setPriority", job.seq);
    model.expect(prioritised, "order", () => `job ${job.seq} changed its priority to ${after.priority}`);
    if (before.state === "running" || before.run_at === after.run_at) return;
    const asked = model.allowed("reschedule", job.seq) || model.allowed("retry", job.seq);
    model.expect(asked, "never-early", () => `job ${job.seq} is to run at ${after.run_at}, not at ${before.run_at}`);
    job.notBefore = after.run_at > this.#now ? after.run_at : 0;
  }

  #reopened(job: ModelJob, after: LiveRow, claimed: LiveRow[]): void {
    const model = this.#model;
    const may = model.allowed("retry", job.seq) && !job.deleted;
    model.expect(may, "durable", () => `job ${job.seq} had ended, and is back without being asked for`);
    const most = Math.max(...job.ends.map((end) => end.fence));
    const handed = after.state === "running";
    model.expect(
      after.fence === most + (handed ? 2 : 1),
      "fence",
      () => `job ${job.seq} reopened at fence ${after.fence} after ${most}`,
    );
    const waits = after.state === "ready" || after.state === "blocked" || handed;
    model.expect(waits && after.failures === 0, "durable", () => `job ${job.seq} reopened wrongly`);
    model.expect(!isOver(job, this.#now), "deadline", () => `job ${job.seq} was reopened after its deadline`);
    const { deadlineAt } = readOptions(after.options);
    model.expect(deadlineAt === job.deadlineAt, "deadline", () => `job ${job.seq} was reopened until ${deadlineAt}`);
    job.notBefore = 0;
    if (handed) claimed.push(after);
  }
}
