import type { EnqueueInput, JobTemplate, Parcel, WireOutcome } from "../../client/wire.ts";
import type { Cause } from "./host.ts";
import { fromCompletion } from "./ledger.ts";
import type { Model, ModelJob } from "./model.ts";
import type { LiveRow, SessionRow } from "./tables.ts";
import { type Place, placeOf, type Resolved } from "./uniques.ts";

/** Jobs that one transaction makes or changes, each because somebody asked for it. */
export class Arrivals {
  readonly #model: Model;
  readonly #now: number;
  readonly #sessions: Map<string, SessionRow>;

  constructor(model: Model, now: number, sessions: Map<string, SessionRow>) {
    this.#model = model;
    this.#now = now;
    this.#sessions = sessions;
  }

  /** Answers with the jobs that were changed in place. `fresh`: new rows, in order. */
  arrive(
    cause: Cause,
    fresh: LiveRow[],
    rows: Map<number, LiveRow | null>,
    where: (job: ModelJob) => Place,
  ): ModelJob[] {
    if (cause?.kind === "enqueue") return this.#enqueued(cause, fresh, rows);
    if (cause?.kind === "exchange") return this.#followed(cause.input, fresh, rows, where);
    if (cause?.kind === "deliver") return this.#delivered(cause.parcels, fresh, rows);
    if (fresh.length > 0) this.#model.fail("durable", `job ${fresh[0]!.seq} came from nowhere`);
    return [];
  }

  #enqueued(
    cause: Extract<Cause, { kind: "enqueue" }>,
    fresh: LiveRow[],
    rows: Map<number, LiveRow | null>,
  ): ModelJob[] {
    const model = this.#model;
    const { input } = cause;
    const { expected, resolved } = model.ask(input, this.#now, fresh.length === 0 && !this.#changesAny(rows));
    cause.expected = expected;
    if (!resolved) {
      const invariant = expected.refused ? "unique" : "once";
      model.expect(fresh.length === 0, invariant, () => `${nameOf(input)} made ${fresh.map(({ seq }) => seq)}`);
      return [];
    }
    expected.answers = this.#carriedOut(resolved, fresh, rows);
    model.remember(input, expected.answers, fresh.length + resolved.changed.size === 0, this.#now);
    return [...resolved.changed.keys()];
  }

  /** Whether a job was asked for anew. Others may have been started, or have ended, in the same transaction. */
  #changesAny(rows: Map<number, LiveRow | null>): boolean {
    return [...rows].some(([seq, row]) => {
      const before = this.#model.jobs.get(seq)?.live;
      return row && before && (row.run_at !== before.run_at || row.options !== before.options);
    });
  }

  /** Jobs that come with the completion of others, in the same queue. */
  #followed(
    input: { session: string; n: number; settle: WireOutcome[] },
    fresh: LiveRow[],
    rows: Map<number, LiveRow | null>,
    where: (job: ModelJob) => Place,
  ): ModelJob[] {
    const model = this.#model;
    const asked: JobTemplate[] = [];
    for (const { parent, groups } of completions(model, input, this.#sessions)) {
      for (const { queue, templates, jobs } of groups) {
        for (const [template, mark] of jobs) {
          const wanted = templates[template]!;
          if (queue === model.queue) asked.push({ ...wanted, parent });
          else model.ledger.owe(mark!, model.queue, queue, fromCompletion(wanted, parent, this.#now));
        }
      }
    }
    const resolved = model.uniques.resolve(asked, this.#now, where, false)!;
    this.#carriedOut(resolved, fresh, rows);
    return [...resolved.changed.keys()];
  }

  /** Jobs that come from other queues: each parcel once, and only what was owed. */
  #delivered(parcels: Parcel[], fresh: LiveRow[], rows: Map<number, LiveRow | null>): ModelJob[] {
    const model = this.#model;
    const changed: ModelJob[] = [];
    const left = [...fresh];
    for (const [source, body] of parcels) {
      const { jobs } = JSON.parse(body) as { jobs: [number, string][] };
      const taken = jobs.map(([, mark]) => model.ledger.take(mark, model.queue));
      model.expect(!taken.includes(null), "follow-ups", () => `${source} brings ${body}, which nobody owes`);
      const asked = taken.filter((owed) => owed !== "again" && owed !== null);
      // What this transaction starts, it starts in the end.
      const where = (job: ModelJob): Place => (model.arrived.has(job) ? "waiting" : placeOf(job));
      const resolved = model.uniques.resolve(asked, this.#now, where, false)!;
      this.#carriedOut(resolved, left.splice(0, resolved.created.length), rows);
      changed.push(...resolved.changed.keys());
    }
    model.expect(
      left.length === 0,
      "follow-ups",
      () => `parcels made ${left.map(({ seq }) => seq)} beside what is owed`,
    );
    return changed;
  }

  #carriedOut({ created, changed, answers }: Resolved, fresh: LiveRow[], rows: Map<number, LiveRow | null>) {
    const model = this.#model;
    for (const [job, template] of changed) {
      const row = rows.get(job.seq);
      if (row === undefined) model.fail("unique", `job ${job.seq} was to be changed, and was not`);
      else model.change(job, row, template, this.#now);
    }
    model.create(fresh, created, this.#now);
    return answers.map(({ job, made, outcome }) => ({ seq: job?.seq ?? fresh[made]?.seq ?? 0, outcome }));
  }
}

function nameOf({ requestId, idempotency }: EnqueueInput): string {
  return `request ${requestId}${idempotency ? ` with key ${idempotency.key}` : ""}`;
}

/** The completions of an exchange that count, with what they ask for. */
export function completions(
  model: Model,
  { session, n, settle }: { session: string; n: number; settle: WireOutcome[] },
  sessions: Map<string, SessionRow>,
) {
  const holder = sessions.get(session);
  if (!holder || holder.n === n) return [];
  const held = new Map(holder.held.map(({ seq, fence }) => [seq, fence]));
  const seen = new Set<number>();
  const found = [];
  for (const { seq, fence, outcome, enqueue } of settle) {
    if (held.get(seq) !== fence || seen.has(seq)) continue;
    seen.add(seq);
    if (outcome === "completed") found.push({ seq, fence, parent: `${model.queue}:0:${seq}`, groups: enqueue ?? [] });
  }
  return found;
}
