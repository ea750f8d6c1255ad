/**
 * A queue that is deleted keeps nothing but its ids: those are for ever.
 *
 * @module
 */
import type { Refusal } from "../../client/wire.ts";
import { applySettings } from "./books.ts";
import { carryBuckets } from "./carry.ts";
import type { CodeSettings, Tx } from "./ports.ts";
import { dropSchedules, knownSchedules } from "./schedule-rows.ts";
import { countJobs } from "./tally.ts";

/**
 * Takes back what the API changed of the queue: settings, pause, schedules. Refused while jobs run or wait. Keys that
 * are closed stay so until their time is over.
 */
export function forget(tx: Tx, code: CodeSettings): { ok: true; upto: number } | Refusal {
  const { scheduled, blocked, ready, running } = countJobs(tx.sql, tx.books);
  const unfinished = scheduled + blocked + ready + running;
  if (unfinished > 0) {
    const detail = `Cannot delete the queue: ${unfinished} jobs run or wait (${running} run). Drain it first, and wait for what runs`;
    return { ok: false, code: "conflict", detail };
  }
  const schedules = [...knownSchedules(tx)].flatMap(([name, { origin }]) => (origin === "api" ? [name] : []));
  dropSchedules(tx, schedules);
  tx.books.overrides = {};
  tx.books.paused = null;
  tx.books.registered = false;
  tx.books.uniques = 0;
  carryBuckets(tx, () => applySettings(tx.books, code));
  tx.sql.exec("DELETE FROM meta WHERE key IN ('overrides', 'paused', 'registered')");
  tx.sql.exec("DELETE FROM uniques");
  tx.sql.exec("INSERT INTO meta (key, value) VALUES ('forgotten', '1') ON CONFLICT (key) DO NOTHING");
  return { ok: true, upto: tx.books.nextSeq - 1 };
}

/** What ended lately is the history's to answer, which has all of it by now and forgets it. Ids stay. */
export function forgetEnded(tx: Tx): void {
  tx.sql.exec("UPDATE outbox SET kind = 'sent', body = NULL WHERE kind <> 'sent'");
}

/** The latest id of a queue that was deleted and not used since; null: it was used. */
export function forgottenUpto(tx: Tx): number | null {
  return isForgotten(tx) ? tx.books.nextSeq - 1 : null;
}

/** Whether the queue was deleted and has not been used since. */
export function isForgotten(tx: Tx): boolean {
  return tx.sql.exec("SELECT 1 FROM meta WHERE key = 'forgotten'").length > 0;
}

/** It is used again, and has to be registered anew. */
export function remember(tx: Tx): void {
  tx.books.registered = false;
  tx.sql.exec("DELETE FROM meta WHERE key = 'forgotten'");
}
