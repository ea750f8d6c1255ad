/**
 * Schedules as they are stored, and what is kept of them in memory: when each is due next.
 *
 * @module
 */
import type { ScheduleInput, ScheduleReport } from "../../client/wire.ts";
import type { Books } from "./books.ts";
import type { Row, Tx } from "./ports.ts";
import { fireTime, type Timing, timingOf } from "./timing.ts";

/** A row of `schedules`. `nextAt` is the earliest instant that nothing has become of yet; null: there is none. */
export interface Schedule {
  name: string;
  origin: "code" | "api";
  input: ScheduleInput;
  paused: ScheduleReport["paused"];
  nextAt: number | null;
  firesAt: number | null;
  last: ScheduleReport["last"];
}

interface Known {
  origin: "code" | "api";
  /** Null: it is paused or over. */
  firesAt: number | null;
}

const NEXT_SHOWN = 5;
/** They live and die with the books. */
const known = new WeakMap<Books, Map<string, Known>>();

/** All schedules by name, as the tables have them: read at the first call, kept true by those who write here. */
export function knownSchedules(tx: Tx): ReadonlyMap<string, Known> {
  return knownIn(tx);
}

function knownIn(tx: Tx): Map<string, Known> {
  let all = known.get(tx.books);
  if (!all) {
    const rows = tx.sql.exec(
      "SELECT name, origin, iif(paused IS NULL, fires_at, NULL) AS fires_at FROM schedules ORDER BY name",
    );
    all = new Map(rows.map((row): [string, Known] => [String(row.name), knownOf(row)]));
    known.set(tx.books, all);
  }
  return all;
}

const knownOf = ({ origin, fires_at: firesAt }: Row): Known => ({
  origin: origin as Known["origin"],
  firesAt: firesAt === null ? null : Number(firesAt),
});

/** When the next schedule is due. */
export function schedulesDueAt(tx: Tx): number {
  let next = Number.POSITIVE_INFINITY;
  for (const { firesAt } of knownIn(tx).values()) next = Math.min(next, firesAt ?? next);
  return next;
}

export function loadSchedules(tx: Tx, names: readonly string[]): Schedule[] {
  return tx.sql
    .exec(
      `SELECT s.* FROM json_each(?) AS n CROSS JOIN schedules AS s ON s.name = n.value ORDER BY s.name`,
      JSON.stringify(names),
    )
    .map(scheduleOf);
}

export function loadSchedule(tx: Tx, name: string): Schedule | null {
  return knownIn(tx).has(name) ? (loadSchedules(tx, [name])[0] ?? null) : null;
}

function scheduleOf(row: Row): Schedule {
  const number = (value: unknown): number | null => (value === null ? null : Number(value));
  return {
    name: String(row.name),
    origin: row.origin as Schedule["origin"],
    input: JSON.parse(String(row.input)),
    paused: row.paused === null ? null : JSON.parse(String(row.paused)),
    nextAt: number(row.next_at),
    firesAt: number(row.fires_at),
    last:
      row.last_instant === null
        ? null
        : {
            instant: Number(row.last_instant),
            outcome: row.last_outcome as NonNullable<Schedule["last"]>["outcome"],
            seq: number(row.last_seq),
          },
  };
}

const UPSERT = `
INSERT INTO schedules (name, origin, input, paused, next_at, fires_at, last_instant, last_outcome, last_seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET origin = excluded.origin, input = excluded.input, paused = excluded.paused,
  next_at = excluded.next_at, fires_at = excluded.fires_at, last_instant = excluded.last_instant,
  last_outcome = excluded.last_outcome, last_seq = excluded.last_seq`;

/** Writes a schedule as it now is. */
export function storeSchedule(tx: Tx, schedule: Schedule): void {
  const { name, origin, input, paused, nextAt, firesAt, last } = schedule;
  tx.sql.exec(
    UPSERT,
    name,
    origin,
    JSON.stringify(input),
    paused && JSON.stringify(paused),
    nextAt,
    firesAt,
    last?.instant ?? null,
    last?.outcome ?? null,
    last?.seq ?? null,
  );
  note(tx, schedule);
}

/** Writes what a schedule has come to: its next instant, and what became of the latest. */
export function storeProgress(tx: Tx, schedule: Schedule): void {
  const { name, nextAt, firesAt, last } = schedule;
  tx.sql.exec(
    "UPDATE schedules SET next_at = ?, fires_at = ?, last_instant = ?, last_outcome = ?, last_seq = ? WHERE name = ?",
    nextAt,
    firesAt,
    last?.instant ?? null,
    last?.outcome ?? null,
    last?.seq ?? null,
    name,
  );
  note(tx, schedule);
}

function note(tx: Tx, { name, origin, paused, firesAt }: Schedule): void {
  const due = paused ? null : firesAt;
  knownIn(tx).set(name, { origin, firesAt: due });
  if (due !== null) tx.due(due);
}

/** Forgets schedules. What they made stays noted: no instant is made again should one of the name come back. */
export function dropSchedules(tx: Tx, names: readonly string[]): void {
  if (names.length === 0) return;
  tx.sql.exec("DELETE FROM schedules WHERE name IN (SELECT value FROM json_each(?))", JSON.stringify(names));
  for (const name of names) knownIn(tx).delete(name);
}

/** This instant is the next to come; null: none is. */
export function comesNext(schedule: Schedule, timing: Timing, instant: number | null): void {
  schedule.nextAt = instant;
  schedule.firesAt =
    instant === null ? null : fireTime(schedule.name, schedule.input.jitterMs, instant, timing.next(instant));
}

/** A schedule as people see it. */
export function reportOf(tx: Tx, { name, origin, input, paused, nextAt, last }: Schedule): ScheduleReport {
  const timing = timingOf(input);
  const next: number[] = [];
  if (typeof timing !== "string") {
    // What a paused one has missed is not to come.
    let at = paused ? timing.next(tx.now) : nextAt;
    for (; at !== null && next.length < NEXT_SHOWN; at = timing.next(at)) next.push(at);
  }
  return { name, origin, spec: input.spec, paused, next, last };
}
