/**
 * How far ahead a session claims: about a quarter of a second of work, so that short jobs come hundreds at a time and
 * long ones one by one; the order among jobs is decided no earlier than that.
 *
 * @module
 */

/** Jobs that wait in a worker should start within this time. */
export const AHEAD_MS = 250;

/** A moving mean of run times, taken over about the last eight attempts. */
export class Pace {
  #runMs: number | null = null;

  note(ranMs: number): void {
    this.#runMs = this.#runMs === null ? ranMs : this.#runMs + (ranMs - this.#runMs) / 8;
  }

  /**
   * How many jobs one slot can be expected to do in the time that is claimed ahead, 1 at least. `startedAt` are those
   * of the attempts that run now: when they take longer than those before, they are believed.
   */
  jobsAhead(now: number, startedAt: Iterable<number>): number {
    if (this.#runMs === null) return 1;
    let ages = 0;
    let running = 0;
    for (const at of startedAt) {
      ages += now - at;
      running += 1;
    }
    const runMs = Math.max(this.#runMs, running === 0 ? 0 : ages / running, 0.1);
    return Math.max(1, Math.floor(AHEAD_MS / runMs));
  }
}
