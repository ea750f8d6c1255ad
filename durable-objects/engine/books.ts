/**
 * What the engine keeps in memory of one queue, all of it computed from the tables (see open.ts): a queue that is
 * loaded again after an eviction has the same books. The shell throws the books away when a transaction fails.
 *
 * @module
 */
import type { UnfinishedState } from "../../client/types.ts";
import type { Channel, EffectiveSettings, EnqueueAnswer, QueueMetrics, Settings } from "../../client/wire.ts";
import { limitGates, newGate, QUEUE_GATE } from "./gates.ts";
import { Heap } from "./heap.ts";
import type { KeyNames } from "./key-names.ts";
import { TICKET_MS_MIN } from "./limits.ts";
import { unparkAll } from "./lines.ts";
import { newMetrics } from "./metrics.ts";
import type { Target } from "./outgoing.ts";
import type { CodeSettings, StandingWant } from "./ports.ts";
import type { Flow, Gate, Group, Lane, LaneSpec } from "./scheduler.ts";
import { effectiveSettings, type Overrides, plainSettings } from "./settings.ts";

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
  /** What the latest exchange refused, so that its repetition answers the same; null: not known. */
  refused: { seq: number; fence: number; code: string }[] | null;
}

/** A session that was here lately: one that will be back needs no ticket. */
export interface Visitor {
  n: number;
  channel: Channel | null;
  /** That it knows; null: any. */
  tasks: string[] | null;
  seenAt: number;
  /** It took all that it wanted, or was told to ask again, by this instant. */
  backBy: number | null;
  /** It gathers jobs of these tasks, has room for so many more, and asks again by then. */
  gathers: { tasks: string[]; room: number; by: number } | null;
  /** It had a socket, which is closed. */
  gone: boolean;
}

export interface ChannelBooks {
  /** When each ticket that has not been followed by a session was sent. */
  ticketsAt: number[];
  /** Tickets sent since a session came; null: none. */
  unanswered: { since: number; tickets: number } | null;
  /** A moving mean of run times, for how many jobs one shift can do. */
  runMs: number;
  /** How long a ticket is given before another is sent. */
  intervalMs: number;
}

export interface Request {
  firstSeq: number;
  count: number;
  /** Null: all were created, in order, from `firstSeq` on. */
  answers: EnqueueAnswer[] | null;
  at: number;
}

export type Counts = Record<UnfinishedState | "retrying", number>;

export interface Books {
  nextSeq: number;
  nextOutboxId: number;
  lanes: Map<number, Lane>;
  laneIds: Map<string, number>;
  nextLaneId: number;
  /** Lanes with keys of which nothing was ready when they were looked at last. */
  lanesSwept: number;
  groups: Map<string, Group>;
  gates: Map<string, Gate>;
  /** The queue's own gate. */
  gate: Gate;
  /** Gates to look at: they may have opened, or another lane may be the best of their lines. */
  opened: Set<Gate>;
  /** Gates that open by themselves. */
  timed: Heap<{ gate: Gate; at: number }>;
  /** When each bucket is full again. */
  buckets: Map<string, number>;
  /** The same of tokens that enqueue at a rate; the one that was here the longest ago first. */
  callers: Map<string, number>;
  closures: Map<string, { since: number; until: number; reason: string | null }>;
  /** Null until somebody lists keys. */
  keyNames: KeyNames | null;
  flows: Map<string, Flow>;
  /** The share at which what was served last began, by level. */
  served: Map<number, number>;
  sessions: Map<string, Session>;
  running: number;
  /** Jobs by state; null until somebody asks. */
  counts: Counts | null;
  /** A lower bound of the earliest `wake_at`. */
  wakeAt: number;
  /** Unfinished jobs with an ordering key, and unique keys that are noted: where there are none, nothing is asked of them. */
  ordered: number;
  uniques: number;
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
  /** Sessions that can be told, with what they want. Made from the sockets, not from the tables. */
  standing: Map<string, StandingWant>;
  /** What this transaction has to tell sessions that stand ready: jobs to cancel; and which of them are taken for dead. */
  news: { cancels: Map<string, number[]>; silent: string[] };
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
  /** Other queues that follow-up jobs wait for. */
  targets: Map<string, Target>;
  metrics: QueueMetrics;
}

/** Books of a queue that nothing has been written to. */
export function emptyBooks(code: CodeSettings): Books {
  const books: Books = {
    nextSeq: 1,
    nextOutboxId: 1,
    lanes: new Map(),
    laneIds: new Map(),
    nextLaneId: 1,
    lanesSwept: 0,
    groups: new Map(),
    gates: new Map(),
    gate: newGate(QUEUE_GATE),
    opened: new Set(),
    timed: new Heap(
      (a, b) => a.at < b.at,
      ({ gate, at }) => gate.looksAt === at,
    ),
    buckets: new Map(),
    callers: new Map(),
    closures: new Map(),
    keyNames: null,
    flows: new Map(),
    served: new Map(),
    sessions: new Map(),
    running: 0,
    counts: null,
    wakeAt: Number.POSITIVE_INFINITY,
    ordered: 0,
    uniques: 0,
    requests: null,
    overrides: {},
    settings: effectiveSettings(code, {}),
    rules: plainSettings(code, {}),
    paused: null,
    registered: false,
    visitors: new Map(),
    standing: new Map(),
    news: { cancels: new Map(), silent: [] },
    channels: {
      short: { ticketsAt: [], unanswered: null, runMs: 1_000, intervalMs: TICKET_MS_MIN },
      long: { ticketsAt: [], unanswered: null, runMs: 60_000, intervalMs: TICKET_MS_MIN },
    },
    arrivals: { second: 0, now: 0, before: 0 },
    outbox: { flushedUpto: 0, rolledUpto: null, unflushed: 0, oldestAt: null, retryAt: 0 },
    targets: new Map(),
    metrics: newMetrics(),
  };
  books.gates.set(QUEUE_GATE, books.gate);
  limitGates(books);
  return books;
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

/** Equal for equal lanes; their keys and costs are in the order of their kinds. */
export function laneKey({ task, channel, suspect, keys, cost, fairKey }: LaneSpec): string {
  const plain = `${suspect ? 1 : 0}${channel} ${task}`;
  return keys === null && fairKey === null ? plain : JSON.stringify([plain, keys, cost, fairKey]);
}

/** Makes the books' settings those of the code with the books' overrides. */
export function applySettings(books: Books, code: CodeSettings): void {
  books.settings = effectiveSettings(code, books.overrides);
  books.rules = plainSettings(code, books.overrides);
  limitGates(books);
  unparkAll(books);
}

/** A setting in force. */
export function setting<Key extends keyof Settings>(books: Books, key: Key): Settings[Key] {
  return books.rules[key];
}
