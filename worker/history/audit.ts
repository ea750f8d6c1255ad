/**
 * The audit log as D1 keeps it: one row an entry, in the order of time.
 *
 * @module
 */
import type { AuditEntry } from "../../client/types.ts";
import { idsFrom, newId } from "./ids.ts";

/** An entry with its instant in ms. */
export type AuditRow = Omit<AuditEntry, "at"> & { at: number };

/** Every method rejects with D1's error when D1 fails. */
export interface AuditStore {
  note(entry: Omit<AuditRow, "id">): Promise<void>;
  /** Newest first, from below the id `before`; `from` inclusive, `to` exclusive. */
  list(input: { before: string | null; from: number | null; to: number | null; limit: number }): Promise<AuditRow[]>;
  /** Forgets what happened before, a bounded piece of it a call. */
  prune(before: number): Promise<void>;
}

const PRUNE_ROWS = 5_000;

export function auditIn(db: D1Database): AuditStore {
  return {
    async note({ at, who, tokenId, role, action, status, requestId }) {
      await db
        .prepare(
          `INSERT INTO audit (id, at, who, token_id, role, action, status, request_id)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .bind(newId(at, 12), at, who, tokenId, role, action, status, requestId)
        .run();
    },
    async list({ before, from, to, limit }) {
      const below = [before, to === null ? null : idsFrom(to), "~"].filter((id) => id !== null).toSorted()[0]!;
      const { results } = await db
        .prepare(
          `SELECT id, at, who, token_id AS "tokenId", role, action, status, request_id AS "requestId"
           FROM audit WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3`,
        )
        .bind(from === null ? "" : idsFrom(Math.max(0, from)), below, limit)
        .all<AuditRow>();
      return results;
    },
    async prune(before) {
      await db
        .prepare("DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ? ORDER BY id LIMIT ?)")
        .bind(idsFrom(before), PRUNE_ROWS)
        .run();
    },
  };
}
