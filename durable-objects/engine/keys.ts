/**
 * Keys as people see and close them.
 *
 * @module
 */
import type { KeyReport, Reply } from "../../client/wire.ts";
import type { Tx } from "./ports.ts";

/** Keys that run, wait or are closed; of one kind, or of all. */
export function listKeys(_tx: Tx, _kind: string | null): KeyReport[] {
  return [];
}

/** Closes a key for `forMs`; 0 opens it. */
export function pauseKey(
  _tx: Tx,
  _kind: string,
  _value: string,
  _forMs: number,
  _reason: string | null,
): Reply<{ key: KeyReport }> {
  return { ok: false, code: "invalid_request", detail: "Keys cannot be closed yet" };
}
