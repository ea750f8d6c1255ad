/**
 * What is counted, between the benchmark's Worker and the process that drives it.
 *
 * @module
 */

/** Since the Worker was started. */
export interface Counters {
  /** Rows written by SQL, and one for each alarm that was set. */
  objectRows: number;
  objectRowsRead: number;
  /** RPC calls and runs of the alarm. */
  objectRequests: number;
  d1Rows: number;
  d1RowsRead: number;
  queueMessages: number;
  /** HTTP requests, and batches that the consumer got. */
  workerRequests: number;
}

export interface Timing {
  calls: number;
  ms: number;
  /** Rows that statements answered. */
  items: number;
  rows: number;
}

/** Calls, and how long they took together. */
export interface Taken {
  calls: number;
  ms: number;
}

/** What is to be seen of a queue without disturbing the counts. */
export interface QueueLook {
  unfinished: number;
  sessions: number;
  /** Finished jobs that are not in the history yet. */
  outbox: number;
  alarmSet: boolean;
}

export interface NamedTiming extends Timing {
  what: string;
}

/** 100 bytes as JSON: `{"x":"…"}`. */
export const PAYLOAD = { x: "y".repeat(92) };
