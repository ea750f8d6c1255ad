/**
 * Unique keys: at most one job of the queue has one, in the states that it names. A row of `uniques` says which; while
 * the job is unfinished its own row says in what state it is, so nothing is written when it starts.
 *
 * States are named from `waiting` on without gaps (`waiting`, `running`, final ones): a job that waits beside another
 * of its key could not be kept from coming into the other's state. A job that comes back to waiting takes its key
 * again, or ends, superseded, where another has it by now.
 *
 * @module
 */
import type { JobState, UnfinishedState, UniqueState } from "../../client/types.ts";
import type { JobTemplate, UniqueTemplate } from "../../client/wire.ts";
import { chunks } from "./chunks.ts";
import { STEP_ROWS } from "./limits.ts";
import type { Row, Tx } from "./ports.ts";
import { isFinal } from "./states.ts";

/** Who has a key. */
export interface Note {
  key: string;
  seq: number;
  states: UniqueState[];
  /** When the job was accepted. */
  firstAt: number;
  /** The key is free from then on; null: as the job's state says. */
  until: number | null;
}

/** The same with the state of the job. */
export interface Noted extends Note {
  state: JobState;
}

/** As the tables have it: with what is needed of the row of an unfinished job to change it in place. */
export interface Holder extends Noted {
  row: Row;
}

export const waits = (state: JobState): state is Exclude<UnfinishedState, "running"> =>
  state === "scheduled" || state === "blocked" || state === "ready";

/** Whether the job has its key now. */
export function holdsKey({ until, state, states }: Pick<Noted, "until" | "state" | "states">, now: number): boolean {
  if (until !== null && until <= now) return false;
  return states.includes(waits(state) ? "waiting" : state);
}

/** When the key of a job is free whatever it does. */
export function keyUntil({ ttlMs }: UniqueTemplate, createdAt: number): number | null {
  return ttlMs === null ? null : createdAt + ttlMs;
}

/** What is wrong with a unique key; null: nothing. Those of follow-up jobs come from workers, so they may be anything. */
export function invalidUnique({ unique }: JobTemplate): string | null {
  if (!unique) return null;
  const { key, states, ttlMs, onConflict, waitMs } = unique;
  if (typeof key !== "string" || !Array.isArray(states)) return "its unique key is no text, or names no states";
  if (!states.includes("waiting")) return 'its unique states leave out "waiting", in which every job begins';
  const final = states.find((state) => state !== "waiting" && state !== "running");
  if (final && !states.includes("running")) return `its unique states name "${final}" and leave out "running"`;
  if (final && typeof ttlMs !== "number") return `its unique states name "${final}", for which a ttl is needed`;
  if (onConflict === "debounce" && typeof waitMs !== "number") return "it is debounced and says no wait";
  return null;
}

const LOAD = `
SELECT u.key AS unique_key, u.seq AS holder, u.states, u.first_at, u.until, coalesce(jobs.state, u.ended) AS held_in,
  jobs.lane, jobs.failures + jobs.lapses > 0 AS retrying, jobs.ordering, jobs.ordering_rank,
  jobs.options ->> 'actor' AS actor
FROM json_each(?) AS k CROSS JOIN uniques AS u ON u.key = k.value LEFT JOIN jobs ON jobs.seq = u.seq`;

/** What is noted of these keys. */
export function loadKeys(tx: Tx, keys: Iterable<string>): Map<string, Holder> {
  const found = new Map<string, Holder>();
  if (tx.books.uniques === 0) return found;
  for (const chunk of chunks([...new Set(keys)], (key) => 3 * key.length)) {
    for (const row of tx.sql.exec(LOAD, JSON.stringify(chunk))) {
      const key = String(row.unique_key);
      found.set(key, {
        key,
        seq: Number(row.holder),
        states: JSON.parse(String(row.states)),
        firstAt: Number(row.first_at),
        until: row.until === null ? null : Number(row.until),
        state: row.held_in as JobState,
        row,
      });
    }
  }
  return found;
}

/** Notes who has these keys from now on. `known`: those of which somebody was noted before. */
export function noteKeys(tx: Tx, notes: Note[], known: { has(key: string): boolean }): void {
  for (const chunk of chunks(notes, ({ key }) => 3 * key.length + 100)) {
    tx.sql.exec(
      `INSERT INTO uniques (key, seq, states, first_at, until)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?) WHERE true
       ON CONFLICT (key) DO UPDATE SET seq = excluded.seq, states = excluded.states, first_at = excluded.first_at,
         until = excluded.until, ended = NULL`,
      JSON.stringify(chunk.map(({ key, seq, states, firstAt, until }) => [key, seq, states, firstAt, until])),
    );
    tx.books.uniques += chunk.filter(({ key }) => !known.has(key)).length;
  }
}

/** Forgets keys whose time is over. Called by sweeps, as `trimKeys` is. */
export function trimUniques(tx: Tx): void {
  if (tx.books.uniques === 0) return;
  const gone = tx.sql.exec(
    `DELETE FROM uniques WHERE key IN (SELECT key FROM uniques WHERE until <= ? LIMIT ${STEP_ROWS}) RETURNING 1`,
    tx.now,
  );
  tx.books.uniques -= gone.length;
}

/** What is known of unique keys while it is decided which of their jobs come back to waiting. */
export interface ComingBack {
  known: Map<string, Noted>;
  taken: Map<string, Noted>;
}

export function comingBack(tx: Tx, keys: string[]): ComingBack {
  return { known: loadKeys(tx, keys), taken: new Map() };
}

/** Whether a job that does not wait may wait again: its key is its own, or is free and then becomes so, or its time is over. */
export function comesBack(
  tx: Tx,
  { known, taken }: ComingBack,
  seq: number,
  firstAt: number,
  unique: UniqueTemplate | null,
): boolean {
  if (!unique) return true;
  const until = keyUntil(unique, firstAt);
  if (until !== null && until <= tx.now) return true;
  const { key, states } = unique;
  const other = taken.get(key) ?? known.get(key);
  if (other && other.seq !== seq && holdsKey(other, tx.now)) return false;
  taken.set(key, { key, seq, states, firstAt, until, state: "ready" });
  return true;
}

/** Notes the keys of those that came back. */
export function takeKeys(tx: Tx, { known, taken }: ComingBack): void {
  const changed = [...taken.values()].filter(({ key, seq }) => {
    const before = known.get(key);
    return before?.seq !== seq || isFinal(before.state);
  });
  if (changed.length > 0) noteKeys(tx, changed, known);
}
