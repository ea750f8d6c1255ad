/**
 * What a schema found wrong, in words that name the place and say what should be there.
 *
 * @module
 */
import type { z } from "zod";
import type { Problem } from "../client/types.ts";
import { joinPath } from "./json.ts";

type Issue = z.core.$ZodIssue;
type Errors = NonNullable<Problem["errors"]>;

/** What to say of fields that are not there: those of later chapters are named as such. */
export interface UnknownFields {
  known: readonly string[];
  later?: readonly string[];
  /** Hints for fields that belong elsewhere. */
  hints?: { readonly [field: string]: string };
}

const MAX_ERRORS = 20;

/**
 * @param value what was checked
 * @param prefix where in the request it stands: `jobs[3]`, or nothing
 */
export function errorsOf(issues: readonly Issue[], value: unknown, prefix: string, unknown: UnknownFields): Errors {
  const errors = issues.slice(0, MAX_ERRORS).flatMap((issue) => {
    const path = pathOf(issue.path, prefix);
    if (issue.code === "unrecognized_keys") {
      return issue.keys.slice(0, MAX_ERRORS).map((key) => unknownField(path, key, issue, unknown));
    }
    const missing = issue.path.length > 0 && valueAt(value, issue.path) === undefined;
    return [{ path, message: missing ? `is missing: it ${issue.message}` : issue.message }];
  });
  // A value that fails two rules of one field is told the same by both.
  return [...new Map(errors.map((error) => [`${error.path}\n${error.message}`, error])).values()];
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as { [key: PropertyKey]: unknown } | undefined)?.[key], value);
}

/** `jobs[3].backoff.type` */
export function pathOf(path: readonly PropertyKey[], prefix = ""): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : joinPath(text, String(part))),
    prefix,
  );
}

function unknownField(
  path: string,
  key: string,
  issue: Issue,
  { known, later = [], hints = {} }: UnknownFields,
): Errors[number] {
  const shown = key.toWellFormed().slice(0, 80);
  const at = joinPath(path, shown);
  if (issue.path.length > 0) return { path: at, message: "is no field of this" };
  if (later.includes(key)) return { path: at, message: "is not built yet" };
  if (Object.hasOwn(hints, key)) return { path: at, message: hints[key]! };
  const near = nearest(shown, known);
  const meant = near === null ? `there are: ${known.join(", ")}` : `did you mean "${near}"?`;
  return { path: at, message: `is not known; ${meant}` };
}

/** The name that was probably meant; null when none is near. */
export function nearest(name: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.ceil(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), least);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Letters to insert, drop or change to get from one to the other (Levenshtein), or `enough` where it is not less. */
function editDistance(from: string, to: string, enough: number): number {
  if (Math.abs(from.length - to.length) >= enough) return enough;
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const change = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}
