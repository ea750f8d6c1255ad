/**
 * The payload of a job as its task's schema makes it.
 *
 * @module
 */
import type { AnyTaskDeclaration } from "./task.ts";
import type { JobError, Json } from "./types.ts";

/** The input for the handler, or why there is none. */
export type Checked = { ok: true; input: unknown } | { ok: false; error: JobError };

/** At once, unless the schema takes its time. Throws and rejects as the schema does. */
export function checkPayload(task: AnyTaskDeclaration, payload: Json): Checked | Promise<Checked> {
  if (!task.input) return { ok: true, input: payload };
  const judge = (result: { issues?: Issues | undefined; value?: unknown }): Checked =>
    result.issues ? { ok: false, error: invalidInput(task.name, result.issues) } : { ok: true, input: result.value };
  const result = task.input["~standard"].validate(payload);
  return isThenable(result) ? Promise.resolve(result).then(judge) : judge(result);
}

/** Query builders are thenables of their own: `instanceof Promise` would leave them unrun. */
export function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof (value as PromiseLike<Value> | null | undefined)?.then === "function";
}

type Issues = readonly { message: string; path?: readonly unknown[] | undefined }[];

function invalidInput(task: string, issues: Issues): JobError {
  const shown = issues.slice(0, 5).map(({ path, message }) => {
    const keys = (path ?? []).map((part) => (typeof part === "object" && part ? (part as { key: unknown }).key : part));
    return keys.length === 0 ? message : `${keys.join(".")}: ${message}`;
  });
  const message = `The payload does not fit the input of task ${task}: ${shown.join("; ")}`;
  return { name: "InvalidInput", message: message.slice(0, 4096), stack: null };
}
