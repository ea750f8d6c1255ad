/**
 * Operations over many jobs, as D1 keeps them. Whoever works on one holds its lease; every write of a worker compares
 * it, so that one who was thought gone changes nothing.
 *
 * @module
 */
import type { JobState, Operation, OperationAction } from "../../client/types.ts";
import { idsFrom, newId } from "./ids.ts";

/** What was asked for; instants and durations in ms. */
export interface OperationAsked {
  filter: OperationFilter;
  /** As it was asked for, to be shown again. */
  shown: Pick<Operation, "filter" | "args" | "rate">;
  runAt: number | null;
  priority: number | null;
  rate: { limit: number; perMs: number } | null;
  canary: { count: number; minSuccess: number } | null;
  dryRun: boolean;
  /** True: the queue itself goes, with all that the history has of it. */
  forget: boolean;
}

export interface OperationFilter {
  queue: string | null;
  states: (JobState | "retrying")[] | null;
  task: string | null;
  tag: string | null;
  from: number | null;
  to: number | null;
  fingerprint: string | null;
}

/** How far it has come. */
export interface OperationProgress {
  /** Where the next page begins; null: at the first. */
  cursor: unknown[] | null;
  /** The page at hand, noted before anything is done to it, and where the one after it begins (null: it is the last). */
  page: { jobs: [queue: string, seq: number, fence: number][]; next: unknown[] | null } | null;
  /** By the rate, nothing starts before. */
  notBefore: number;
  /** Jobs of the canary that have not ended, and how those ended that have. */
  canary: { waiting: [queue: string, seq: number][]; completed: number; failed: number; passed: boolean } | null;
  /** Since when every step has thrown; null: the latest did not. */
  troubledSince: number | null;
  /** Of a queue that goes: its latest job, once it has forgotten itself. */
  upto: number | null;
}

export interface OperationRow {
  id: string;
  action: OperationAction;
  asked: OperationAsked;
  state: Operation["state"];
  reason: string | null;
  matched: number;
  changed: number;
  failed: number;
  progress: OperationProgress;
  createdAt: number;
  updatedAt: number;
}

/** What a worker writes back. */
export type OperationUpdate = Pick<OperationRow, "state" | "reason" | "matched" | "changed" | "failed" | "progress">;

/** Every method rejects with D1's error when D1 fails. */
export interface Operations {
  create(id: string, action: OperationAction, asked: OperationAsked, now: number): Promise<OperationRow>;
  get(id: string): Promise<OperationRow | null>;
  /** Newest first, from below the id `before`. */
  list(before: string | null, limit: number): Promise<OperationRow[]>;
  /**
   * Takes the lease of a running operation that nobody works on; null: somebody does, or it is over. `cutShort`: whoever
   * had it before did not give it back.
   */
  take(id: string, lease: string, now: number): Promise<(OperationRow & { cutShort: boolean }) | null>;
  /** Notes what was done and keeps the lease; false: it was stopped meanwhile, or somebody else has the lease. */
  save(id: string, lease: string, update: OperationUpdate, now: number): Promise<boolean>;
  release(id: string, lease: string): Promise<void>;
  /** Null: there is none. One that is over stays as it is. */
  stop(id: string, reason: string, now: number): Promise<OperationRow | null>;
  /** Running ones that nobody works on, the longest untouched first. */
  due(now: number, limit: number): Promise<string[]>;
  /** Forgets those that ended before. */
  prune(before: number): Promise<void>;
}

export const newOperationId = (now: number): string => `op-${newId(now, 12)}`;

/** A step is over, or will be repeated, after this time. */
export const LEASE_MS = 60_000;

const SELECT = `SELECT id, action, asked, state, reason, matched, changed, failed, progress,
  created_at AS "createdAt", updated_at AS "updatedAt" FROM operations`;
const RETURNING = `RETURNING id, action, asked, state, reason, matched, changed, failed, progress,
  created_at AS "createdAt", updated_at AS "updatedAt"`;

const NOTHING: OperationProgress = {
  cursor: null,
  page: null,
  notBefore: 0,
  canary: null,
  troubledSince: null,
  upto: null,
};

type Stored = Omit<OperationRow, "asked" | "progress"> & { asked: string; progress: string };

export function operationsIn(db: D1Database): Operations {
  return {
    async create(id, action, asked, now) {
      const row = await db
        .prepare(
          `INSERT INTO operations (id, action, asked, state, matched, changed, failed, progress, lease_until, created_at, updated_at)
           VALUES (?1, ?2, ?3, 'running', 0, 0, 0, ?4, 0, ?5, ?5) ${RETURNING}`,
        )
        .bind(id, action, JSON.stringify(asked), JSON.stringify(NOTHING), now)
        .first<Stored>();
      return toRow(row!);
    },
    async get(id) {
      const row = await db.prepare(`${SELECT} WHERE id = ?`).bind(id).first<Stored>();
      return row && toRow(row);
    },
    async list(before, limit) {
      const { results } = await db
        .prepare(`${SELECT} WHERE id < coalesce(?1, '~') ORDER BY id DESC LIMIT ?2`)
        .bind(before, limit)
        .all<Stored>();
      return results.map(toRow);
    },
    async take(id, lease, now) {
      const [before, taken] = await db.batch<Stored & { leaseUntil: number }>([
        db.prepare('SELECT lease_until AS "leaseUntil" FROM operations WHERE id = ?').bind(id),
        db
          .prepare(
            `UPDATE operations SET lease = ?2, lease_until = ?4
             WHERE id = ?1 AND state = 'running' AND lease_until <= ?3 ${RETURNING}`,
          )
          .bind(id, lease, now, now + LEASE_MS),
      ]);
      const row = taken!.results[0];
      return row ? { ...toRow(row), cutShort: before!.results[0]!.leaseUntil > 0 } : null;
    },
    async save(id, lease, { state, reason, matched, changed, failed, progress }, now) {
      const row = await db
        .prepare(SAVE)
        .bind(id, lease, state, reason, matched, changed, failed, JSON.stringify(progress), now, now + LEASE_MS)
        .first<{ state: string }>();
      return row?.state === "running";
    },
    async release(id, lease) {
      await db.prepare("UPDATE operations SET lease_until = 0 WHERE id = ? AND lease = ?").bind(id, lease).run();
    },
    async stop(id, reason, now) {
      await db
        .prepare(
          "UPDATE operations SET state = 'stopped', reason = ?2, updated_at = ?3 WHERE id = ?1 AND state = 'running'",
        )
        .bind(id, reason, now)
        .run();
      return this.get(id);
    },
    async due(now, limit) {
      const { results } = await db
        .prepare("SELECT id FROM operations WHERE state = 'running' AND lease_until <= ? ORDER BY updated_at LIMIT ?")
        .bind(now, limit)
        .all<{ id: string }>();
      return results.map(({ id }) => id);
    },
    async prune(before) {
      const began = `op-${idsFrom(before)}`;
      await db.prepare(PRUNE).bind(began, before).run();
    },
  };
}

/** One that was stopped meanwhile stays so, and what was done until then is counted all the same. */
const SAVE = `
UPDATE operations SET state = iif(state = 'running', ?3, state), reason = iif(state = 'running', ?4, reason),
  matched = ?5, changed = ?6, failed = ?7, progress = ?8, updated_at = ?9, lease_until = ?10
WHERE id = ?1 AND lease = ?2 RETURNING state`;

/** What began later cannot have ended before, and is not read. */
const PRUNE = "DELETE FROM operations WHERE id < ?1 AND state <> 'running' AND updated_at < ?2";

function toRow(row: Stored): OperationRow {
  return { ...row, asked: JSON.parse(row.asked), progress: JSON.parse(row.progress) };
}
