/**
 * Keeps the counts in memory true to the tables. Called by the helpers that write, and by nobody else.
 *
 * @module
 */
import type { UnfinishedState } from "../../client/types.ts";
import type { Books, Counts } from "./books.ts";
import { hold } from "./gates.ts";
import { laneOf } from "./lanes.ts";
import { countClaimed, countReady } from "./lines.ts";
import type { Sql, Tx } from "./ports.ts";

/** Where a job stands, as far as counts go. `retrying`: it has failed or lapsed. */
export interface Place {
  state: UnfinishedState;
  lane: number;
  retrying: boolean;
}

/** `count` jobs go from one place to another; null: from or to outside the table. */
export function tally(tx: Tx, from: Place | null, to: Place | null, count = 1): void {
  for (const [place, sign] of [
    [from, -count],
    [to, count],
  ] as const) {
    if (!place) continue;
    if (place.state === "ready") countReady(tx.books, laneOf(tx, place.lane), sign);
    if (place.state === "running") {
      tx.books.running += sign;
      hold(tx.books, laneOf(tx, place.lane), sign);
    }
    if (!tx.books.counts) continue;
    tx.books.counts[place.state] += sign;
    if (place.state === "scheduled" && place.retrying) tx.books.counts.retrying += sign;
  }
}

/** A ready job runs, whose lane has its place without it already. */
export function tallyClaimed(tx: Tx, id: number): void {
  const { books } = tx;
  const lane = laneOf(tx, id);
  countClaimed(books, lane);
  books.running += 1;
  hold(books, lane, 1);
  if (!books.counts) return;
  books.counts.ready -= 1;
  books.counts.running += 1;
}

/** Jobs by state; read from the table at the first call, kept true afterwards. */
export function countJobs(sql: Sql, books: Books): Counts {
  if (books.counts) return books.counts;
  const counts: Counts = { scheduled: 0, retrying: 0, blocked: 0, ready: 0, running: 0 };
  const rows = sql.exec(
    "SELECT state, failures + lapses > 0 AS retrying, count(*) AS jobs FROM jobs GROUP BY state, failures + lapses > 0",
  );
  for (const row of rows) {
    counts[row.state as UnfinishedState] += Number(row.jobs);
    if (row.state === "scheduled" && row.retrying === 1) counts.retrying += Number(row.jobs);
  }
  books.counts = counts;
  return counts;
}

/** Ready jobs, of all groups. */
export function readyCount({ groups }: Books): number {
  let ready = 0;
  for (const group of groups.values()) ready += group.ready;
  return ready;
}
