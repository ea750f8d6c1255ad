/**
 * The wire types: what the HTTP contract, the SDK, the Worker and the queue object agree on.
 *
 * This file is the leaf of the import graph. It holds types and nothing that runs.
 * Instants are ISO 8601 strings in UTC with milliseconds; durations in settings are strings such as
 * `"30s"`; measurements are integers in fields that end in `Ms`; absent values are `null`.
 *
 * @module
 */

/** Any value that JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** An integer and a unit: `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"7d"`. */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** `<queue>:<partition>:<seq>`, for example `emails:0:4711`. It shows volume: ids count upwards. */
export type JobId = string;

/** States that a job passes through. */
export type UnfinishedState = "scheduled" | "blocked" | "ready" | "running";
/** States that a job ends in. */
export type FinalState = "completed" | "dead" | "cancelled";
/** Any state of a job. */
export type JobState = UnfinishedState | FinalState;

/** Why a job is in its state, where there is something to say. */
export type Reason =
  | "retrying"
  | "snoozed"
  | "released"
  | "declined"
  | "limit"
  | "paused"
  | "exhausted"
  | "non_retryable"
  | "crashed"
  | "unknown_task"
  | "expired"
  | "cancelled_by_user"
  | "superseded"
  | "ordering"
  | "result_too_large";

/** How long to wait before the next attempt. Jitter is 0 to 1 and only ever adds; default 0.1. */
export type Backoff =
  | { type: "exponential"; base: Duration; max?: Duration; jitter?: number }
  | { type: "fixed"; delay: Duration; jitter?: number };

/** What a caller may ask of one job. Each field has the default of the task, then the queue, then Millrace. */
export interface JobOptions {
  /** Higher runs sooner. Integer, -32,768 to 32,767. @default {0} */
  priority?: number;
  /** The instant before which the job does not start. ISO 8601 or a Date; in the past means now. */
  runAt?: string | Date;
  /** Like `runAt`, relative to acceptance. */
  delay?: Duration;
  /** Tries before the job is dead, 1 to 100. @default {8} */
  maxAttempts?: number;
  backoff?: Backoff;
  /** Time for one attempt, 1 s to 7 d; over 13 min needs a remote worker. @default {"5m"} */
  timeout?: Duration;
  /** Not started by then: cancelled with reason `expired`. */
  expiresIn?: Duration;
  /** At most 16 of at most 64 characters. */
  tags?: string[];
  /** Anything of up to 4 KiB, shown with the job and handed to the handler. */
  meta?: { [key: string]: Json };
  /** What the job touches, by kind: `{ tenant: "acme" }`. The limits of those kinds hold for it, all together. At most 8 kinds. */
  keys?: Keys;
  /** How much the job takes of the rate limits of its kinds, 1 to 1,000,000. @default 1 of each */
  cost?: { [kind: string]: number };
  /** Jobs of a queue with the same one run one at a time, strictly in order of acceptance. 1 to 255 characters. */
  orderingKey?: string;
  /** Keys of a queue get the same share of its starts, however many jobs each has. 1 to 255 characters. */
  fairKey?: string;
  /** The job is over by then, between tries and while it runs too: cancelled with reason `expired`. From acceptance, or an instant. */
  deadline?: Duration | string | Date;
  unique?: Unique;
}

/** Kind (1 to 64 of letters, digits and `. _ -`, first a letter) to value (1 to 255 characters). */
export interface Keys {
  [kind: string]: string;
}

/** A state that a unique key may hold in. The waiting ones go together: `waiting` is scheduled, blocked and ready. */
export type UniqueState = "waiting" | "running" | FinalState;

/** At most one job of a queue for a key, in the states that it names. */
export interface Unique {
  /** 1 to 255 characters. */
  key: string;
  /** With `waiting`; final ones need `running` too, and a `ttl`. @default waiting and running; for replace and debounce waiting */
  states?: UniqueState[];
  /** The key is free again this long after acceptance, whatever the job does. */
  ttl?: Duration;
  /**
   * What becomes of a request whose key is held:
   * `return` answers with the job that holds it; `reject` is a conflict; `replace` gives a waiting holder this request's
   * payload and options; `debounce` does so and starts it `wait` after the latest request, at most `maxWait` after the
   * first; `throttle` makes at most one job in each `wait`. @default {"return"}
   */
  onConflict?: "return" | "reject" | "replace" | "debounce" | "throttle";
  wait?: Duration;
  maxWait?: Duration;
}

/** One job as it is asked for over HTTP. */
export interface NewJob extends JobOptions {
  task: string;
  payload?: Json;
}

/** What an enqueue made of a job: a new one, or what its unique key came to. */
export type EnqueueOutcome = "created" | "returned" | "replaced" | "debounced" | "throttled";

/** What became of one job of an enqueue call. */
export interface EnqueuedJob {
  id: JobId;
  state: JobState;
  outcome: EnqueueOutcome;
}

/** An error as it is kept and shown: message cut at 4 KiB, stack at 16 KiB. */
export interface JobError {
  name: string;
  message: string;
  stack: string | null;
  /** Made by the queue: equal for errors of the same cause, as `GET /v1/errors` groups them. */
  fingerprint?: string;
}

/** How an attempt can end. */
export type OutcomeName = "completed" | "failed" | "dead" | "snoozed" | "released" | "declined" | "cancelled";

/** One try, the latest 20 of which a job shows. */
export interface Attempt {
  attempt: number;
  fence: number;
  startedAt: string;
  finishedAt: string | null;
  outcome: OutcomeName | "lapsed" | null;
  worker: string | null;
  error: { name: string; message: string } | null;
}

/** How far an attempt has come, as its handler says. `percent` is 0 to 100. */
export interface Progress {
  percent: number | null;
  note: string | null;
}

/** A job as the API shows it, live or from history. */
export interface Job {
  id: JobId;
  queue: string;
  task: string;
  state: JobState;
  reason: Reason | null;
  payload: Json;
  result: Json;
  progress: Progress | null;
  priority: number;
  attempt: number;
  failures: number;
  lapses: number;
  maxAttempts: number;
  fence: number;
  error: JobError | null;
  attempts: Attempt[];
  createdAt: string;
  runAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  cancelRequestedAt: string | null;
  tags: string[];
  meta: { [key: string]: Json };
  actor: string | null;
  schedule: string | null;
  parent: JobId | null;
  version: string | null;
  keys: Keys;
  orderingKey: string | null;
  fairKey: string | null;
  uniqueKey: string | null;
  deadline: string | null;
}

/** One page of a list. It may be short or empty while `nextCursor` is set: null alone means the end. */
export interface Page<Item> {
  items: Item[];
  nextCursor: string | null;
}

/** A queue as the registry knows it. */
export interface QueueSummary {
  name: string;
  partitions: number;
  paused: boolean;
  updatedAt: string;
}

/** Unfinished jobs by state. */
export interface QueueCounts {
  scheduled: number;
  retrying: number;
  blocked: number;
  ready: number;
  running: number;
}

/** A worker's stay at a queue: how many jobs it holds, and until when the object believes in it. */
export interface SessionInfo {
  id: string;
  worker: string;
  jobs: number;
  leaseExpiresAt: string;
}

/**
 * Who runs the jobs of a queue: `push` consumer Workers, woken by tickets; `pull` remote workers, which come for them;
 * `both`, each the tasks that it has handlers for.
 */
export type Delivery = "push" | "pull" | "both";

/** One queue in full. `scheduled` counts all that are due later; `retrying` those of them that have failed or lapsed. */
export interface Queue extends QueueSummary {
  pauseReason: string | null;
  delivery: Delivery;
  counts: QueueCounts;
  oldestReadyAt: string | null;
  sessions: SessionInfo[];
  config: EffectiveConfig;
}

/** How long finished jobs are kept. */
export interface HistoryConfig {
  /** `"none"` keeps no completed job; its result is still answered for ten minutes. @default {"all"} */
  completed?: "all" | "none";
  /** @default {"7d"} */
  keep?: Duration;
  /** @default {"30d"} */
  keepDead?: Duration;
}

/** Settings of a queue, from code or through the API. */
export interface QueueConfig {
  /** Most jobs running at once across all sessions. @default none */
  concurrency?: number;
  /** Jobs that one session runs side by side. @default {6} */
  slots?: number;
  /** Most sessions at once. @default {20} */
  maxSessions?: number;
  /** Time for which the object believes in a silent session, 5 s to 10 min. @default {"30s"} */
  lease?: Duration;
  history?: HistoryConfig;
  /** Starts of the whole queue. */
  rateLimit?: RateLimit;
  /** Limits of single tasks. */
  tasks?: { [task: string]: Limit };
  /** Limits by kind of key: each value of a kind has the kind's limits of its own. */
  limits?: { [kind: string]: KindLimit };
  fairness?: {
    /** Share of a fair key beside the others, 0.001 to 1,000. @default 1 each */
    weights?: { [fairKey: string]: number };
  };
  /** Waiting makes a job more urgent: `priority` more for each `per` that it has been ready. */
  ageing?: Ageing;
}

/** A token bucket: `limit` starts each `per`, after a rest up to `burst` at once. @default burst = limit */
export interface RateLimit {
  limit: number;
  per: Duration;
  burst?: number;
}

/** A job starts only when every limit that applies lets it. */
export interface Limit {
  /** Most jobs running at once. */
  concurrency?: number;
  rateLimit?: RateLimit;
}

/** Limits that each value of a kind has, with exceptions. */
export interface KindLimit extends Limit {
  /** What replaces the kind's limits for single values, such as plan tiers. */
  values?: { [value: string]: Limit };
}

/** See {@link QueueConfig.ageing}. */
export interface Ageing {
  per: Duration;
  priority: number;
}

/** Where a setting comes from; the later ones win. */
export type ConfigOrigin = "default" | "code" | "api";
/** A setting in force. */
export interface Setting<Value> {
  value: Value;
  origin: ConfigOrigin;
}

/** The settings in force, each with where it comes from. */
export interface EffectiveConfig {
  concurrency: Setting<number | null>;
  slots: Setting<number>;
  maxSessions: Setting<number>;
  lease: Setting<Duration>;
  history: { completed: Setting<"all" | "none">; keep: Setting<Duration>; keepDead: Setting<Duration> };
  rateLimit: Setting<RateLimit | null>;
  ageing: Setting<Ageing | null>;
  tasks: { [task: string]: EffectiveLimit };
  limits: { [kind: string]: EffectiveLimit & { values: { [value: string]: EffectiveLimit } } };
  fairness: { weights: { [fairKey: string]: Setting<number> } };
}

/** Limits in force; what nobody set is absent. */
export interface EffectiveLimit {
  concurrency?: Setting<number>;
  rateLimit?: Setting<RateLimit>;
}

/** A job that is made together with the completion of another, or not at all. */
export interface FollowUp extends NewJob {
  /** Instead of the queue that the task declares. */
  queue?: string;
}

/** How an attempt ended, as a worker reports it. A closed union. */
export type Outcome =
  | { id: JobId; fence: number; outcome: "completed"; result?: Json; reason?: "result_too_large"; enqueue?: FollowUp[] }
  | { id: JobId; fence: number; outcome: "failed"; error: JobError; retryInMs?: number }
  | { id: JobId; fence: number; outcome: "dead"; error: JobError }
  | { id: JobId; fence: number; outcome: "snoozed"; forMs: number; rateLimited?: { kind: string; forMs: number } }
  | { id: JobId; fence: number; outcome: "released" /** No handler was called. */; started?: false }
  | { id: JobId; fence: number; outcome: "declined"; code: string }
  | { id: JobId; fence: number; outcome: "cancelled"; reason?: string };

/** A job in the hands of a worker. */
export interface LeasedJob {
  id: JobId;
  task: string;
  payload: Json;
  encoding: "json";
  attempt: number;
  fence: number;
  /** The fence at the latest manual retry or redrive; 0: never reopened. */
  reopenedFence: number;
  failures: number;
  maxAttempts: number;
  timeoutMs: number;
  /** The job's own policy, when it was enqueued with one; it goes before the task's. */
  backoff: Backoff | null;
  createdAt: string;
  runAt: string;
  tags: string[];
  meta: { [key: string]: Json };
  actor: string | null;
  schedule: { name: string; instant: string } | null;
  /** By kind; a worker may close one of them for all. */
  keys: Keys;
  version: string | null;
  traceparent: string | null;
}

/** What a worker says of itself in an exchange. */
export interface WorkerInfo {
  name: string;
  runtime: string;
  version?: string;
  /** Names of the tasks that this worker runs; absent means any. */
  tasks?: string[];
}

/** A job in a worker's hands. */
export type Held = [id: JobId, fence: number];

/** What a worker says: what ended, what it still holds, what it has room for. */
export interface ExchangeRequest {
  session: string;
  /** 1, 2, 3 … per session, one in flight. A repeated n is answered from the books. */
  n: number;
  worker: WorkerInfo;
  /** Everything that the worker still holds, not counting what `settle` ends. */
  holding: Held[];
  settle: Outcome[];
  progress: { id: JobId; fence: number; progress: Progress }[];
  /** New lines of the jobs' logs, in order. */
  logs?: { id: JobId; fence: number; lines: LogLine[] }[];
  /** How many more jobs the worker has room for, 0 to 500. */
  want: number;
  /**
   * Beside them, more jobs of tasks that are gathered to be taken many at a time. Asks again within `backInMs`, at most
   * 5 s: nobody else needs to come for such jobs meanwhile.
   */
  gather?: { tasks: string[]; want: number; backInMs: number };
}

/** What the queue answers: new jobs, and what became of those that the worker named. */
export interface ExchangeResponse {
  n: number;
  jobs: LeasedJob[];
  /** What the worker named but does not hold: stop it, its settle would change nothing. */
  lost: Held[];
  refused: { id: JobId; fence: number; code: string }[];
  /** Held jobs that somebody asked to cancel. */
  cancel: JobId[];
  leaseMs: number;
  /** Jobs that the queue wants one session to run side by side. */
  slots: number;
  /** More work is likely: ask again after this time. Null: nothing to wait for. */
  retryInMs: number | null;
  /** In the first answer of a session: tasks that the worker names and the server does not know, at most 10. */
  unknownTasks?: { task: string; didYouMean: string | null }[];
}

/** What the queue says between answers: jobs for what the worker still wants of exchange `n`, and jobs to cancel. */
export interface ExchangePush {
  n: number;
  jobs: LeasedJob[];
  cancel: JobId[];
}

/** What a worker is told over a WebSocket; it sends `ExchangeRequest`s, and the text `ping` to be answered with `pong`. */
export type ConnectFrame =
  | ({ type: "answer" } & ExchangeResponse)
  | ({ type: "push" } & ExchangePush)
  /** A frame was refused: nothing of it was done. `n`: the exchange that it was, where that can be told. */
  | { type: "problem"; n: number | null; problem: Problem };

/** How grave a line of a log is. */
export type LogLevel = "info" | "warn" | "error";

/** One line of a job's log. The latest 1,000 of a job are kept, up to 128 KiB. */
export interface LogLine {
  at: string;
  level: LogLevel;
  /** Cut at 2,000 characters. */
  message: string;
  /** At most 4 KiB as JSON. */
  fields: { [key: string]: Json } | null;
}

/**
 * What happens to a job, as `GET /v1/jobs/{id}/events` tells it. The first event of a stream is the state as it is; the
 * last, of a job that has ended, is `result`. States that follow each other at once may be told as one.
 */
export type JobEvent =
  | { event: "state"; id: JobId; task: string; state: JobState; reason: Reason | null; attempt: number; fence: number }
  | ({ event: "progress"; id: JobId } & Progress)
  /** `n` counts the lines of the job from 1. */
  | ({ event: "log"; id: JobId; n: number } & LogLine)
  | { event: "result"; id: JobId; state: FinalState; reason: Reason | null; result: Json; error: JobError | null };

/**
 * What happens in a queue, as `GET /v1/queues/{queue}/events` tells it: events of its jobs, and from time to time how many
 * there are. `gap`: more happened than is told; look again at what matters.
 */
export type QueueEvent =
  | JobEvent
  | { event: "counts"; counts: QueueCounts; paused: boolean }
  | { event: "gap"; reason: "resumed" | "overflow" };

/** An event with the place in its stream: `Last-Event-ID` of a stream that goes on there. */
export interface Streamed<Event> {
  cursor: string;
  event: Event;
}

/** What a token lets its bearer do. */
export type Role = "admin" | "operator" | "producer" | "worker" | "viewer";

/** A token as it is asked for. What is absent is not restricted, but for `options`. */
export interface TokenRequest {
  /** 1 to 128 characters, for people. */
  name: string;
  role: Role;
  /** Names or patterns such as `"tenant-*"`. */
  queues?: string[];
  tasks?: string[];
  /** For producers and viewers: no others. */
  jobs?: JobId[];
  /** Fields of the payload that jobs of a producer have: filled in where absent, refused where other. */
  pin?: { [field: string]: Json };
  /** Job options that a producer may give. @default none */
  options?: (keyof JobOptions)[];
  /** Jobs that a producer may enqueue into one queue. */
  rate?: RateLimit;
  /** Stands with each job that it makes; a producer sees only those. @default the token's id, for a producer */
  actor?: string;
  /** At most 400 days. @default {"90d"}; for what code mints {"1h"} */
  expiresIn?: Duration;
}

/** A token as it was made; the secret itself is shown once. */
export interface TokenInfo extends Omit<TokenRequest, "expiresIn"> {
  id: string;
  createdAt: string;
  expiresAt: string;
  revokedAt: string | null;
}

/** Who did what, when, to what. */
export interface AuditEntry {
  id: string;
  at: string;
  /** The token's name; `"admin"`: the token that the server was configured with; `"code"`: the Worker, by binding. */
  who: string;
  tokenId: string | null;
  role: Role;
  /** Method and path as called; then to what, where the path does not say it. */
  action: string;
  status: number;
  requestId: string;
}

/** The stable codes of the API's errors. */
export type ErrorCode =
  | "invalid_request"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "method_not_allowed"
  | "conflict"
  | "payload_too_large"
  | "unsupported_media_type"
  | "unknown_task"
  | "idempotency_mismatch"
  | "rate_limited"
  | "not_configured"
  | "unavailable"
  | "internal";

/** RFC 9457, as every error of the API is answered. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: ErrorCode;
  detail: string;
  errors?: { path: string; message: string }[];
}

/** What holds a job back, as `explain` names it. */
export type GateName =
  | "paused"
  | "schedule"
  | "retry"
  | "ordering"
  | "concurrency"
  | "rate"
  | "key_paused"
  | "sessions"
  | "no_worker"
  | "suspect"
  | "deadline"
  | "final"
  | "running";

/** One closed gate. */
export interface Gate {
  gate: GateName;
  /** In words: what is, and what opens it. */
  detail: string;
  since?: string;
  /** When it opens, where an instant is known. */
  until?: string;
}

/** Why a job is not running. */
export interface Explanation {
  /** Nothing but the order of the line stands between the job and a worker. */
  runnable: boolean;
  gates: Gate[];
  /** How many ready jobs come before it; absent when it is not in line. */
  position?: number;
  /** About how long until it starts, in ms; absent when nobody can say. */
  etaMs?: number;
}

/** A key with limits, or one that is closed. */
export interface KeyState {
  kind: string;
  value: string;
  /** Jobs of the key that run. */
  holders: number;
  /** Ready jobs of the key. */
  waiters: number;
  concurrency: number | null;
  rateLimit: RateLimit | null;
  /** Starts left in the bucket; null without a rate limit. */
  tokens: number | null;
  paused: { until: string; reason: string | null } | null;
}

/** What happens when a schedule is due while a job of it is not finished. */
export type Overlap = "allow" | "skip" | "buffer-one" | "cancel-other";

/** A schedule as it is asked for: `cron` or `every`. Null is as good as absent. */
export interface ScheduleSpec {
  /** Five fields, or six with seconds first; or `@hourly`, `@daily` and the like. */
  cron?: string | null;
  /** From 1 s. Instants are multiples of it since `startAt`, or since 1970. */
  every?: Duration | null;
  /** An IANA zone, for `cron` alone: `every` counts real time. @default {"UTC"} */
  timezone?: string | null;
  task: string;
  payload?: Json;
  /** Options of its jobs, without `runAt` and `delay`. */
  options?: Omit<JobOptions, "runAt" | "delay"> | null;
  /** @default {"allow"} */
  overlap?: Overlap;
  /** Instants that were missed are made up for: those of the last `window`, the latest `max` of them. @default {{ window: "1d", max: 1 }} */
  catchUp?: { window: Duration; max: number };
  /** Each run starts up to this much later, never earlier. @default {"0s"} */
  jitter?: Duration;
  startAt?: string | null;
  endAt?: string | null;
  paused?: boolean;
}

/** A schedule as it is. A time zone that says nothing, beside `every`, is null, as is all that was not asked for. */
export interface Schedule extends Required<ScheduleSpec> {
  name: string;
  queue: string;
  origin: ConfigOrigin;
  pauseReason: string | null;
  /** The next five instants. */
  next: string[];
  /** The latest instant that was due, what became of it, and its job. */
  last: { instant: string; outcome: "enqueued" | "skipped" | "missed"; job: JobId | null } | null;
}

/** What an operation does to each job that its filter finds. */
export type OperationAction = "cancel" | "retry" | "delete" | "reschedule" | "setPriority";

/** Many jobs at once. */
export interface Operation {
  id: string;
  action: OperationAction;
  /** The query of `GET /v1/jobs`, with what the operation added to it. */
  filter: { [field: string]: string };
  args: { runAt?: string; delay?: Duration; priority?: number } | null;
  rate: { limit: number; per: Duration } | null;
  /** `started`: jobs that went ahead; `completed` and `failed`: how they ended so far. */
  canary: { count: number; minSuccess: number; started: number; completed: number; failed: number } | null;
  state: "running" | "completed" | "stopped" | "failed";
  /** Why it stopped or failed. */
  reason: string | null;
  dryRun: boolean;
  /** Jobs that the filter found so far. What is neither changed nor failed stood as it should already. */
  matched: number;
  changed: number;
  /** Jobs that may not be changed: running ones that are to be deleted, ended ones that are to be cancelled. */
  failed: number;
  createdAt: string;
  updatedAt: string;
}

/** Jobs that failed in the same way. */
export interface ErrorGroup {
  fingerprint: string;
  name: string;
  message: string;
  count: number;
  first: string;
  last: string;
  /** By name, at most 20. */
  tasks: string[];
  /** The latest, at most 5. */
  examples: JobId[];
}
