/**
 * How large the record of a job becomes in the outbox, whose rows production bounds: JSON text within JSON text within
 * JSON, so that a quote or a backslash takes four bytes.
 *
 * @module
 */
import { CHUNK_BYTES, utf8Bytes, VALUE_BYTES_MAX } from "./limits.ts";
import type { Tx } from "./ports.ts";

/** What a byte, or a UTF-16 unit, of a text comes to at most. */
const ESCAPED_MOST = 4;
/** The rest is for what is not counted. */
const ROW_BYTES = 0.95 * VALUE_BYTES_MAX;

/** Bytes of a record as `chunks` is to count them: a chunk of several fits a row however much is escaped. */
export function chunkBytes(bytes: number): number {
  return (bytes * ESCAPED_MOST * CHUNK_BYTES) / ROW_BYTES;
}

/** Whether a result fits a row together with the rest of its record. `restBytes`: about what the rest has unescaped. */
export function fits(tx: Tx, seq: number, result: string, restBytes: number): boolean {
  if (result.length * 3 + restBytes > ROW_BYTES / 2 && utf8Bytes(result) + restBytes > ROW_BYTES / 2) return false;
  if ((result.length + restBytes) * ESCAPED_MOST <= ROW_BYTES) return true;
  const [rest] = tx.sql.exec(REST, seq);
  return utf8Bytes(JSON.stringify(JSON.stringify(result))) + Number(rest?.bytes ?? 0) <= ROW_BYTES;
}

const REST = `
SELECT octet_length(json_array('' || json_array(payload, error, progress, attempts, options))) AS bytes
FROM jobs WHERE seq = ?`;
