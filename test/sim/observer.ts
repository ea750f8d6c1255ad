import { readOptions, type WireOutcome } from "../../client/wire.ts";
import { checkBooks } from "./books.ts";
import { checkClaims } from "./claims.ts";
import type { Cause, Host, Incarnation } from "./host.ts";
import type { Model, ModelJob } from "./model.ts";
import {
  type LiveRow,
  type OutboxRow,
  outcomeFor,
  readMeta,
  readOutbox,
  readOutboxKinds,
  readSessions,
  readTouched,
  type SessionRow,
} from "./tables.ts";

/** What an exchange came to, for the check of its answer. */
export interface Seen {
  repeated: boolean;
  heldBefore: Map<number, number>;
  heldAfter: Map<number, number>;
  claimed: Set<number>;
  cancelled: number[];
  /** What waits although the session wanted more, if anything. */
  starved: string | null;
}

const SUSPECT_DEAD = 5;
const DAY = 86_400_000;
/** The check of the books costs more than all others. */
const BOOKS_EVERY = 4;

/** Compares the tables after each transaction with those before: every change must be one that may happen. */
export class Observer {
  readonly #model: Model;
  readonly #host: Host;
  #incarnation: Incarnation | null = null;

  constructor(model: Model, host: Host) {
    this.#model = model;
    this.#host = host;
  }

  committed(incarnation: Incarnation, cause: Cause): void {
    const model = this.#model;
    const { sql } = this.#host.storage;
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      model.shares.reset();
    }
    const sessionsBefore = model.sessions;
    const claimed: LiveRow[] = [];
    if (this.#host.dirty) {
      this.#host.dirty = false;
      const rows = readTouched(sql);
      model.sessions = readSessions(sql);
      const meta = readMeta(sql);
      const outbox = readOutbox(sql, model.lastOutboxId);
      const step = new Step(model, incarnation, cause, sessionsBefore, outbox);
      step.settings(meta);
      if (cause?.kind === "pauseKey") model.limits.close(cause.of, cause.value, cause.forMs, incarnation.now);
      step.changes(rows, claimed);
      step.starts(claimed);
      step.rest();
      this.#outboxKinds();
      checkHeld(model);
      model.changes += 1;
      if (model.changes % BOOKS_EVERY === 0 && !this.#host.deps.hooks.withoutBooks)
        checkBooks(model, this.#host, incarnation);
    }
    if (cause?.kind === "exchange") {
      const { session, n } = cause.input;
      const before = sessionsBefore.get(session);
      const after = model.sessions.get(session);
      cause.seen = {
        repeated: before?.n === n,
        heldBefore: new Map(before?.held.map(({ seq, fence }) => [seq, fence])),
        heldAfter: new Map(after?.held.map(({ seq, fence }) => [seq, fence])),
        claimed: new Set(claimed.map((row) => row.seq)),
        cancelled: (after?.held ?? [])
          .map(({ seq }) => seq)
          .filter((seq) => model.jobs.get(seq)?.live?.cancel_requested_at != null),
        starved: checkClaims(model, cause.input, claimed, incarnation.now),
      } satisfies Seen;
    }
  }

  /** A row may go, or lose its body, only when the history has all of it. */
  #outboxKinds(): void {
    const model = this.#model;
    const { history } = this.#host.deps;
    const kinds = readOutboxKinds(this.#host.storage.sql);
    for (const row of model.outbox.values()) {
      const kind = kinds.get(row.id);
      if (kind === row.kind) continue;
      for (const [seq, fence] of row.kind === "history" ? row.entries : []) {
        const there = (history.rows.get(seq)?.fence ?? -1) >= fence || (history.forgotten.get(seq) ?? -1) >= fence;
        model.expect(there, "history", () => `outbox row ${row.id} went before job ${seq}/${fence} was in the history`);
      }
      if (kind !== undefined) row.kind = kind;
      else {
        if (row.kind !== "delete") {
          model.expect(history.upto() >= row.id, "rollup", () => `outbox row ${row.id} went before it was counted`);
        }
        model.outbox.delete(row.id);
      }
    }
  }
}

/** Every running job is in the list of its session, at its fence, and the other way round. */
function checkHeld(model: Model): void {
  let held = 0;
  for (const session of model.sessions.values()) {
    held += session.held.length;
    for (const { seq, fence } of session.held) {
      const row = model.jobs.get(seq)?.live;
      const its = row?.state === "running" && row.session === session.id && row.fence === fence;
      model.expect(its, "one-holder", () => `session ${session.id} holds ${seq}/${fence}, which is not its own`);
    }
  }
  model.expect(held === model.running, "one-holder", () => `${model.running} jobs run, and sessions hold ${held}`);
}

/** One transaction. */
class Step {
  readonly #model: Model;
  readonly #now: number;
  readonly #cause: Cause;
  readonly #sessions: Map<string, SessionRow>;
  readonly #outbox: OutboxRow[];
  readonly #gone = new Map<number, { row: OutboxRow; entry: OutboxRow["entries"][number] }>();

  constructor(
    model: Model,
    incarnation: Incarnation,
    cause: Cause,
    sessions: Map<string, SessionRow>,
    outbox: OutboxRow[],
  ) {
    this.#model = model;
    this.#now = incarnation.now;
    this.#cause = cause;
    this.#sessions = sessions;
    this.#outbox = outbox;
    for (const row of outbox) for (const entry of row.entries) this.#gone.set(entry[0], { row, entry });
  }

  settings({ paused, overrides }: ReturnType<typeof readMeta>): void {
    const model = this.#model;
    model.paused = paused;
    const text = JSON.stringify(overrides);
    if (text === model.settingsText) return;
    model.settingsText = text;
    model.settings = overrides;
    model.limits.apply(overrides, this.#now);
    model.shares.reset();
  }

  changes(rows: Map<number, LiveRow | null>, claimed: LiveRow[]): void {
    const model = this.#model;
    const fresh = [...rows.values()].filter((row): row is LiveRow => row !== null && !model.jobs.has(row.seq));
    if (fresh.length > 0) {
      if (this.#cause?.kind !== "enqueue") model.fail("durable", `job ${fresh[0]!.seq} came from nowhere`);
      else model.accept(this.#cause.input, fresh, this.#now);
    }
    for (const [seq, after] of rows) {
      const job = model.jobs.get(seq);
      if (!job) continue;
      const before = job.live;
      model.stands(job, after);
      if (before && after) this.#moved(job, before, after, claimed);
      else if (before) this.#left(job, before);
      else if (after && this.#cause?.kind === "enqueue") {
        model.expect(job.ends.length === 0 && !job.deleted, "ids", () => `the id of job ${seq} is used again`);
      } else if (after && job.ends.length > 0) this.#reopened(job, after);
      else if (after) model.expect(!job.deleted, "durable", () => `job ${job.seq} was deleted, and is back`);
    }
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
      const may = row.kind === "delete" && model.allowed("remove", seq) && job && !job.deleted;
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
    model.end(job, task, { fence, state, kept: row.kind === "history" });
    if (before.state === "running") this.#attemptEnded(job, before, state, null);
    else if (reason === "expired") {
      const due = before.expires_at !== null && before.expires_at <= this.#now;
      model.expect(due && state === "cancelled", "expiry", () => `job ${job.seq} expired before its time`);
    } else {
      const may = model.allowed("cancel", job.seq) && state === "cancelled";
      model.expect(may, "durable", () => `job ${job.seq} was ${before.state}, and ended ${state} (${reason})`);
    }
  }

  #moved(job: ModelJob, before: LiveRow, after: LiveRow, claimed: LiveRow[]): void {
    if (before.state === after.state && before.fence === after.fence && before.session === after.session) return;
    const model = this.#model;
    let standing = before;
    if (before.state === "running") {
      this.#attemptEnded(job, before, null, after);
      if (after.state !== "running") return;
      standing = { ...after, state: "ready", fence: before.fence };
    }
    if (standing.state === "scheduled" && !model.allowed("retry", job.seq)) {
      const due = standing.wake_at! <= this.#now;
      model.expect(due, "never-early", () => `job ${job.seq} was promoted ${standing.wake_at! - this.#now} ms early`);
    }
    if (after.state === "running") {
      const its = this.#cause?.kind === "exchange" && this.#cause.input.session === after.session;
      model.expect(its, "fence", () => `job ${job.seq} was given to ${after.session}, which did not ask`);
      model.expect(after.fence === standing.fence + 1, "fence", () => `job ${job.seq} claimed at ${after.fence}`);
      claimed.push(after);
    } else {
      model.expect(
        after.state === "ready",
        "check",
        () => `job ${job.seq} went from ${before.state} to ${after.state}`,
      );
      model.expect(after.fence === standing.fence, "fence", () => `job ${job.seq} changed its fence`);
      job.notBefore = 0;
    }
  }

  #reopened(job: ModelJob, after: LiveRow): void {
    const model = this.#model;
    const may = model.allowed("retry", job.seq) && !job.deleted;
    model.expect(may, "durable", () => `job ${job.seq} had ended, and is back without being asked for`);
    const most = Math.max(...job.ends.map((end) => end.fence));
    model.expect(
      after.fence === most + 1,
      "fence",
      () => `job ${job.seq} reopened at fence ${after.fence} after ${most}`,
    );
    model.expect(after.state === "ready" && after.failures === 0, "durable", () => `job ${job.seq} reopened wrongly`);
    job.notBefore = 0;
  }

  /** An attempt is over: its holder settled it, or the holder's time was over. */
  #attemptEnded(job: ModelJob, before: LiveRow, ended: string | null, after: LiveRow | null) {
    const model = this.#model;
    const input = this.#cause?.kind === "exchange" ? this.#cause.input : null;
    const holder = this.#sessions.get(before.session!);
    const mine = input && input.session === before.session && input.n !== holder?.n;
    const outcome = mine ? outcomeFor(input.settle, job.seq, before.fence) : undefined;
    const name = `job ${job.seq}/${before.fence}`;
    if (outcome) {
      job.settled.add(before.fence);
      return this.#settled(job, before, outcome, ended, after);
    }
    const until = holder?.held.find((held) => held.seq === job.seq)?.until ?? 0;
    const over = !input && (!holder || holder.leaseUntil <= this.#now || until <= this.#now);
    model.expect(
      over,
      "fence",
      () => `${name} was taken from ${before.session}, which held it (${ended ?? after?.state})`,
    );
    if (before.cancel_requested_at !== null) {
      return model.expect(ended === "cancelled", "cancelled", () => `${name} was cancelled, and lapsed`);
    }
    const lapses = before.lapses + 1;
    if (ended)
      return model.expect(ended === "dead" && lapses >= SUSPECT_DEAD, "lapses", () => `${name} ended ${ended}`);
    const state = lapses === 1 ? "ready" : "scheduled";
    const right = after!.lapses === lapses && lapses < SUSPECT_DEAD && after!.state === state;
    model.expect(right, "lapses", () => `${name} lapsed for the ${lapses}th time: ${after!.state}, ${after!.lapses}`);
    if (state === "scheduled") job.notBefore = this.#scheduled(job, after!, this.#now + 60_000);
  }

  #settled(job: ModelJob, before: LiveRow, outcome: WireOutcome, ended: string | null, after: LiveRow | null) {
    const model = this.#model;
    const now = this.#now;
    const what = outcome.outcome;
    const wrong = (): string => `job ${job.seq} ${what}: ${ended ?? after?.state}`;
    if (what === "completed") return model.expect(ended === "completed", "durable", wrong);
    if (before.cancel_requested_at !== null) return model.expect(ended === "cancelled", "cancelled", wrong);
    const failures = before.failures + 1;
    switch (what) {
      case "failed": {
        const { maxAttempts, backoff } = readOptions(before.options);
        if (failures >= maxAttempts) return model.expect(ended === "dead", "durable", wrong);
        model.expect(after?.failures === failures, "durable", wrong);
        const leastMs = outcome.retryInMs ?? (backoff ? 100 : 60_000);
        if (after) job.notBefore = this.#scheduled(job, after, now + Math.round(leastMs));
        return;
      }
      case "dead":
        return model.expect(ended === "dead", "durable", wrong);
      case "cancelled":
        return model.expect(ended === "cancelled", "durable", wrong);
      case "snoozed":
        model.expect(after?.failures === before.failures, "durable", wrong);
        if (after) job.notBefore = this.#scheduled(job, after, now + outcome.forMs!);
        this.#rateLimited(job, outcome);
        return;
      case "released":
        return model.expect(after?.state === "ready" || after?.state === "running", "durable", wrong);
      case "declined":
        if (before.declined_since !== null && now - before.declined_since >= DAY) {
          return model.expect(ended === "dead", "durable", wrong);
        }
        if (after) job.notBefore = this.#scheduled(job, after, now + 60_000);
        return model.expect(after !== null, "durable", wrong);
    }
  }

  #rateLimited({ template }: ModelJob, { rateLimited }: WireOutcome): void {
    const { keys } = template;
    if (!rateLimited || !keys || !Object.hasOwn(keys, rateLimited.kind)) return;
    const gate = this.#model.limits.gate(`key:${rateLimited.kind}:${keys[rateLimited.kind]}`);
    gate.closedUntil = Math.max(gate.closedUntil, this.#now + rateLimited.forMs);
  }

  #scheduled(job: ModelJob, after: LiveRow, notBefore: number): number {
    const early = after.state !== "scheduled" || (after.wake_at ?? 0) < notBefore;
    this.#model.expect(
      !early,
      "never-early",
      () => `job ${job.seq} is ${after.state}, due ${after.wake_at} < ${notBefore}`,
    );
    return notBefore;
  }
}
