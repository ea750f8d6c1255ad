/**
 * Ordering keys: of the unfinished jobs of a key, whatever their task, only the first may wait for its time, be ready
 * or run; all others are `blocked` until it has left the table.
 *
 * Who joins a line gets a higher rank than all in it, so the first is always the one that is not blocked.
 *
 * @module
 */
import type { UnfinishedState } from "../../client/types.ts";
import { chunks } from "./chunks.ts";
import { moveJobs } from "./move.ts";
import type { Tx } from "./ports.ts";
import { placedMove, WAITING_COLUMNS } from "./rows.ts";

/** Keys with unfinished jobs, each with the highest rank in its line. */
export type LastRanks = Map<string, number>;

/** The lines of these keys. */
export function loadLines(tx: Tx, keys: Iterable<string>): LastRanks {
  const last: LastRanks = new Map();
  if (tx.books.ordered === 0) return last;
  for (const chunk of chunks([...new Set(keys)], bytesOf)) {
    const rows = tx.sql.exec(
      `SELECT k.value AS key, (SELECT ordering_rank FROM jobs WHERE ordering = k.value ORDER BY ordering_rank DESC LIMIT 1) AS rank
       FROM json_each(?) AS k`,
      JSON.stringify(chunk),
    );
    for (const row of rows) if (row.rank !== null) last.set(String(row.key), Number(row.rank));
  }
  return last;
}

/** Puts a job at the end of its key's line: at `seq`, or after whoever got a later place by being reopened. */
export function joinLine(last: LastRanks, key: string, seq: number): { rank: number; blocked: boolean } {
  const before = last.get(key);
  const rank = before === undefined ? seq : Math.max(seq, before + 1);
  last.set(key, rank);
  return { rank, blocked: before !== undefined };
}

const HEADS = `
SELECT ${WAITING_COLUMNS} FROM json_each(?) AS k
CROSS JOIN jobs ON jobs.seq = (SELECT h.seq FROM jobs AS h WHERE h.ordering = k.value ORDER BY h.ordering_rank, h.seq LIMIT 1)
WHERE jobs.state = 'blocked'`;

/**
 * Lets the first job of each of these lines go on, where the one before it has left: it stands where it would stand
 * without its key. Answers with the new states.
 */
export function unblock(tx: Tx, keys: Iterable<string>): Map<number, UnfinishedState> {
  const released = new Map<number, UnfinishedState>();
  for (const chunk of chunks([...new Set(keys)], bytesOf)) {
    const rows = tx.sql.exec(HEADS, JSON.stringify(chunk));
    const moves = rows.map((row) => placedMove(row, Number(row.run_at), tx.now));
    moveJobs(tx, "unblock", "blocked", null, moves);
    for (const { seq, to } of moves) released.set(seq, to);
  }
  return released;
}

/** A character takes three bytes at most, or six as an escape that nobody sends. */
function bytesOf(key: string): number {
  return 3 * key.length;
}
