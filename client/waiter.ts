/**
 * One timer for whoever waits: it ends when its time has come, or when somebody calls.
 *
 * @module
 */

/** Calls `fire` once after `ms`; the answer takes that back. */
export type Timer = (ms: number, fire: () => void) => () => void;

export class Waiter {
  readonly #timer: Timer;
  #wake: () => void = () => {};

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  /** Ends the wait that is under way, if one is. */
  wake(): void {
    this.#wake();
  }

  /** Waits for `ms`, or until `wake` is called. */
  async wait(ms: number): Promise<void> {
    let cancel = (): void => {};
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      cancel = this.#timer(Math.max(1, ms), resolve);
    });
    this.#wake = () => {};
    cancel();
  }

  /** Waits for `ms`, whoever calls. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timer(ms, resolve);
    });
  }
}
