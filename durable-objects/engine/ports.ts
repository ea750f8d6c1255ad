/**
 * What the engine needs of the world: a synchronous SQL port, the time and a random number.
 *
 * Nothing here or below awaits, reads a clock or talks to a network, so that one engine runs in a Durable
 * Object, on `node:sqlite` in tests, and in a simulator with a virtual clock.
 *
 * @module
 */
import type { Channel, Handout, ScheduleInput, Settings } from "../../client/wire.ts";
import type { Books } from "./books.ts";
import type { Changes, Touched, Watched } from "./watch.ts";

export type SqlValue = string | number | null;
export type Row = Record<string, SqlValue>;

/** Runs one statement. In a Durable Object a call costs about 50 µs before it does anything: verbs work on sets. */
export interface Sql {
  exec(query: string, ...params: SqlValue[]): Row[];
}

/** Storage of one queue: `transaction` undoes every write when `run` throws. */
export interface Storage {
  sql: Sql;
  transaction<Result>(run: () => Result): Result;
}

/** The settings of a queue as code gives them; what is absent has Millrace's default. */
export type CodeSettings = Partial<Settings>;

/** The schedules that code declares for a queue, by name. */
export interface CodeSchedules {
  /** Another one whenever any of them is another. */
  version: string;
  inputs: ReadonlyMap<string, ScheduleInput>;
}

/**
 * What a session that stands ready still wants, and what the engine must know to hand it jobs. JSON-safe: the object keeps it
 * with the session's socket, and gives it back when the books are read anew.
 */
export interface StandingWant {
  session: string;
  /** Its latest exchange. */
  n: number;
  /** How many more jobs it has room for. */
  want: number;
  /** About how much it was told since it spoke. Who has that much to read is handed no more. */
  bytes: number;
  /** That it knows; null: any. */
  tasks: string[] | null;
  /** The worker's name. */
  worker: string;
}

/** What a verb works in. */
export interface Tx {
  /** Whose tables these are. */
  queue: string;
  partition: number;
  sql: Sql;
  /** Milliseconds since the epoch; never less than in an earlier transaction. */
  now: number;
  random: () => number;
  books: Books;
  /** Whether the socket of a session that stands ready has given a sign of life lately. */
  alive(session: string): boolean;
  /** Whether tickets bring workers that run jobs of this task; else only workers that connect do. */
  pushes(task: string): boolean;
  /** Who watches; null: nobody can. */
  watched: Watched | null;
  /** What those who watch will be told of; null: nobody watches, or nothing is written. */
  touched: Touched | null;
  /** Notes that something is due at `at`: the alarm must not be later. */
  due(at: number): void;
}

/** What the shell carries out after the commit. */
export interface Effects {
  /** Tickets to send, one entry each. */
  tickets: Channel[];
  /** The alarm must stand at this instant or earlier; null: this verb asks for none. */
  wakeAt: number | null;
  /** Finished jobs should go to the history now. */
  flush: boolean;
  /** Parcels should go to other queues now. */
  deliver: boolean;
  /** Jobs and cancels for sessions that stand ready: one message each. */
  handouts: Handout[];
  /** Sessions that stand no more, because they gave no sign of life: their sockets are to be closed. */
  silent: string[];
  /** What those who watch need to be told; null: nothing. */
  changes: Changes | null;
}
