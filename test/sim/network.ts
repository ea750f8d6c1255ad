import type { Clock } from "./clock.ts";
import type { Faults } from "./history.ts";
import type { Random } from "./random.ts";

/** Calls that may be lost on the way there or back, slow, or delivered once more, late. */
export class Network {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #faults: Faults;

  constructor(clock: Clock, random: Random, faults: Faults) {
    this.#clock = clock;
    this.#random = random;
    this.#faults = faults;
  }

  async call<Value>(deliver: () => Promise<Value>): Promise<Value> {
    const random = this.#random;
    const fate = random.chance(0.12 * this.#faults.level)
      ? random.weighted({ request: 3, answer: 3, doubled: 2, slow: 1 })
      : "well";
    await this.#clock.sleep(random.int(0, 10));
    if (fate === "request") {
      await this.#clock.sleep(random.int(0, 3_000));
      throw new Error("Network: the request was lost");
    }
    if (fate === "slow") await this.#clock.sleep(random.int(50, 8_000));
    if (fate === "doubled") {
      this.#clock.in(random.int(1, random.pick([100, 5_000, 90_000])), () => {
        deliver().catch(() => {});
      });
    }
    const value = await deliver();
    await this.#clock.sleep(random.int(0, 10));
    if (fate === "answer") {
      await this.#clock.sleep(random.int(0, 3_000));
      throw new Error("Network: the answer was lost");
    }
    return value;
  }
}
