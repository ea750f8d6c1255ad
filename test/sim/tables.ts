import { type Channel, ENTRY_BODY, type Entry, type Settings, type WireOutcome } from "../../client/wire.ts";
import type { Sql } from "../../durable-objects/engine/ports.ts";

/** A row of `jobs` as the checks look at it. */
export interface LiveRow {
  seq: number;
  task: string;
  channel: Channel;
  state: string;
  reason: string | null;
  priority: number;
  rank: number;
  wake_at: number | null;
  expires_at: number | null;
  fence: number;
  failures: number;
  lapses: number;
  declined_since: number | null;
  session: string | null;
  started_at: number | null;
  run_at: number;
  cancel_requested_at: number | null;
  timeout_ms: number;
  options: string;
  /** JSON text. */
  keys: string | null;
  cost: string | null;
  fair_key: string | null;
  ordering: string | null;
  ordering_rank: number | null;
}

export interface SessionRow {
  id: string;
  n: number;
  leaseUntil: number;
  held: { seq: number; fence: number; until: number }[];
}

export interface OutboxRow {
  id: number;
  kind: string;
  createdAt: number;
  /** Of each that ended; `options` is JSON text. */
  entries: [seq: number, fence: number, task: string, state: string, reason: string | null, options: string][];
}

export interface ScheduleRow {
  nextAt: number | null;
  paused: boolean;
}

const JOBS = `SELECT seq, lanes.task AS task, channel, state, reason, priority, rank, wake_at, expires_at, fence, failures,
  lapses, declined_since, session, started_at, run_at, cancel_requested_at, timeout_ms, options, keys, cost, fair_key,
  ordering, ordering_rank
  FROM jobs JOIN lanes ON lanes.id = jobs.lane`;

const WATCH = `
CREATE TEMP TABLE touched (seq INTEGER PRIMARY KEY);
CREATE TEMP TRIGGER touched_insert AFTER INSERT ON main.jobs BEGIN INSERT OR IGNORE INTO touched VALUES (NEW.seq); END;
CREATE TEMP TRIGGER touched_update AFTER UPDATE ON main.jobs BEGIN INSERT OR IGNORE INTO touched VALUES (NEW.seq); END;
CREATE TEMP TRIGGER touched_delete AFTER DELETE ON main.jobs BEGIN INSERT OR IGNORE INTO touched VALUES (OLD.seq); END;
INSERT INTO touched SELECT seq FROM jobs;`;

/** Jobs that were written to since the last call, as they are now; null: gone. */
export function readTouched(sql: Sql): Map<number, LiveRow | null> {
  if (sql.exec("SELECT 1 FROM temp.sqlite_master").length === 0) sql.exec(WATCH);
  const touched = new Map<number, LiveRow | null>();
  for (const { seq } of sql.exec("SELECT seq FROM touched")) touched.set(Number(seq), null);
  if (touched.size === 0) return touched;
  for (const row of sql.exec(`${JOBS} WHERE seq IN (SELECT seq FROM touched)`)) {
    touched.set(Number(row.seq), row as unknown as LiveRow);
  }
  sql.exec("DELETE FROM touched");
  return touched;
}

export function readSessions(sql: Sql): Map<string, SessionRow> {
  const rows = sql.exec("SELECT id, n, lease_until, held, refused FROM sessions");
  return new Map(
    rows.map((row) => {
      const held = (JSON.parse(String(row.held)) as number[][]).map(([seq, fence, , , until]) => ({
        seq: seq!,
        fence: fence!,
        until: until!,
      }));
      // A session that was handed its first job does not know what its exchange refused: repeated, that is settled again.
      const n = row.refused === "null" ? 0 : Number(row.n);
      return [String(row.id), { id: String(row.id), n, leaseUntil: Number(row.lease_until), held }];
    }),
  );
}

export function readOutbox(sql: Sql, after: number): OutboxRow[] {
  const rows = sql.exec("SELECT id, kind, created_at, body FROM outbox WHERE id > ? ORDER BY id", after);
  return rows.map((row) => ({
    id: Number(row.id),
    kind: String(row.kind),
    createdAt: Number(row.created_at),
    entries: (JSON.parse(String(row.body)) as Entry[]).map(([seq, fence, task, state, , , body]) => {
      const parsed = row.kind === "delete" ? [] : (JSON.parse(body) as (string | null)[]);
      return [seq, fence, task, state, parsed[REASON] ?? null, parsed[OPTIONS] ?? "{}"];
    }),
  }));
}

const REASON = ENTRY_BODY.indexOf("reason");
const OPTIONS = ENTRY_BODY.indexOf("options");

export function readSchedules(sql: Sql): Map<string, ScheduleRow> {
  const rows = sql.exec("SELECT name, next_at, paused FROM schedules");
  return new Map(
    rows.map((row) => [
      String(row.name),
      { nextAt: row.next_at === null ? null : Number(row.next_at), paused: row.paused !== null },
    ]),
  );
}

export function readOutboxKinds(sql: Sql): Map<number, string> {
  return new Map(sql.exec("SELECT id, kind FROM outbox").map((row) => [Number(row.id), String(row.kind)]));
}

export function readMeta(sql: Sql): { paused: boolean; overrides: Partial<Settings> } {
  const meta = new Map(sql.exec("SELECT key, value FROM meta").map((row) => [row.key, String(row.value)]));
  return { paused: meta.has("paused"), overrides: JSON.parse(meta.get("overrides") ?? "{}") };
}

/** The first outcome that names this attempt. */
export function outcomeFor(settle: WireOutcome[], seq: number, fence: number): WireOutcome | undefined {
  return settle.find((outcome) => outcome.seq === seq && outcome.fence === fence);
}
