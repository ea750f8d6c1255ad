/**
 * The payload of a job as its task's schema makes it.
 *
 * @module
 */
import type { StandardIssue, StandardResult, StandardSchemaV1 } from "./standard-schema.ts";
import type { AnyTaskDeclaration } from "./task.ts";
import type { JobError, Json } from "./types.ts";

/** The input for the handler, or why there is none. */
export type Checked = { ok: true; input: unknown } | { ok: false; error: JobError };

/** At once, unless the schema takes its time. Throws and rejects as the schema does. */
export function checkPayload(task: AnyTaskDeclaration, payload: Json): Checked | Promise<Checked> {
  if (!task.input) return { ok: true, input: payload };
  const judge = (result: StandardResult<unknown>): Checked =>
    result.issues ? { ok: false, error: invalidInput(task.name, result.issues) } : { ok: true, input: result.value };
  const result = validate(task.input, payload);
  return isThenable(result) ? Promise.resolve(result).then(judge) : judge(result);
}

type Result = StandardResult<unknown> | Promise<StandardResult<unknown>>;

/**
 * What a schema makes of a payload. Null and no payload are the same: a schema that takes one of them is content. Throws
 * and rejects as the schema does.
 */
export function validate(schema: StandardSchemaV1, payload: unknown): Result {
  const check = schema["~standard"].validate;
  const result = check(payload ?? null);
  if (payload !== undefined && payload !== null) return result;
  const orNothing = (nothing: StandardResult<unknown>): Result => (nothing.issues ? check(undefined) : nothing);
  return isThenable(result) ? Promise.resolve(result).then(orNothing) : orNothing(result);
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
