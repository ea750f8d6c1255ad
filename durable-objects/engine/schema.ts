/**
 * The tables of one queue. The object's storage migrates itself, together with its first write.
 *
 * Rows are the bill: one job costs its row and one entry in a partial index at enqueue, nothing more at claim than
 * the row again (leaving a partial index is free), and one delete. So there is no index on session, task or time of
 * acceptance, and no AUTOINCREMENT.
 *
 * @module
 */
import type { Sql } from "./ports.ts";

/**
 * Grows with every change of the tables, or of what stands in them. Older code refuses a newer one. Since 3 a running
 * job keeps the end of its waiting, which version 2 would take for that of the next.
 */
export const SCHEMA_VERSION = 3;

const META = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
`;

/**
 * No reference holds jobs to their lane: without an index on it each lane that goes would scan all jobs, and with one
 * each job would cost a row more. The books keep lanes unique, for the same price.
 */
const JOBS = `
CREATE TABLE lanes (
  id INTEGER PRIMARY KEY,
  task TEXT NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('short', 'long')),
  suspect INTEGER NOT NULL CHECK (suspect IN (0, 1)),
  keys TEXT,
  cost TEXT,
  fair_key TEXT,
  CHECK (cost IS NULL OR keys IS NOT NULL)
) STRICT;

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,
  lane INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('scheduled', 'blocked', 'ready', 'running')),
  reason TEXT,
  priority INTEGER NOT NULL CHECK (priority BETWEEN -32768 AND 32767),
  rank INTEGER NOT NULL,
  wake_at INTEGER,
  expires_at INTEGER,
  fence INTEGER NOT NULL CHECK (fence >= 0),
  failures INTEGER NOT NULL CHECK (failures >= 0),
  lapses INTEGER NOT NULL CHECK (lapses >= 0),
  declines INTEGER NOT NULL DEFAULT 0,
  declined_since INTEGER,
  session TEXT,
  started_at INTEGER,
  created_at INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  cancel_requested_at INTEGER,
  timeout_ms INTEGER NOT NULL CHECK (timeout_ms > 0),
  reopened_fence INTEGER NOT NULL DEFAULT 0,
  payload TEXT,
  encoding TEXT NOT NULL,
  options TEXT NOT NULL,
  error TEXT,
  progress TEXT,
  attempts TEXT,
  request TEXT,
  ordering TEXT,
  ordering_rank INTEGER,
  unique_key TEXT,
  logs TEXT,
  CHECK ((ordering IS NULL) = (ordering_rank IS NULL)),
  CHECK (state <> 'blocked' OR ordering IS NOT NULL),
  CHECK ((state = 'running') = (session IS NOT NULL)),
  CHECK (state <> 'running' OR (started_at IS NOT NULL AND wake_at IS NULL)),
  CHECK (state <> 'scheduled' OR wake_at IS NOT NULL),
  CHECK (state <> 'blocked' OR reason IS NOT NULL),
  CHECK (expires_at IS NULL OR wake_at <= expires_at)
) STRICT;
CREATE INDEX jobs_ready ON jobs (lane, priority DESC, rank, seq) WHERE state = 'ready';
CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX jobs_ordering ON jobs (ordering, ordering_rank, seq) WHERE ordering IS NOT NULL;
`;

const CORE = `
CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  worker TEXT NOT NULL,
  n INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  held TEXT NOT NULL,
  cancels TEXT NOT NULL,
  refused TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('history', 'sent', 'result', 'delete')),
  count INTEGER NOT NULL,
  min_seq INTEGER NOT NULL,
  max_seq INTEGER NOT NULL,
  high_water INTEGER NOT NULL CHECK (high_water >= max_seq),
  created_at INTEGER NOT NULL,
  body TEXT,
  rollup TEXT NOT NULL,
  requests TEXT,
  CHECK ((kind = 'sent') = (body IS NULL))
) STRICT;
CREATE TRIGGER outbox_keeps_newest BEFORE DELETE ON outbox
WHEN OLD.id = (SELECT max(id) FROM outbox)
BEGIN SELECT RAISE(ABORT, 'the newest outbox row holds the high-water mark of ids'); END;

CREATE TABLE idempotency (
  key TEXT PRIMARY KEY,
  body_hash TEXT NOT NULL,
  answer TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/**
 * `buckets.full_at`: when the bucket of a rate limit is full again; a bucket without a row is full. `closures`: keys
 * that somebody closed. `uniques.ended`: the final state in which the job of a key still holds it. `outgoing`:
 * follow-up jobs on their way to other queues.
 */
const FLOW = `
CREATE TABLE buckets (key TEXT PRIMARY KEY, full_at REAL NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE closures (
  key TEXT PRIMARY KEY,
  since INTEGER NOT NULL,
  until INTEGER NOT NULL CHECK (until > since),
  reason TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE uniques (
  key TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  states TEXT NOT NULL,
  first_at INTEGER NOT NULL,
  until INTEGER,
  ended TEXT CHECK (ended IN ('completed', 'dead', 'cancelled')),
  CHECK (ended IS NULL OR until IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TABLE outgoing (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  partition INTEGER NOT NULL,
  source TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE schedules (
  name TEXT PRIMARY KEY,
  origin TEXT NOT NULL CHECK (origin IN ('code', 'api')),
  input TEXT NOT NULL,
  paused TEXT,
  next_at INTEGER,
  fires_at INTEGER,
  last_instant INTEGER,
  last_outcome TEXT CHECK (last_outcome IN ('enqueued', 'skipped', 'missed')),
  last_seq INTEGER,
  CHECK ((next_at IS NULL) = (fires_at IS NULL) AND fires_at >= next_at),
  CHECK ((last_instant IS NULL) = (last_outcome IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule_runs (
  name TEXT NOT NULL,
  instant INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  backfilled INTEGER NOT NULL CHECK (backfilled IN (0, 1)),
  PRIMARY KEY (name, instant)
) STRICT, WITHOUT ROWID;
`;

/** Version 1 had one lane a task, and jobs that referred to it. */
const FROM_1 = `
DROP INDEX jobs_ready;
DROP INDEX jobs_wake;
ALTER TABLE jobs RENAME TO jobs_1;
ALTER TABLE lanes RENAME TO lanes_1;
${JOBS}
INSERT INTO lanes (id, task, channel, suspect) SELECT id, task, channel, suspect FROM lanes_1;
INSERT INTO jobs SELECT *, NULL, NULL, NULL, NULL FROM jobs_1;
DROP TABLE jobs_1;
DROP TABLE lanes_1;
${FLOW}`;

/** The version that the storage stands at; 0: never written to. Throws where newer code has been. */
export function schemaVersion(sql: Sql): number {
  const table = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'");
  if (table.length === 0) return 0;
  const [row] = sql.exec("SELECT value FROM meta WHERE key = 'schema'");
  const version = Number(row?.value ?? 0);
  if (version <= SCHEMA_VERSION) return version;
  throw new Error(
    `Cannot open this queue: its storage has schema ${version}, this code knows up to ${SCHEMA_VERSION}. Deploy the newer code again.`,
  );
}

/** Whether an earlier release wrote these tables. */
export function isOutdated(sql: Sql): boolean {
  const version = schemaVersion(sql);
  return version > 0 && version < SCHEMA_VERSION;
}

/** Brings the storage to SCHEMA_VERSION, within the caller's transaction. */
export function migrate(sql: Sql): void {
  const version = schemaVersion(sql);
  if (version === SCHEMA_VERSION) return;
  if (version < 2) sql.exec(version === 0 ? META + JOBS + CORE + FLOW : FROM_1);
  sql.exec(
    "INSERT INTO meta (key, value) VALUES ('schema', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    String(SCHEMA_VERSION),
  );
}
