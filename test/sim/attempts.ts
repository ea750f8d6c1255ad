import { readOptions, type WireOutcome } from "../../client/wire.ts";
import type { Cause } from "./host.ts";
import type { Model, ModelJob } from "./model.ts";
import { type LiveRow, outcomeFor, type SessionRow } from "./tables.ts";
import { placeOf } from "./uniques.ts";

const SUSPECT_DEAD = 5;
const DAY = 86_400_000;
const RETRY_MS_MAX = 6 * 3_600_000;

/** How a job ended. */
interface End {
  state: string;
  reason: string | null;
}

/** Until when a job may wait again: where no handler was called, as before. */
function untilOf({ deadlineAt }: ModelJob, before: LiveRow, outcome: WireOutcome | undefined): number | null {
  const unstarted = outcome?.outcome === "declined" || outcome?.started === false;
  return unstarted ? before.expires_at : deadlineAt;
}

/** The attempts that one transaction ends: each by its holder, or because its time was over. */
export class Attempts {
  readonly #model: Model;
  readonly #now: number;
  readonly #cause: Cause;
  readonly #sessions: Map<string, SessionRow>;
  /** Jobs that go for the next of their schedule, in the same transaction. */
  readonly displaced = new Set<number>();

  constructor(model: Model, now: number, cause: Cause, sessions: Map<string, SessionRow>) {
    this.#model = model;
    this.#now = now;
    this.#cause = cause;
    this.#sessions = sessions;
  }

  /** An attempt is over: its holder settled it, or the holder's time was over. */
  ended(job: ModelJob, before: LiveRow, end: End | null, after: LiveRow | null) {
    const model = this.#model;
    const ended = end?.state ?? null;
    const input = this.#cause?.kind === "exchange" ? this.#cause.input : null;
    const holder = this.#sessions.get(before.session!);
    const mine = input && input.session === before.session && input.n !== holder?.n;
    const outcome = mine ? outcomeFor(input.settle, job.seq, before.fence) : undefined;
    const name = `job ${job.seq}/${before.fence}`;
    if (outcome) job.settled.add(before.fence);
    if (this.#waitsInTime(job, untilOf(job, before, outcome), end, after)) return;
    if (outcome) return this.#settled(job, before, outcome, ended, after);
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
    if (ended === "cancelled" && this.displaced.has(job.seq)) return;
    if (ended)
      return model.expect(ended === "dead" && lapses >= SUSPECT_DEAD, "lapses", () => `${name} ended ${ended}`);
    const state = lapses === 1 ? "ready" : "scheduled";
    // What is ready may be handed to the next at once.
    const stands = after!.state === state || (state === "ready" && after!.state === "running");
    const right = after!.lapses === lapses && lapses < SUSPECT_DEAD && stands;
    model.expect(right, "lapses", () => `${name} lapsed for the ${lapses}th time: ${after!.state}, ${after!.lapses}`);
    if (state === "scheduled") job.notBefore = this.#scheduled(job, after!, this.#now + 60_000);
  }

  /** A job does not wait past the end of its time, nor beside another of its unique key. True: that is why it ended. */
  #waitsInTime({ seq, template }: ModelJob, until: number | null, end: End | null, after: LiveRow | null): boolean {
    const model = this.#model;
    if (after) {
      const inTime = Math.max(this.#now, after.run_at) < (until ?? Number.POSITIVE_INFINITY);
      const right = inTime && after.expires_at === until;
      model.expect(right, "deadline", () => `job ${seq} waits until ${after.run_at}, and is over at ${until}`);
    }
    if (end?.state !== "cancelled") return false;
    if (end.reason === "expired") {
      // The next try may be as far away as the longest delay.
      const due = until !== null && until <= this.#now + RETRY_MS_MAX;
      model.expect(due, "deadline", () => `job ${seq} ended by a deadline, ${until}`);
      return true;
    }
    if (end.reason !== "superseded") return false;
    const key = template.unique?.key ?? "";
    const rival = model.uniques.holderOf(key, this.#now, placeOf);
    model.expect(rival !== null, "unique", () => `job ${seq} ended superseded, and nobody has its key ${key}`);
    return true;
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
