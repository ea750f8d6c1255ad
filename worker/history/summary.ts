/**
 * How many jobs ended, and how long they ran and waited, by time, task and final state.
 *
 * @module
 */
import type { FinalState } from "../../client/types.ts";
import type { Buckets, Rollup } from "../../client/wire.ts";
import { percentile } from "./buckets.ts";
import { addRollup, emptyRollup } from "./rollups.ts";

const PAGE_ROWS = 500;
const PAGES = 40;
const MINUTE_MS = 60_000;
const GRAIN_MINUTES = { minute: 1, hour: 60, day: 1_440 };

export interface SummaryInput {
  /** Null: all queues together. */
  queue: string | null;
  /** Finished from (inclusive) to (exclusive), ms; whole minutes count by their beginning. */
  from: number;
  to: number;
  by: keyof typeof GRAIN_MINUTES;
}

/** Percentiles in ms, at most 10 % off; `maxMs` is exact. All null where nothing was measured. */
export interface Times {
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
  maxMs: number | null;
}

export interface SummaryItem {
  /** The beginning of the minute, hour or day (UTC). */
  from: string;
  task: string;
  state: FinalState;
  count: number;
  /** From the start of the last attempt to its end. */
  run: Times;
  /** From when the job was ready to its start. */
  wait: Times;
}

/** What an object has counted beyond the rollups: `rollupSince(upto)`, with `upto` read before it was asked. */
export interface LiveRollup {
  queue: string;
  partition: number;
  upto: number;
  body: Rollup;
}

/**
 * The summary, by time, then task, then state. Two days back, minutes are known only by their hour.
 *
 * `complete` is false when the range holds over 20,000 rollups and only the first of them were counted: ask for a
 * narrower one. Rejects with D1's error when D1 fails.
 */
export async function summarise(
  db: D1Database,
  input: SummaryInput,
  live: LiveRollup[] = [],
): Promise<{ items: SummaryItem[]; complete: boolean }> {
  const sum = emptyRollup();
  const add = (rollup: Rollup) => addRollup(sum, within(rollup, input), GRAIN_MINUTES[input.by]);
  for (const rollup of live) add(rollup.body);

  let complete = false;
  let last: Row | null = null;
  for (let page = 0; page < PAGES && !complete; page++) {
    const rows: Row[] = await readPage(db, input, last);
    for (const row of rows) if (!isLive(row, live)) add(JSON.parse(row.body));
    last = rows.at(-1) ?? null;
    complete = rows.length < PAGE_ROWS;
  }
  return { items: toItems(sum), complete };
}

interface Row {
  queue: string;
  partition: number;
  upto: number;
  body: string;
}

async function readPage(db: D1Database, input: SummaryInput, last: Row | null): Promise<Row[]> {
  const { results } = await db
    .prepare(
      `SELECT queue, partition, upto, body FROM rollups
       WHERE (queue, partition, upto) > (?1, ?2, ?3) AND to_minute >= ?4 AND from_minute < ?5
       ${input.queue === null ? "" : "AND queue = ?6"} ORDER BY queue, partition, upto LIMIT ${PAGE_ROWS}`,
    )
    .bind(
      last?.queue ?? input.queue ?? "",
      last?.partition ?? -1,
      last?.upto ?? -1,
      Math.floor(input.from / MINUTE_MS),
      Math.ceil(input.to / MINUTE_MS),
      ...(input.queue === null ? [] : [input.queue]),
    )
    .all<Row>();
  return results;
}

/** Flushed after the object was asked: its counts are in the object's answer. */
function isLive(row: Row, live: LiveRollup[]): boolean {
  return live.some((l) => l.queue === row.queue && l.partition === row.partition && row.upto > l.upto);
}

function within(rollup: Rollup, range: { from: number; to: number }): Rollup {
  const inRange = (minute: string) =>
    Number(minute) * MINUTE_MS >= range.from - (range.from % MINUTE_MS) && Number(minute) * MINUTE_MS < range.to;
  return Object.fromEntries(Object.entries(rollup).filter(([minute]) => inRange(minute)));
}

function toItems(rollup: Rollup): SummaryItem[] {
  const items: SummaryItem[] = [];
  for (const minute of sortedKeys(rollup, (a, b) => Number(a) - Number(b))) {
    const from = new Date(Number(minute) * MINUTE_MS).toISOString();
    for (const task of sortedKeys(rollup[minute]!)) {
      for (const state of sortedKeys(rollup[minute]![task]!)) {
        const cell = rollup[minute]![task]![state]!;
        const { count, run, runMaxMs, wait, waitMaxMs } = cell;
        items.push({
          from,
          task,
          state: state as FinalState,
          count,
          run: toTimes(run, runMaxMs),
          wait: toTimes(wait, waitMaxMs),
        });
      }
    }
  }
  return items;
}

function toTimes(buckets: Buckets, maxMs: number): Times {
  const at = (q: number) => {
    const value = percentile(buckets, q);
    return value === null ? null : Math.min(value, maxMs);
  };
  const p50Ms = at(0.5);
  return { p50Ms, p95Ms: at(0.95), p99Ms: at(0.99), maxMs: p50Ms === null ? null : maxMs };
}

function sortedKeys(of: object, by?: (a: string, b: string) => number): string[] {
  return Object.keys(of).sort(by);
}
