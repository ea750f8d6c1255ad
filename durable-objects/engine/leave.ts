/**
 * What jobs leave behind when they leave the table, whichever way they do: a place at the head of their ordering
 * key's line, and their unique key.
 *
 * @module
 */
import type { FinalState } from "../../client/types.ts";
import type { UniqueTemplate } from "../../client/wire.ts";
import { unblock } from "./ordering.ts";
import type { Row, Tx } from "./ports.ts";

const LEAVING = `
SELECT jobs.seq, jobs.ordering, u.key AS unique_key, u.until, u.states
FROM json_each(?1) AS e CROSS JOIN jobs ON jobs.seq = e.value ->> 0
LEFT JOIN uniques AS u ON u.key = jobs.unique_key AND u.seq = jobs.seq
WHERE jobs.ordering IS NOT NULL OR u.key IS NOT NULL`;

/** Those of the jobs that have something to leave. `jobs` is the JSON text of an array of arrays that begin with a seq. */
export function loadLeaving(tx: Tx, jobs: string): Row[] {
  return tx.books.ordered + tx.books.uniques === 0 ? [] : tx.sql.exec(LEAVING, jobs);
}

/** Passes on what they had, now that their rows are gone. `endOf`: the state that a job ended in; null: it was deleted. */
export function passOn(tx: Tx, leaving: Row[], endOf: (seq: number) => FinalState | null): void {
  const kept: [key: string, ended: FinalState][] = [];
  const free: string[] = [];
  const lines: string[] = [];
  for (const row of leaving) {
    if (row.ordering !== null) lines.push(String(row.ordering));
    if (row.unique_key === null) continue;
    const end = endOf(Number(row.seq));
    const holds = end !== null && Number(row.until ?? 0) > tx.now && JSON.parse(String(row.states)).includes(end);
    if (holds) kept.push([String(row.unique_key), end]);
    else free.push(String(row.unique_key));
  }
  if (kept.length > 0) tx.sql.exec(KEEP, JSON.stringify(kept));
  if (free.length > 0) tx.sql.exec(FREE, JSON.stringify(free));
  tx.books.uniques -= free.length;
  tx.books.ordered -= lines.length;
  unblock(tx, lines);
}

const KEEP = `
UPDATE uniques SET ended = v.ended
FROM (SELECT value ->> 0 AS key, value ->> 1 AS ended FROM json_each(?)) AS v WHERE uniques.key = v.key`;

const FREE = "DELETE FROM uniques WHERE key IN (SELECT value FROM json_each(?))";

/** A job that ended is deleted: its key is free. */
export function freeKey(tx: Tx, seq: number, unique: UniqueTemplate | null): void {
  if (!unique || tx.books.uniques === 0) return;
  const gone = tx.sql.exec("DELETE FROM uniques WHERE key = ? AND seq = ? RETURNING 1", unique.key, seq);
  tx.books.uniques -= gone.length;
}
