/**
 * What the Worker and the queue object say to each other by RPC, and the object to the history.
 *
 * Internal: both ends are deployed together, but for minutes an older one may talk to a newer one, so fields
 * are only ever added and unknown ones ignored. Instants are milliseconds since the epoch, durations
 * milliseconds; jobs are named by `seq`; payloads, results and the like travel as JSON text, because text
 * leaves SQL and crosses RPC faster than objects do (docs/decisions/004).
 *
 * @module
 */
import type {
  Backoff,
  EnqueueOutcome,
  ErrorCode,
  GateName,
  JobError,
  JobState,
  Json,
  Keys,
  LogLevel,
  OperationAction,
  OutcomeName,
  Overlap,
  Progress,
  QueueCounts,
  Reason,
  Setting,
  UniqueState,
  WorkerInfo,
} from "./types.ts";

/** Which of the two ticket queues wakes the worker for a job: `long` when one attempt may take over 30 s. */
export type Channel = "short" | "long";

/**
 * A shift: for how long a consumer claims, and how many jobs. Cloudflare adds consumers only when one ends, so long
 * shifts would stall the rest; the object sizes tickets by it.
 */
export const SHIFT_MS = 20_000;
export const SHIFT_JOBS = 2_000;

/** The body of a ticket: "this queue has work". */
export interface Ticket {
  queue: string;
  partition: number;
  channel: Channel;
}

/** A refusal is an answer, not an exception: it crosses RPC whole, and nothing was changed. */
export interface Refusal {
  ok: false;
  code: ErrorCode;
  detail: string;
  /** With `rate_limited`. */
  retryAfterMs?: number;
}
export type Reply<Value> = ({ ok: true } & Value) | Refusal;

/** Job options after resolution (job > task > queue > default). Jobs that ask for the same share one. */
export interface JobTemplate {
  task: string;
  priority: number;
  /** Absolute start, or null for `delayMs` (0: now). */
  runAt: number | null;
  delayMs: number;
  maxAttempts: number;
  backoff: Backoff | null;
  /** True when `backoff` was asked for by the job itself; it then goes before the task's function. */
  ownBackoff: boolean;
  timeoutMs: number;
  expiresInMs: number | null;
  tags: string[];
  meta: { [key: string]: unknown } | null;
  actor: string | null;
  version: string | null;
  traceparent: string | null;
  /** Absent: none of it. */
  keys?: Keys | null;
  cost?: { [kind: string]: number } | null;
  fairKey?: string | null;
  orderingKey?: string | null;
  /** From acceptance, or an instant. */
  deadlineMs?: number | null;
  deadlineAt?: number | null;
  unique?: UniqueTemplate | null;
  schedule?: ScheduledBy | null;
  /** The id of the job whose completion made this one. */
  parent?: string | null;
}

/** A unique key as the engine takes it: every default is resolved. */
export interface UniqueTemplate {
  key: string;
  states: UniqueState[];
  ttlMs: number | null;
  onConflict: "return" | "reject" | "replace" | "debounce" | "throttle";
  waitMs: number | null;
  maxWaitMs: number | null;
}

/** Which schedule made a job, and for which instant. */
export interface ScheduledBy {
  name: string;
  instant: number;
}

export interface EnqueueInput {
  templates: JobTemplate[];
  /** Index into `templates`, and the payload as JSON text (null: none). At most 1,000. */
  jobs: [template: number, payload: string | null][];
  /** The SDK's protection against a lost answer: the same id within five minutes makes nothing new. */
  requestId: string | null;
  /** The user's own key: stored for 24 h. `scope` is token and route. */
  idempotency: { key: string; bodyHash: string } | null;
  /** Whose token has a rate of its own. Counted in memory: an object that sleeps forgets it. */
  caller?: { id: string; rate: RateLimitSetting };
  /** True: unfinished jobs of other actors are neither changed nor told of. */
  ownOnly?: boolean;
}

/** The job that stands for what was asked for, and how it came to. */
export interface EnqueueAnswer {
  seq: number;
  state: JobState;
  outcome: EnqueueOutcome;
}

export type EnqueueReply = Reply<{
  jobs: EnqueueAnswer[];
  /** True when an idempotency key answered from the books. */
  replayed: boolean;
}>;

export interface WireOutcome {
  seq: number;
  fence: number;
  outcome: OutcomeName;
  /** JSON text; null for none. */
  result?: string | null;
  error?: JobError;
  retryInMs?: number;
  forMs?: number;
  code?: string;
  reason?: string;
  /** With `released`: false where no handler was called. */
  started?: false;
  /** With `completed`: jobs that are made in the same transaction, or not at all. */
  enqueue?: FollowUps[];
  /** With `snoozed`: the job's own key of this kind is closed for everybody. */
  rateLimited?: { kind: string; forMs: number };
}

/** Follow-up jobs for one queue, resolved as an enqueue is. */
export interface FollowUps extends Pick<EnqueueInput, "templates" | "jobs"> {
  queue: string;
  partition: number;
}

/**
 * Follow-up jobs on their way from one object to another. `source`, `<queue>:<partition>:<seq>/<fence>/<n>` of the
 * first attempt that made some of them, is taken once; `body` is the JSON text of templates and jobs.
 */
export type Parcel = [source: string, body: string];
/** What became of a parcel; `replayed`: it was here before. A refused one made nothing. */
export type ParcelReply = Reply<{ replayed: boolean }>;

export interface ExchangeInput {
  session: string;
  n: number;
  worker: WorkerInfo;
  /** Claim only jobs of this channel; null: any. */
  channel: Channel | null;
  holding: [seq: number, fence: number][];
  settle: WireOutcome[];
  /** How many settles were refused on the way, because they name jobs of other queues: for the metrics. */
  foreign?: number;
  progress: { seq: number; fence: number; progress: Progress }[];
  want: number;
  /** More jobs of these tasks, beside `want`; see `ExchangeRequest`. */
  gather?: { tasks: string[]; want: number; backInMs: number };
  logs?: { seq: number; fence: number; lines: LogTuple[] }[];
  /** The session can be told: what it wants and does not get is handed to it when there is work (`Handout`). */
  standing?: boolean;
}

/** A line of a job's log: when, how grave, what, and JSON of fields (null: none). */
export type LogTuple = [at: number, level: LogLevel, message: string, fields: { [key: string]: Json } | null];

/** For a session that stands ready: jobs for the rest of what exchange `n` wanted, and jobs to cancel. */
export interface Handout {
  session: string;
  n: number;
  /** JSON text of an array of `LeasedTuple`. */
  jobs: string;
  cancel: number[];
}

export type ExchangeReply = Reply<{
  n: number;
  /** JSON text of an array of `LeasedTuple`. */
  jobs: string;
  lost: [seq: number, fence: number][];
  refused: { seq: number; fence: number; code: string }[];
  cancel: number[];
  leaseMs: number;
  slots: number;
  retryInMs: number | null;
}>;

/** A leased job by position, as SQL makes it. `options` is the JSON text of `StoredOptions`. */
export type LeasedTuple = [
  seq: number,
  task: string,
  payload: string | null,
  encoding: string,
  fence: number,
  failures: number,
  createdAt: number,
  runAt: number,
  reopenedFence: number,
  options: string,
];

/** What of a template is stored with the job. Kept as JSON text without what is absent; read it with `readOptions`. */
export interface StoredOptions {
  maxAttempts: number;
  timeoutMs: number;
  backoff: Backoff | null;
  ownBackoff: boolean;
  expiresAt: number | null;
  tags: string[];
  meta: { [key: string]: unknown } | null;
  actor: string | null;
  version: string | null;
  traceparent: string | null;
  keys: Keys | null;
  cost: { [kind: string]: number } | null;
  fairKey: string | null;
  orderingKey: string | null;
  deadlineAt: number | null;
  unique: UniqueTemplate | null;
  schedule: ScheduledBy | null;
  parent: string | null;
}

const ABSENT = {
  backoff: null,
  ownBackoff: false,
  expiresAt: null,
  tags: [],
  meta: null,
  actor: null,
  version: null,
  traceparent: null,
  keys: null,
  cost: null,
  fairKey: null,
  orderingKey: null,
  deadlineAt: null,
  unique: null,
  schedule: null,
  parent: null,
} as const;

/** JSON text of options: it is stored with every job, so nothing is written for what is absent. */
export function writeOptions(options: StoredOptions): string {
  const present = Object.entries(options).filter(
    ([, value]) => value !== null && value !== false && !(Array.isArray(value) && value.length === 0),
  );
  return JSON.stringify(Object.fromEntries(present));
}

export function readOptions(text: string): StoredOptions {
  return { ...ABSENT, ...(JSON.parse(text) as StoredOptions) };
}

/** One try as stored, by position. */
export type AttemptTuple = [
  attempt: number,
  fence: number,
  startedAt: number,
  finishedAt: number,
  outcome: OutcomeName | "lapsed",
  worker: string | null,
  error: { name: string; message: string } | null,
];

/**
 * A job as the books hold it: a live row, an outbox record or a history row.
 * `payload`, `result`, `error` (JobError), `progress` (Progress), `attempts` (AttemptTuple[]) and `options` (StoredOptions) are JSON text.
 */
export interface JobRecord {
  seq: number;
  fence: number;
  task: string;
  state: JobState;
  reason: Reason | null;
  priority: number;
  failures: number;
  lapses: number;
  payload: string | null;
  encoding: string;
  result: string | null;
  error: string | null;
  progress: string | null;
  attempts: string | null;
  options: string;
  createdAt: number;
  runAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  cancelRequestedAt: number | null;
  /** JSON text of `[count, LogTuple[]]`: how many lines there were, and the latest of them. Absent or null: none. */
  logs?: string | null;
}

/** What lists of the history filter and order by. */
export const ENTRY_KEYS = ["seq", "fence", "task", "state", "createdAt", "finishedAt"] as const;
/** All the rest of a record, which travels and rests as one JSON text. */
export const ENTRY_BODY = [
  "reason",
  "priority",
  "failures",
  "lapses",
  "payload",
  "encoding",
  "result",
  "error",
  "progress",
  "attempts",
  "options",
  "runAt",
  "startedAt",
  "cancelRequestedAt",
] as const satisfies readonly Exclude<keyof JobRecord, (typeof ENTRY_KEYS)[number]>[];

/**
 * A finished job in an outbox body and on its way to the history: the keys, then JSON text of an array of the body.
 * SQLite parses a JSON value anew for each field that is taken out of it, so it takes seven, not twenty (measured:
 * 10 µs a job instead of 50).
 */
export type Entry = [
  seq: number,
  fence: number,
  task: string,
  state: JobState,
  createdAt: number,
  finishedAt: number,
  body: string,
  /** As in `JobRecord`: not within the body, so that lists of the history need not read them. */
  logs?: string | null,
];

export function entryOf(record: JobRecord): Entry {
  const { seq, fence, task, state, createdAt, finishedAt } = record;
  const body = JSON.stringify(ENTRY_BODY.map((field) => record[field]));
  const keys = [seq, fence, task, state, createdAt, finishedAt!, body] as const;
  return record.logs ? [...keys, record.logs] : [...keys];
}

export function recordOf([seq, fence, task, state, createdAt, finishedAt, body, logs]: Entry): JobRecord {
  const values = JSON.parse(body) as unknown[];
  const rest = Object.fromEntries(ENTRY_BODY.map((field, index) => [field, values[index]]));
  return { seq, fence, task, state, createdAt, finishedAt, ...rest, ...(logs && { logs }) } as JobRecord;
}

/** Which jobs to list: newest accepted first, below `beforeSeq`. Filters are all optional (null). */
export interface ListInput {
  beforeSeq: number | null;
  limit: number;
  /** States, with `retrying` as its own; null: all. */
  states: (JobState | "retrying")[] | null;
  task: string | null;
  tag: string | null;
  /** Bounds on `createdAt`, inclusive from, exclusive to. */
  from: number | null;
  to: number | null;
  /** Of the error; absent: any. */
  fingerprint?: string | null;
}

export interface ListReply {
  items: JobRecord[];
  /** Jobs below this seq were not looked at; null: all were. */
  scannedTo: number | null;
  /** Jobs that were looked at and are not in `items`, of which the history may hold an older form: not to be shown. */
  hidden: number[];
}

export interface QueueDescription {
  paused: { reason: string | null; since: number } | null;
  counts: QueueCounts;
  oldestReadyAt: number | null;
  sessions: { id: string; worker: string; jobs: number; leaseUntil: number }[];
  settings: EffectiveSettings;
  nextWakeAt: number | null;
  /** Finished jobs that have not reached the history yet. */
  outboxRows: number;
  /** Open ones; absent where the object has none to count. */
  sockets?: { workers: number; watchers: number };
  metrics: QueueMetrics;
}

/** Counted in the object's memory since it was last loaded; a scrape sees resets as Prometheus expects. */
export interface QueueMetrics {
  enqueued: number;
  starts: number;
  endsByOutcome: { [outcome: string]: number };
  /** Log buckets (see `Rollup`), in ms. */
  run: Buckets;
  wait: Buckets;
  alarmLatenessMs: number;
  alarms: number;
  ticketsSent: number;
  flushes: number;
  flushFailures: number;
  /** Follow-up jobs that other queues took, and those that they refused for good. */
  followUpsDelivered: number;
  followUpsRefused: number;
  /** Jobs that were handed to sessions that stood ready. */
  handouts: number;
  /** Outcomes of attempts that changed nothing, because the session did not hold the job or they were malformed. */
  settlesRefused: number;
  /** Frames of sockets that were refused, and sockets that were closed for what the other side did or did not do. */
  framesRefused: number;
  socketsDropped: number;
}

/**
 * Counts by logarithmic bucket: key i holds values in (1.2^(i-1), 1.2^i], key 0 those up to 1 ms; a bucket's
 * middle is at most 9.1 % off (the relative error (g - 1) / (g + 1) of DDSketch, Masson et al. 2019).
 * Adding two is adding their counts.
 */
export interface Buckets {
  [index: string]: number;
}

/** Adds the counts of `from` to `into`. */
export function mergeBuckets(into: Buckets, from: Buckets): void {
  for (const [bucket, count] of Object.entries(from)) into[bucket] = (into[bucket] ?? 0) + count;
}

/** Ends of one task in one final state within one minute. */
export interface RollupCell {
  count: number;
  runMaxMs: number;
  waitMaxMs: number;
  run: Buckets;
  wait: Buckets;
}

/** minute (epoch ms / 60,000) -> task -> final state -> cell */
export interface Rollup {
  [minute: string]: { [task: string]: { [state: string]: RollupCell } };
}

/** One flush: outbox rows in order. Applied whole or not at all; applying it twice changes nothing. */
export interface HistoryBatch {
  queue: string;
  partition: number;
  /** Each a JSON text of an array of `Entry`. Newer forms (higher fence) win. */
  records: string[];
  /** Jobs to forget: rows with a fence up to this go. */
  deletes: [seq: number, fence: number][];
  /** Counts of outbox rows `after < id <= upto`; applied only while no rollup beyond `after` stands. Null: not this time. */
  rollup: { after: number; upto: number; body: Rollup } | null;
}

/** What the object needs of the history; the Worker's D1 module provides it. All of it may throw when D1 fails. */
export interface HistoryPort {
  /** Makes the queue known to lists and to the sweeper. Idempotent. */
  register(queue: string, partition: number, now: number): Promise<void>;
  write(batch: HistoryBatch): Promise<void>;
  read(queue: string, partition: number, seq: number): Promise<JobRecord | null>;
  /** Of these, those that it has. */
  readMany(queue: string, partition: number, seqs: number[]): Promise<JobRecord[]>;
  /** Takes a queue that is deleted off the lists and the sweeper's round. Idempotent. */
  unregister(queue: string, partition: number): Promise<void>;
  /** The highest outbox id whose counts stand in the rollups; 0: none. */
  rollupUpto(queue: string, partition: number): Promise<number>;
}

/** A queue's settings, in the units that the object counts in. */
export interface Settings {
  /** Most jobs running at once across all sessions; null: no limit. */
  concurrency: number | null;
  /** Jobs that one session runs side by side. */
  slots: number;
  /** Most sessions at once. */
  maxSessions: number;
  leaseMs: number;
  historyCompleted: "all" | "none";
  historyKeepMs: number;
  historyKeepDeadMs: number;
  rateLimit: RateLimitSetting | null;
  ageing: { perMs: number; priority: number } | null;
  tasks: { [task: string]: LimitSetting };
  limits: { [kind: string]: KindLimitSetting };
  /** Shares of fair keys. */
  weights: { [fairKey: string]: number };
}
export interface RateLimitSetting {
  limit: number;
  perMs: number;
  burst: number;
}
/** What nobody set is absent. */
export interface LimitSetting {
  concurrency?: number;
  rateLimit?: RateLimitSetting;
}
export interface KindLimitSetting extends LimitSetting {
  values?: { [value: string]: LimitSetting };
}

/** How much a queue's settings may name: the code's, and the overrides. */
export const SETTING_NAMES_MAX = { tasks: 200, kinds: 32, values: 1_000, weights: 1_000 } as const;
/** For a bucket to fill from empty to its burst. */
export const BUCKET_FILL_MS_MAX = 366 * 86_400_000;

/** Settings that hold others by name; all the rest are single values (a rate limit is one value). */
export type SettingsMap = "tasks" | "limits" | "weights";
/** Overrides through the API, by JSON Merge Patch: null takes one back, or all that a name holds. */
export type SettingsPatch = { [Key in keyof Settings]?: Patch<Settings[Key]> | null };
type Patch<Value> = Value extends RateLimitSetting | string | number | null
  ? Value
  : { [Key in keyof Value]?: Patch<Value[Key]> | null };
/** The settings in force, each with where it comes from. */
export type EffectiveSettings = { [Key in Exclude<keyof Settings, SettingsMap>]: Setting<Settings[Key]> } & {
  tasks: { [task: string]: EffectiveLimitSetting };
  limits: { [kind: string]: EffectiveLimitSetting & { values?: { [value: string]: EffectiveLimitSetting } } };
  weights: { [fairKey: string]: Setting<number> };
};
export interface EffectiveLimitSetting {
  concurrency?: Setting<number>;
  rateLimit?: Setting<RateLimitSetting>;
}

export interface KeyName {
  kind: string;
  value: string;
}
/** A key as the engine counts it; instants in ms. */
export interface KeyReport extends KeyName {
  holders: number;
  waiters: number;
  concurrency: number | null;
  rateLimit: RateLimitSetting | null;
  tokens: number | null;
  paused: { until: number; reason: string | null } | null;
}

/** `Explanation` with instants in ms. */
export interface ExplainReply {
  runnable: boolean;
  gates: { gate: GateName; detail: string; since: number | null; until: number | null }[];
  position: number | null;
  etaMs: number | null;
}

/** A schedule as code or a user means it, its job resolved as an enqueue is. */
export interface ScheduleInput {
  /** As it was asked for, to be shown again. JSON text of `ScheduleSpec`. */
  spec: string;
  cron: string | null;
  everyMs: number | null;
  timezone: string;
  template: JobTemplate;
  /** JSON text. */
  payload: string | null;
  overlap: Overlap;
  catchUpWindowMs: number;
  catchUpMax: number;
  jitterMs: number;
  startAt: number | null;
  endAt: number | null;
  paused: boolean;
}

/** A schedule as it stands; instants in ms. */
export interface ScheduleReport {
  name: string;
  origin: "code" | "api";
  spec: string;
  paused: { reason: string | null; since: number } | null;
  next: number[];
  last: { instant: number; outcome: "enqueued" | "skipped" | "missed"; seq: number | null } | null;
}

/** What a step of an operation does to jobs of one queue. */
export interface BulkInput {
  action: OperationAction;
  /** As they were found. A retry leaves a job alone that has another fence by now. */
  jobs: [seq: number, fence: number][];
  /** A job that is in none of these by now is left alone; null: any. */
  states: (JobState | "retrying")[] | null;
  /** For `reschedule`. */
  runAt: number | null;
  /** For `setPriority`. */
  priority: number | null;
}
/**
 * What became of each, in order: `unchanged` stood so already, `refused` may not be changed, `absent` is not there or
 * was left alone.
 */
export type BulkReply = ("changed" | "unchanged" | "refused" | "absent")[];

/** What a sweep learns of a queue. */
export interface PokeReply {
  nextWakeAt: number | null;
  paused: boolean;
  /** The version of the code's schedules that the queue goes by; absent: code declares none for it. */
  schedules?: string;
  historyKeepMs: number;
  historyKeepDeadMs: number;
}

/**
 * The two calls that carry many jobs, in the form in which they cross RPC: JSON text. Cloning a
 * thousand small objects costs more than writing and reading one text.
 */
export interface QueueTextRpc {
  /** `EnqueueInput` in, `EnqueueReply` out. */
  enqueueText(input: string): Promise<string>;
  /** `ExchangeInput` in; out the `ExchangeReply` without its jobs, and these, which are a text already. */
  exchangeText(input: string): Promise<{ reply: string; jobs: string }>;
}

/**
 * The object's methods, as the Worker calls them. A `null` where a queue is asked for means that the object has
 * never been written to: there is no such queue.
 */
export interface QueueRpc {
  enqueue(input: EnqueueInput): Promise<EnqueueReply>;
  exchange(input: ExchangeInput): Promise<ExchangeReply>;
  /** Takes follow-up jobs of another queue: each parcel once, on its own. Called by objects. */
  deliver(parcels: Parcel[]): Promise<ParcelReply[]>;
  /** The job where the object still has it: live, or ended and not yet trimmed. `deleted`: history may lag. `logs`: with them. */
  get(seq: number, logs?: boolean): Promise<JobRecord | "deleted" | null>;
  list(input: ListInput): Promise<ListReply>;
  cancel(seq: number): Promise<Reply<{ job: JobRecord }>>;
  retry(seq: number): Promise<Reply<{ job: JobRecord }>>;
  remove(seq: number): Promise<Reply<object>>;
  describe(): Promise<QueueDescription | null>;
  pause(reason: string | null): Promise<Reply<{ queue: QueueDescription }>>;
  resume(): Promise<Reply<{ queue: QueueDescription }>>;
  configure(patch: SettingsPatch): Promise<Reply<{ settings: EffectiveSettings }>>;
  /**
   * Keys that run, wait, are closed or have spent of their rate; of one kind, or of all (null). By name, from the one
   * after `after` on; `limit`: at most 1,000, as many where it is absent.
   */
  keys(kind: string | null, after?: KeyName | null, limit?: number): Promise<KeyReport[]>;
  /** Closes a key for so long; 0 opens it. */
  pauseKey(kind: string, value: string, forMs: number, reason: string | null): Promise<Reply<{ key: KeyReport }>>;
  explain(seq: number): Promise<Reply<{ explanation: ExplainReply }>>;
  /** By name, from the one after `after` on. */
  schedules(after: string | null, limit: number): Promise<ScheduleReport[]>;
  schedule(name: string): Promise<ScheduleReport | null>;
  putSchedule(name: string, input: ScheduleInput): Promise<Reply<{ schedule: ScheduleReport; created: boolean }>>;
  removeSchedule(name: string): Promise<Reply<object>>;
  runSchedule(name: string): Promise<Reply<{ seq: number }>>;
  pauseSchedule(name: string, paused: boolean, reason: string | null): Promise<Reply<{ schedule: ScheduleReport }>>;
  /** Makes a job for each instant from `from` to before `to` that has had none. */
  backfill(name: string, from: number, to: number): Promise<Reply<{ jobs: number[]; already: number }>>;
  /** Does one thing to many jobs, each on its own; at most 200. */
  bulk(input: BulkInput): Promise<BulkReply>;
  /**
   * Forgets what the API changed of the queue: settings, pauses, schedules, and that it was ever used. Refused while
   * jobs run or wait. `upto`: the latest job; ids go on from there.
   */
  forget(): Promise<Reply<{ upto: number }>>;
  /** Called by the sweeper: repairs the alarm, does what is overdue, trims. */
  poke(): Promise<PokeReply | null>;
  /** Closes the sockets that were opened with these tokens, and says how many. */
  dismiss(tokens: string[]): Promise<number>;
  /** Counts of ended jobs that the rollups up to `upto` do not hold yet. */
  rollupSince(upto: number): Promise<Rollup>;
}
