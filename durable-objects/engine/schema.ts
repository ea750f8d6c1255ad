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

/** Grows with every change of the tables. Older code refuses a newer one. */
export const SCHEMA_VERSION = 1;

const TABLES = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE lanes (
  id INTEGER PRIMARY KEY,
  task TEXT NOT NULL,
  channel TEXT NOT NULL CHECK (channel IN ('short', 'long')),
  suspect INTEGER NOT NULL CHECK (suspect IN (0, 1)),
  UNIQUE (task, channel, suspect)
) STRICT;

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,
  lane INTEGER NOT NULL REFERENCES lanes (id),
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
  CHECK ((state = 'running') = (session IS NOT NULL)),
  CHECK (state <> 'running' OR (started_at IS NOT NULL AND wake_at IS NULL)),
  CHECK (state <> 'scheduled' OR wake_at IS NOT NULL),
  CHECK (state <> 'blocked' OR reason IS NOT NULL),
  CHECK (expires_at IS NULL OR wake_at <= expires_at)
) STRICT;
CREATE INDEX jobs_ready ON jobs (lane, priority DESC, rank, seq) WHERE state = 'ready';
CREATE INDEX jobs_wake ON jobs (wake_at) WHERE wake_at IS NOT NULL;

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

/** Brings the storage to SCHEMA_VERSION, within the caller's transaction. */
export function migrate(sql: Sql): void {
  if (schemaVersion(sql) === SCHEMA_VERSION) return;
  sql.exec(TABLES);
  sql.exec("INSERT INTO meta (key, value) VALUES ('schema', ?)", String(SCHEMA_VERSION));
}
