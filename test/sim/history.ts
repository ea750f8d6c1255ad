import {
  type Entry,
  type HistoryBatch,
  type HistoryPort,
  type JobRecord,
  type Rollup,
  recordOf,
} from "../../client/wire.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

export interface Faults {
  /** 0 (none) to 1. */
  level: number;
}

/** The history as D1 keeps it, without SQL, behind a network that loses, delays and lies about it. */
export class SimHistory {
  readonly rows = new Map<number, JobRecord>();
  readonly rollups: { upto: number; body: Rollup }[] = [];
  registered = false;
  /** For a mutant: counts are added whatever stands, and nobody knows what does. */
  countsAlways = false;
  /** Called for each form that wins. */
  onRow: (record: JobRecord) => void = () => {};
  /** Jobs deleted here; a batch that lands late may bring one back (a known gap). */
  readonly forgotten = new Map<number, number>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #faults: Faults;

  constructor(clock: Clock, random: Random, faults: Faults) {
    this.#clock = clock;
    this.#random = random;
    this.#faults = faults;
  }

  port(): HistoryPort {
    return {
      register: () =>
        this.#request(() => {
          this.registered = true;
        }),
      write: (batch) => this.#request(() => this.#apply(batch)),
      read: (_queue, _partition, seq) => this.#request(() => structuredClone(this.rows.get(seq) ?? null)),
      readMany: (_queue, _partition, seqs) =>
        this.#request(() => seqs.flatMap((seq) => structuredClone(this.rows.get(seq)) ?? [])),
      unregister: () =>
        this.#request(() => {
          this.registered = false;
        }),
      rollupUpto: () => this.#request(() => (this.countsAlways ? 0 : this.upto())),
    };
  }

  upto(): number {
    return this.rollups.reduce((upto, row) => Math.max(upto, row.upto), 0);
  }

  /** A request that may be lost, slow, or done with only its answer lost. */
  async #request<Value>(run: () => Value): Promise<Value> {
    const random = this.#random;
    const fate = random.chance(0.3 * this.#faults.level)
      ? random.weighted({ lost: 3, refused: 3, unanswered: 3, late: 1, slow: 2 })
      : "well";
    await this.#clock.sleep(random.int(1, 40));
    if (fate === "refused") throw new Error("D1 is overloaded");
    if (fate === "lost") return new Promise(() => {});
    if (fate === "slow") await this.#clock.sleep(random.int(100, 25_000));
    if (fate === "late") {
      const late = random.int(100, 20_000);
      this.#clock.in(late, () => {
        try {
          run();
        } catch {
          // Nobody hears of it.
        }
      });
      throw new Error("D1: network connection lost");
    }
    const value = run();
    if (fate === "unanswered") {
      if (random.chance(0.5)) throw new Error("D1: network connection lost");
      return new Promise(() => {});
    }
    await this.#clock.sleep(random.int(0, 20));
    return value;
  }

  #apply(batch: HistoryBatch): void {
    for (const text of batch.records) {
      for (const entry of JSON.parse(text) as Entry[]) {
        const record = recordOf(entry);
        if (record.fence <= (this.rows.get(record.seq)?.fence ?? -1)) continue;
        this.rows.set(record.seq, record);
        this.onRow(record);
      }
    }
    for (const [seq, fence] of batch.deletes) {
      this.forgotten.set(seq, Math.max(fence, this.forgotten.get(seq) ?? 0));
      if ((this.rows.get(seq)?.fence ?? Number.POSITIVE_INFINITY) <= fence) this.rows.delete(seq);
    }
    if (batch.rollup) this.#count(batch.rollup);
  }

  #count({ after, upto, body }: NonNullable<HistoryBatch["rollup"]>): void {
    const standing = this.upto();
    if (standing <= after || this.countsAlways) this.rollups.push({ upto, body });
    if (this.upto() !== upto && !this.countsAlways) throw new Error(`Rows up to ${this.upto()} are counted`);
  }
}
