/**
 * Lines of jobs' logs, from `ctx.log` to the exchange that takes them along.
 *
 * @module
 */
import { bytesOf } from "./enqueue.ts";
import type { ExchangeRequest, Json, LeasedJob, LogLevel, LogLine, Outcome } from "./types.ts";

const MESSAGE_CHARS_MAX = 2_000;
const FIELDS_BYTES_MAX = 4 * 1024;
const DEPTH_MAX = 32;
/** What the queue keeps of one job: more of it need not wait here. */
const LINES_MAX = 1_000;
const JOB_BYTES_MAX = 128 * 1024;
/** Of one exchange. */
const EXCHANGE_BYTES_MAX = 256 * 1024;

type JobLines = NonNullable<ExchangeRequest["logs"]>;

interface Waiting {
  job: LeasedJob;
  lines: { line: LogLine; bytes: number }[];
  bytes: number;
}

/**
 * What a session's attempts have logged and no exchange has taken yet: of each the latest 1,000 lines, up to 128 KiB.
 * Who has waited longest goes first.
 */
export class JobLogs {
  readonly #waiting = new Map<string, Waiting>();

  get empty(): boolean {
    return this.#waiting.size === 0;
  }

  add(job: LeasedJob, line: LogLine): void {
    let waiting = this.#waiting.get(job.id);
    if (waiting?.job.fence !== job.fence) {
      waiting = { job, lines: [], bytes: 0 };
      this.#waiting.set(job.id, waiting);
    }
    const bytes = bytesOf(JSON.stringify(line));
    waiting.lines.push({ line, bytes });
    waiting.bytes += bytes;
    while (waiting.lines.length > LINES_MAX || waiting.bytes > JOB_BYTES_MAX) {
      waiting.bytes -= waiting.lines.shift()!.bytes;
    }
  }

  /** Nobody asks for the lines of an attempt that was lost. */
  drop(id: string, fence: number): void {
    if (this.#waiting.get(id)?.job.fence === fence) this.#waiting.delete(id);
  }

  /** How many of these, from the first, one exchange may settle: their lines go with it. */
  settleable(ended: readonly Outcome[]): number {
    if (this.empty) return ended.length;
    let bytes = 0;
    for (const [index, outcome] of ended.entries()) {
      bytes += this.#of(outcome)?.bytes ?? 0;
      if (index > 0 && bytes > EXCHANGE_BYTES_MAX) return index;
    }
    return ended.length;
  }

  /** What the next exchange takes: all of the attempts that it settles, and of others what there is room for. */
  take(settled: readonly Outcome[]): JobLines {
    if (this.empty) return [];
    const ended = settled.flatMap((outcome) => this.#of(outcome) ?? []);
    const taken: JobLines = [];
    let room = EXCHANGE_BYTES_MAX;
    for (const waiting of new Set([...ended, ...this.#waiting.values()])) {
      const { job, lines, bytes } = waiting;
      const count = bytes <= room ? lines.length : fitting(lines, room);
      const part = lines.splice(0, count);
      const partBytes = part.reduce((sum, one) => sum + one.bytes, 0);
      room -= partBytes;
      waiting.bytes -= partBytes;
      if (part.length > 0) taken.push({ id: job.id, fence: job.fence, lines: part.map(({ line }) => line) });
      if (lines.length > 0) break;
      this.#waiting.delete(job.id);
    }
    return taken;
  }

  #of({ id, fence }: Outcome): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    return waiting?.job.fence === fence ? waiting : undefined;
  }
}

function fitting(lines: readonly { bytes: number }[], room: number): number {
  let left = room;
  const first = lines.findIndex(({ bytes }) => {
    left -= bytes;
    return left < 0;
  });
  return first < 0 ? lines.length : first;
}

/** A line as the queue takes it, whatever a handler passes: cut, well-formed, and nothing in it that JSON cannot hold. */
export function toLogLine(level: LogLevel, message: unknown, fields: unknown, now: number): LogLine {
  const text = shown(() => (isPlain(message) ? jsonOf(message) : String(message))) ?? "(cannot be shown)";
  return {
    at: new Date(now).toISOString(),
    level,
    message: text.slice(0, MESSAGE_CHARS_MAX).toWellFormed(),
    fields: shown(() => toFields(fields)) ?? null,
  };
}

/** Each value that is too large, or that JSON cannot hold, is replaced by words that say so. */
function toFields(fields: unknown): LogLine["fields"] {
  if (typeof fields !== "object" || fields === null) return null;
  const parts: string[] = [];
  let left = FIELDS_BYTES_MAX - 2;
  for (const key of Object.keys(fields)) {
    const name = `${wellFormed(JSON.stringify(key))}:`;
    let value = shown(() => jsonOf((fields as { [key: string]: unknown })[key])) ?? '"(cannot be shown)"';
    const bytes = bytesOf(value);
    const overhead = bytesOf(name) + 1;
    if (overhead + bytes > left) value = `"(${bytes} bytes)"`;
    if (depthOf(value) > DEPTH_MAX) value = '"(nested too deeply)"';
    if (overhead + value.length > left) continue;
    left -= overhead + bytesOf(value);
    parts.push(name + value);
  }
  return parts.length === 0 ? null : (JSON.parse(`{${parts.join(",")}}`) as { [key: string]: Json });
}

function isPlain(value: unknown): boolean {
  return typeof value === "object" && !(value instanceof Error);
}

/** JSON text without lone surrogates; `null` for what has none. Throws at cycles, and as `toJSON` and getters do. */
function jsonOf(value: unknown): string {
  return wellFormed(JSON.stringify(value, plain) ?? "null");
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Error) return String(value.stack ?? value).slice(0, MESSAGE_CHARS_MAX);
  return value;
}

/** `JSON.stringify` writes a lone surrogate as an escape, and nothing else of that form. */
function wellFormed(json: string): string {
  return json.replace(/\\(\\|ud[89a-f][0-9a-f]{2})/g, (all, escaped) => (escaped === "\\" ? all : "\ufffd"));
}

function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [character] of json.matchAll(/"(?:[^"\\]|\\.)*"|[[{\]}]/g)) {
    if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
    else if (character === "]" || character === "}") depth -= 1;
  }
  return deepest;
}

function shown<Value>(make: () => Value): Value | undefined {
  try {
    return make();
  } catch {
    return undefined;
  }
}
