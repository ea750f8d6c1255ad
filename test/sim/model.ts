import type { EnqueueInput, JobRecord, JobTemplate, Settings } from "../../client/wire.ts";
import type { Ledger } from "./ledger.ts";
import { Limits, type Passage } from "./limits.ts";
import { Orderings } from "./orderings.ts";
import { Schedules } from "./schedules.ts";
import { Shares } from "./shares.ts";
import type { LiveRow, OutboxRow, SessionRow } from "./tables.ts";
import { checkTerms, isOver, termsOf } from "./terms.ts";
import { placeOf, type Resolved, Uniques } from "./uniques.ts";
import { type Invariant, Violation } from "./violation.ts";

export interface ModelEnd {
  fence: number;
  state: string;
  kept: boolean;
}

/** What the model knows of one job. */
export interface ModelJob {
  seq: number;
  live: LiveRow | null;
  /** What was asked for, or asked for last. */
  template: JobTemplate;
  acceptedAt: number;
  /** It is over by then. */
  deadlineAt: number | null;
  fairKey: string | null;
  /** The gates that it goes through. */
  passages: Passage[];
  ends: ModelEnd[];
  deleted: boolean;
  /** No start before this; 0: it has been due. */
  notBefore: number;
  /** When it was to start, as accepted. */
  runAt: number;
  /** Fences at which an attempt was settled by its holder. */
  settled: Set<number>;
  /** Which session was given the job at a fence. */
  holders: Map<number, string>;
}

/** Instead of a state: the job has ended in the transaction that made it. */
export const ENDED = "ended";

interface Made {
  at: number;
  answers: { seq: number; outcome: string }[];
  /** No job was made that could note it, so a restart forgets it. */
  nothing: boolean;
}

/** What an enqueue must come to. */
export interface Expected {
  refused: boolean;
  answers: Made["answers"];
  /** Just as right: a restart may have forgotten what made nothing. */
  or?: Expected;
}

const MINUTE = 60_000;

/** The reference: jobs, ends, requests and what may happen to them, in plain maps. */
export class Model {
  /** Made or changed in this transaction so far. */
  readonly arrived = new Map<ModelJob, LiveRow>();
  readonly queue: string;
  readonly ledger: Ledger;
  readonly jobs = new Map<number, ModelJob>();
  /** Those of them that are unfinished. */
  readonly living = new Map<number, ModelJob>();
  /** Those that are ready. */
  readonly ready = new Set<ModelJob>();
  readonly limits = new Limits();
  readonly shares = new Shares();
  readonly orderings = new Orderings();
  readonly uniques = new Uniques();
  readonly schedules = new Schedules();
  running = 0;
  readonly requests = new Map<string, Made>();
  readonly keys = new Map<string, Made>();
  readonly outbox = new Map<number, OutboxRow>();
  readonly endCounts = new Map<string, number>();
  sessions = new Map<string, SessionRow>();
  maxSeq = 0;
  lastOutboxId = 0;
  /** Transactions that wrote. */
  changes = 0;
  paused = false;
  settings: Partial<Settings> = {};
  settingsText = "{}";
  /** As on the clock of the world. */
  time = 0;
  violation: Violation | null = null;
  /** When each operation was asked for last, as `<kind> <seq>`. */
  readonly #begun = new Map<string, number>();

  constructor(queue: string, ledger: Ledger) {
    this.queue = queue;
    this.ledger = ledger;
  }

  fail(invariant: Invariant, detail: string): void {
    this.violation ??= new Violation(invariant, detail);
  }

  expect(holds: boolean, invariant: Invariant, detail: () => string): void {
    if (!holds) this.fail(invariant, detail());
  }

  /** An operation begins. It may still be carried out when nobody waits for its answer any more. */
  begin(kind: string, seq: number): void {
    this.#begun.set(`${kind} ${seq}`, this.time);
  }

  /** Whether somebody asked for this lately. */
  allowed(kind: string, seq: number): boolean {
    return (this.#begun.get(`${kind} ${seq}`) ?? Number.NEGATIVE_INFINITY) > this.time - 10 * MINUTE;
  }

  /** How a job stands in the table; null: not there any more. */
  stands(job: ModelJob, row: LiveRow | null): void {
    if (job.live && !row) this.orderings.leave(job);
    if (!job.live && row) this.orderings.join(job);
    this.#place(job, row);
    this.orderings.touch(job);
    this.uniques.touch(job);
  }

  #place(job: ModelJob, row: LiveRow | null): void {
    const before = job.live;
    if (before?.state === "ready") {
      this.ready.delete(job);
      this.shares.ready(before.priority, job, -1);
    }
    if (before?.state === "running") this.#hold(job, -1);
    job.live = row;
    if (row?.state === "ready") {
      this.ready.add(job);
      this.shares.ready(row.priority, job, 1);
    }
    if (row?.state === "running") this.#hold(job, 1);
    if (row) this.living.set(job.seq, job);
    else this.living.delete(job.seq);
  }

  #hold(job: ModelJob, count: number): void {
    this.running += count;
    for (const { gate } of job.passages) gate.holders += count;
  }

  lastEnd(job: ModelJob): ModelEnd | null {
    return job.ends.at(-1) ?? null;
  }

  maxFence(job: ModelJob): number {
    return Math.max(job.live?.fence ?? 0, ...job.ends.map((end) => end.fence), 0);
  }

  /** What a request must come to, and what of it must be made or changed; null: it was made before. `idle`: nothing moves. */
  ask(input: EnqueueInput, now: number, idle: boolean): { expected: Expected; resolved: Resolved | null } {
    const before = this.#known(this.keys, input.idempotency?.key ?? null, now, 24 * 60 * MINUTE);
    const again = before ?? this.#known(this.requests, input.requestId, now, 5 * MINUTE);
    const asked = input.jobs.map(([template]) => input.templates[template]!);
    const forgettable = again?.nothing === true && !before;
    if (!again || (forgettable && !idle)) {
      const resolved = this.uniques.resolve(asked, now, placeOf, true);
      return { expected: { refused: resolved === null, answers: [] }, resolved };
    }
    const expected: Expected = { refused: false, answers: again.answers };
    if (forgettable) expected.or = this.#afresh(this.uniques.resolve(asked, now, placeOf, true));
    return { expected, resolved: null };
  }

  /** What a request comes to that makes nothing. */
  #afresh(resolved: Resolved | null): Expected {
    const answers = (resolved?.answers ?? []).map(({ job, outcome }) => ({ seq: job?.seq ?? 0, outcome }));
    return { refused: resolved === null, answers };
  }

  #known(known: Map<string, Made>, id: string | null, now: number, memoryMs: number): Made | null {
    const made = id === null ? undefined : known.get(id);
    return made && made.at > now - memoryMs ? made : null;
  }

  /** Notes what a request came to. */
  remember(input: EnqueueInput, answers: Made["answers"], nothing: boolean, now: number): void {
    if (input.requestId !== null) this.requests.set(input.requestId, { at: now, answers, nothing });
    if (input.idempotency) this.keys.set(input.idempotency.key, { at: now, answers, nothing: false });
  }

  /** A request that had made nothing was forgotten, and came to something else. */
  askedAnew(requestId: string, { refused, answers }: Expected): void {
    if (refused) this.requests.delete(requestId);
    else this.requests.get(requestId)!.answers = answers;
  }

  /** New jobs, in order, as they were asked for. Answers with their ids. */
  create(rows: LiveRow[], asked: JobTemplate[], now: number): void {
    this.expect(rows.length === asked.length, "durable", () => `${rows.length} of ${asked.length} jobs made`);
    for (const [index, row] of rows.entries()) {
      const template = asked[index];
      if (!template) return;
      const job = this.add(row.seq, template, now);
      this.uniques.touch(job);
      if (row.state === ENDED) continue;
      this.expect(row.fence === 0 || row.state === "running", "fence", () => `job ${row.seq} begins at ${row.fence}`);
      this.arrived.set(job, row);
      this.stands(job, row);
    }
  }

  /** A new job, wherever it stands. */
  add(seq: number, template: JobTemplate, now: number): ModelJob {
    this.expect(seq > this.maxSeq, "ids", () => `job ${seq} was made after job ${this.maxSeq}`);
    this.maxSeq = Math.max(this.maxSeq, seq);
    return this.#newJob(seq, template, now);
  }

  #newJob(seq: number, template: JobTemplate, now: number): ModelJob {
    const job: ModelJob = {
      seq,
      live: null,
      ends: [],
      deleted: false,
      settled: new Set(),
      holders: new Map(),
      acceptedAt: now,
      ...termsOf(this.limits, template, now, now),
    };
    this.jobs.set(seq, job);
    return job;
  }

  /** A waiting job becomes what was asked for later. No row: its time was over by then, and it ends at once. */
  change(job: ModelJob, row: LiveRow | null, template: JobTemplate, now: number): void {
    const before = job.live!;
    const rejoins = (job.template.orderingKey ?? null) !== (template.orderingKey ?? null);
    if (rejoins) this.orderings.leave(job);
    this.#place(job, null);
    Object.assign(job, termsOf(this.limits, template, now, job.acceptedAt));
    this.#place(job, row ?? before);
    if (rejoins) this.orderings.join(job);
    this.orderings.touch(job);
    this.uniques.touch(job);
    if (!row) {
      this.expect(isOver(job, now), "unique", () => `job ${job.seq} was to be changed, and is gone`);
      return;
    }
    const made = this.arrived.has(job);
    this.arrived.set(job, row);
    const fence = before.fence + (row.state === "running" && !made ? 1 : 0);
    const right = row.fence === fence && row.failures === 0 && row.lapses === 0;
    this.expect(
      right,
      "unique",
      () => `job ${job.seq} was changed, and has fence ${row.fence}, ${row.failures} failures`,
    );
  }

  /** What was made or changed is what was asked for last: one transaction may make a job, and change it. */
  checkArrived(now: number): void {
    for (const [job, row] of this.arrived) checkTerms(this, job, row, now);
    this.arrived.clear();
  }

  end(job: ModelJob, task: string, end: ModelEnd): void {
    job.ends.push(end);
    const key = `${task} ${end.state}`;
    this.endCounts.set(key, (this.endCounts.get(key) ?? 0) + 1);
  }

  /** A session was told that it holds a job. */
  granted(seq: number, fence: number, session: string) {
    const job = this.jobs.get(seq);
    if (!job) return this.fail("durable", `session ${session} was given job ${seq}, which nobody made`);
    const holder = job.holders.get(fence) ?? session;
    this.expect(holder === session, "one-holder", () => `job ${seq}/${fence} was given to ${holder} and to ${session}`);
    job.holders.set(fence, session);
  }

  /** What a look at the object says of a job must be what is. */
  checkRead(seq: number, answer: JobRecord | "deleted" | null, inHistory: (end: ModelEnd) => boolean) {
    const job = this.jobs.get(seq);
    if (!job) return this.expect(answer === null, "read", () => `job ${seq} was never made, and is answered`);
    if (answer === "deleted") return this.expect(job.deleted, "read", () => `job ${seq} is called deleted`);
    const end = this.lastEnd(job);
    if (answer === null) {
      if (job.deleted || (end && !end.kept)) return;
      return this.expect(!job.live && !!end && inHistory(end), "read", () => `job ${seq} is not found anywhere`);
    }
    this.expect(!job.deleted, "read", () => `job ${seq} is deleted, and is answered as ${answer.state}`);
    const truth = job.live ?? end;
    this.expect(
      truth?.fence === answer.fence && truth.state === answer.state,
      "read",
      () => `job ${seq} is ${truth?.state}/${truth?.fence}, and is answered as ${answer.state}/${answer.fence}`,
    );
  }
}
