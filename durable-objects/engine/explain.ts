import type { ExplainReply } from "../../client/wire.ts";
import type { Tx } from "./ports.ts";

/** Why a job is not running; null for one that the object does not have. */
export function explain(_tx: Tx, _seq: number): ExplainReply | null {
  return null;
}
