/**
 * Jobs that the object has, newest accepted first: live ones, and those that ended lately.
 *
 * Looks at keys and filters first and loads payloads only of what is answered: a page has a bound in bytes, because
 * an RPC has one.
 *
 * @module
 */
import type { JobState } from "../../client/types.ts";
import {
  type Entry,
  type JobRecord,
  type ListInput,
  type ListReply,
  readOptions,
  recordOf,
} from "../../client/wire.ts";
import { COLUMNS } from "./inspect.ts";
import { CLAIM_BYTES, STEP_ROWS } from "./limits.ts";
import { isAnswered, sentRanges } from "./outbox.ts";
import type { Row, Tx } from "./ports.ts";

/** What of a job a filter needs. */
interface Head {
  seq: number;
  /** The outbox row that holds it; null: it is live. */
  outboxId: number | null;
  task: string;
  state: JobState | "deleted";
  retrying: boolean;
  options: string;
  createdAt: number;
  bytes: number;
  /** Null where it was not asked for. */
  fingerprint: string | null;
  /** The history may hold an older form of it. */
  past: boolean;
  answered: boolean;
}

/** One page. Looks at up to a step of rows and says how far it looked. */
export function list(tx: Tx, input: ListInput): ListReply {
  const below = input.beforeSeq ?? tx.books.nextSeq;
  const prints = input.fingerprint == null ? 0 : 1;
  const live = liveHeads(tx, below, prints);
  const gone = goneHeads(tx, below, prints);
  const floor = Math.max(lowest(live), lowest(gone));
  const picked: Head[] = [];
  const hidden: number[] = [];
  let bytes = 0;
  let scannedTo = floor > 0 ? floor : null;
  for (const head of latest([...live, ...gone])) {
    if (head.seq < floor) break;
    if (!head.answered) continue;
    if (!matches(head, input)) {
      if (head.past) hidden.push(head.seq);
      continue;
    }
    if (picked.length === input.limit || (picked.length > 0 && bytes + head.bytes > CLAIM_BYTES)) {
      scannedTo = picked.at(-1)!.seq;
      break;
    }
    picked.push(head);
    bytes += head.bytes;
  }
  return { items: load(tx, picked), scannedTo, hidden };
}

/** What a job's like are grouped by; `FINGERPRINT` of `worker/history/columns.ts` says the same of the history. */
const fingerprint = (reason: string, error: string): string => `
  CASE WHEN ${reason} IN ('crashed', 'unknown_task', 'expired', 'superseded') THEN ${reason}
    ELSE coalesce(${error} ->> 'fingerprint', ${reason}, 'none') END`;

/** Errors are looked into only where `prints` is 1: they are large. */
function liveHeads(tx: Tx, below: number, prints: 0 | 1): Head[] {
  const rows = tx.sql.exec(
    `SELECT seq, task, state, failures + lapses > 0 AS retrying, options, created_at, reopened_fence > 0 AS past,
       coalesce(octet_length(payload), 0) AS bytes,
       CASE WHEN ?3 = 1 THEN ${fingerprint("reason", "error")} END AS fingerprint
     FROM jobs JOIN lanes ON lanes.id = jobs.lane WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2`,
    below,
    STEP_ROWS,
    prints,
  );
  return rows.map((row) => ({ ...toHead(row), outboxId: null, past: row.past === 1, answered: true }));
}

function goneHeads(tx: Tx, below: number, prints: 0 | 1): Head[] {
  const rows = tx.sql.exec(
    `SELECT o.id AS outbox_id, o.kind AS kind, o.created_at AS row_created_at, e.value ->> 0 AS seq,
       CASE o.kind WHEN 'delete' THEN '' ELSE e.value ->> 2 END AS task,
       CASE o.kind WHEN 'delete' THEN 'deleted' ELSE e.value ->> 3 END AS state, 0 AS retrying,
       CASE o.kind WHEN 'delete' THEN '{}' ELSE (e.value ->> 6) ->> 10 END AS options,
       CASE o.kind WHEN 'delete' THEN 0 ELSE e.value ->> 4 END AS created_at, octet_length(e.value) AS bytes,
       CASE WHEN ?3 = 1 AND o.kind <> 'delete'
         THEN ${fingerprint("(e.value ->> 6) ->> 0", "((e.value ->> 6) ->> 7)")} END AS fingerprint
     FROM outbox AS o, json_each(o.body) AS e
     WHERE o.min_seq < ?1 AND e.value ->> 0 < ?1 ORDER BY e.value ->> 0 DESC, o.id DESC LIMIT ?2`,
    below,
    STEP_ROWS,
    prints,
  );
  const sent = sentRanges(tx);
  return rows.map((row) => {
    const head = toHead(row);
    const outboxId = Number(row.outbox_id);
    const isPast = sent.some(({ id, minSeq, maxSeq }) => id > outboxId && minSeq <= head.seq && head.seq <= maxSeq);
    const answered = !isPast && isAnswered(tx, { kind: row.kind!, created_at: row.row_created_at! });
    return { ...head, outboxId, past: true, answered };
  });
}

function toHead(row: Row): Omit<Head, "outboxId" | "past" | "answered"> {
  return {
    seq: Number(row.seq),
    task: String(row.task),
    state: row.state as Head["state"],
    retrying: row.state === "scheduled" && row.retrying === 1,
    options: String(row.options),
    createdAt: Number(row.created_at),
    bytes: Number(row.bytes),
    fingerprint: row.fingerprint === null ? null : String(row.fingerprint),
  };
}

/** Below the last row of a full step nothing was looked at. */
function lowest(heads: Head[]): number {
  return heads.length < STEP_ROWS ? 0 : heads.at(-1)!.seq;
}

/** One head a job, newest accepted first: the live one, else the latest word of the outbox. */
function latest(heads: Head[]): Head[] {
  const rankOf = (head: Head): number => head.outboxId ?? Number.POSITIVE_INFINITY;
  const bySeq = new Map<number, Head>();
  for (const head of heads) {
    const known = bySeq.get(head.seq);
    if (!known || rankOf(head) > rankOf(known)) bySeq.set(head.seq, head);
  }
  return [...bySeq.values()].sort((a, b) => b.seq - a.seq);
}

function matches(head: Head, { states, task, tag, from, to, fingerprint }: ListInput): boolean {
  if (head.state === "deleted") return false;
  if (task !== null && head.task !== task) return false;
  if (from !== null && head.createdAt < from) return false;
  if (to !== null && head.createdAt >= to) return false;
  if (fingerprint != null && head.fingerprint !== fingerprint) return false;
  if (tag !== null && !readOptions(head.options).tags.includes(tag)) return false;
  return states === null || states.includes(head.state) || (head.retrying && states.includes("retrying"));
}

function load(tx: Tx, heads: Head[]): JobRecord[] {
  const live = heads.filter(({ outboxId }) => outboxId === null).map(({ seq }) => seq);
  const gone = heads.filter(({ outboxId }) => outboxId !== null).map(({ outboxId, seq }) => [outboxId, seq]);
  const records = new Map<number, JobRecord>();
  const rows = tx.sql.exec(
    `SELECT ${COLUMNS} FROM jobs JOIN lanes ON lanes.id = jobs.lane WHERE seq IN (SELECT value FROM json_each(?))`,
    JSON.stringify(live),
  );
  for (const row of rows as unknown as JobRecord[]) records.set(row.seq, row);
  const found = tx.sql.exec(
    `SELECT e.value AS entry FROM json_each(?) AS p CROSS JOIN outbox AS o ON o.id = p.value ->> 0, json_each(o.body) AS e
     WHERE e.value ->> 0 = p.value ->> 1`,
    JSON.stringify(gone),
  );
  for (const row of found) {
    const [seq, fence, task, state, createdAt, finishedAt, body] = JSON.parse(String(row.entry)) as Entry;
    const record = recordOf([seq, fence, task, state, createdAt, finishedAt, body]);
    records.set(record.seq, record);
  }
  return heads.map(({ seq }) => records.get(seq)!);
}
