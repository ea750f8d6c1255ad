/**
 * Which tokens are revoked, as far as this isolate knows. A list that cannot be read anew stays in force as it was read
 * last: while D1 is down nobody is stopped, and nobody comes back.
 *
 * @module
 */
import type { Log } from "../log.ts";
import { within } from "../within.ts";

/** A list is read anew after this time. */
const FRESH_MS = 25_000;
/** One that is older is not gone by, unless it cannot be read anew: a revoked token stops everywhere within a minute. */
const TRUSTED_MS = 50_000;
const READ_IN_MS = 3_000;
const AGAIN_AFTER_MS = 10_000;
const LOG_EVERY_MS = 60_000;

export interface Revocations {
  /** Reads the list anew by `load` where that is due. Never rejects. */
  isRevoked(id: string, load: (now: number) => Promise<string[]>): Promise<boolean>;
  /** Known at once, where it was said. */
  add(id: string): void;
}

export function createRevocations(log: Log, clock: () => number = Date.now): Revocations {
  let listed = new Set<string>();
  /** Revoked here since, which a list that is being read may not have yet. */
  const added = new Map<string, number>();
  let dueAt = 0;
  let trustedUntil = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;

  async function refresh(load: (now: number) => Promise<string[]>): Promise<void> {
    const now = clock();
    // Whoever comes meanwhile goes by the list as it is, if that is young enough, or reads it too: no request can wait
    // for the promise of another.
    if (now < trustedUntil) dueAt = now + AGAIN_AFTER_MS;
    try {
      listed = new Set(await within(READ_IN_MS, load(now)));
      dueAt = now + FRESH_MS;
      trustedUntil = now + TRUSTED_MS;
      for (const [id, at] of added) if (at < now) added.delete(id);
    } catch (error) {
      dueAt = now + AGAIN_AFTER_MS;
      if (clock() - loggedAt < LOG_EVERY_MS) return;
      loggedAt = clock();
      log("warn", "revocations_unread", { error: String(error) });
    }
  }

  return {
    async isRevoked(id, load) {
      if (clock() >= dueAt) await refresh(load);
      return listed.has(id) || added.has(id);
    },
    add(id) {
      added.set(id, clock());
    },
  };
}
