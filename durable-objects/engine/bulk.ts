/**
 * One thing done to many jobs: a step of an operation. Each job is judged on its own. Jobs leave the table as sets,
 * because one at a time each costs a row of the outbox.
 *
 * @module
 */
import type { JobState } from "../../client/types.ts";
import { type BulkInput, type BulkReply, type JobRecord, readOptions } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { chunks } from "./chunks.ts";
import { endJobs } from "./end.ts";
import { freeKey, loadLeaving, passOn } from "./leave.ts";
import * as operate from "./operate.ts";
import { appendDeletes, findManyInOutbox } from "./outbox.ts";
import type { Row, Tx } from "./ports.ts";
import { cancelledEnd, WAITING_COLUMNS } from "./rows.ts";
import { tally } from "./tally.ts";
import { touch } from "./watch.ts";

export const BULK_JOBS_MAX = 200;

type Answer = BulkReply[number];
type Seq = number;

/** Blocked ones first: when the head of an ordering key goes, the next of its key is released, and blocked no more. */
const WAITING = ["blocked", "scheduled", "ready"] as const;

/**
 * Does it to the jobs that the object has, live or lately ended, and to those that `found` has of the history. Others
 * that only the history may have get no answer.
 */
export function bulkHere(tx: Tx, input: BulkInput, found: JobRecord[] = []): Map<Seq, Answer> {
  assert(input.jobs.length <= BULK_JOBS_MAX, `a step takes at most ${BULK_JOBS_MAX} jobs: got ${input.jobs.length}`);
  const answers = new Map<Seq, Answer>();
  const seqs = input.jobs.map(([seq]) => seq);
  if (seqs.length === 0) return answers;
  for (const seq of seqs) if (seq >= tx.books.nextSeq) answers.set(seq, "absent");
  const fences = new Map(input.jobs);
  const rows = tx.sql.exec(
    `SELECT ${WAITING_COLUMNS}, priority FROM json_each(?) AS e CROSS JOIN jobs ON jobs.seq = e.value`,
    JSON.stringify(seqs),
  );
  const meant: Row[] = [];
  for (const row of rows) {
    const seq = Number(row.seq);
    if (isMeant(input, fences.get(seq)!, liveState(row), Number(row.fence))) meant.push(row);
    else answers.set(seq, "absent");
  }
  actOnLive(tx, input, meant, answers);
  const gone = findManyInOutbox(
    tx,
    seqs.filter((seq) => !answers.has(seq)),
  );
  const ended = new Map<Seq, JobRecord>();
  for (const [seq, record] of gone) {
    if (record === "deleted") answers.set(seq, "absent");
    else ended.set(seq, record);
  }
  for (const record of found) {
    if (!answers.has(record.seq) && !gone.has(record.seq)) ended.set(record.seq, record);
  }
  actOnEnded(tx, input, ended, answers);
  return answers;
}

type Shown = JobState | "retrying";

function liveState(row: Row): Shown[] {
  const state = row.state as JobState;
  return state === "scheduled" && Number(row.failures) + Number(row.lapses) > 0 ? [state, "retrying"] : [state];
}

/** Whether the job is still what was asked for. A second retry of the same job would undo what became of the first. */
function isMeant({ action, states }: BulkInput, listed: number, shown: Shown[], fence: number): boolean {
  if (action === "retry" && listed !== fence) return false;
  return states === null || shown.some((state) => states.includes(state));
}

function actOnLive(tx: Tx, input: BulkInput, rows: Row[], answers: Map<Seq, Answer>): void {
  const together = input.action === "cancel" || input.action === "delete" ? WAITING : [];
  for (const state of together) {
    const group = rows.filter((row) => row.state === state);
    if (group.length === 0) continue;
    if (input.action === "cancel") cancelRows(tx, state, group);
    else deleteRows(tx, group);
    for (const row of group) answers.set(Number(row.seq), "changed");
  }
  for (const row of rows) {
    const seq = Number(row.seq);
    if (!answers.has(seq)) answers.set(seq, actOnRow(tx, input, row));
  }
}

function cancelRows(tx: Tx, state: (typeof WAITING)[number], rows: Row[]): void {
  endJobs(
    tx,
    "cancel",
    state,
    null,
    rows.map((row) => cancelledEnd(row, "cancelled_by_user")),
  );
}

function deleteRows(tx: Tx, rows: Row[]): void {
  for (const part of chunks(rows, (row) => String(row.request ?? "").length)) deletePart(tx, part);
}

function deletePart(tx: Tx, rows: Row[]): void {
  const gone = rows.map((row): [number, number] => [Number(row.seq), Number(row.fence)]);
  const requests = rows.filter((row) => row.request !== null).map((row) => [row.seq, row.created_at, row.request]);
  appendDeletes(tx, gone, requests.length > 0 ? JSON.stringify(requests) : null);
  const json = JSON.stringify(gone);
  const leaving = loadLeaving(tx, json);
  tx.sql.exec("DELETE FROM jobs WHERE seq IN (SELECT value ->> 0 FROM json_each(?))", json);
  touch(
    tx,
    gone.map(([seq]) => ({ seq })),
  );
  for (const row of rows) {
    const retrying = Number(row.failures) + Number(row.lapses) > 0;
    tally(tx, { state: row.state as "ready", lane: Number(row.lane), retrying }, null);
  }
  passOn(tx, leaving, () => null);
}

function actOnRow(tx: Tx, input: BulkInput, row: Row): Answer {
  const seq = Number(row.seq);
  switch (input.action) {
    case "cancel":
      if (row.cancel_requested_at !== null) return "unchanged";
      return answerOf(operate.cancel(tx, seq));
    case "delete":
      return answerOf(operate.remove(tx, seq, null));
    case "retry":
      return row.state === "ready" ? "unchanged" : answerOf(operate.retry(tx, seq));
    case "reschedule":
      return answerOf(operate.reschedule(tx, seq, input.runAt!));
    case "setPriority":
      return row.priority === input.priority ? "unchanged" : answerOf(operate.setPriority(tx, seq, input.priority!));
  }
}

/** In the order of acceptance: so those of an ordering key that are retried together come to the end of its line. */
function actOnEnded(tx: Tx, input: BulkInput, records: Map<Seq, JobRecord>, answers: Map<Seq, Answer>): void {
  const forgotten: [number, number][] = [];
  for (const [seq, fence] of [...input.jobs].sort(([a], [b]) => a - b)) {
    const record = records.get(seq);
    if (!record) continue;
    if (!isMeant(input, fence, [record.state], record.fence)) {
      answers.set(seq, "absent");
    } else if (input.action === "delete") {
      forgotten.push([seq, record.fence]);
      freeKey(tx, seq, readOptions(record.options).unique);
      answers.set(seq, "changed");
    } else {
      answers.set(seq, actOnRecord(tx, input, record));
    }
  }
  if (forgotten.length > 0) appendDeletes(tx, forgotten, null);
}

function actOnRecord(tx: Tx, { action }: BulkInput, record: JobRecord): Answer {
  if (action === "retry") return answerOf(operate.reopen(tx, record));
  return action === "cancel" && record.state === "cancelled" ? "unchanged" : "refused";
}

function answerOf(reply: { ok: boolean } | "absent"): Answer {
  if (reply === "absent") return "absent";
  return reply.ok ? "changed" : "refused";
}
