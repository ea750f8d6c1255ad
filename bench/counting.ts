/**
 * Counts in the Worker what the platform would bill: by SQLite's `rowsWritten`, by D1's `meta`, by calls that are
 * really made. Nothing is estimated.
 *
 * It all lies in this module's variables: locally the Worker, its objects and its consumer share one isolate.
 *
 * @module
 */
import type { Counters, Timing } from "./counters.ts";

/** Off, nothing is watched, so that throughput is measured without it. It must be on before an object is made. */
export const watching = { on: false };

export const counters: Counters = {
  objectRows: 0,
  objectRowsRead: 0,
  objectRequests: 0,
  d1Rows: 0,
  d1RowsRead: 0,
  queueMessages: 0,
  workerRequests: 0,
};

/** By SQL statement, by RPC method, by call to D1. */
export const timings = new Map<string, Timing>();

const wallNow = Date.now;
/** The machine's clock, in ms, whatever has been skipped. */
export const realNow = (): number => wallNow();

let skippedMs = 0;
Date.now = () => wallNow() + skippedMs;

/** Puts the clock of the whole Worker forward. The caller sees to alarms that are then due (see `alarmOf`). */
export function skip(ms: number): void {
  skippedMs += ms;
}

/** The local runtime keeps each object's name in a table in its storage; production does not. */
const LOCAL_ONLY = "__miniflare_do_name";

/** Watches an object's storage. Its alarm follows the skipped clock. */
export function watchStorage(storage: DurableObjectStorage): void {
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  const setAlarm = storage.setAlarm.bind(storage);
  const getAlarm = storage.getAlarm.bind(storage);
  sql.exec = ((query: string, ...params: unknown[]) => {
    if (query.includes(LOCAL_ONLY)) return exec(query, ...params);
    const startedAt = wallNow();
    const cursor = exec(query, ...params);
    const rows = cursor.toArray();
    note(query, startedAt, rows.length, cursor.rowsWritten);
    counters.objectRows += cursor.rowsWritten;
    counters.objectRowsRead += cursor.rowsRead;
    return { toArray: () => rows };
  }) as typeof sql.exec;
  storage.setAlarm = (at) => {
    counters.objectRows += 1;
    return setAlarm(Number(at) - skippedMs);
  };
  storage.getAlarm = async () => {
    const at = await getAlarm();
    return at === null ? null : at + skippedMs;
  };
}

/** Sets the alarm again after a skip, uncounted: production's clock would have got there by itself. */
export async function followSkip(storage: DurableObjectStorage, ms: number): Promise<void> {
  const { getAlarm, setAlarm } = Object.getPrototypeOf(storage) as DurableObjectStorage;
  const at = await getAlarm.call(storage);
  if (at !== null) await setAlarm.call(storage, Math.max(wallNow() + 1, at - ms));
}

/** Runs a method of an object and counts it as a request; its synchronous part is timed. */
export function watchRequest<Result>(name: string, run: () => Result): Result {
  counters.objectRequests += 1;
  const startedAt = wallNow();
  const result = run();
  note(name, startedAt, 1, 0);
  return result;
}

export function watchDatabase(database: D1Database): D1Database {
  const count = <Value>(result: D1Result<Value>): D1Result<Value> => {
    counters.d1Rows += result.meta.rows_written;
    counters.d1RowsRead += result.meta.rows_read;
    return result;
  };
  const bare = new WeakMap<object, D1PreparedStatement>();
  const watch = (statement: D1PreparedStatement): D1PreparedStatement => {
    const watched = {
      bind: (...values: unknown[]) => watch(statement.bind(...values)),
      run: async () => count(await statement.run()),
      all: async () => count(await statement.all()),
      first: async (column?: string) => {
        const [row] = count(await statement.all<Record<string, unknown>>()).results;
        return row === undefined ? null : column === undefined ? row : row[column];
      },
      raw: (options?: { columnNames: true }) => statement.raw(options!), // answers no meta; Millrace only reads so
    } as D1PreparedStatement;
    bare.set(watched, statement);
    return watched;
  };
  return {
    prepare: (query: string) => watch(database.prepare(query)),
    async batch(statements: D1PreparedStatement[]) {
      const startedAt = wallNow();
      const results = await database.batch(statements.map((statement) => bare.get(statement)!));
      const before = counters.d1Rows;
      for (const result of results) count(result);
      note("D1 batch, waited for", startedAt, results.length, counters.d1Rows - before);
      return results;
    },
  } as D1Database;
}

export function watchQueue(queue: Queue): Queue {
  return {
    send(body: unknown, options?: QueueSendOptions) {
      counters.queueMessages += 1;
      return queue.send(body, options);
    },
    sendBatch(messages: Iterable<MessageSendRequest>) {
      const list = [...messages];
      counters.queueMessages += list.length;
      return queue.sendBatch(list);
    },
  } as Queue;
}

/** The clock ticks in whole ms: what a single run hides, the sum of thousands shows. */
function note(what: string, startedAt: number, items: number, rows: number): void {
  const timing = timings.get(what) ?? { calls: 0, ms: 0, items: 0, rows: 0 };
  timing.calls += 1;
  timing.ms += wallNow() - startedAt;
  timing.items += items;
  timing.rows += rows;
  timings.set(what, timing);
}
