/**
 * Enqueueing: jobs become JSON text at the call, calls of one tick become one request, and a request whose answer is
 * lost is repeated under the same id, so that nothing is made twice.
 *
 * @module
 */
import { MillraceError } from "./errors.ts";
import type { Send } from "./request.ts";
import type { EnqueuedJob, JobOptions } from "./types.ts";

/** Options of an enqueue call: those of its jobs, and of the call itself. */
export interface EnqueueOptions extends JobOptions {
  /** Instead of the queue that the task declares. */
  queue?: string;
  /**
   * Your own key, up to 255 characters: the same call with the same key makes nothing new within 24 h. Such a call is
   * not coalesced with others.
   */
  idempotencyKey?: string;
  /** Stops waiting and sending. The jobs may have been accepted all the same. Such a call is not coalesced with others. */
  signal?: AbortSignal;
}

/** Jobs of one task on their way: where to, as JSON texts, and with which options of the call. */
export interface Outgoing {
  task: string;
  queue: string | undefined;
  jobs: string[];
  idempotencyKey: string | undefined;
  signal: AbortSignal | undefined;
}

const MAX_JOBS = 1_000;
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** `{"jobs":[` and `]}`, rounded up. */
const FRAME_BYTES = 16;

interface Waiting {
  job: string;
  resolve(made: EnqueuedJob): void;
  reject(error: unknown): void;
}

export interface Enqueuer {
  /** One job, together with others of the same tick. */
  one(outgoing: Outgoing): Promise<EnqueuedJob>;
  /** Any number, in order: a request for every 1,000 jobs or 8 MiB, one after the other. */
  many(outgoing: Outgoing): Promise<EnqueuedJob[]>;
}

export function createEnqueuer(send: Send): Enqueuer {
  /** Calls of this tick by where they go. Without a known queue that is the task: one request goes to one queue. */
  let groups = new Map<string, { path: string; calls: Waiting[] }>();

  function flush() {
    const due = groups;
    groups = new Map();
    for (const { path, calls } of due.values()) void deliver(path, calls);
  }

  async function deliver(path: string, calls: Waiting[]) {
    for (const batch of split(calls, (call) => call.job)) await deliverBatch(path, batch);
  }

  /** Never rejects. A batch is refused whole and nothing made of it, so its halves are tried until the bad one is alone. */
  async function deliverBatch(path: string, calls: Waiting[]): Promise<void> {
    const jobs = calls.map((call) => call.job);
    try {
      const made = await post(send, path, { jobs });
      for (const [index, call] of calls.entries()) call.resolve(made[index]!);
    } catch (error) {
      if (calls.length === 1 || !isRefusal(error)) {
        for (const call of calls) call.reject(error);
        return;
      }
      const middle = calls.length >> 1;
      await deliverBatch(path, calls.slice(0, middle));
      await deliverBatch(path, calls.slice(middle));
    }
  }

  async function many(outgoing: Outgoing): Promise<EnqueuedJob[]> {
    const made: EnqueuedJob[] = [];
    for (const [index, jobs] of split(outgoing.jobs, (job) => job).entries()) {
      const { idempotencyKey: key, signal } = outgoing;
      const idempotencyKey = key === undefined || index === 0 ? key : `${key}/${index}`;
      for (const job of await post(send, pathOf(outgoing), { jobs, idempotencyKey, signal })) made.push(job);
    }
    return made;
  }

  async function one(outgoing: Outgoing): Promise<EnqueuedJob> {
    if (outgoing.idempotencyKey !== undefined || outgoing.signal) return (await many(outgoing))[0]!;
    return new Promise((resolve, reject) => {
      const path = pathOf(outgoing);
      const key = outgoing.queue === undefined ? outgoing.task : path;
      if (groups.size === 0) queueMicrotask(flush);
      const group = groups.get(key) ?? { path, calls: [] };
      groups.set(key, group);
      group.calls.push({ job: outgoing.jobs[0]!, resolve, reject });
    });
  }

  return { one, many };
}

/**
 * Jobs as JSON texts, from one task, its payloads and the options they share.
 *
 * @throws {TypeError} when a payload cannot be sent as JSON
 * @throws {RangeError} when `runAt` or `deadline` is an invalid Date
 */
export function toJobTexts(task: string, payloads: Iterable<unknown>, options: EnqueueOptions): string[] {
  const { queue: _queue, idempotencyKey: _key, signal: _signal, runAt, deadline, ...rest } = options;
  const shared = { task, ...rest, runAt: toText(runAt), deadline: toText(deadline) };
  const head = JSON.stringify(shared).slice(0, -1);
  return [...payloads].map((payload, index) => {
    if (payload === undefined) return `${head}}`;
    return `${head},"payload":${toJson(payload, `The payload (index ${index}) for task "${task}"`)}}`;
  });
}

function toText(instant: string | Date | undefined): string | undefined {
  return typeof instant === "object" ? instant?.toISOString() : instant;
}

function toJson(value: unknown, what: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new TypeError(`${what} cannot be sent as JSON: ${(cause as Error)?.message ?? cause}`, { cause });
  }
  if (text === undefined) throw new TypeError(`${what} cannot be sent as JSON: it is a ${typeof value}.`);
  return text;
}

function pathOf({ queue }: Outgoing): string {
  return queue === undefined ? "/v1/jobs" : `/v1/queues/${encodeURIComponent(queue)}/jobs`;
}

async function post(
  send: Send,
  path: string,
  what: { jobs: string[]; idempotencyKey?: string; signal?: AbortSignal },
): Promise<EnqueuedJob[]> {
  const { jobs, idempotencyKey, signal } = what;
  const headers: { [name: string]: string } = { "millrace-request-id": randomId() };
  if (idempotencyKey !== undefined) headers["idempotency-key"] = idempotencyKey;
  const body = jobs.length === 1 ? jobs[0]! : `{"jobs":[${jobs.join(",")}]}`;
  const answer = await send<EnqueuedJob | { jobs: EnqueuedJob[] } | null>({
    method: "POST",
    path,
    body,
    headers,
    signal,
  });
  const made = answer && "jobs" in answer ? answer.jobs : [answer];
  if (made.length !== jobs.length || made.some((job) => typeof job?.id !== "string")) {
    throw new MillraceError(`POST ${path}: the answer does not name ${jobs.length} jobs.`, {
      code: "invalid_response",
    });
  }
  return made as EnqueuedJob[];
}

/** In order, cut where a request would hold too many jobs or bytes. */
function split<Item>(items: Item[], textOf: (item: Item) => string): Item[][] {
  const batches: Item[][] = [];
  let bytes = MAX_BODY_BYTES;
  let batch: Item[] = [];
  for (const item of items) {
    const itemBytes = bytesOf(textOf(item)) + 1;
    if (bytes + itemBytes > MAX_BODY_BYTES || batch.length === MAX_JOBS) {
      batch = [];
      batches.push(batch);
      bytes = FRAME_BYTES;
    }
    batch.push(item);
    bytes += itemBytes;
  }
  return batches;
}

const encoder = new TextEncoder();
/** How long a text is in UTF-8. */
export function bytesOf(text: string): number {
  return encoder.encode(text).length;
}

/**
 * Refused for what the batch holds, a unique key that another job has (409) included. Nothing else counts: sent in parts
 * it bears new ids, which is safe only where it is certain that no earlier try was accepted.
 */
function isRefusal(error: unknown): boolean {
  return error instanceof MillraceError && [400, 409, 413, 422].includes(error.status);
}

function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
