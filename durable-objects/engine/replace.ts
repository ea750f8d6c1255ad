/**
 * Changes jobs that wait into what a later request asks for: the same ids, and as if they had just been accepted.
 *
 * @module
 */
import type { UnfinishedState } from "../../client/types.ts";
import { assert } from "./assert.ts";
import { chunks } from "./chunks.ts";
import type { Stored } from "./insert.ts";
import type { Tx } from "./ports.ts";
import { assertEdge } from "./states.ts";
import { tally } from "./tally.ts";
import type { Holder } from "./unique.ts";
import { touch } from "./watch.ts";

export interface Replacement {
  holder: Holder;
  stored: Stored;
  payload: string | null;
  orderingRank: number | null;
}

const REPLACE = `
UPDATE jobs SET lane = v.lane, state = v.state, reason = CASE WHEN v.state = 'blocked' THEN 'ordering' END,
  priority = v.priority, rank = v.rank, wake_at = v.wake_at, expires_at = v.expires_at, failures = 0, lapses = 0,
  declines = 0, declined_since = NULL, started_at = NULL, run_at = v.run_at, timeout_ms = v.timeout_ms,
  payload = v.payload, encoding = 'json', options = v.options, progress = NULL, ordering = v.ordering,
  ordering_rank = v.ordering_rank
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS was, value ->> 2 AS lane, value ->> 3 AS state, value ->> 4 AS priority,
  value ->> 5 AS rank, value ->> 6 AS wake_at, value ->> 7 AS expires_at, value ->> 8 AS run_at,
  value ->> 9 AS timeout_ms, value ->> 10 AS payload, value ->> 11 AS options, value ->> 12 AS ordering,
  value ->> 13 AS ordering_rank FROM json_each(?1)) AS v
WHERE jobs.seq = v.seq AND +jobs.state = v.was
RETURNING jobs.seq`;

export function replaceJobs(tx: Tx, replacements: Replacement[]): void {
  const bytesOf = ({ stored, payload }: Replacement): number => stored.options.length + (payload?.length ?? 0) + 200;
  for (const chunk of chunks(replacements, bytesOf)) {
    for (const { holder, stored } of chunk) assertEdge("replace", holder.state, stored.state);
    const changed = tx.sql.exec(REPLACE, JSON.stringify(chunk.map(tupleOf)));
    assert(changed.length === chunk.length, `replace changed ${changed.length} of ${chunk.length} jobs`);
    touch(
      tx,
      chunk.map(({ holder }) => holder),
    );
    for (const { holder, stored } of chunk) {
      const { row } = holder;
      tx.books.ordered += Number(stored.ordering !== null) - Number(row.ordering !== null);
      tally(
        tx,
        { state: holder.state as UnfinishedState, lane: Number(row.lane), retrying: row.retrying === 1 },
        { state: stored.state, lane: stored.lane, retrying: false },
      );
      if (stored.wakeAt === null) continue;
      tx.books.wakeAt = Math.min(tx.books.wakeAt, stored.wakeAt);
      tx.due(stored.wakeAt);
    }
  }
}

function tupleOf({ holder, stored, payload, orderingRank }: Replacement) {
  const { lane, state, priority, rank, wakeAt, expiresAt, runAt, timeoutMs, options, ordering } = stored;
  return [
    ...[holder.seq, holder.state, lane, state, priority, rank, wakeAt, expiresAt, runAt, timeoutMs, payload],
    ...[options, ordering, orderingRank],
  ];
}
