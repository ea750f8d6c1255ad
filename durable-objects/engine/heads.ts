/**
 * The first ready jobs of lanes, read for many lanes with one statement. Each is a seek in the partial index of ready
 * jobs, so it costs the same with a thousand jobs waiting as with a million.
 *
 * @module
 */

import type { Books } from "./books.ts";
import { chunks } from "./chunks.ts";
import type { Tx } from "./ports.ts";
import type { Head, Lane } from "./scheduler.ts";

/** A lane's id in JSON. */
const ID_BYTES = 10;
/** Priorities of one lane that ageing looks at. */
const LEVELS_MAX = 64;

const HEADS = `
SELECT l.value AS lane, (
  SELECT json_group_array(json_array(priority, rank, seq)) FROM (
    SELECT priority, rank, seq FROM jobs WHERE state = 'ready' AND lane = l.value
    ORDER BY priority DESC, rank, seq LIMIT ?2)) AS heads
FROM json_each(?1) AS l`;

/** Each priority of each lane of `?1`. */
export const LEVELS = `
WITH RECURSIVE levels (lane, priority, n) AS (
  SELECT l.value, (SELECT priority FROM jobs WHERE state = 'ready' AND lane = l.value ORDER BY priority DESC LIMIT 1), 1
  FROM json_each(?1) AS l
  UNION ALL
  SELECT lane, (SELECT priority FROM jobs WHERE state = 'ready' AND lane = levels.lane AND priority < levels.priority
    ORDER BY priority DESC LIMIT 1), n + 1
  FROM levels WHERE priority IS NOT NULL AND n < ${LEVELS_MAX}
)`;

/** With ageing the first of each priority may be the most urgent. */
const AGED_HEADS = `${LEVELS}
SELECT lane, (
  SELECT json_group_array(json_array(priority, rank, seq)) FROM (
    SELECT priority, rank, seq FROM jobs
    WHERE state = 'ready' AND lane = levels.lane AND priority = levels.priority ORDER BY rank, seq LIMIT ?2)) AS heads
FROM levels WHERE priority IS NOT NULL`;

/**
 * How urgent a ready job is. Ageing counts whole periods since the epoch, so that what is more urgent now is so for
 * ever: nothing has to be sorted anew.
 */
export function levelOf({ rules: { ageing } }: Books, priority: number, rank: number): number {
  return ageing ? priority - ageing.priority * Math.floor(rank / ageing.perMs) : priority;
}

/** Up to `most` first jobs of each lane, most urgent first. */
export function readHeads(tx: Tx, lanes: Lane[], most: number): Map<Lane, Head[]> {
  const found = new Map<Lane, Head[]>();
  for (const chunk of chunks(lanes, () => ID_BYTES)) readChunk(tx, chunk, most, found);
  return found;
}

function readChunk(tx: Tx, lanes: Lane[], most: number, found: Map<Lane, Head[]>): void {
  const { ageing } = tx.books.rules;
  const ids = JSON.stringify(lanes.map(({ id }) => id));
  for (const row of tx.sql.exec(ageing ? AGED_HEADS : HEADS, ids, most)) {
    const lane = tx.books.lanes.get(Number(row.lane))!;
    const heads = (JSON.parse(String(row.heads)) as [number, number, number][]).map(([priority, rank, seq]): Head => {
      return { level: levelOf(tx.books, priority, rank), rank, seq };
    });
    found.set(lane, [...(found.get(lane) ?? []), ...heads]);
  }
  if (!ageing) return;
  for (const lane of lanes) {
    const heads = found.get(lane) ?? [];
    heads.sort((a, b) => b.level - a.level || a.rank - b.rank || a.seq - b.seq);
    found.set(lane, heads.slice(0, most));
  }
}
