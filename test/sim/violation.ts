/** The guarantees of DESIGN 3, and what must be true for them to hold, by name. */
export type Invariant =
  | "durable"
  | "one-holder"
  | "fence"
  | "told"
  | "order"
  | "never-early"
  | "concurrency"
  | "max-sessions"
  | "limits"
  | "rate"
  | "closed-keys"
  | "fair-share"
  | "ordering"
  | "unique"
  | "deadline"
  | "follow-ups"
  | "schedules"
  | "suspects"
  | "cancelled"
  | "expiry"
  | "lapses"
  | "once"
  | "history"
  | "rollup"
  | "armed"
  | "work-conserving"
  | "handouts"
  | "idle"
  | "ids"
  | "forgotten"
  | "books"
  | "check"
  | "read"
  | "explained"
  | "logs"
  | "drained";

/** A guarantee that did not hold. */
export class Violation extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, detail: string) {
    super(`${invariant}: ${detail}`);
    this.name = "Violation";
    this.invariant = invariant;
  }
}
