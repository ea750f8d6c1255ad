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
import { handOut } from "./handout.ts";
import { sweepLanes } from "./lanes.ts";
import { bounded, DELIVERY_AT_MOST_MS, FLUSH_JOBS, FLUSH_MS } from "./limits.ts";
import { openBooks } from "./open.ts";
import { beginFlush, flushDueAt } from "./outbox.ts";
import { deliveryDueAt } from "./outgoing.ts";
import type { CodeSchedules, CodeSettings, Effects, StandingWant, Storage, Tx } from "./ports.ts";
import { isOutdated, migrate } from "./schema.ts";
import { readyCount } from "./tally.ts";
import { decideTickets } from "./tickets.ts";
import { changesOf, countsDueAt, touchedBy, type Watched } from "./watch.ts";

export interface EngineOptions {
  queue: string;
  partition: number;
  storage: Storage;
  settings: CodeSettings;
  /** Absent: none. */
  schedules?: CodeSchedules;
  /** Whether tickets bring workers that run jobs of this task. Absent: of every task. */
  pushes?(task: string): boolean;
  /** What sessions with a socket want; asked once each time that the books are read. Absent: there are none. */
  standing?(): StandingWant[];
  /** Whether a session's socket has given a sign of life lately; asked when it is about to be told something. Absent: each has. */
  alive?(session: string): boolean;
  /** Who watches, kept true by its owner. Absent: nobody. */
  watched?: Watched;
  random?: () => number;
}

export class Engine {
  readonly #name: Pick<Tx, "queue" | "partition">;
  readonly #storage: Storage;
  readonly #settings: CodeSettings;
  readonly #schedules: CodeSchedules | null;
  readonly #random: () => number;
  readonly #pushes: Tx["pushes"];
  readonly #alive: Tx["alive"];
  readonly #standing: () => StandingWant[];
  readonly #watched: Watched | null;
  #books: Books | null = null;
  /** The code's schedules have been taken over. */
  #followed = false;
  #now = 0;

  constructor(options: EngineOptions) {
    const { queue, partition, storage, settings, schedules, random = Math.random } = options;
    this.#name = { queue, partition };
    this.#storage = { sql: bounded(storage.sql), transaction: (run) => storage.transaction(run) };
    this.#settings = settings;
    this.#schedules = schedules ?? null;
    this.#random = random;
    this.#pushes = (task) => options.pushes?.(task) ?? true;
    this.#alive = (session) => options.alive?.(session) ?? true;
    this.#standing = () => options.standing?.() ?? [];
    this.#watched = options.watched ?? null;
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
          this.#books = this.#openBooks();
          assert(this.#books, "a migrated storage has books");
        }
        const tx = this.#tx(this.#books, now, due);
        tx.touched = touchedBy(this.#watched, tx.now, this.#books.nextOutboxId);
        if (!this.#followed) capBuckets(tx);
        if (!this.#followed) followCode(tx, this.#schedules?.inputs ?? new Map());
        this.#followed = true;
        const result = verb(tx);
        sweepLanes(tx);
        const told = handOut(tx);
        const tickets = decideTickets(tx);
        const changes = changesOf(tx);
        due(countsDueAt(tx));
        const flush = flushIsDue(tx);
        if (flush) beginFlush(tx);
        due(flushDueAt(tx));
        const deliver = deliveryDueAt(tx.books) <= tx.now;
        due(deliver ? tx.now + DELIVERY_AT_MOST_MS : deliveryDueAt(tx.books));
        const effects = { tickets, wakeAt: Number.isFinite(wakeAt) ? wakeAt : null, flush, deliver, ...told, changes };
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
    return this.#openBooks();
  }

  #openBooks(): Books | null {
    const books = openBooks(this.#storage.sql, this.#settings);
    if (books) for (const want of this.#standing()) books.standing.set(want.session, want);
    return books;
  }

  #tx(books: Books, now: number, due: (at: number) => void): Tx {
    this.#now = Math.max(this.#now, now);
    const ports = { sql: this.#storage.sql, random: this.#random, alive: this.#alive, pushes: this.#pushes };
    return { ...this.#name, ...ports, now: this.#now, books, watched: this.#watched, touched: null, due };
  }
}

/** Finished jobs go to the history at 500, after 2 s, or when there is nothing else to do. */
function flushIsDue(tx: Tx): boolean {
  const { outbox, running } = tx.books;
  if (outbox.unflushed === 0 || outbox.oldestAt === null || outbox.retryAt > tx.now) return false;
  const idle = running === 0 && readyCount(tx.books) === 0;
  return idle || outbox.unflushed >= FLUSH_JOBS || tx.now - outbox.oldestAt >= FLUSH_MS;
}
