import type { EnqueueInput, JobRecord, JobTemplate, Settings } from "../../client/wire.ts";
import { Limits, type Passage } from "./limits.ts";
import { Shares } from "./shares.ts";
import type { LiveRow, OutboxRow, SessionRow } from "./tables.ts";
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
  fairKey: string | null;
  /** The gates that it goes through. */
  passages: Passage[];
  ends: ModelEnd[];
  deleted: boolean;
  /** No start before this; 0: it has been due. */
  notBefore: number;
  /** Fences at which an attempt was settled by its holder. */
  settled: Set<number>;
  /** Which session was given the job at a fence. */
  holders: Map<number, string>;
}

interface Made {
  at: number;
  seqs: number[];
}

const MINUTE = 60_000;

/** The reference: jobs, ends, requests and what may happen to them, in plain maps. */
export class Model {
  readonly queue: string;
  readonly jobs = new Map<number, ModelJob>();
  /** Those of them that are unfinished. */
  readonly living = new Map<number, ModelJob>();
  /** Those that are ready. */
  readonly ready = new Set<ModelJob>();
  readonly limits = new Limits();
  readonly shares = new Shares();
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

  constructor(queue: string) {
    this.queue = queue;
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

  /** Jobs that one enqueue made, in order. */
  accept(input: EnqueueInput, rows: LiveRow[], now: number): void {
    rows.sort((a, b) => a.seq - b.seq);
    for (const row of rows) {
      this.expect(row.seq > this.maxSeq, "ids", () => `job ${row.seq} was made after job ${this.maxSeq}`);
      this.maxSeq = Math.max(this.maxSeq, row.seq);
    }
    this.expect(rows.length === input.jobs.length, "durable", () => `${rows.length} of ${input.jobs.length} jobs made`);
    const made = { at: now, seqs: rows.map((row) => row.seq) };
    this.#once(this.requests, input.requestId, made, 5 * MINUTE);
    this.#once(this.keys, input.idempotency?.key ?? null, made, 24 * 60 * MINUTE);
    for (const [index, row] of rows.entries()) this.#create(row, input.templates[input.jobs[index]?.[0] ?? 0]!, now);
  }

  #once(known: Map<string, Made>, id: string | null, made: Made, memoryMs: number): void {
    if (id === null) return;
    const before = known.get(id);
    this.expect(
      !before || made.at - before.at >= memoryMs,
      "once",
      () => `${id} made ${before?.seqs}, then ${made.seqs}`,
    );
    known.set(id, made);
  }

  #create(row: LiveRow, template: JobTemplate, now: number): void {
    const asked = template.runAt ?? now + template.delayMs;
    const notBefore = Math.max(asked, now);
    this.expect(
      row.run_at === notBefore,
      "never-early",
      () => `job ${row.seq} runs at ${row.run_at}, not ${notBefore}`,
    );
    this.expect(
      row.priority === template.priority,
      "order",
      () => `job ${row.seq} has another priority than asked for`,
    );
    this.expect(
      row.fence === 0 || row.state === "running",
      "fence",
      () => `job ${row.seq} begins at fence ${row.fence}`,
    );
    this.expect(
      sameKeys(row.keys, template.keys) &&
        sameKeys(row.cost, template.cost) &&
        row.fair_key === (template.fairKey ?? null),
      "limits",
      () => `job ${row.seq} stands with keys ${row.keys}, costs ${row.cost}, share ${row.fair_key}`,
    );
    this.jobs.set(row.seq, {
      seq: row.seq,
      live: null,
      template,
      fairKey: template.fairKey ?? null,
      passages: this.limits.passages(template),
      ends: [],
      deleted: false,
      notBefore: row.state === "scheduled" ? notBefore : 0,
      settled: new Set(),
      holders: new Map(),
    });
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

/** Whether JSON text holds these names and values, in any order. */
function sameKeys(text: string | null, asked: { [name: string]: unknown } | null | undefined): boolean {
  const flat = (of: object | null | undefined): string => JSON.stringify(Object.entries(of ?? {}).sort());
  return flat(text === null ? null : JSON.parse(text)) === flat(asked);
}
