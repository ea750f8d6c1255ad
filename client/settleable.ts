/**
 * How many ends of attempts one exchange takes along.
 *
 * @module
 */
import { FOLLOW_UPS_MAX } from "./follow-ups.ts";
import type { Outcome } from "./types.ts";

export const SETTLE_MAX = 1_000;
/** The API takes 8 MiB, logs and progress included, and a character may be three bytes. By RPC it would be 32 MiB. */
const MESSAGE_CHARS_MAX = 1_500_000;

/** How many of these, from the first, one exchange may settle. The first goes whatever it holds. */
export function settleable(ended: readonly Outcome[]): number {
  let followUps = 0;
  let chars = 0;
  for (const [index, outcome] of ended.entries()) {
    if (index === SETTLE_MAX) return index;
    if (outcome.outcome === "completed") followUps += outcome.enqueue?.length ?? 0;
    chars += JSON.stringify(outcome).length;
    if (index > 0 && (followUps > FOLLOW_UPS_MAX || chars > MESSAGE_CHARS_MAX)) return index;
  }
  return ended.length;
}
