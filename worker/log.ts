/**
 * One line of JSON for the operator.
 *
 * @module
 */

export type Level = "info" | "warn" | "error";

/** Writes one line. Errors among the fields are shown as text; nothing makes it throw. */
export type Log = (level: Level, event: string, fields: Record<string, unknown>) => void;

const MAX_TEXT_CHARS = 2_000;

/**
 * Writes `{"level":…,"event":…,"at":…, …fields}` to the console.
 *
 * @param event What happened, in snake_case: `request_failed`, `queue_paused`.
 * @param fields What an operator needs to find it again: `requestId`, `job`, `queue`, `fence`. No payloads, no tokens.
 * @example
 * log("warn", "history_slow", { queue: "mail", waitedMs: 5200 });
 */
export const log: Log = (level, event, fields) => {
  console[level](lineOf(level, event, fields));
};

export function lineOf(level: Level, event: string, fields: Record<string, unknown>): string {
  const head = { level, event, at: new Date().toISOString() };
  try {
    return JSON.stringify({ ...head, ...fields }, shown);
  } catch {
    return JSON.stringify({ ...head, unshown: Object.keys(fields) });
  }
}

function shown(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Error) return (value.stack ?? String(value)).slice(0, MAX_TEXT_CHARS);
  if (typeof value === "string" && value.length > MAX_TEXT_CHARS) return `${value.slice(0, MAX_TEXT_CHARS)}…`;
  return value;
}
