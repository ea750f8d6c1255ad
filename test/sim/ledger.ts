import type { FollowUps, JobTemplate } from "../../client/wire.ts";
import { drawTemplate } from "./demand.ts";
import type { Features } from "./features.ts";
import type { Random } from "./random.ts";

/** A job that comes with the completion of another. */
interface FollowUp {
  from: string;
  to: string;
  /** As accepted by the settle: instants instead of delays. */
  template: JobTemplate;
  taken: boolean;
}

/**
 * No attempt that is heard takes longer, and no request. Instants that follow-up jobs name lie behind it, and those that
 * jobs of queues with remote workers name.
 */
export const ATTEMPT_MS_MOST = 120_000;

/** Follow-up jobs by a mark that each carries as its payload: owed from the settle on, and made once. */
export class Ledger {
  readonly #owed = new Map<string, FollowUp>();
  /** How many each queue still owes to others. */
  readonly #open = new Map<string, number>();
  #marks = 0;

  /** What a handler asks for, or nothing. */
  draw(random: Random, features: Features, queues: readonly string[], now: number): FollowUps[] | undefined {
    if (!features.followUps || !random.chance(0.25)) return undefined;
    return Array.from({ length: random.pick([1, 1, 2]) }, () => ({
      queue: random.pick(queues),
      partition: 0,
      templates: [drawTemplate(random, features, now + ATTEMPT_MS_MOST)],
      jobs: Array.from({ length: random.pick([1, 1, 2]) }, (): [number, string] => [0, `"f${this.#marks++}"`]),
    }));
  }

  /** A settle asked for a job in another queue. */
  owe(mark: string, from: string, to: string, template: JobTemplate): void {
    this.#owed.set(mark, { from, to, template, taken: false });
    this.#open.set(from, (this.#open.get(from) ?? 0) + 1);
  }

  /** A queue takes a job: what it must be; `again`: it has been taken before; null: nobody owes it. */
  take(mark: string, to: string): JobTemplate | "again" | null {
    const owed = this.#owed.get(mark);
    if (owed?.to !== to) return null;
    if (owed.taken) return "again";
    owed.taken = true;
    this.#open.set(owed.from, this.#open.get(owed.from)! - 1);
    return owed.template;
  }

  /** How many jobs a queue still has to hand over. */
  owes(queue: string): number {
    return this.#open.get(queue) ?? 0;
  }
}

/** Delays count from the completion, however long the way takes. */
export function fromCompletion(template: JobTemplate, parent: string, now: number): JobTemplate {
  const { runAt, delayMs, deadlineAt = null, deadlineMs = null } = template;
  return {
    ...template,
    parent,
    runAt: runAt ?? (delayMs > 0 ? now + delayMs : null),
    delayMs: 0,
    deadlineAt: deadlineAt ?? (deadlineMs === null ? null : now + deadlineMs),
    deadlineMs: null,
  };
}
