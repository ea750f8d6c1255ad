/**
 * The client: enqueue jobs and look after them, from anywhere with `fetch`.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import { createEnqueuer, type EnqueueOptions, type Outgoing, toJobTexts } from "./enqueue.ts";
import { type CallOptions, EnqueuedJobHandle, JobHandle } from "./job-handle.ts";
import {
  begin,
  filterTexts,
  type OperationFilter,
  OperationHandle,
  type OperationRequest,
  type RedriveOptions,
} from "./operation-handle.ts";
import { list } from "./pages.ts";
import { QueueHandle } from "./queue-handle.ts";
import { createSend, type Fetch, notTheUrl, type Send } from "./request.ts";
import type { AnyTaskDeclaration } from "./task.ts";
import type { InputOf, ResultOf, TaskName, TaskNamed } from "./task-types.ts";
import { type Tokens, tokensOver } from "./tokens.ts";
import type {
  AuditEntry,
  Duration,
  EnqueuedJob,
  ErrorGroup,
  Job,
  JobId,
  JobState,
  Operation,
  QueueSummary,
} from "./types.ts";

/** Where Millrace is, and how to reach it. */
export interface ClientOptions {
  /** Up to and with the base path, without `/v1`: `"https://app.example.com/jobs"`. */
  url: string;
  /** Sent as bearer token with each call. */
  token?: string;
  /** Answers each `Request` instead of the global `fetch`: `(request) => app.fetch(request, env)` stays in the process. */
  fetch?: Fetch;
  /**
   * How long a call that does not succeed is sent again, from its first send; at most `"2m"`: beyond that a job could
   * be made twice. @default {"2m"}
   */
  retryFor?: Duration;
}

/** Which jobs to list. With `queue`: newest accepted first. Without: only those that have ended, newest first. */
export interface JobFilter extends CallOptions {
  queue?: string;
  state?: JobState | "retrying" | readonly (JobState | "retrying")[];
  task?: string;
  tag?: string;
  /** On `createdAt` with `queue`, on `finishedAt` without. Inclusive. */
  from?: string | Date;
  /** Exclusive. */
  to?: string | Date;
  /** Of the error, as {@link Client.errors} groups them. */
  fingerprint?: string;
  /** Jobs per request, 1 to 200. @default {50} */
  pageSize?: number;
}

/** A task of `Tasks`, by its name or by a declaration that bears it. */
type TaskRef<Tasks> = TaskName<Tasks> | AnyTaskDeclaration<TaskName<Tasks>>;

type TaskOf<Tasks, Ref> = Ref extends AnyTaskDeclaration ? Ref : TaskNamed<Tasks, Extract<Ref, string>>;

/** The payload may be left out where the task takes none. */
type EnqueueArguments<Input> = undefined extends Input
  ? [payload?: Input, options?: EnqueueOptions]
  : [payload: Input, options?: EnqueueOptions];

/** Made by {@link createClient}. Every call rejects with a `MillraceError` when it is refused or cannot be made. */
export interface Client<Tasks = AnyTaskDeclaration[]> {
  /**
   * Enqueues one job. Calls of one tick that go to the same queue become one request; each is answered for itself.
   *
   * @throws {TypeError} when the payload cannot be sent as JSON; nothing is sent
   * @throws {MillraceError} `invalid_request`, `unknown_task`, `payload_too_large` … or, after up to two minutes of
   * trying, `network`, `unavailable`, `rate_limited`
   * @example
   * const job = await client.enqueue("export", { format: "csv" }, { delay: "10m" });
   */
  enqueue<const Ref extends TaskRef<Tasks>>(
    task: Ref,
    ...args: EnqueueArguments<InputOf<TaskOf<Tasks, Ref>>>
  ): Promise<EnqueuedJobHandle<ResultOf<TaskOf<Tasks, Ref>>>>;

  /**
   * Enqueues many jobs of one task, in order: a request for every 1,000 or 8 MiB, one after the other. When one is
   * refused the jobs of those before it stand; with an `idempotencyKey` the same call can be made again safely.
   *
   * @throws {TypeError} when a payload cannot be sent as JSON; nothing is sent
   */
  enqueueMany<const Ref extends TaskRef<Tasks>>(
    task: Ref,
    payloads: Iterable<InputOf<TaskOf<Tasks, Ref>>>,
    options?: EnqueueOptions,
  ): Promise<EnqueuedJobHandle<ResultOf<TaskOf<Tasks, Ref>>>[]>;

  /** A job by its id; name its task as type argument for a typed result. Makes no request. */
  job<Name extends TaskName<Tasks> = TaskName<Tasks>>(id: JobId): JobHandle<ResultOf<TaskNamed<Tasks, Name>>>;

  /** All jobs that match, page by page as you go. */
  jobs(filter?: JobFilter): AsyncIterableIterator<Job>;

  /** All queues that have been used, page by page as you go. */
  queues(options?: CallOptions): AsyncIterableIterator<QueueSummary>;

  /** A queue by its name. Makes no request. */
  queue(name: string): QueueHandle;

  /**
   * Puts dead jobs back in line, in steps, by the server: however many there are.
   *
   * @param filter which of them; at least one field
   * @example
   * const op = await client.redrive({ queue: "mail" }, { rate: { limit: 50, per: "1s" }, canary: { count: 10, minSuccess: 0.9 } });
   * const { changed } = await op.done();
   */
  redrive(filter: OperationFilter, options?: RedriveOptions): Promise<OperationHandle>;

  /**
   * Does one thing to all jobs that a filter finds: retry, cancel, delete, reschedule, setPriority.
   *
   * @example
   * await client.operate({ action: "setPriority", filter: { queue: "mail", tag: "vip" }, args: { priority: 10 } });
   */
  operate(request: OperationRequest): Promise<OperationHandle>;

  /** An operation by its id. Makes no request. */
  operation(id: string): OperationHandle;

  /** All operations of the last 30 days, newest first, page by page as you go. */
  operations(options?: CallOptions): AsyncIterableIterator<Operation>;

  /**
   * The latest jobs that did not complete, grouped by what went wrong, the largest group first. `complete`: all were
   * looked at. A group's fingerprint serves as a filter.
   *
   * @example
   * const { items } = await client.errors({ queue: "mail" });
   * await client.redrive({ queue: "mail", fingerprint: items[0].fingerprint });
   */
  errors(filter?: ErrorFilter): Promise<{ items: ErrorGroup[]; complete: boolean }>;

  /** Tokens: make, list and revoke them. */
  tokens: Tokens;

  /**
   * Who changed what in the last 90 days, or was refused it, newest first, page by page as you go.
   *
   * @example
   * for await (const { at, who, action } of client.audit({ from: "2026-11-01T00:00:00Z" })) console.log(at, who, action);
   */
  audit(filter?: AuditFilter): AsyncIterableIterator<AuditEntry>;
}

/** Which part of the audit log. */
export interface AuditFilter extends CallOptions {
  /** Inclusive. */
  from?: string | Date;
  /** Exclusive. */
  to?: string | Date;
}

/** Which jobs to group. */
export interface ErrorFilter extends CallOptions {
  queue?: string;
  /** @default {"dead"} */
  state?: "dead" | "cancelled" | readonly ("dead" | "cancelled")[];
  /** On `finishedAt`. Inclusive. */
  from?: string | Date;
  /** Exclusive. */
  to?: string | Date;
  /** Groups, 1 to 200. @default {50} */
  limit?: number;
}

const LONGEST_RETRY_MS = 120_000;

/**
 * A client for a Millrace.
 *
 * Network errors and answers 429, 502, 503 and 504 are met by sending again, with growing pauses and `Retry-After`
 * honoured, for up to two minutes; an enqueue never makes a job twice by that.
 *
 * @throws {TypeError} when `url` is none, or has another scheme than http and https
 * @throws {RangeError} when `retryFor` is not a duration of at most `"2m"`
 * @example
 * const client = createClient<typeof tasks>({ url: "https://app.example.com/jobs", token });
 * const job = await client.enqueue("send-welcome", { userId: "1" });
 */
export function createClient<Tasks = AnyTaskDeclaration[]>(options: ClientOptions): Client<Tasks> {
  const retryForMs = parseDuration(options.retryFor ?? "2m");
  if (retryForMs > LONGEST_RETRY_MS) {
    throw new RangeError(`retryFor is at most "2m", not "${options.retryFor}".`);
  }
  // One without a scheme is relative to a page's own.
  if (typeof options.url !== "string" || /^(?!https?:)[\w+.-]+:/i.test(options.url)) throw notTheUrl(options.url);
  const send = createSend({
    url: options.url,
    token: options.token,
    fetch: options.fetch ?? ((request) => fetch(request)),
    retryForMs,
  });
  const enqueuer = createEnqueuer(send);
  return clientOver<Tasks>(send, {
    async one(task, payload, about) {
      return enqueuer.one(outgoing(task, [payload], about));
    },
    async many(task, payloads, about) {
      return enqueuer.many(outgoing(task, payloads, about));
    },
  });
}

/** How new jobs reach their queue. */
export interface Delivery {
  one(task: string | AnyTaskDeclaration, payload: unknown, about?: EnqueueOptions): Promise<EnqueuedJob>;
  many(task: string | AnyTaskDeclaration, payloads: Iterable<unknown>, about?: EnqueueOptions): Promise<EnqueuedJob[]>;
}

/** A client from its parts: how requests are sent, and how new jobs are. For hosts that have a shorter way than HTTP. */
export function clientOver<Tasks>(send: Send, delivery: Delivery): Client<Tasks> {
  const client: Client = {
    async enqueue(task, payload?: unknown, about?: EnqueueOptions) {
      return new EnqueuedJobHandle(send, await delivery.one(task, payload, about));
    },
    async enqueueMany(task, payloads, about) {
      const made = await delivery.many(task, payloads, about);
      return made.map((job) => new EnqueuedJobHandle(send, job));
    },
    job: (id) => new JobHandle(send, id),
    jobs: ({ signal, ...filter } = {}) => list(send, `/v1/jobs?${query(filter)}`, signal),
    queues: ({ signal } = {}) => list(send, "/v1/queues?", signal),
    queue: (name) => new QueueHandle(send, name),
    redrive: (filter, options) => client.operate({ ...options, action: "retry", filter }),
    operate: ({ signal, filter, ...request }) =>
      begin(send, { method: "POST", path: "/v1/operations" }, { ...request, filter: filterTexts(filter) }, signal),
    operation: (id) => new OperationHandle(send, id),
    operations: ({ signal } = {}) => list(send, "/v1/operations?", signal),
    errors: ({ signal, ...filter } = {}) =>
      send({ method: "GET", path: `/v1/errors?${new URLSearchParams(filterTexts(filter))}`, signal }),
    tokens: tokensOver(send),
    audit: ({ signal, ...filter } = {}) => list(send, `/v1/audit?${query(filter)}`, signal),
  };
  return client as Client<Tasks>;
}

function outgoing(
  task: string | AnyTaskDeclaration,
  payloads: Iterable<unknown>,
  about: EnqueueOptions = {},
): Outgoing {
  const [name, declared] = typeof task === "string" ? [task, undefined] : [task.name, task.queue];
  return {
    task: name,
    queue: about.queue ?? declared,
    jobs: toJobTexts(name, payloads, about),
    idempotencyKey: about.idempotencyKey,
    signal: about.signal,
  };
}

function query({ pageSize, ...filter }: JobFilter): URLSearchParams {
  return new URLSearchParams(filterTexts({ limit: pageSize, ...filter }));
}
