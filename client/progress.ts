/**
 * How far an attempt has come, as it is sent and kept.
 *
 * @module
 */
import { bytesOf } from "./enqueue.ts";
import type { Progress } from "./types.ts";

const BYTES_MAX = 4_096;
/** JSON escapes a control character so: `\u0001`. */
const CHAR_BYTES_MAX = 6;
/** All but the note. */
const FRAME_BYTES_MAX = 64;

/** At most 4 KiB as JSON: of a note that is longer, its beginning. A percent beyond 0 to 100 is the nearer of them. */
export function toProgress(percent: number | null, note: string | null): Progress {
  const within = percent === null ? null : Math.min(100, Math.max(0, percent));
  if (note === null) return { percent: within, note };
  const upTo = (chars: number) => ({ percent: within, note: note.slice(0, chars).toWellFormed() });
  const fits = (chars: number) =>
    chars * CHAR_BYTES_MAX + FRAME_BYTES_MAX <= BYTES_MAX || bytesOf(JSON.stringify(upTo(chars))) <= BYTES_MAX;
  let [fitting, tooMany] = [0, Math.min(note.length, BYTES_MAX) + 1];
  while (tooMany - fitting > 1) {
    const middle = (fitting + tooMany) >> 1;
    if (fits(middle)) fitting = middle;
    else tooMany = middle;
  }
  return upTo(fitting);
}
