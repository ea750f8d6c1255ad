/**
 * D1's tables. All are `WITHOUT ROWID` (which drizzle cannot say: the migration adds it by hand), because a row's
 * primary key would otherwise be a second index and every job would cost two rows written instead of one.
 *
 * Instants are milliseconds since the epoch.
 *
 * @module
 */
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { FinalState, Operation, OperationAction, Role } from "../../client/types.ts";

/**
 * Every finished job, in its latest form: what lists filter and order by, and all the rest of the record as one JSON
 * text (`ENTRY_BODY` in client/wire.ts), because each column more is one more parse of what a flush carries.
 *
 * The body stands last: SQLite reads a row from its front, so filters never walk through a payload.
 * Nothing but the key refuses a row: a refused row would hold up its queue's outbox for ever.
 */
export const history = sqliteTable(
  "history",
  {
    queue: text("queue").notNull(),
    partition: integer("partition").notNull(),
    seq: integer("seq").notNull(),
    fence: integer("fence").notNull(),
    task: text("task").notNull(),
    state: text("state").$type<FinalState>().notNull(),
    createdAt: integer("created_at").notNull(),
    finishedAt: integer("finished_at").notNull(),
    body: text("body").notNull(),
    /** `JobRecord.logs`. Lists do not read them. */
    logs: text("logs"),
  },
  (table) => [
    primaryKey({ columns: [table.queue, table.partition, table.seq] }),
    // Only what did not complete: a completed job costs one row written, and dead ones are what people look for.
    index("history_not_completed").on(table.finishedAt).where(sql`state <> 'completed'`),
  ],
);

/** Counts of ended jobs, one row a flush; later one row an hour (`compact.ts`). Never empty once a queue has flushed. */
export const rollups = sqliteTable(
  "rollups",
  {
    queue: text("queue").notNull(),
    partition: integer("partition").notNull(),
    /** The highest outbox id counted in this row or before it. */
    upto: integer("upto").notNull(),
    fromMinute: integer("from_minute").notNull(),
    toMinute: integer("to_minute").notNull(),
    /** 1: `body` tells minutes apart; 60: only hours. */
    grainMinutes: integer("grain_minutes").notNull(),
    /** JSON text of a `Rollup`. */
    body: text("body").notNull(),
  },
  (table) => [primaryKey({ columns: [table.queue, table.partition, table.upto] })],
);

/** The registry: every queue that was ever used. Written at first use, then only by the sweeper. */
export const queues = sqliteTable(
  "queues",
  {
    name: text("name").notNull(),
    partition: integer("partition").notNull(),
    paused: integer("paused", { mode: "boolean" }).notNull(),
    /** When the object meant to wake next, as its last poke said; null: idle. */
    nextWakeAt: integer("next_wake_at"),
    pokedAt: integer("poked_at"),
    prunedAt: integer("pruned_at"),
    /** Where a prune that ran out of its budget goes on; null: it came to the end. */
    prunedTo: integer("pruned_to"),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.name, table.partition] })],
);

/** Operations over many jobs: what was asked for, and how far they have come. */
export const operations = sqliteTable(
  "operations",
  {
    /** Sorts by the time of its beginning. */
    id: text("id").primaryKey(),
    action: text("action").$type<OperationAction>().notNull(),
    /** JSON text of an `OperationAsked`. */
    asked: text("asked").notNull(),
    state: text("state").$type<Operation["state"]>().notNull(),
    reason: text("reason"),
    matched: integer("matched").notNull(),
    changed: integer("changed").notNull(),
    failed: integer("failed").notNull(),
    /** JSON text of an `OperationProgress`. */
    progress: text("progress").notNull(),
    /** Who works on it, and until when nobody else does. */
    lease: text("lease"),
    leaseUntil: integer("lease_until").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [index("operations_running").on(table.id).where(sql`state = 'running'`)],
);

/** Tokens that were made over the API, and ids that were revoked. What code mints stands here only once it is revoked. */
export const tokens = sqliteTable(
  "tokens",
  {
    /** Sorts by the time at which it was made. */
    id: text("id").primaryKey(),
    /** JSON text of what it was made for; null: revoked by its id, and never noted before. No secret. */
    about: text("about"),
    createdAt: integer("created_at").notNull(),
    /** Of one that was never noted: when it has expired, whenever it was made. */
    expiresAt: integer("expires_at").notNull(),
    revokedAt: integer("revoked_at"),
  },
  (table) => [
    index("tokens_expiry").on(table.expiresAt),
    index("tokens_revoked").on(table.expiresAt).where(sql`revoked_at IS NOT NULL`),
  ],
);

/** Who did what, when, to what. */
export const audit = sqliteTable("audit", {
  /** Sorts by time. */
  id: text("id").primaryKey(),
  at: integer("at").notNull(),
  who: text("who").notNull(),
  tokenId: text("token_id"),
  role: text("role").$type<Role>().notNull(),
  action: text("action").notNull(),
  status: integer("status").notNull(),
  requestId: text("request_id").notNull(),
});
