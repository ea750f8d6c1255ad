/**
 * Keys as people see and close them.
 *
 * @module
 */
import type { KeyName, KeyReport, Refusal, Reply } from "../../client/wire.ts";
import type { Books } from "./books.ts";
import { tokensIn } from "./buckets.ts";
import { keyGateKey, keyOf, limitFor } from "./gates.ts";
import { namesAfter, noteKey } from "./key-names.ts";
import { KEYS_LISTED, PAUSE_MS_MAX } from "./limits.ts";
import type { Tx } from "./ports.ts";

/**
 * Keys that run, wait, are closed or have spent of their rate: by name, from the one after `after` on; of one kind, or
 * of all.
 */
export function listKeys(
  tx: Tx,
  kind: string | null,
  after: KeyName | null = null,
  limit: number = KEYS_LISTED,
): KeyReport[] {
  const { now, books } = tx;
  const prefix = kind === null ? "key:" : keyGateKey(kind, "");
  const from = after === null ? prefix : keyGateKey(after.kind, after.value);
  const shown = (key: string): boolean => {
    const gate = books.gates.get(key);
    if (gate && (gate.holders > 0 || gate.waiters > 0)) return true;
    return (books.closures.get(key)?.until ?? 0) > now || (books.buckets.get(key) ?? 0) > now;
  };
  const page = { from, prefix, limit: Math.min(limit, KEYS_LISTED) };
  return namesAfter(books, page, shown).map((key) => report(tx, key));
}

function report({ now, books }: Tx, key: string): KeyReport {
  const limit = limitFor(books, key);
  const gate = books.gates.get(key);
  const closure = books.closures.get(key);
  const rateLimit = limit.rateLimit ?? null;
  return {
    ...keyOf(key)!,
    holders: gate?.holders ?? 0,
    waiters: gate?.waiters ?? 0,
    concurrency: limit.concurrency ?? null,
    rateLimit,
    tokens: rateLimit && tokensIn(rateLimit, books.buckets.get(key) ?? 0, now),
    paused: closure && closure.until > now ? { until: closure.until, reason: closure.reason } : null,
  };
}

/** Closes a key for `forMs` from now, whatever closed it before; 0 opens it. */
export function pauseKey(
  tx: Tx,
  kind: string,
  value: string,
  forMs: number,
  reason: string | null,
): Reply<{ key: KeyReport }> {
  if (!Number.isInteger(forMs) || forMs < 0 || forMs > PAUSE_MS_MAX) return badTime(forMs);
  const key = keyGateKey(kind, value);
  tx.books.closures.delete(key);
  if (forMs > 0) closeKey(tx, kind, value, forMs, reason);
  else {
    tx.sql.exec("DELETE FROM closures WHERE key = ?", key);
    reconsider(tx.books, key);
  }
  return { ok: true, key: report(tx, key) };
}

function badTime(forMs: number): Refusal {
  const detail = `Cannot close the key for ${forMs} ms: a key is closed for 0 to ${PAUSE_MS_MAX} ms`;
  return { ok: false, code: "invalid_request", detail };
}

/** Closes a key for at least `forMs` from now. */
export function closeKey(tx: Tx, kind: string, value: string, forMs: number, reason: string | null): void {
  const key = keyGateKey(kind, value);
  const until = tx.now + Math.max(1, Math.min(Math.round(forMs), PAUSE_MS_MAX));
  const before = tx.books.closures.get(key);
  if (before && before.until >= until) return;
  tx.books.closures.set(key, { since: tx.now, until, reason });
  noteKey(tx.books, key);
  tx.sql.exec(
    `INSERT INTO closures (key, since, until, reason) VALUES (?, ?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET since = excluded.since, until = excluded.until, reason = excluded.reason`,
    key,
    tx.now,
    until,
    reason,
  );
  reconsider(tx.books, key);
}

/** What waits for this gate waits for another instant now. */
function reconsider({ gates, opened }: Books, key: string): void {
  const gate = gates.get(key);
  if (gate) opened.add(gate);
}

/** Forgets closures that are over. Called by sweeps. */
export function trimClosures(tx: Tx): void {
  const { closures } = tx.books;
  for (const [key, { until }] of closures) if (until <= tx.now) closures.delete(key);
  tx.sql.exec("DELETE FROM closures WHERE until <= ?", tx.now);
}
