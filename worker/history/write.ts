/**
 * The history as the queue object sees it: one flush is one D1 `batch`, so it is applied whole or not at all.
 *
 * @module
 */
import type { HistoryBatch, HistoryPort, Rollup } from "../../client/wire.ts";
import { placeOf } from "./columns.ts";
import { DROPPED, droppedAt, fullnessOf, MAX_BYTES } from "./fullness.ts";
import { readJob, readJobs } from "./read.ts";
import { register, unregister } from "./registry.ts";
import { spanOf } from "./rollups.ts";

/** D1 takes values of 2 MB; the local runtime takes more, so the limit is held here. */
const MAX_VALUE_BYTES = 1_900_000;

export interface HistoryOptions {
  /** The size at which D1 refuses writes. @default {10_000_000_000} */
  maxBytes?: number;
}

export interface History extends HistoryPort {
  /** How full D1 was after this history's latest write, 0 to 1; 0 before the first. */
  fullness(): number;
}

/**
 * The history in D1, for a queue object.
 *
 * Every method rejects with D1's error when D1 fails; `write` also with a `RangeError` when a text is over 1.9 MB.
 * A `write` whose answer was lost may be sent again, alone or merged with newer rows: records win by fence, and the
 * rollup is left out when one beyond `after` stands. `write` then rejects, though its records are in, unless the very
 * same counts stand. So after any failed write, ask `rollupUpto` before sending counts again.
 */
export function createHistory(db: D1Database, options: HistoryOptions = {}): History {
  const maxBytes = options.maxBytes ?? MAX_BYTES;
  let fullness = 0;
  return {
    fullness: () => fullness,
    register: (queue, partition, now) => register(db, queue, partition, now),
    read: (queue, partition, seq) => readJob(db, queue, partition, seq),
    readMany: (queue, partition, seqs) => readJobs(db, queue, partition, seqs),
    unregister: (queue, partition) => unregister(db, queue, partition),
    async write(batch) {
      const statements = [
        ...batch.records.map((records) => upsert(db, batch, records, fullness)),
        ...(batch.deletes.length > 0 ? [forget(db, batch)] : []),
        ...(batch.rollup ? [count(db, batch, batch.rollup)] : []),
      ];
      if (statements.length === 0) return;
      const results = await db.batch<{ upto: number | null }>([
        ...statements,
        standing(db, batch.queue, batch.partition),
      ]);
      const last = results.at(-1)!;
      fullness = fullnessOf(last.meta.size_after, maxBytes);
      if (batch.rollup) assertCounted(batch.rollup, last.results[0]!.upto ?? 0);
    },
    async rollupUpto(queue, partition) {
      const row = await standing(db, queue, partition).first<{ upto: number | null }>();
      return row?.upto ?? 0;
    },
  };
}

/** Bodies without their payloads and results; ?4 says whose. */
const DROPPED_BODY = `json_replace(value ->> 6, '$[${placeOf("payload")}]', NULL, '$[${placeOf("result")}]', NULL,
  '$[${placeOf("encoding")}]', '${DROPPED}')`;
const BODY = `CASE WHEN ?4 = 'nobody' OR (?4 = 'completed' AND value ->> 3 <> 'completed') THEN value ->> 6
  WHEN (value ->> 6) ->> ${placeOf("payload")} IS NULL THEN json_replace(value ->> 6, '$[${placeOf("result")}]', NULL)
  ELSE ${DROPPED_BODY} END`;

/** Logs go with the payloads. */
const LOGS = "CASE WHEN ?4 = 'nobody' OR (?4 = 'completed' AND value ->> 3 <> 'completed') THEN value ->> 7 END";

/** ?3 the entries. `WHERE true` tells the parser that ON belongs to the upsert. */
const UPSERT = `
INSERT INTO history (queue, partition, seq, fence, task, state, created_at, finished_at, body, logs)
SELECT ?1, ?2, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ${BODY}, ${LOGS}
FROM json_each(?3) WHERE true
ON CONFLICT (queue, partition, seq) DO UPDATE SET fence = excluded.fence, task = excluded.task, state = excluded.state,
  created_at = excluded.created_at, finished_at = excluded.finished_at, body = excluded.body,
  logs = excluded.logs
WHERE excluded.fence > history.fence`;

function upsert(db: D1Database, batch: HistoryBatch, records: string, fullness: number): D1PreparedStatement {
  assertFits("a text of records", records);
  return db.prepare(UPSERT).bind(batch.queue, batch.partition, records, droppedAt(fullness));
}

const FORGET = `
DELETE FROM history WHERE (queue, partition, seq) IN (
  SELECT h.queue, h.partition, h.seq FROM json_each(?3) AS gone
  CROSS JOIN history AS h ON h.queue = ?1 AND h.partition = ?2 AND h.seq = gone.value ->> 0
  WHERE h.fence <= gone.value ->> 1)`;

function forget(db: D1Database, batch: HistoryBatch): D1PreparedStatement {
  const deletes = JSON.stringify(batch.deletes);
  assertFits("a list of deletes", deletes);
  return db.prepare(FORGET).bind(batch.queue, batch.partition, deletes);
}

/** A compare-and-set: counts stand once, whatever is sent again and in whatever order it arrives. */
const COUNT = `
INSERT INTO rollups (queue, partition, upto, from_minute, to_minute, grain_minutes, body)
SELECT ?1, ?2, ?3, ?4, ?5, 1, ?6
WHERE NOT EXISTS (SELECT 1 FROM rollups WHERE queue = ?1 AND partition = ?2 AND upto > ?7)`;

function count(
  db: D1Database,
  batch: HistoryBatch,
  rollup: { after: number; upto: number; body: Rollup },
): D1PreparedStatement {
  const { after, upto } = rollup;
  if (upto <= after) throw new RangeError(`A rollup counts outbox rows after ${after} up to ${upto}: there are none.`);
  const body = JSON.stringify(rollup.body);
  assertFits("a rollup", body);
  const { from, to } = spanOf(rollup.body);
  return db.prepare(COUNT).bind(batch.queue, batch.partition, upto, from, to, body, after);
}

function standing(db: D1Database, queue: string, partition: number): D1PreparedStatement {
  return db.prepare("SELECT max(upto) AS upto FROM rollups WHERE queue = ? AND partition = ?").bind(queue, partition);
}

/** A flush that was given up for lost may land between `rollupUpto` and the next flush: that one's counts are refused. */
function assertCounted(rollup: { after: number; upto: number }, stands: number): void {
  if (stands === rollup.upto) return;
  throw new Error(
    `Counting outbox rows after ${rollup.after} up to ${rollup.upto}: rows up to ${stands} are counted; count what comes after them.`,
  );
}

function assertFits(what: string, text: string): void {
  // A UTF-16 unit is at most three bytes, so most texts need no counting.
  if (text.length * 3 <= MAX_VALUE_BYTES) return;
  const bytes = new TextEncoder().encode(text).byteLength;
  if (bytes <= MAX_VALUE_BYTES) return;
  throw new RangeError(`Writing history: ${what} is ${bytes} bytes; D1 takes at most ${MAX_VALUE_BYTES} in one value.`);
}
