import type { Clock } from "./clock.ts";

/** A process that may die or freeze at any wait. */
export class Process {
  dead = false;
  frozenUntil = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.timer(ms, resolve);
    });
  }

  /** A timer of this process: it does not fire while the process is frozen, and never when it is dead. */
  timer(ms: number, fire: () => void): () => void {
    let cancel = (): void => {};
    const ring = (): void => {
      if (this.dead) return;
      if (this.#clock.time < this.frozenUntil) cancel = this.#clock.in(this.frozenUntil - this.#clock.time, ring);
      else fire();
    };
    cancel = this.#clock.in(ms, ring);
    return () => cancel();
  }
}
