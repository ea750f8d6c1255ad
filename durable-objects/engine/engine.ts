/**
 * One queue's engine over a storage: opens the books, runs one verb in one transaction, and says what the shell has
 * to do afterwards.
 *
 * @module
 */
import { assert } from "./assert.ts";
import type { Books } from "./books.ts";
import { capBuckets } from "./carry.ts";
import { followCode } from "./code-schedules.ts";
import { sweepLanes } from "./lanes.ts";
import { bounded, DELIVERY_AT_MOST_MS, FLUSH_JOBS, FLUSH_MS } from "./limits.ts";
import { openBooks } from "./open.ts";
import { beginFlush, flushDueAt } from "./outbox.ts";
import { deliveryDueAt } from "./outgoing.ts";
import type { CodeSchedules, CodeSettings, Effects, Storage, Tx } from "./ports.ts";
import { isOutdated, migrate } from "./schema.ts";
import { readyCount } from "./tally.ts";
import { decideTickets } from "./tickets.ts";

export interface EngineOptions {
  queue: string;
  partition: number;
  storage: Storage;
  settings: CodeSettings;
  /** Absent: none. */
  schedules?: CodeSchedules;
  random?: () => number;
}

export class Engine {
  readonly #name: Pick<Tx, "queue" | "partition">;
  readonly #storage: Storage;
  readonly #settings: CodeSettings;
  readonly #schedules: CodeSchedules | null;
  readonly #random: () => number;
  #books: Books | null = null;
  /** The code's schedules have been taken over. */
  #followed = false;
  #now = 0;

  constructor({ queue, partition, storage, settings, schedules, random = Math.random }: EngineOptions) {
    this.#name = { queue, partition };
    this.#storage = { sql: bounded(storage.sql), transaction: (run) => storage.transaction(run) };
    this.#settings = settings;
    this.#schedules = schedules ?? null;
    this.#random = random;
  }

  /** Reads in a queue that has been written to before; null where there is none. Writes nothing, except to bring older tables up to date. */
  read<Result>(now: number, look: (tx: Tx) => Result): Result | null {
    this.#now = Math.max(this.#now, now);
    this.#books ??= this.#open();
    if (!this.#books) return null;
    return look(this.#tx(this.#books, now, () => {}));
  }

  /**
   * Runs a verb, all or nothing. A verb that throws leaves the tables as they were; the books are then read anew.
   */
  write<Result>(now: number, verb: (tx: Tx) => Result): { result: Result; effects: Effects } {
    let wakeAt = Number.POSITIVE_INFINITY;
    const due = (at: number): void => {
      wakeAt = Math.min(wakeAt, at);
    };
    try {
      return this.#storage.transaction(() => {
        if (!this.#books) {
          migrate(this.#storage.sql);
          this.#books = openBooks(this.#storage.sql, this.#settings);
          assert(this.#books, "a migrated storage has books");
        }
        const tx = this.#tx(this.#books, now, due);
        if (!this.#followed) capBuckets(tx);
        if (!this.#followed) followCode(tx, this.#schedules?.inputs ?? new Map());
        this.#followed = true;
        const result = verb(tx);
        sweepLanes(tx);
        const tickets = decideTickets(tx);
        const flush = flushIsDue(tx);
        if (flush) beginFlush(tx);
        due(flushDueAt(tx));
        const deliver = deliveryDueAt(tx.books) <= tx.now;
        due(deliver ? tx.now + DELIVERY_AT_MOST_MS : deliveryDueAt(tx.books));
        const effects = { tickets, wakeAt: Number.isFinite(wakeAt) ? wakeAt : null, flush, deliver };
        return { result, effects };
      });
    } catch (error) {
      this.#books = null;
      this.#followed = false;
      throw error;
    }
  }

  #open(): Books | null {
    const { sql } = this.#storage;
    if (isOutdated(sql)) this.#storage.transaction(() => migrate(sql));
    return openBooks(sql, this.#settings);
  }

  #tx(books: Books, now: number, due: (at: number) => void): Tx {
    this.#now = Math.max(this.#now, now);
    return { ...this.#name, sql: this.#storage.sql, now: this.#now, random: this.#random, books, due };
  }
}

/** Finished jobs go to the history at 500, after 2 s, or when there is nothing else to do. */
function flushIsDue(tx: Tx): boolean {
  const { outbox, running } = tx.books;
  if (outbox.unflushed === 0 || outbox.oldestAt === null || outbox.retryAt > tx.now) return false;
  const idle = running === 0 && readyCount(tx.books, () => true) === 0;
  return idle || outbox.unflushed >= FLUSH_JOBS || tx.now - outbox.oldestAt >= FLUSH_MS;
}
