/**
 * Follow-up jobs as an attempt collects them: in its completion they are made, in any other end they are not.
 *
 * @module
 */
import { bytesOf, toJobTexts } from "./enqueue.ts";
import type { FollowUp, JobOptions } from "./types.ts";

/** Options of a follow-up job. */
export interface FollowUpOptions extends JobOptions {
  /** Instead of the queue that the task declares. */
  queue?: string;
}

/** What one attempt may ask for, and what the settles of one exchange may carry together. */
export const FOLLOW_UPS_MAX = 1_000;
/** The exchange that carries them holds 8 MiB, with a result and lines of logs. */
const FOLLOW_UP_BYTES_MAX = 4 * 1024 * 1024;

export class FollowUps {
  readonly list: FollowUp[] = [];
  #bytes = 0;

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
    const bytes = bytesOf(text!);
    if (this.#bytes + bytes > FOLLOW_UP_BYTES_MAX) {
      throw new RangeError(
        `${what}: the jobs that an attempt makes hold at most 4 MiB together; store more elsewhere.`,
      );
    }
    this.#bytes += bytes;
    const followUp: FollowUp = JSON.parse(text!);
    this.list.push(queue === undefined ? followUp : { ...followUp, queue });
  }
}
