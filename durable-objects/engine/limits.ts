/**
 * Every bound of the engine, in one place, with the relations between them asserted.
 *
 * @module
 */
import { assert } from "./assert.ts";
import type { Sql } from "./ports.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Rows that one verb touches at most; it says when more is due. */
export const STEP_ROWS = 1000;
export const ENQUEUE_JOBS_MAX = 1000;
/** Tokens of which it is remembered how much they have enqueued. */
export const CALLERS_MAX = 10_000;
export const WANT_MAX = 500;
export const SETTLES_MAX = 1000;
/** Jobs in the hands of one session. */
export const HELD_MAX = 2_000;
/** Bulk input, outbox rows and flushes are cut here. */
export const CHUNK_BYTES = 512 * 1024;
/** A claim stops here; an RPC carries at most 32 MiB. */
export const CLAIM_BYTES = 4 * 1024 * 1024;
/** Production refuses rows and values over 2 MB (platform limits of SQLite-backed Durable Objects). */
export const VALUE_BYTES_MAX = 1_900_000;
const PARAMS_MAX = 100;
const QUERY_BYTES_MAX = 100_000;

/** Lines of a job's log, and their bytes as JSON. */
export const LOG_LINES_KEPT = 1_000;
export const LOG_BYTES_MAX = 128 * 1024;
export const LOG_MESSAGE_CHARS = 2_000;
export const LOG_FIELDS_BYTES = 4 * 1024;
/** Those who watch a queue are told of so many jobs a transaction, and of so much in this time; then that there is more. */
export const STREAM_JOBS = 100;
export const STREAM_MS = SECOND;
export const STREAM_EVENTS = 1_000;
export const STREAM_BYTES = 256 * 1024;
/** Each of so many; where more watch, they share what these would be told. */
export const STREAM_WATCHERS = 10;
/** The latest instant that a date can hold. */
export const INSTANT_MAX = 8.64e15;

export const ATTEMPTS_KEPT = 20;
export const ATTEMPT_MESSAGE_CHARS = 500;
export const ERROR_NAME_CHARS = 256;
export const ERROR_MESSAGE_CHARS = 4_096;
export const ERROR_STACK_CHARS = 16_384;
export const LAPSES_MAX = 5;
export const DELAY_MS_MAX = 366 * DAY;
export const RETRY_MS_MAX = 6 * HOUR;
export const RETRY_BASE_MS = MINUTE;
export const DECLINE_MS_MIN = MINUTE;
export const DECLINE_MS_MAX = HOUR;
export const DECLINE_DEAD_MS = DAY;

/** One attempt over this long is worked through the long tickets. */
export const LONG_TIMEOUT_MS = 30 * SECOND;
export const TICKET_MS_MIN = 5 * SECOND;
export const TICKET_MS_MAX = 10 * MINUTE;
/** Jobs accepted within the last second from which on a session that finds nothing asks again after a moment. */
export const BUSY_JOBS_PER_SECOND = 20;
export const LINGER_MS = 25;
/** A session waits for a gate that opens this soon: that costs less than an alarm and a ticket. */
export const GATE_LINGER_MS = 5 * SECOND;

/** A clock may be put back by so much between two lives of an object without anybody noticing. */
export const CLOCK_BACK_MS = 10 * SECOND;
export const PAUSE_MS_MAX = 31 * DAY;
/** In one page. */
export const KEYS_LISTED = 1_000;

/** Request ids are remembered for this long; the SDK gives up after two minutes. */
export const REQUEST_MEMORY_MS = 5 * MINUTE;
export const IDEMPOTENCY_MS = DAY;
/** How long a queue knows a parcel again that came before, and whose answer was lost. */
export const FOLLOW_UP_MEMORY_MS = 30 * DAY;
/** Parcels that one call to another queue carries. */
export const PARCELS_MAX = 50;
/** A queue that does not answer is tried again after this, doubled each time. */
export const DELIVERY_MS_MIN = SECOND;
export const DELIVERY_MS_MAX = 5 * MINUTE;
/** One call is given up after this. */
export const DELIVERY_TIMEOUT_MS = 30 * SECOND;
/** No try is due while one may still be under way. */
export const DELIVERY_AT_MOST_MS = 35 * SECOND;
/** With `history.completed: "none"` results are still answered for this long. */
export const RESULT_MEMORY_MS = 10 * MINUTE;
export const FLUSH_JOBS = 500;
export const FLUSH_MS = 2 * SECOND;
/** One step of a flush is two calls of the history at most, each of which is given up after 30 s. */
export const FLUSH_AT_MOST_MS = 65 * SECOND;
/** Fewer ends than this wait for company before their counts cost a row of the history, or for ROLLUP_MS. */
export const ROLLUP_ENDS_MIN = 4;
export const ROLLUP_MS = 6 * HOUR;
/** A flushed outbox row above this keeps its request ids and the names of its jobs only. */
export const STRIP_BYTES = 16 * 1024;

/** Settings that were overridden through the API, as JSON: one row of the books. */
export const OVERRIDES_BYTES_MAX = 256 * 1024;

assert(STEP_ROWS >= ENQUEUE_JOBS_MAX && STEP_ROWS >= WANT_MAX, "a verb takes what one call may carry");
assert(2 * CHUNK_BYTES < VALUE_BYTES_MAX, "a chunk fits a value even when every character is escaped");
assert(CLAIM_BYTES * 2 < 32 * 1024 * 1024, "a claim fits an RPC");
assert(RESULT_MEMORY_MS >= REQUEST_MEMORY_MS, "results outlive request ids");

/** Wraps a SQL port so that what production refuses is refused everywhere. */
export function bounded(sql: Sql): Sql {
  return {
    exec(query, ...params) {
      assert(params.length <= PARAMS_MAX, `a statement binds at most ${PARAMS_MAX} values: got ${params.length}`);
      assert(query.length <= QUERY_BYTES_MAX, `a statement has at most ${QUERY_BYTES_MAX} bytes: got ${query.length}`);
      for (const param of params) {
        if (typeof param !== "string" || param.length * 3 <= VALUE_BYTES_MAX) continue;
        const bytes = utf8Bytes(param);
        assert(bytes <= VALUE_BYTES_MAX, `a value has at most ${VALUE_BYTES_MAX} bytes: got ${bytes}`);
      }
      return sql.exec(query, ...params);
    },
  };
}

/** Length of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
