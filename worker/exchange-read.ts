/**
 * Reads what a worker says in an exchange, whoever it is: strict about types and sizes, deaf to fields that a newer
 * client may send.
 *
 * What makes no sense as a whole is refused as a whole, and an outcome that makes none alone. Lists are read by hand:
 * this runs for every job, for those of sockets in the queue's object.
 *
 * @module
 */
import { toProgress } from "../client/progress.ts";
import type { FollowUp, Held } from "../client/types.ts";
import type { ExchangeInput, LogTuple, WireOutcome } from "../client/wire.ts";
import { type Fields, readOutcome } from "./exchange-outcome.ts";
import { exchangeHead, HOLDING_MAX, LOG_FIELDS_BYTES, SETTLE_MAX } from "./exchange-schema.ts";
import { parseInstant } from "./instant.ts";
import { errorsOf } from "./issues.ts";
import { parseJobId } from "./job.ts";
import { holdsInfinity, MAX_BODY_BYTES, utf8Bytes } from "./json.ts";
import { type Refused, refuse } from "./problem.ts";

/** Whose jobs are told, and what the worker may do. */
export interface ExchangeAbout {
  queue: string;
  partition: number;
  /** Tasks that its token names; null: any. */
  tasks: readonly string[] | null;
  maxResultBytes: number;
}

export interface CheckedExchange {
  ok: true;
  /** Follow-up jobs are left out of its outcomes. */
  input: Omit<ExchangeInput, "channel">;
  /** Those that outcomes ask for, by the place of these in `input.settle`. */
  followUps: Map<number, FollowUp[]>;
  /** What names jobs of other queues is answered here. */
  foreign: { settles: Held[]; holding: Held[] };
  /** Only over HTTP. */
  wait: string | null;
}

/** What a worker sent: its JSON, if it is any, and the number of the exchange that it is, where that can be told. */
export function parseExchange(text: string): { ok: true; value: unknown; n: number | null } | Refused {
  if (text.length > MAX_BODY_BYTES) {
    return refuse("payload_too_large", `An exchange holds at most ${MAX_BODY_BYTES} bytes (8 MiB): settle fewer jobs.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const what = text === "" ? "is empty" : `is not JSON: ${(error as Error).message.slice(0, 200)}`;
    return refuse("invalid_request", `The exchange ${what}`);
  }
  if (holdsInfinity(text, value)) {
    return refuse("invalid_request", "The exchange holds a number beyond 1.8e308: send it as a string.");
  }
  const n = (value as Fields | null)?.n;
  return { ok: true, value, n: Number.isSafeInteger(n) ? (n as number) : null };
}

/** Checks an exchange. `value` is what JSON holds. */
export function readExchange(value: unknown, about: ExchangeAbout): CheckedExchange | Refused {
  const head = exchangeHead.safeParse(value);
  if (!head.success) return refuse("invalid_request", NOT_VALID, errorsOf(head.error.issues, value, "", { known: [] }));
  const { wait = null, worker, gather, ...rest } = head.data;
  const tasks = cut(worker.tasks, about.tasks);
  if (tasks?.length === 0 && worker.tasks?.length !== 0) {
    const named = about.tasks!.slice(0, 10).join(", ");
    return refuse("forbidden", `This token is for workers of ${named}, and this one names none of them.`);
  }
  try {
    const lists = new Lists(value as Fields, about);
    const foreign: CheckedExchange["foreign"] = { settles: [], holding: [] };
    const holding = lists.holding(foreign.holding);
    const { settle, followUps } = lists.settle(foreign.settles);
    const input: CheckedExchange["input"] = { ...rest, worker, holding, settle, progress: lists.progress() };
    if (tasks) input.worker = { ...worker, tasks };
    if (gather) input.gather = { ...gather, tasks: cut(gather.tasks, about.tasks)! };
    const logs = lists.logs();
    if (logs.length > 0) input.logs = logs;
    return { ok: true, input, followUps, foreign, wait };
  } catch (error) {
    if (error instanceof Malformed) return refuse("invalid_request", NOT_VALID, [error.where]);
    throw error;
  }
}

const NOT_VALID = "The exchange is not valid.";

/** The tasks of a worker that its token allows. */
function cut(named: string[] | undefined, allowed: readonly string[] | null): string[] | undefined {
  if (!allowed) return named;
  return named ? named.filter((task) => allowed.includes(task)) : [...allowed];
}

class Malformed extends Error {
  readonly where: { path: string; message: string };

  constructor(path: string, message: string) {
    super(message);
    this.where = { path, message };
  }
}

const LEVELS = ["info", "warn", "error"] as const;
const MESSAGE_CHARS = 2_000;

/** The lists of one exchange. Each throws `Malformed` where its first member is none. */
class Lists {
  readonly #given: Fields;
  readonly #prefix: string;
  readonly #maxResultBytes: number;

  constructor(given: Fields, { queue, partition, maxResultBytes }: ExchangeAbout) {
    this.#given = given;
    this.#prefix = `${queue}:${partition}:`;
    this.#maxResultBytes = maxResultBytes;
  }

  holding(foreign: Held[]): [seq: number, fence: number][] {
    if (this.#given.holding === undefined) throw new Malformed("holding", "is missing: it is a list of [id, fence]");
    const held: [number, number][] = [];
    for (const [index, pair] of listOf(this.#given.holding, "holding", HOLDING_MAX).entries()) {
      const path = `holding[${index}]`;
      if (!Array.isArray(pair) || pair.length !== 2) throw new Malformed(path, "is [id, fence]");
      const [id, fence] = pair;
      const seq = this.#seqOf(id, `${path}[0]`);
      if (!isFence(fence)) throw new Malformed(`${path}[1]`, FENCE);
      if (seq === null) foreign.push([id, fence]);
      else held.push([seq, fence]);
    }
    return held;
  }

  settle(foreign: Held[]): { settle: WireOutcome[]; followUps: CheckedExchange["followUps"] } {
    const settle: WireOutcome[] = [];
    const followUps: CheckedExchange["followUps"] = new Map();
    for (const { one, id, seq, fence } of this.#ofJobs("settle", SETTLE_MAX)) {
      if (seq === null) {
        foreign.push([id, fence]);
        continue;
      }
      const outcome = readOutcome(one, seq, fence, this.#maxResultBytes);
      const { enqueue } = one;
      const asks = Array.isArray(enqueue) ? enqueue.length > 0 : (enqueue ?? null) !== null;
      if (outcome.outcome === "completed" && asks) followUps.set(settle.length, enqueue as FollowUp[]);
      settle.push(outcome);
    }
    return { settle, followUps };
  }

  progress(): ExchangeInput["progress"] {
    const notes: ExchangeInput["progress"] = [];
    for (const { one, path, seq, fence } of this.#ofJobs("progress", HOLDING_MAX)) {
      const { percent = null, note = null } = objectOf(one.progress, `${path}.progress`, "is { percent?, note? }");
      if (percent !== null && typeof percent !== "number") {
        throw new Malformed(`${path}.progress.percent`, "is a number from 0 to 100, or null");
      }
      if (note !== null && typeof note !== "string") throw new Malformed(`${path}.progress.note`, "is text, or null");
      if (seq !== null) notes.push({ seq, fence, progress: toProgress(percent, note) });
    }
    return notes;
  }

  logs(): NonNullable<ExchangeInput["logs"]> {
    const logs: NonNullable<ExchangeInput["logs"]> = [];
    for (const { one, path, seq, fence } of this.#ofJobs("logs", HOLDING_MAX)) {
      const given = listOf(one.lines, `${path}.lines`, Number.POSITIVE_INFINITY);
      const lines = given.map((line, index) => readLine(line, `${path}.lines[${index}]`));
      if (seq !== null && lines.length > 0) logs.push({ seq, fence, lines });
    }
    return logs;
  }

  /** The members of a list that name a job each; `seq` is null for one of another queue. */
  *#ofJobs(list: "settle" | "progress" | "logs", max: number) {
    const given = this.#given[list] ?? [];
    for (const [index, member] of listOf(given, list, max).entries()) {
      const path = `${list}[${index}]`;
      const one = objectOf(member, path, "is an object: { id, fence, … }");
      const seq = this.#seqOf(one.id, `${path}.id`);
      if (!isFence(one.fence)) throw new Malformed(`${path}.fence`, FENCE);
      yield { one, path, id: one.id as string, seq, fence: one.fence };
    }
  }

  /** Each job has one spelling. Null: a job of another queue. */
  #seqOf(id: unknown, path: string): number | null {
    if (typeof id === "string") {
      if (id.startsWith(this.#prefix)) {
        const digits = id.slice(this.#prefix.length);
        const seq = Number(digits);
        if (seq > 0 && Number.isSafeInteger(seq) && String(seq) === digits) return seq;
      } else if (parseJobId(id)) return null;
    }
    throw new Malformed(path, 'is the id of a job, such as "emails:0:4711"');
  }
}

const FENCE = "is the fence of the claim: a whole number";

function isFence(fence: unknown): fence is number {
  return Number.isSafeInteger(fence) && (fence as number) >= 0;
}

function listOf(given: unknown, path: string, max: number): unknown[] {
  if (!Array.isArray(given)) throw new Malformed(path, "is a list");
  if (given.length > max) throw new Malformed(path, `holds at most ${max}: got ${given.length}`);
  return given;
}

function objectOf(given: unknown, path: string, what: string): Fields {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as Fields;
  throw new Malformed(path, what);
}

/** What is too long of a line is cut, fields that are too much are left out. */
function readLine(given: unknown, path: string): LogTuple {
  const { at, level, message, fields = null } = objectOf(given, path, "is { at, level, message, fields? }");
  const instant = typeof at === "string" ? parseInstant(at) : null;
  if (instant === null) throw new Malformed(`${path}.at`, "is an instant in ISO 8601 with its offset");
  const known = LEVELS.find((one) => one === level);
  if (!known) throw new Malformed(`${path}.level`, `is one of ${LEVELS.join(", ")}`);
  if (typeof message !== "string") throw new Malformed(`${path}.message`, "is text");
  if (fields !== null) objectOf(fields, `${path}.fields`, "is an object, or null");
  const text = message.slice(0, MESSAGE_CHARS).toWellFormed();
  return [instant, known, text, fits(fields) ? (fields as LogTuple[3]) : null];
}

function fits(fields: unknown): boolean {
  try {
    return fields === null || utf8Bytes(JSON.stringify(fields)) <= LOG_FIELDS_BYTES;
  } catch {
    return false;
  }
}
