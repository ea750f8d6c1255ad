/**
 * How the end of an attempt is noted with its job: the outcome, and the error as it is kept.
 *
 * @module
 */
import type { JobError } from "../../client/types.ts";
import type { WireOutcome } from "../../client/wire.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { ATTEMPT_MESSAGE_CHARS, ERROR_MESSAGE_CHARS, ERROR_NAME_CHARS, ERROR_STACK_CHARS } from "./limits.ts";
import type { Move } from "./move.ts";

/** An outcome that a worker reports, or the end of a job whose session went silent. */
export type Ending = WireOutcome | { seq: number; fence: number; outcome: "lapsed" };

export function notes(ending: Ending): Pick<Move, "outcome" | "error" | "attemptError"> {
  const error = errorOf(ending);
  return {
    outcome: ending.outcome,
    // That nobody could run it is noted with the attempt only.
    error:
      error && ending.outcome !== "declined" ? JSON.stringify({ ...error, fingerprint: fingerprintOf(error) }) : null,
    attemptError: error && { name: error.name, message: error.message.slice(0, ATTEMPT_MESSAGE_CHARS) },
  };
}

/** How much room that takes. */
export function notedLength({ error, attemptError }: ReturnType<typeof notes>): number {
  return (error?.length ?? 0) + (attemptError ? JSON.stringify(attemptError).length : 0);
}

function errorOf(ending: Ending) {
  switch (ending.outcome) {
    case "failed":
    case "dead":
      return cleanError(ending.error ?? { name: "Error", message: "The worker gave no error", stack: null });
    case "declined":
      return cleanError({ name: "Declined", message: String(ending.code ?? "unknown_task"), stack: null });
    case "cancelled":
      if (ending.reason === undefined) return null;
      return cleanError({ name: "Cancelled", message: String(ending.reason), stack: null });
    default:
      return null;
  }
}

/** An error as it is kept. It comes from a worker, so its fields may be of any size and kind. */
function cleanError({ name, message, stack }: JobError): JobError {
  return {
    name: String(name ?? "Error").slice(0, ERROR_NAME_CHARS),
    message: message.slice(0, ERROR_MESSAGE_CHARS),
    stack: typeof stack === "string" ? stack.slice(0, ERROR_STACK_CHARS) : null,
  };
}
