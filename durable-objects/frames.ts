/**
 * What can be told of a worker's frames and grants without knowing what they say.
 *
 * @module
 */
import type { ErrorCode } from "../client/types.ts";

const FRAME_MIB = 8;
const FRAME_BYTES = FRAME_MIB * 2 ** 20;
/** The platform keeps 16 KiB with a socket. */
const KEPT_CHARS = 14_000;

type Refused = [code: ErrorCode, detail: string];

/** Why a frame is not even read; null: it is. */
export function refuseFrame(frame: string | ArrayBuffer): Refused | null {
  if (typeof frame !== "string") {
    return ["unsupported_media_type", "A frame is text, the JSON of an exchange: this one is binary"];
  }
  // A character takes up to three bytes.
  const fits =
    frame.length * 3 <= FRAME_BYTES ||
    (frame.length <= FRAME_BYTES && new TextEncoder().encode(frame).length <= FRAME_BYTES);
  return fits ? null : ["payload_too_large", `A frame has at most ${FRAME_MIB} MiB: settle fewer jobs in one exchange`];
}

/** Why something cannot be kept with a socket; null: it can. `who` names `tasks`, which take the most room. */
export function refuseToKeep(kept: object, who: string, tasks: string[] | null): string | null {
  if (JSON.stringify(kept).length <= KEPT_CHARS) return null;
  return `${who} ${tasks?.length ?? 0} tasks, too many characters in all: name fewer, or give them shorter names`;
}
