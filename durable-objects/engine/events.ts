/**
 * What a watcher of a job is told, as a function of the job and of what has been told before: a stream that was cut
 * goes on after its cursor, and misses and repeats nothing.
 *
 * @module
 */
import type { JobError, JobEvent, JobId, JobState, LogLine, Progress, Reason, Streamed } from "../../client/types.ts";
import { type AttemptTuple, type JobRecord, type LogTuple, readOptions } from "../../client/wire.ts";
import { isFinal } from "./states.ts";

/** What of a job is told. Texts are JSON, as in `JobRecord`. */
export interface Seen {
  id: JobId;
  task: string;
  state: JobState;
  reason: Reason | null;
  attempt: number;
  fence: number;
  progress: string | null;
  logs: string | null;
  result: string | null;
  error: string | null;
}

/** How much of a job has been told. State and progress stand as digests. */
export interface Told {
  fence: number;
  state: string;
  progress: string;
  lines: number;
  /** With its result. */
  ended: boolean;
}

export function seenOf(id: JobId, record: JobRecord): Seen {
  const { task, state, reason, fence, progress, logs = null, result, error } = record;
  return { id, task, state, reason, attempt: attemptOf(record), fence, progress, logs, result, error };
}

/** The next try of an unfinished job, the last one of a finished: 1 to `maxAttempts`. A dead job's failures count its last. */
export function attemptOf({ state, failures, attempts, options }: JobRecord): number {
  const last = state === "dead" ? (JSON.parse(attempts ?? "[]") as AttemptTuple[]).at(-1)?.[0] : undefined;
  return Math.min(last ?? failures + 1, readOptions(options).maxAttempts);
}

/** All of the job as it is has been told, but its result. */
export function toldOf(seen: Seen): Told {
  const { fence, progress, logs } = seen;
  return { fence, state: stateDigest(seen), progress: progressDigest(progress), lines: countLines(logs), ended: false };
}

const CURSOR = /^(\d{1,16})-([0-9a-z]{1,7})-([0-9a-z]{1,7})-(\d{1,16})(-end)?$/;

/** Reads the cursor of a job's event; null: it is none. */
export function readCursor(text: string): Told | null {
  const match = CURSOR.exec(text);
  if (!match) return null;
  const [, fence, state, progress, lines, end] = match;
  return { fence: Number(fence), state: state!, progress: progress!, lines: Number(lines), ended: end !== undefined };
}

function cursorOf({ fence, state, progress, lines, ended }: Told): string {
  return `${fence}-${state}-${progress}-${lines}${ended ? "-end" : ""}`;
}

/** The events that lead from what has been told (null: nothing) to the job as it is: its state, new lines, progress, result. */
export function eventsSince(before: Told | null, seen: Seen): Streamed<JobEvent>[] {
  const { id, task, state, reason, attempt, fence } = seen;
  const now = toldOf(seen);
  const told: Told = before ? { ...before } : { fence: -1, state: "", progress: NO_PROGRESS, lines: 0, ended: false };
  const events: Streamed<JobEvent>[] = [];
  const tell = (event: JobEvent): void => void events.push({ cursor: cursorOf(told), event });
  if (told.fence !== fence || told.state !== now.state) {
    Object.assign(told, { fence, state: now.state, ended: false });
    tell({ event: "state", id, task, state, reason, attempt, fence });
  }
  for (const [n, line] of linesAfter(told.lines, seen.logs)) {
    told.lines = n;
    tell({ event: "log", id, n, ...toLine(line) });
  }
  if (told.progress !== now.progress) {
    told.progress = now.progress;
    const { percent, note } = (JSON.parse(seen.progress ?? "null") as Progress | null) ?? {};
    tell({ event: "progress", id, percent: percent ?? null, note: note ?? null });
  }
  if (isFinal(state) && !told.ended) {
    told.ended = true;
    tell({ event: "result", id, state, reason, result: jsonOf(seen.result), error: errorOf(seen) });
  }
  return events;
}

/** Lines after the first `told` ones, each with its number. Of those that are not kept any more nothing is said. */
export function linesAfter(told: number, logs: string | null): [n: number, line: LogTuple][] {
  if (countLines(logs) <= told) return [];
  const [count, lines] = parseLogs(logs!);
  const first = count - lines.length + 1;
  return lines.map((line, index): [number, LogTuple] => [first + index, line]).filter(([n]) => n > told);
}

/** A line as people see it. */
export function toLine([at, level, message, fields]: LogTuple): LogLine {
  return { at: new Date(at).toISOString(), level, message, fields };
}

/** How many lines there were, and the latest of them. */
export function parseLogs(text: string): [count: number, lines: LogTuple[]] {
  return JSON.parse(text);
}

/** How many lines there were, without looking at them. */
export function countLines(logs: string | null): number {
  return logs === null ? 0 : Number.parseInt(logs.slice(1), 10);
}

/** Of the latest attempt that failed: none of a job that completed in the end. */
function errorOf({ state, error }: Seen): JobError | null {
  return state === "completed" ? null : (jsonOf(error) as JobError | null);
}

function jsonOf(text: string | null) {
  return text === null ? null : JSON.parse(text);
}

const NO_PROGRESS = "0";

function progressDigest(progress: string | null): string {
  return progress === null ? NO_PROGRESS : digest(progress);
}

function stateDigest({ state, reason, attempt }: Seen): string {
  return digest(`${state} ${reason} ${attempt}`);
}

/** FNV-1a, 32 bits. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash >>> 0).toString(36);
}
