/**
 * What the engine keeps in memory of one queue, all of it computed from the tables: a queue that is loaded again
 * after an eviction has the same books. The shell throws the books away when a transaction fails.
 *
 * @module
 */
import type { Keys, UnfinishedState } from "../../client/types.ts";
import type { Channel, EffectiveSettings, QueueMetrics, Settings } from "../../client/wire.ts";
import { TICKET_MS_MIN } from "./limits.ts";
import type { CodeSettings, Sql } from "./ports.ts";
import { schemaVersion } from "./schema.ts";
import { effectiveSettings, type Overrides, plainSettings } from "./settings.ts";

/** What the jobs of a lane have in common. */
export interface LaneSpec {
  task: string;
  channel: Channel;
  /** Jobs that have lapsed wait here: a session is given one of them at a time. */
  suspect: boolean;
  keys: Keys | null;
  cost: { [kind: string]: number } | null;
  fairKey: string | null;
}

export interface Lane extends LaneSpec {
  id: number;
  ready: number;
}

/** One job in the hands of a session. */
export interface Held {
  seq: number;
  fence: number;
  lane: number;
  startedAt: number;
  /** Past this the attempt is over whatever the session says. */
  until: number;
  waitMs: number;
  bytes: number;
}

export interface Session {
  id: string;
  worker: string;
  n: number;
  leaseUntil: number;
  held: Map<number, Held>;
  cancels: Set<number>;
  /** What the latest exchange refused, so that its repetition answers the same. */
  refused: { seq: number; fence: number; code: string }[];
}

/** A session that was here lately: one that will be back needs no ticket. */
export interface Visitor {
  n: number;
  channel: Channel | null;
  seenAt: number;
  /** It took all that it wanted, or was told to ask again, by this instant. */
  backBy: number | null;
}

export interface ChannelBooks {
  /** When each ticket that has not been followed by a session was sent. */
  ticketsAt: number[];
  /** A moving mean of run times, for how many jobs one shift can do. */
  runMs: number;
  /** How long a ticket is given before another is sent. */
  intervalMs: number;
}

export interface Request {
  firstSeq: number;
  count: number;
  at: number;
}

export type Counts = Record<UnfinishedState | "retrying", number>;

export interface Books {
  nextSeq: number;
  nextOutboxId: number;
  lanes: Map<number, Lane>;
  laneIds: Map<string, number>;
  sessions: Map<string, Session>;
  running: number;
  /** Jobs by state; null until somebody asks. */
  counts: Counts | null;
  /** A lower bound of the earliest `wake_at`. */
  wakeAt: number;
  /** Request ids of the last minutes; null until the first enqueue that carries one. */
  requests: Map<string, Request> | null;
  overrides: Overrides;
  /** With where each comes from. */
  settings: EffectiveSettings;
  /** The same, without. */
  rules: Settings;
  paused: { reason: string | null; since: number } | null;
  registered: boolean;
  visitors: Map<string, Visitor>;
  channels: Record<Channel, ChannelBooks>;
  /** Jobs accepted in the current and the previous second: is work likely within the moment? */
  arrivals: { second: number; now: number; before: number };
  /** Jobs that wait to be flushed, and since when. Rows up to `flushedUpto` are in the history; counts up to `rolledUpto` in its rollups (null: not known yet). */
  outbox: {
    flushedUpto: number;
    rolledUpto: number | null;
    unflushed: number;
    oldestAt: number | null;
    retryAt: number;
  };
  metrics: QueueMetrics;
}

const newMetrics = (): QueueMetrics => ({
  enqueued: 0,
  starts: 0,
  endsByOutcome: {},
  run: {},
  wait: {},
  alarmLatenessMs: 0,
  alarms: 0,
  ticketsSent: 0,
  flushes: 0,
  flushFailures: 0,
});

/** Books of a queue that nothing has been written to. */
export function emptyBooks(code: CodeSettings): Books {
  return {
    nextSeq: 1,
    nextOutboxId: 1,
    lanes: new Map(),
    laneIds: new Map(),
    sessions: new Map(),
    running: 0,
    counts: null,
    wakeAt: Number.POSITIVE_INFINITY,
    requests: null,
    overrides: {},
    settings: effectiveSettings(code, {}),
    rules: plainSettings(code, {}),
    paused: null,
    registered: false,
    visitors: new Map(),
    channels: {
      short: { ticketsAt: [], runMs: 1_000, intervalMs: TICKET_MS_MIN },
      long: { ticketsAt: [], runMs: 60_000, intervalMs: TICKET_MS_MIN },
    },
    arrivals: { second: 0, now: 0, before: 0 },
    outbox: { flushedUpto: 0, rolledUpto: null, unflushed: 0, oldestAt: null, retryAt: 0 },
    metrics: newMetrics(),
  };
}

export type HeldTuple = [
  seq: number,
  fence: number,
  lane: number,
  startedAt: number,
  until: number,
  waitMs: number,
  bytes: number,
];

/** Reads the books from the tables; null when the queue has never been written to. */
export function openBooks(sql: Sql, code: CodeSettings): Books | null {
  if (schemaVersion(sql) === 0) return null;
  const books = emptyBooks(code);
  loadIds(sql, books);
  loadLanes(sql, books);
  loadSessions(sql, books);
  const [wake] = sql.exec("SELECT wake_at FROM jobs WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1");
  if (wake) books.wakeAt = Number(wake.wake_at);
  for (const { key, value } of sql.exec("SELECT key, value FROM meta")) {
    if (key === "paused") books.paused = JSON.parse(String(value));
    if (key === "overrides") books.overrides = JSON.parse(String(value));
    if (key === "registered") books.registered = true;
  }
  applySettings(books, code);
  return books;
}

/**
 * Ids are for ever: a row leaves `jobs` only into an outbox row that notes the high-water mark, in the same
 * transaction, and the newest outbox row is never deleted. So the next id needs no row of its own.
 */
function loadIds(sql: Sql, books: Books): void {
  const [row] = sql.exec(`SELECT
    (SELECT max(seq) FROM jobs) AS live,
    (SELECT high_water FROM outbox ORDER BY id DESC LIMIT 1) AS gone,
    (SELECT max(id) FROM outbox) AS outbox_id,
    (SELECT max(id) FROM outbox WHERE kind = 'sent') AS sent`);
  const sent = Number(row?.sent ?? 0);
  const [waiting] = sql.exec(
    "SELECT sum(max(count, 1)) AS jobs, min(created_at) AS oldest FROM outbox WHERE id > ?",
    sent,
  );
  books.nextSeq = Math.max(Number(row?.live ?? 0), Number(row?.gone ?? 0)) + 1;
  books.nextOutboxId = Number(row?.outbox_id ?? 0) + 1;
  // Rows go to the history in order, so it has all up to the last stripped one. Which of those after it, is not known
  // any more: they are sent again, which changes nothing there.
  books.outbox.flushedUpto = sent;
  books.outbox.unflushed = Number(waiting?.jobs ?? 0);
  books.outbox.oldestAt = waiting?.oldest == null ? null : Number(waiting.oldest);
}

function loadLanes(sql: Sql, books: Books): void {
  const rows = sql.exec(`SELECT id, task, channel, suspect, keys, cost, fair_key,
    (SELECT count(*) FROM jobs WHERE state = 'ready' AND lane = lanes.id) AS ready FROM lanes`);
  for (const row of rows) {
    const lane: Lane = {
      task: String(row.task),
      channel: row.channel as Channel,
      suspect: row.suspect === 1,
      keys: row.keys === null ? null : JSON.parse(String(row.keys)),
      cost: row.cost === null ? null : JSON.parse(String(row.cost)),
      fairKey: row.fair_key === null ? null : String(row.fair_key),
      id: Number(row.id),
      ready: Number(row.ready),
    };
    books.lanes.set(lane.id, lane);
    books.laneIds.set(laneKey(lane), lane.id);
  }
}

function loadSessions(sql: Sql, books: Books): void {
  for (const row of sql.exec("SELECT * FROM sessions")) {
    const held = new Map<number, Held>();
    for (const [seq, fence, lane, startedAt, until, waitMs, bytes] of JSON.parse(String(row.held)) as HeldTuple[]) {
      held.set(seq, { seq, fence, lane, startedAt, until, waitMs, bytes });
    }
    books.running += held.size;
    books.sessions.set(String(row.id), {
      id: String(row.id),
      worker: String(row.worker),
      n: Number(row.n),
      leaseUntil: Number(row.lease_until),
      held,
      cancels: new Set(JSON.parse(String(row.cancels))),
      refused: JSON.parse(String(row.refused)),
    });
  }
}

/** Equal for equal lanes; their keys and costs are in the order of their kinds. */
export function laneKey({ task, channel, suspect, keys, cost, fairKey }: LaneSpec): string {
  const plain = `${suspect ? 1 : 0}${channel} ${task}`;
  return keys === null && fairKey === null ? plain : JSON.stringify([plain, keys, cost, fairKey]);
}

/** Makes the books' settings those of the code with the books' overrides. */
export function applySettings(books: Books, code: CodeSettings): void {
  books.settings = effectiveSettings(code, books.overrides);
  books.rules = plainSettings(code, books.overrides);
}

/** A setting in force. */
export function setting<Key extends keyof Settings>(books: Books, key: Key): Settings[Key] {
  return books.rules[key];
}
