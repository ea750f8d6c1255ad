/**
 * Looks, and changes nothing.
 *
 * @module
 */
import type { JobState } from "../../client/types.ts";
import {
  type JobRecord,
  type ListInput,
  type ListReply,
  type QueueDescription,
  RECORD_FIELDS,
  readOptions,
} from "../../client/wire.ts";
import { STEP_ROWS } from "./limits.ts";
import { findInOutbox, isAnswered, recordFromTuple } from "./outbox.ts";
import type { Row, Tx } from "./ports.ts";
import { countJobs } from "./tally.ts";
import { oldestReadyAt } from "./tickets.ts";

const COLUMNS = `seq, fence, lanes.task AS task, state, reason, priority, failures, lapses, payload, encoding,
  NULL AS result, error, progress, attempts, options, created_at AS createdAt, run_at AS runAt,
  started_at AS startedAt, NULL AS finishedAt, cancel_requested_at AS cancelRequestedAt`;

/** The job where the object still has it: live, or lately ended. */
export function get(tx: Tx, seq: number): JobRecord | "deleted" | null {
  return getLive(tx, seq) ?? findInOutbox(tx, seq);
}

export function getLive(tx: Tx, seq: number): JobRecord | null {
  const [row] = tx.sql.exec(`SELECT ${COLUMNS} FROM jobs JOIN lanes ON lanes.id = jobs.lane WHERE seq = ?`, seq);
  return row ? (row as unknown as JobRecord) : null;
}

/** Jobs that the object has, newest accepted first. Looks at up to a step of rows and says how far it looked. */
export function list(tx: Tx, input: ListInput): ListReply {
  const below = input.beforeSeq ?? tx.books.nextSeq;
  const live = tx.sql.exec(
    `SELECT ${COLUMNS} FROM jobs JOIN lanes ON lanes.id = jobs.lane WHERE seq < ? ORDER BY seq DESC LIMIT ?`,
    below,
    STEP_ROWS,
  ) as unknown as JobRecord[];
  const gone = tx.sql.exec(
    `SELECT o.kind AS kind, o.created_at AS created_at, e.value AS record FROM outbox AS o, json_each(o.body) AS e
     WHERE o.min_seq < ?1 AND e.value ->> 0 < ?1 ORDER BY e.value ->> 0 DESC, o.id DESC LIMIT ?2`,
    below,
    STEP_ROWS,
  );
  const floor = Math.max(
    lowest(live, (row) => row.seq),
    lowest(gone, (row) => Number(JSON.parse(String(row.record))[0])),
  );
  return merge(tx, input, live, gone, floor);
}

/** Below the last row of a full step nothing was looked at. */
function lowest<Item>(rows: Item[], seqOf: (row: Item) => number): number {
  return rows.length < STEP_ROWS ? 0 : seqOf(rows.at(-1)!);
}

function merge(tx: Tx, input: ListInput, live: JobRecord[], gone: Row[], floor: number): ListReply {
  const bySeq = new Map(live.map((record) => [record.seq, record]));
  const deleted = new Set<number>();
  const elsewhere = new Set<number>();
  for (const row of gone) {
    const tuple = JSON.parse(String(row.record)) as unknown[];
    const seq = Number(tuple[0]);
    // Live rows come first, then the latest word of the outbox.
    if (bySeq.has(seq) || deleted.has(seq) || elsewhere.has(seq)) continue;
    if (!isAnswered(tx, row)) elsewhere.add(seq);
    else if (row.kind === "delete") deleted.add(seq);
    else bySeq.set(seq, recordFromTuple(tuple));
  }
  const records = [...bySeq.values()].filter((record) => record.seq >= floor).sort((a, b) => b.seq - a.seq);
  const items: JobRecord[] = [];
  for (const record of records) {
    if (!matches(record, input)) continue;
    if (items.length === input.limit) return { items, scannedTo: items.at(-1)!.seq, deleted: [...deleted] };
    items.push(record);
  }
  return { items, scannedTo: floor > 0 ? floor : null, deleted: [...deleted] };
}

function matches(record: JobRecord, { states, task, tag, from, to }: ListInput): boolean {
  if (task !== null && record.task !== task) return false;
  if (from !== null && record.createdAt < from) return false;
  if (to !== null && record.createdAt >= to) return false;
  if (tag !== null && !readOptions(record.options).tags.includes(tag)) return false;
  if (states === null) return true;
  const retrying = record.state === "scheduled" && record.failures + record.lapses > 0;
  return states.includes(record.state as JobState) || (retrying && states.includes("retrying"));
}

/** The queue in figures. */
export function describe(tx: Tx, nextWakeAt: number | null): QueueDescription {
  const { books } = tx;
  return {
    paused: books.paused,
    counts: { ...countJobs(tx.sql, books) },
    oldestReadyAt: oldestReadyAt(tx, null),
    sessions: [...books.sessions.values()].map((session) => ({
      id: session.id,
      worker: session.worker,
      jobs: session.held.size,
      leaseUntil: session.leaseUntil,
    })),
    settings: books.settings,
    nextWakeAt,
    outboxRows: books.outbox.unflushed,
    metrics: structuredClone(books.metrics),
  };
}

/** Fields of a live row stand in the order of a record; asserted when the module loads. */
const NAMED = [...COLUMNS.matchAll(/(\w+)(?:,|$)/g)].map(([, name]) => name);
if (NAMED.join() !== RECORD_FIELDS.join()) throw new Error(`Live rows read ${NAMED}, records hold ${RECORD_FIELDS}`);
