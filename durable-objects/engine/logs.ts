/**
 * What jobs log: the latest lines of each stand with it in one text, `[count, LogTuple[]]`, where `count` counts all
 * that there ever were. Lines come from workers and may be of any size and kind: they are cut or left out, never refused.
 *
 * @module
 */
import type { LogLevel } from "../../client/types.ts";
import type { ExchangeInput, LogTuple } from "../../client/wire.ts";
import type { Session } from "./books.ts";
import { chunks } from "./chunks.ts";
import { parseLogs } from "./events.ts";
import {
  INSTANT_MAX,
  LOG_BYTES_MAX,
  LOG_FIELDS_BYTES,
  LOG_LINES_KEPT,
  LOG_MESSAGE_CHARS,
  utf8Bytes,
} from "./limits.ts";
import type { Tx } from "./ports.ts";
import { touchLines } from "./watch.ts";

/** What the logs of jobs become, by job. */
export type NewLogs = Map<number, string>;

/** Logs of so many jobs are read together: each may be large. */
const READ_JOBS = 50;
const LEVELS: readonly LogLevel[] = ["info", "warn", "error"];

/** Adds the lines of an exchange to those of the jobs that the session holds. To be written with whatever is written of them next. */
export function readLogs(tx: Tx, session: Session, logs: ExchangeInput["logs"]): NewLogs {
  const fresh = new Map<number, LogTuple[]>();
  for (const entry of Array.isArray(logs) ? logs : []) {
    const lines = Array.isArray(entry?.lines) && session.held.get(entry.seq)?.fence === entry.fence ? entry.lines : [];
    for (const raw of lines) {
      const line = lineOf(raw, tx.now);
      const known = fresh.get(entry.seq);
      if (line && known) known.push(line);
      else if (line) fresh.set(entry.seq, [line]);
    }
  }
  const texts: NewLogs = new Map();
  for (const part of chunks([...fresh.keys()], () => 0, READ_JOBS)) {
    for (const { seq, logs } of tx.sql.exec(BEFORE, JSON.stringify(part))) {
      const before = logs === null ? null : String(logs);
      const text = addLines(before, fresh.get(Number(seq))!);
      texts.set(Number(seq), text);
      touchLines(tx, Number(seq), fresh.get(Number(seq))!.length);
      // They become part of the record, whose size is counted.
      session.held.get(Number(seq))!.bytes += utf8Bytes(text) - (before === null ? 0 : utf8Bytes(before));
    }
  }
  return texts;
}

const BEFORE = "SELECT jobs.seq, logs FROM json_each(?) AS e CROSS JOIN jobs ON jobs.seq = e.value";

function addLines(before: string | null, lines: LogTuple[]): string {
  const [count, kept] = before === null ? [0, []] : parseLogs(before);
  return latestOf(count + lines.length, [...kept, ...lines].slice(-LOG_LINES_KEPT), LOG_BYTES_MAX);
}

/** The same logs in at most so many bytes: the oldest lines go. */
export function cutLogs(text: string, bytes: number): string {
  return latestOf(...parseLogs(text), bytes);
}

function latestOf(count: number, lines: LogTuple[], most: number): string {
  const text = JSON.stringify([count, lines]);
  let over = text.length * 3 <= most ? 0 : utf8Bytes(text) - most;
  let gone = 0;
  // Each with the comma behind it.
  for (; over > 0 && gone < lines.length; gone++) over -= utf8Bytes(JSON.stringify(lines[gone])) + 1;
  return gone === 0 ? text : JSON.stringify([count, lines.slice(gone)]);
}

function lineOf(raw: unknown, now: number): LogTuple | null {
  if (!Array.isArray(raw) || typeof raw[2] !== "string") return null;
  const [at, level, message, fields] = raw;
  const isInstant = typeof at === "number" && Math.abs(at) <= INSTANT_MAX;
  return [
    isInstant ? Math.trunc(at) : now,
    LEVELS.includes(level) ? level : "info",
    message.slice(0, LOG_MESSAGE_CHARS).toWellFormed(),
    areFields(fields) ? fields : null,
  ];
}

function areFields(fields: unknown): fields is LogTuple[3] {
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) return false;
  try {
    return utf8Bytes(JSON.stringify(fields)) <= LOG_FIELDS_BYTES;
  } catch {
    // Nested too deep to be written.
    return false;
  }
}
