/**
 * How a row of `history` becomes a `JobRecord`.
 *
 * @module
 */
import type { JobState } from "../../client/types.ts";
import { ENTRY_BODY, type JobRecord, recordOf } from "../../client/wire.ts";

/** A row as `SELECT_ROW` gives it. */
export interface HistoryRow {
  seq: number;
  fence: number;
  task: string;
  state: JobState;
  createdAt: number;
  finishedAt: number;
  body: string;
  /** Where they were asked for. */
  logs?: string | null;
}

/** What to select for rows to come out as `HistoryRow`. */
export const SELECT_ROW = 'seq, fence, task, state, created_at AS "createdAt", finished_at AS "finishedAt", body';

export function toRecord({ seq, fence, task, state, createdAt, finishedAt, body, logs }: HistoryRow): JobRecord {
  return recordOf([seq, fence, task, state, createdAt, finishedAt, body, logs]);
}

/** Where a field stands in `body`. */
export function placeOf(field: (typeof ENTRY_BODY)[number]): number {
  return ENTRY_BODY.indexOf(field);
}

/**
 * SQL for what a row's like are grouped by: the fingerprint of its error, or the reason of an end that no error tells of.
 * `durable-objects/engine/list.ts` says the same of jobs that the object has.
 */
export const FINGERPRINT = `CASE WHEN body ->> ${placeOf("reason")} IN ('crashed', 'unknown_task', 'expired', 'superseded')
  THEN body ->> ${placeOf("reason")}
  ELSE coalesce((body ->> ${placeOf("error")}) ->> 'fingerprint', body ->> ${placeOf("reason")}, 'none') END`;
