/**
 * Follow-up jobs as an attempt collects them: in its completion they are made, in any other end they are not.
 *
 * @module
 */
import { toJobTexts } from "./enqueue.ts";
import type { FollowUp, JobOptions, Outcome } from "./types.ts";

/** Options of a follow-up job. */
export interface FollowUpOptions extends JobOptions {
  /** Instead of the queue that the task declares. */
  queue?: string;
}

/** What one attempt may ask for, and what the settles of one exchange may carry together. */
export const FOLLOW_UPS_MAX = 1_000;
export const FOLLOW_UP_CHARS_MAX = 8 * 1024 * 1024;

export class FollowUps {
  readonly list: FollowUp[] = [];
  #chars = 0;

  /** As they are now: what is changed later does not count. */
  add(task: string, payload: unknown, { queue, ...options }: FollowUpOptions): void {
    const what = `ctx.enqueue("${task}")`;
    if (typeof task !== "string") throw new TypeError(`ctx.enqueue takes a task or its name, not a ${typeof task}.`);
    if (this.list.length >= FOLLOW_UPS_MAX) {
      throw new RangeError(
        `${what}: an attempt makes at most ${FOLLOW_UPS_MAX} jobs; let one of them make the others.`,
      );
    }
    const [text] = toJobTexts(task, [payload], options);
    if (this.#chars + text!.length > FOLLOW_UP_CHARS_MAX) {
      throw new RangeError(
        `${what}: the jobs that an attempt makes hold at most 8 MiB together; store more elsewhere.`,
      );
    }
    this.#chars += text!.length;
    const followUp: FollowUp = JSON.parse(text!);
    this.list.push(queue === undefined ? followUp : { ...followUp, queue });
  }
}

/** How many of these, from the first, one exchange may settle: at most `most`, with no more follow-up jobs than it carries. */
export function settleable(ended: readonly Outcome[], most: number): number {
  let jobs = 0;
  let chars = 0;
  for (const [index, outcome] of ended.entries()) {
    if (index === most) return most;
    if (outcome.outcome !== "completed" || !outcome.enqueue) continue;
    jobs += outcome.enqueue.length;
    chars += JSON.stringify(outcome.enqueue).length;
    if (index > 0 && (jobs > FOLLOW_UPS_MAX || chars > FOLLOW_UP_CHARS_MAX)) return index;
  }
  return ended.length;
}
