import { checkBooks } from "./books.ts";
import { checkClaims } from "./claims.ts";
import { Handouts } from "./handouts.ts";
import type { Cause, Host, Incarnation } from "./host.ts";
import type { Model } from "./model.ts";
import { Step } from "./step.ts";
import {
  type LiveRow,
  readMeta,
  readOutbox,
  readOutboxKinds,
  readSchedules,
  readSessions,
  readTouched,
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
  /** What it was handed besides, once that has left the object. */
  handed: Set<number>;
}

/** The check of the books costs more than all others. */
const BOOKS_EVERY = 12;

/** Compares the tables after each transaction with those before: every change must be one that may happen. */
export class Observer {
  readonly #model: Model;
  readonly #host: Host;
  readonly handouts: Handouts;
  #incarnation: Incarnation | null = null;
  /** When schedules go on, as it stood. */
  #planned = "";

  constructor(model: Model, host: Host) {
    this.#model = model;
    this.#host = host;
    this.handouts = new Handouts(model, host);
  }

  committed(incarnation: Incarnation, cause: Cause): void {
    const model = this.#model;
    model.time = this.#host.deps.clock.time;
    const { sql } = this.#host.storage;
    if (incarnation !== this.#incarnation) {
      this.#incarnation = incarnation;
      model.shares.reset();
    }
    const sessionsBefore = model.sessions;
    const claimed: LiveRow[] = [];
    if (this.#host.dirty || cause?.kind === "enqueue" || incarnation.code?.size) {
      this.#host.dirty = false;
      const rows = readTouched(sql);
      model.sessions = readSessions(sql);
      const meta = readMeta(sql);
      const outbox = readOutbox(sql, model.lastOutboxId);
      const schedules = readSchedules(sql);
      // A schedule that skips an instant has moved on.
      const planned = [...schedules.values()].map(({ nextAt }) => nextAt).join();
      if (rows.size > 0 || planned !== this.#planned) this.#host.idleAlarms = [];
      this.#planned = planned;
      const mayHave = (session: string): boolean => this.handouts.mayHave(incarnation, session);
      const step = new Step(model, incarnation, cause, sessionsBefore, outbox, mayHave);
      step.settings(meta);
      if (cause?.kind === "pauseKey") model.limits.close(cause.of, cause.value, cause.forMs, incarnation.now);
      step.changes(rows, schedules, claimed);
      step.starts(claimed);
      step.rest();
      this.#outboxKinds();
      checkHeld(model);
      model.changes += 1;
      if (model.changes % BOOKS_EVERY === 0 && !this.#host.deps.hooks.withoutBooks)
        checkBooks(model, this.#host, incarnation);
    }
    const handed = this.handouts.committed(incarnation, cause, claimed, sessionsBefore);
    if (cause?.kind === "exchange") {
      const { session, n } = cause.input;
      const before = sessionsBefore.get(session);
      const after = model.sessions.get(session);
      const own = claimed.filter((row) => row.session === session);
      cause.seen = {
        repeated: before?.n === n,
        heldBefore: new Map(before?.held.map(({ seq, fence }) => [seq, fence])),
        heldAfter: new Map(after?.held.map(({ seq, fence }) => [seq, fence])),
        claimed: new Set(own.map((row) => row.seq)),
        cancelled: (after?.held ?? [])
          .map(({ seq }) => seq)
          .filter((seq) => model.jobs.get(seq)?.live?.cancel_requested_at != null),
        starved: checkClaims(model, cause.input, own, incarnation.now),
        handed,
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
