/**
 * How large the record of a job becomes in the outbox, whose rows production bounds: JSON text within JSON text within
 * JSON, so that a quote or a backslash takes four bytes.
 *
 * @module
 */
import type { End } from "./end.ts";
import { CHUNK_BYTES, utf8Bytes, VALUE_BYTES_MAX } from "./limits.ts";
import { cutLogs } from "./logs.ts";
import type { Tx } from "./ports.ts";

/** What a byte, or a UTF-16 unit, of a text comes to at most. */
const ESCAPED_MOST = 4;
/** The rest is for what is not counted. */
const ROW_BYTES = 0.95 * VALUE_BYTES_MAX;

/** Bytes of a record as `chunks` is to count them: a chunk of several fits a row however much is escaped. */
export function chunkBytes(bytes: number): number {
  return (bytes * ESCAPED_MOST * CHUNK_BYTES) / ROW_BYTES;
}

/**
 * Whether a result fits a row together with the rest of its record, without its logs: these are cut for it. `restBytes`:
 * about what the rest has unescaped, with the logs. `logs`: what they become; null: what the row has.
 */
export function fits(tx: Tx, seq: number, result: string, restBytes: number, logs: string | null): boolean {
  const bytes = result.length * 3 + restBytes > ROW_BYTES / 2 ? utf8Bytes(result) : 3 * result.length;
  if (bytes > ROW_BYTES / 2) return false;
  if (bytes + restBytes <= ROW_BYTES / 2 && (result.length + restBytes) * ESCAPED_MOST <= ROW_BYTES) return true;
  const row = tx.sql.exec(REST, seq)[0]!;
  const withoutLogs = restBytes - (logs === null ? Number(row.logs_bytes) : utf8Bytes(logs));
  if (bytes + withoutLogs > ROW_BYTES / 2) return false;
  return escapedBytes(result) + Number(row.bytes) <= ROW_BYTES;
}

/** What the logs of a job become for its record to fit a row: the oldest lines go. Null: they stay as they are. */
export function fittingLogs(tx: Tx, { seq, result, error, attemptError, logs }: End): string | null {
  const row = tx.sql.exec(REST, seq)[0]!;
  const before = logs ?? (row.logs === null ? null : String(row.logs));
  if (before === null) return null;
  const noted = utf8Bytes(JSON.stringify([error, attemptError])) * ESCAPED_MOST;
  const room = ROW_BYTES - Number(row.bytes) - escapedBytes(result ?? "") - noted;
  if (utf8Bytes(JSON.stringify(before)) <= room) return logs;
  return cutLogs(before, room / 2);
}

/** Of a text within the record's body. */
function escapedBytes(text: string): number {
  return utf8Bytes(JSON.stringify(JSON.stringify(text)));
}

const REST = `
SELECT octet_length(json_array('' || json_array(payload, error, progress, attempts, options))) AS bytes,
  logs, coalesce(octet_length(logs), 0) AS logs_bytes
FROM jobs WHERE seq = ?`;
