/**
 * The payload of a job as its task's schema makes it.
 *
 * @module
 */
import type { StandardIssue, StandardResult } from "./standard-schema.ts";
import type { AnyTaskDeclaration } from "./task.ts";
import type { JobError, Json } from "./types.ts";

/** The input for the handler, or why there is none. */
export type Checked = { ok: true; input: unknown } | { ok: false; error: JobError };

/** At once, unless the schema takes its time. Throws and rejects as the schema does. */
export function checkPayload(task: AnyTaskDeclaration, payload: Json): Checked | Promise<Checked> {
  if (!task.input) return { ok: true, input: payload };
  const judge = (result: Result): Checked =>
    result.issues ? { ok: false, error: invalidInput(task.name, result.issues) } : { ok: true, input: result.value };
  const { input } = task;
  const check = (value: unknown) => input["~standard"].validate(value);
  // Nothing tells a job without a payload from one with null: what fits either was accepted.
  if (payload !== null) return then(check(payload), judge);
  return then(check(undefined), (nothing) => (nothing.issues ? then(check(null), judge) : judge(nothing)));
}

type Result = StandardResult<unknown>;

/** At once where that is possible. */
function then(result: Result | Promise<Result>, next: (result: Result) => Checked | Promise<Checked>) {
  return isThenable(result) ? Promise.resolve(result).then(next) : next(result);
}

/** Query builders are thenables of their own: `instanceof Promise` would leave them unrun. */
export function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof (value as PromiseLike<Value> | null | undefined)?.then === "function";
}

function invalidInput(task: string, issues: readonly StandardIssue[]): JobError {
  const shown = issues.slice(0, 5).map(({ path, message }) => {
    const keys = (path ?? []).map((part) => String(typeof part === "object" && part ? part.key : part));
    return keys.length === 0 ? message : `${keys.join(".")}: ${message}`;
  });
  const message = `The payload does not fit the input of task ${task}: ${shown.join("; ")}`;
  return { name: "InvalidInput", message: message.slice(0, 4096), stack: null };
}
