/**
 * The slots of a worker, which all of its stays share: one whose queue has little to do leaves its room to the others.
 *
 * @module
 */
import { Pace } from "./pace.ts";

/** One stay, as the pool sees it. */
export interface PoolMember {
  /** Starts one thing that waits; false when nothing does. */
  startNext(): boolean;
  /** How many slots what waits would fill. */
  readonly waitingUnits: number;
  /** Of what runs, when each slot was filled. */
  startedAt(): number[];
  /** All slots are filled now, or not all any more. */
  roomChanged(): void;
}

export class SlotPool {
  count: number;
  readonly #pace = new Pace();
  readonly #members: PoolMember[] = [];
  #filled = 0;
  #turn = 0;
  #toldFull = false;

  constructor(count: number) {
    this.count = count;
  }

  get full(): boolean {
    return this.#filled >= this.count;
  }

  join(member: PoolMember): void {
    this.#members.push(member);
  }

  leave(member: PoolMember): void {
    const at = this.#members.indexOf(member);
    if (at >= 0) this.#members.splice(at, 1);
  }

  take(): void {
    this.#filled += 1;
  }

  giveBack(): void {
    this.#filled -= 1;
  }

  /** How long a slot was filled. */
  note(slotMs: number): void {
    this.#pace.note(slotMs);
  }

  /** How many jobs the slots are expected to begin within a short time. */
  ahead(now: number): number {
    const startedAt = this.#members.flatMap((member) => member.startedAt());
    return this.count * this.#pace.jobsAhead(now, startedAt);
  }

  /**
   * How many more jobs one member may want, of `most` that all may have at once. What is free is shared among the
   * members, rounded up: each wants one at least while a slot is free.
   */
  room(now: number, most: number): number {
    let taken = this.#filled;
    for (const { waitingUnits } of this.#members) taken += waitingUnits;
    return Math.max(0, Math.ceil((Math.min(most, this.ahead(now)) - taken) / this.#members.length));
  }

  /** Starts what waits, as far as slots are free: one of each member in turn. */
  fill(): void {
    let passed = 0;
    while (!this.full && passed < this.#members.length) {
      this.#turn = (this.#turn + 1) % this.#members.length;
      passed = this.#members[this.#turn]!.startNext() ? 0 : passed + 1;
    }
    if (this.full !== this.#toldFull) this.#tell();
  }

  /** Each knows what itself does. */
  #tell(): void {
    this.#toldFull = this.full;
    if (this.#members.length === 1) return;
    for (const member of this.#members) member.roomChanged();
  }
}
