/** A reason that stops a script, told in one line: no stack trace, exit code 1. */
export class CannotGoOn extends Error {
  override name = "CannotGoOn";
}

/** The end of a script that failed: one line for what is the user's to mend, the whole stack for what is ours. */
export function exitWith(error: unknown): never {
  console.error(error instanceof CannotGoOn || isFromTheSystem(error) ? error.message : error);
  process.exit(1);
}

/** A folder that may not be written, a disk that is full: the message names call, path and cause. */
function isFromTheSystem(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}
