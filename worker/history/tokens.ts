/**
 * Tokens as D1 keeps them: what was made, and what was revoked. A token is valid by its signature; D1 is asked only for
 * the ids of those that are not any more.
 *
 * @module
 */
import type { TokenInfo } from "../../client/types.ts";

/** What is noted of a token when it is made. */
export type TokenAbout = Omit<TokenInfo, "id" | "createdAt" | "expiresAt" | "revokedAt">;

export interface TokenRow {
  id: string;
  about: TokenAbout;
  createdAt: number;
  expiresAt: number;
  revokedAt: number | null;
}

/** Every method rejects with D1's error when D1 fails. */
export interface TokenStore {
  create(row: Omit<TokenRow, "revokedAt">): Promise<void>;
  /** Those that have not expired, newest first, from below the id `before`. */
  list(before: string | null, limit: number, now: number): Promise<TokenRow[]>;
  /** From now on; of an id that is not noted, until `until`. The same again changes nothing. */
  revoke(id: string, now: number, until: number): Promise<void>;
  /** Ids that are revoked and have not expired. */
  revoked(now: number): Promise<string[]>;
  /** Ids that were revoked after an instant. */
  revokedSince(since: number): Promise<string[]>;
  /** Forgets what has expired. */
  prune(now: number): Promise<void>;
}

type Stored = Omit<TokenRow, "about"> & { about: string };

const LIST = `SELECT id, about, created_at AS "createdAt", expires_at AS "expiresAt", revoked_at AS "revokedAt"
  FROM tokens WHERE id < coalesce(?1, '~') AND about IS NOT NULL AND expires_at > ?3 ORDER BY id DESC LIMIT ?2`;

const REVOKE = `INSERT INTO tokens (id, about, created_at, expires_at, revoked_at) VALUES (?1, NULL, ?2, ?3, ?2)
  ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at WHERE revoked_at IS NULL`;

export function tokensIn(db: D1Database): TokenStore {
  return {
    async create({ id, about, createdAt, expiresAt }) {
      await db
        .prepare("INSERT INTO tokens (id, about, created_at, expires_at) VALUES (?, ?, ?, ?)")
        .bind(id, JSON.stringify(about), createdAt, expiresAt)
        .run();
    },
    async list(before, limit, now) {
      const { results } = await db.prepare(LIST).bind(before, limit, now).all<Stored>();
      return results.map((row) => ({ ...row, about: JSON.parse(row.about) }));
    },
    async revoke(id, now, until) {
      await db.prepare(REVOKE).bind(id, now, until).run();
    },
    async revoked(now) {
      const { results } = await db
        .prepare("SELECT id FROM tokens WHERE revoked_at IS NOT NULL AND expires_at > ?")
        .bind(now)
        .all<{ id: string }>();
      return results.map(({ id }) => id);
    },
    async revokedSince(since) {
      const { results } = await db
        .prepare("SELECT id FROM tokens WHERE revoked_at IS NOT NULL AND revoked_at > ?")
        .bind(since)
        .all<{ id: string }>();
      return results.map(({ id }) => id);
    },
    async prune(now) {
      await db.prepare("DELETE FROM tokens WHERE expires_at <= ?").bind(now).run();
    },
  };
}
