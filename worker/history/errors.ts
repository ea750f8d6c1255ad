/**
 * Jobs that did not complete, grouped by what they have in common: the fingerprint of their error.
 *
 * @module
 */
import type { ErrorGroup, FinalState } from "../../client/types.ts";
import { FINGERPRINT, placeOf } from "./columns.ts";

/** Rows of the index looked at, jobs grouped at most, and the most text of theirs. */
const SCAN_ROWS = 50_000;
const JOBS = 10_000;
const BYTES = 64 * 1024 * 1024;
const EXAMPLES = 5;
const TASKS = 20;

export interface ErrorsInput {
  /** Null: all queues. */
  queue: string | null;
  states: Exclude<FinalState, "completed">[];
  /** Finished from (inclusive) to (exclusive). */
  from: number | null;
  to: number | null;
  limit: number;
}

/** What is said of jobs that no error tells of. */
const WORDS: ReadonlyMap<string, string> = new Map([
  ["crashed", "The worker fell silent while it held the job, again and again"],
  ["unknown_task", "No worker knew the task"],
  ["expired", "The job was not done in time"],
  ["superseded", "Another job had taken its unique key"],
  ["cancelled_by_user", "Somebody cancelled the job"],
]);

/**
 * Groups of the latest jobs, the largest first. `complete` is false when there are more jobs than were looked at, or
 * more groups than were asked for: ask for a narrower range. Rejects with D1's error when D1 fails.
 *
 * A job that was retried stays in its group until it has ended again.
 */
export async function groupErrors(
  db: D1Database,
  input: ErrorsInput,
): Promise<{ items: ErrorGroup[]; complete: boolean }> {
  const bounds = [input.from ?? 0, input.to ?? 9e15];
  const [groups, whole] = await db.batch<Row & Seen>([
    db.prepare(GROUPS).bind(...bounds, input.queue, JSON.stringify(input.states), input.limit + 1),
    db.prepare(SEEN).bind(...bounds, input.queue, JSON.stringify(input.states)),
  ]);
  const { scanned, matched, bytes } = whole!.results[0]!;
  const items = groups!.results.slice(0, input.limit).map(toGroup);
  const complete = scanned < SCAN_ROWS && matched < JOBS && (bytes ?? 0) < BYTES;
  return { items, complete: complete && groups!.results.length <= input.limit };
}

/** ?1 from, ?2 to, ?3 queue, ?4 states. `recent` reads the index alone. */
const WINDOW = `
recent AS (
  SELECT queue, partition, seq, finished_at FROM history INDEXED BY history_not_completed
  WHERE state <> 'completed' AND finished_at >= ?1 AND finished_at < ?2
  ORDER BY finished_at DESC LIMIT ${SCAN_ROWS}
),
latest AS (
  SELECT h.queue, h.partition, h.seq, h.finished_at, h.task, octet_length(h.body) AS bytes FROM recent AS w
  CROSS JOIN history AS h ON h.queue = w.queue AND h.partition = w.partition AND h.seq = w.seq
  WHERE (?3 IS NULL OR w.queue = ?3) AND h.state IN (SELECT value FROM json_each(?4))
  ORDER BY w.finished_at DESC LIMIT ${JOBS}
)`;

const SEEN = `
WITH ${WINDOW}
SELECT (SELECT count(*) FROM recent) AS scanned, count(*) AS matched, sum(bytes) AS bytes FROM latest`;

const GROUPS = `
WITH ${WINDOW},
bounded AS (
  SELECT *, sum(bytes) OVER (ORDER BY finished_at DESC, queue, seq ROWS UNBOUNDED PRECEDING) AS total FROM latest
),
keyed AS (
  SELECT h.queue || ':' || h.partition || ':' || h.seq AS id, h.task, h.finished_at, ${FINGERPRINT} AS fingerprint,
    (body ->> ${placeOf("error")}) ->> 'name' AS name, (body ->> ${placeOf("error")}) ->> 'message' AS message
  FROM bounded AS b
  CROSS JOIN history AS h ON h.queue = b.queue AND h.partition = b.partition AND h.seq = b.seq
  WHERE b.total <= ${BYTES}
),
placed AS (
  SELECT *, row_number() OVER (PARTITION BY fingerprint ORDER BY finished_at DESC, id) AS place FROM keyed
)
SELECT fingerprint, max(name) FILTER (WHERE place = 1) AS name, max(message) FILTER (WHERE place = 1) AS message,
  count(*) AS count, min(finished_at) AS first, max(finished_at) AS last,
  json_group_array(DISTINCT task) AS tasks, json_group_array(id) FILTER (WHERE place <= ${EXAMPLES}) AS examples
FROM placed GROUP BY fingerprint ORDER BY count DESC, last DESC, fingerprint LIMIT ?5`;

interface Seen {
  scanned: number;
  matched: number;
  bytes: number | null;
}

interface Row {
  fingerprint: string;
  name: string | null;
  message: string | null;
  count: number;
  first: number;
  last: number;
  tasks: string;
  examples: string;
}

function toGroup({ fingerprint, name, message, count, first, last, tasks, examples }: Row): ErrorGroup {
  const words = WORDS.get(fingerprint);
  return {
    fingerprint,
    name: words === undefined ? (name ?? fingerprint) : fingerprint,
    message: words ?? message ?? "The job ended without an error",
    count,
    first: new Date(first).toISOString(),
    last: new Date(last).toISOString(),
    tasks: (JSON.parse(tasks) as string[]).sort().slice(0, TASKS),
    examples: JSON.parse(examples),
  };
}
