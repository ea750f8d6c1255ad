/**
 * What people do to jobs and queues: cancel, retry, remove, pause, resume, configure.
 *
 * Each answers `absent` for a job that the object does not have: then the history is asked, and the shell comes back
 * with what it found.
 *
 * @module
 */
import { type JobRecord, type Refusal, readOptions, type SettingsPatch } from "../../client/wire.ts";
import { applySettings } from "./books.ts";
import { carryBuckets } from "./carry.ts";
import { endJobs } from "./end.ts";
import { reopenJob } from "./insert.ts";
import { get, getLive, idOf } from "./inspect.ts";
import { freeKey, loadLeaving, passOn } from "./leave.ts";
import { DELAY_MS_MAX } from "./limits.ts";
import { moveJobs } from "./move.ts";
import { appendDelete, findInOutbox } from "./outbox.ts";
import type { CodeSettings, Row, Tx } from "./ports.ts";
import { cancelledEnd, placedMove, readyMove, WAITING_COLUMNS } from "./rows.ts";
import { writeSession } from "./sessions.ts";
import { excessOf, invalidSetting, patchOverrides } from "./settings.ts";
import { tellOfCancel } from "./standing.ts";
import { isFinal } from "./states.ts";
import { tally } from "./tally.ts";
import { comesBack, comingBack, takeKeys } from "./unique.ts";
import { touch, touchQueue } from "./watch.ts";

export type JobReply = { ok: true; job: JobRecord } | Refusal | "absent";

const conflict = (detail: string): Refusal => ({ ok: false, code: "conflict", detail });

function loadRow(tx: Tx, seq: number): Row | null {
  return tx.sql.exec(`SELECT ${WAITING_COLUMNS} FROM jobs WHERE seq = ?`, seq)[0] ?? null;
}

/** A waiting job never starts; a running one gets its signal at the next exchange and is not tried again. */
export function cancel(tx: Tx, seq: number): JobReply {
  const row = loadRow(tx, seq);
  if (!row) return cancelFinished(get(tx, seq));
  if (row.state === "running") requestCancel(tx, row);
  else endWaiting(tx, row);
  return { ok: true, job: get(tx, seq) as JobRecord };
}

/** What cancelling a finished job comes to, wherever it was found. */
export function cancelFinished(record: JobRecord | "deleted" | null): JobReply {
  if (record === null || record === "deleted") return "absent";
  if (record.state === "cancelled") return { ok: true, job: record };
  return conflict(`Cannot cancel the job: it is ${record.state} already, and only an unfinished job can be cancelled`);
}

function requestCancel(tx: Tx, row: Row): void {
  if (row.cancel_requested_at !== null) return;
  tx.sql.exec("UPDATE jobs SET cancel_requested_at = ? WHERE seq = ? AND state = 'running'", tx.now, row.seq!);
  const session = tx.books.sessions.get(String(row.session));
  if (!session) return;
  session.cancels.add(Number(row.seq));
  tellOfCancel(tx, session.id, Number(row.seq));
  writeSession(tx, session);
}

function endWaiting(tx: Tx, row: Row): void {
  endJobs(tx, "cancel", row.state as "scheduled" | "blocked" | "ready", null, [cancelledEnd(row, "cancelled_by_user")]);
}

/** Scheduled: due now. Ready: no change. Finished: ready again with failures 0. Running or blocked: refused. */
export function retry(tx: Tx, seq: number): JobReply {
  const row = loadRow(tx, seq);
  if (!row) {
    const record = findInOutbox(tx, seq);
    return record === null || record === "deleted" ? "absent" : reopen(tx, record);
  }
  if (row.state === "running") {
    return conflict("Cannot retry the job: it is running, and only a waiting or finished job can be retried");
  }
  if (row.state === "blocked") {
    return conflict(
      "Cannot retry the job: it is blocked, and starts when the jobs of its ordering key before it have ended",
    );
  }
  if (row.state === "scheduled") hasten(tx, row);
  return { ok: true, job: getLive(tx, seq)! };
}

/** Puts a finished job, as the outbox or the history has it, back in line. */
export function reopen(tx: Tx, record: JobRecord): JobReply {
  if (!isFinal(record.state))
    return conflict(`Cannot reopen the job: it is ${record.state}, and only a finished job can be`);
  if (record.payload === null && record.encoding === "dropped") {
    return conflict("Cannot retry the job: its payload was dropped because the history database was nearly full");
  }
  const wrong = deadlineIsOver(tx, record) ?? takeKeyAgain(tx, record);
  if (wrong) return conflict(`Cannot retry the job: ${wrong}`);
  reopenJob(tx, record);
  return { ok: true, job: getLive(tx, record.seq)! };
}

function deadlineIsOver(tx: Tx, record: JobRecord): string | null {
  const { deadlineAt } = readOptions(record.options);
  if (deadlineAt === null || deadlineAt > tx.now) return null;
  return `its deadline, ${new Date(deadlineAt).toISOString()}, is over. Enqueue a new one`;
}

/** Says who has the job's unique key, or takes it. */
function takeKeyAgain(tx: Tx, record: JobRecord): string | null {
  const { unique } = readOptions(record.options);
  const keys = comingBack(tx, unique ? [unique.key] : []);
  if (comesBack(tx, keys, record.seq, record.createdAt, unique)) {
    takeKeys(tx, keys);
    return null;
  }
  const { key, seq, state } = keys.known.get(unique!.key)!;
  return `its unique key "${key}" is held by job ${idOf(tx, seq)}, which is ${state}`;
}

function hasten(tx: Tx, row: Row): void {
  moveJobs(tx, "hasten", "scheduled", null, [readyMove(row, tx.now, tx.now)]);
}

/** Gives a waiting job another start, at most 366 days ahead; in the past means now. Running or finished: refused. */
export function reschedule(tx: Tx, seq: number, runAt: number): JobReply {
  const start = Math.min(Math.max(runAt, tx.now), tx.now + DELAY_MS_MAX);
  return changeWaiting(tx, seq, "reschedule", (row) => {
    if (row.state === "blocked") tx.sql.exec("UPDATE jobs SET run_at = ? WHERE seq = ?", start, seq);
    else if (row.state === "scheduled" || start > tx.now) {
      moveJobs(tx, "reschedule", row.state as "scheduled" | "ready", null, [placedMove(row, start, tx.now)]);
    }
  });
}

/** Gives a waiting job another priority, -32,768 to 32,767. Running or finished: refused. */
export function setPriority(tx: Tx, seq: number, priority: number): JobReply {
  return changeWaiting(tx, seq, "set the priority of", (row) => {
    tx.sql.exec("UPDATE jobs SET priority = ? WHERE seq = ?", priority, seq);
    if (row.state !== "ready") return;
    const place = { state: "ready", lane: Number(row.lane), retrying: false } as const;
    tally(tx, place, place);
  });
}

function changeWaiting(tx: Tx, seq: number, what: string, change: (row: Row) => void): JobReply {
  const row = loadRow(tx, seq);
  const record = row ? null : findInOutbox(tx, seq);
  const state = row?.state ?? (record === "deleted" ? null : record?.state);
  if (state == null) return "absent";
  if (!row || state === "running")
    return conflict(`Cannot ${what} the job: it is ${state}, and only a waiting job can be changed`);
  change(row);
  return { ok: true, job: getLive(tx, seq)! };
}

/** Forgets a job for good, in the history too. `found` is what the history has, when the object has nothing. */
export function remove(tx: Tx, seq: number, found: JobRecord | null): { ok: true } | Refusal | "absent" {
  const row = loadRow(tx, seq);
  if (row?.state === "running") {
    return conflict("Cannot delete the job: it is running. Cancel it first, and delete it when it has ended");
  }
  if (row) {
    const requests = row.request === null ? null : JSON.stringify([[seq, row.created_at, row.request]]);
    appendDelete(tx, seq, Number(row.fence), requests);
    const leaving = loadLeaving(tx, JSON.stringify([[seq]]));
    tx.sql.exec("DELETE FROM jobs WHERE seq = ? AND +state = ? AND fence = ?", seq, row.state!, row.fence!);
    touch(tx, [{ seq }]);
    const retrying = Number(row.failures) + Number(row.lapses) > 0;
    tally(tx, { state: row.state as "ready", lane: Number(row.lane), retrying }, null);
    passOn(tx, leaving, () => null);
    return { ok: true };
  }
  const ended = findInOutbox(tx, seq);
  if (ended === "deleted") return "absent";
  const record = ended ?? found;
  if (!record) return "absent";
  appendDelete(tx, seq, record.fence, null);
  freeKey(tx, seq, readOptions(record.options).unique);
  return { ok: true };
}

export function pause(tx: Tx, reason: string | null): void {
  tx.books.paused = { reason, since: tx.books.paused?.since ?? tx.now };
  writeMeta(tx, "paused", JSON.stringify(tx.books.paused));
  touchQueue(tx);
}

export function resume(tx: Tx): void {
  if (!tx.books.paused) return;
  tx.books.paused = null;
  touchQueue(tx);
  tx.sql.exec("DELETE FROM meta WHERE key = 'paused'");
}

/** Changes settings through the API, or refuses them all. */
export function configure(tx: Tx, code: CodeSettings, patch: SettingsPatch): Refusal | null {
  const refused = (wrong: string): Refusal => ({
    ok: false,
    code: "invalid_request",
    detail: `Cannot change the settings: ${wrong}`,
  });
  const wrong = invalidSetting(patch);
  if (wrong) return refused(wrong);
  const overrides = patchOverrides(tx.books.overrides, patch);
  const excess = excessOf(overrides);
  if (excess) return refused(excess);
  carryBuckets(tx, () => {
    tx.books.overrides = overrides;
    applySettings(tx.books, code);
  });
  writeMeta(tx, "overrides", JSON.stringify(tx.books.overrides));
  return null;
}

/** Notes that the registry knows this queue. */
export function noteRegistered(tx: Tx): void {
  tx.books.registered = true;
  writeMeta(tx, "registered", "1");
}

function writeMeta(tx: Tx, key: string, value: string): void {
  tx.sql.exec(
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    key,
    value,
  );
}
