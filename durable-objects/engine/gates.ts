/**
 * Gates: what may keep ready jobs from starting. The queue, each task and each key has one; it is closed while its
 * limit is used up, its bucket lacks the tokens, or somebody closed it.
 *
 * Holders are counted in memory from the sessions' rows, so a limit cannot leak: what is counted is what is held.
 *
 * @module
 */
import type { LimitSetting, RateLimitSetting } from "../../client/wire.ts";
import type { Books } from "./books.ts";
import { costIn, fullAfter, holdsAt, saveBuckets, tokensIn } from "./buckets.ts";
import { noteKey } from "./key-names.ts";
import { noteStart } from "./pace-of-starts.ts";
import type { Tx } from "./ports.ts";
import type { Gate, Lane } from "./scheduler.ts";
import { limitOf, taskLimitOf } from "./settings.ts";

export const QUEUE_GATE = "queue";
export const taskGateKey = (task: string): string => `task:${task}`;
export const keyGateKey = (kind: string, value: string): string => `key:${kind}:${value}`;

/** Why a gate is closed, and until when where that is known. */
export interface Closed {
  gate: Gate;
  why: "key_paused" | "concurrency" | "rate";
  until: number | null;
}

export function newGate(key: string): Gate {
  const looksAt = Number.POSITIVE_INFINITY;
  const none = { holders: 0, waiters: 0, lanes: 0, savingUntil: 0, taken: 0, spent: 0 };
  return { key, limit: {}, lines: new Map(), looksAt, pace: null, ...none };
}

/** The gate of a name, made if it is new. */
export function gateOf(books: Books, key: string): Gate {
  const known = books.gates.get(key);
  if (known) return known;
  const gate = newGate(key);
  gate.limit = limitFor(books, key);
  books.gates.set(key, gate);
  if (key.startsWith("key:")) noteKey(books, key);
  return gate;
}

/** The kind and value of the key that a gate is named after; null: it is none of a key. */
export function keyOf(gateKey: string): { kind: string; value: string } | null {
  if (!gateKey.startsWith("key:")) return null;
  const colon = gateKey.indexOf(":", 4);
  return { kind: gateKey.slice(4, colon), value: gateKey.slice(colon + 1) };
}

/** The limits in force at a gate. */
export function limitFor(books: Books, key: string): LimitSetting {
  const { rules } = books;
  if (key.startsWith("task:")) return taskLimitOf(rules, key.slice(5));
  const named = keyOf(key);
  if (named) return limitOf(rules, named.kind, named.value);
  const limit: LimitSetting = {};
  if (rules.concurrency !== null) limit.concurrency = rules.concurrency;
  if (rules.rateLimit !== null) limit.rateLimit = rules.rateLimit;
  return limit;
}

/** Gives every gate the limit that the settings have for it now. */
export function limitGates(books: Books): void {
  for (const gate of books.gates.values()) {
    gate.limit = limitFor(books, gate.key);
    gate.savingUntil = 0;
  }
}

/** Why a gate does not let a job of this cost start now; null: it does. */
export function closedBy(tx: Tx, gate: Gate, cost: number): Closed | null {
  return pausedBy(tx, gate) ?? fullBy(gate) ?? emptyBy(tx, gate, cost);
}

/** All that closes a gate for a job of this cost now. */
export function closuresBy(tx: Tx, gate: Gate, cost: number): Closed[] {
  return [pausedBy(tx, gate), fullBy(gate), emptyBy(tx, gate, cost)].filter((closed) => closed !== null);
}

function pausedBy({ now, books }: Tx, gate: Gate): Closed | null {
  const closure = books.closures.get(gate.key);
  return closure && closure.until > now ? { gate, why: "key_paused", until: closure.until } : null;
}

function fullBy(gate: Gate): Closed | null {
  const { concurrency } = gate.limit;
  const full = concurrency !== undefined && gate.holders + gate.taken >= concurrency;
  return full ? { gate, why: "concurrency", until: null } : null;
}

function emptyBy({ now, books }: Tx, gate: Gate, cost: number): Closed | null {
  const { rateLimit } = gate.limit;
  if (!rateLimit) return null;
  const until = Math.max(holdsAt(rateLimit, fullAt(books, gate, rateLimit, now), cost), gate.savingUntil);
  return until > now ? { gate, why: "rate", until } : null;
}

/** The first closed gate of a lane's keys; null: none. */
export function closedGateOf(tx: Tx, lane: Lane): Closed | null {
  for (const gate of lane.gates) {
    const closed = closedBy(tx, gate, costAt(gate, lane));
    if (closed) return closed;
  }
  return null;
}

/** What a job of this lane takes of a gate's bucket. */
export function costAt(gate: Gate, { cost }: Lane): number {
  if (cost === null) return 1;
  const kind = keyOf(gate.key)?.kind;
  return kind !== undefined && Object.hasOwn(cost, kind) ? cost[kind]! : 1;
}

/** How many jobs of cost 1 a gate lets start now. */
export function roomOf(tx: Tx, gate: Gate): number {
  if (closedBy(tx, gate, 1)) return 0;
  const { concurrency, rateLimit } = gate.limit;
  const slots = concurrency === undefined ? Number.POSITIVE_INFINITY : concurrency - gate.holders - gate.taken;
  if (!rateLimit) return slots;
  const tokens = tokensIn(rateLimit, fullAt(tx.books, gate, rateLimit, tx.now), tx.now);
  return Math.max(1, Math.min(slots, tokens));
}

function fullAt(books: Books, gate: Gate, rate: RateLimitSetting, now: number): number {
  const at = books.buckets.get(gate.key) ?? 0;
  return gate.spent === 0 ? at : fullAfter(rate, at, gate.spent, now);
}

/** Every gate that a job of this lane goes through. */
export function gatesOf(books: Books, lane: Lane): Gate[] {
  return [books.gate, lane.group.gate, ...lane.gates];
}

/** Counts a pick that is not yet a claim. */
export function take(gates: Gate[], lane: Lane): void {
  for (const gate of gates) {
    gate.taken += 1;
    const { rateLimit } = gate.limit;
    if (rateLimit) gate.spent += costIn(rateLimit, costAt(gate, lane));
  }
}

/** Undoes the picks, and writes what those that were claimed, the first ones, took of buckets. */
export function settleTaken(tx: Tx, picked: Lane[], claimed: number): void {
  const { books } = tx;
  for (const lane of picked) {
    for (const gate of gatesOf(books, lane)) {
      gate.taken = 0;
      gate.spent = 0;
    }
  }
  // What was left out closed gates for a while.
  for (const lane of picked.slice(claimed)) {
    for (const gate of gatesOf(books, lane)) {
      gate.savingUntil = 0;
      books.opened.add(gate);
    }
  }
  const taken = new Map<string, number>();
  for (const lane of picked.slice(0, claimed)) {
    for (const gate of gatesOf(books, lane)) {
      noteStart(gate, tx.now);
      const { rateLimit } = gate.limit;
      if (!rateLimit) continue;
      const at = taken.get(gate.key) ?? books.buckets.get(gate.key) ?? 0;
      taken.set(gate.key, fullAfter(rateLimit, at, costIn(rateLimit, costAt(gate, lane)), tx.now));
    }
  }
  saveBuckets(tx, taken);
}

/** A job of this lane begins (1) or ends (-1) to run: its gates hold it, or may have opened. */
export function hold(books: Books, lane: Lane, count: number): void {
  for (const gate of gatesOf(books, lane)) {
    gate.holders += count;
    if (count < 0 && gate.lines.size > 0) books.opened.add(gate);
  }
}
