/**
 * Enqueue is idempotent in two ways.
 *
 * A request id protects the SDK against a lost answer and costs no row: it is noted on the first job that the request
 * made, and remembered in memory for five minutes, twice the time after which the SDK gives up. After a restart the
 * memory is rebuilt from live jobs and outbox rows before the first enqueue; a request that only changed jobs has a row
 * for as long. Every request is checked, not only
 * those that say "again", because a slow original may come after its repetition.
 *
 * An idempotency key is the user's own: a row for 24 hours with the answer.
 *
 * @module
 */
import type { EnqueueAnswer, EnqueueInput, EnqueueReply } from "../../client/wire.ts";
import type { Request } from "./books.ts";
import { IDEMPOTENCY_MS, REQUEST_MEMORY_MS, STEP_ROWS } from "./limits.ts";
import type { Row, Tx } from "./ports.ts";

type Made = Extract<EnqueueReply, { ok: true }>;

/** The note on the first job that a request made. `answers`: null where it made all that it asked for, as new jobs. */
export function requestNote(requestId: string, count: number, answers: EnqueueAnswer[] | null): string {
  const tuples = answers?.map(({ seq, state, outcome }): AnswerTuple => [seq, state, outcome]);
  return JSON.stringify(tuples ? [requestId, count, tuples] : [requestId, count]);
}

type AnswerTuple = [EnqueueAnswer["seq"], EnqueueAnswer["state"], EnqueueAnswer["outcome"]];

/** What this request made before, if it did. */
export function repeatedRequest(tx: Tx, requestId: string): Request | null {
  const requests = rememberedRequests(tx);
  for (const [id, request] of requests) {
    if (request.at > tx.now - REQUEST_MEMORY_MS) break;
    requests.delete(id);
  }
  return requests.get(requestId) ?? null;
}

export function rememberRequest(tx: Tx, requestId: string, request: Omit<Request, "at">): void {
  rememberedRequests(tx).set(requestId, { ...request, at: tx.now });
}

/** Of keys of requests; those of users are hashes. */
const CHANGED = "request ";

/**
 * Notes a request that made no job and changed one: there is no new job to note it on, and done again it would undo
 * what others have asked for since, or make the job that it changed a second time. One row, for five minutes.
 */
export function noteChanges(tx: Tx, requestId: string, answers: EnqueueAnswer[]): void {
  const made: Made = { ok: true, jobs: answers, replayed: false };
  rememberKey(tx, { key: CHANGED + requestId, bodyHash: "" }, made, REQUEST_MEMORY_MS);
}

function rememberedRequests(tx: Tx): Map<string, Request> {
  tx.books.requests ??= rebuild(tx);
  return tx.books.requests;
}

function rebuild(tx: Tx): Map<string, Request> {
  const since = tx.now - REQUEST_MEMORY_MS;
  const found: [string, Request][] = [];
  const note = (row: Row): void => {
    if (row.request === null || Number(row.created_at) <= since) return;
    const [id, count, tuples] = JSON.parse(String(row.request)) as [string, number, AnswerTuple[]?];
    const answers = tuples?.map(([seq, state, outcome]) => ({ seq, state, outcome })) ?? null;
    found.push([id, { firstSeq: Number(row.seq), count, answers, at: Number(row.created_at) }]);
  };
  // Ids grow with the time of acceptance, so the walk down from the newest ends at the first old one.
  let below = tx.books.nextSeq;
  for (let page = [] as Row[]; ; below = Number(page.at(-1)!.seq)) {
    page = tx.sql.exec("SELECT seq, created_at, request FROM jobs WHERE seq < ? ORDER BY seq DESC LIMIT 5000", below);
    for (const row of page) note(row);
    if (page.length < 5000 || Number(page.at(-1)!.created_at) <= since) break;
  }
  const gone = tx.sql.exec(
    `SELECT e.value ->> 0 AS seq, e.value ->> 1 AS created_at, e.value ->> 2 AS request
     FROM outbox AS o, json_each(o.requests) AS e WHERE o.requests IS NOT NULL`,
  );
  for (const row of gone) note(row);
  const changed = tx.sql.exec(
    "SELECT key, answer, expires_at FROM idempotency WHERE key >= ? AND key < ? AND expires_at > ?",
    CHANGED,
    `${CHANGED}\u{10ffff}`,
    tx.now,
  );
  for (const { key, answer, expires_at } of changed) {
    const { jobs } = JSON.parse(String(answer)) as Made;
    const at = Number(expires_at) - REQUEST_MEMORY_MS;
    found.push([String(key).slice(CHANGED.length), { firstSeq: 0, count: jobs.length, answers: jobs, at }]);
  }
  return new Map(found.sort((a, b) => a[1].at - b[1].at));
}

/** The stored answer to this key, a refusal when the body differs, or null for a new key. */
export function repeatedKey(tx: Tx, { key, bodyHash }: NonNullable<EnqueueInput["idempotency"]>): EnqueueReply | null {
  const [row] = tx.sql.exec("SELECT body_hash, answer FROM idempotency WHERE key = ? AND expires_at > ?", key, tx.now);
  if (!row) return null;
  if (row.body_hash === bodyHash) return { ...(JSON.parse(String(row.answer)) as Made), replayed: true };
  return {
    ok: false,
    code: "idempotency_mismatch",
    detail:
      "This Idempotency-Key was used within the last 24 hours with another body. Send the same body to get the first answer again, or use a new key.",
  };
}

export function rememberKey(
  tx: Tx,
  { key, bodyHash }: NonNullable<EnqueueInput["idempotency"]>,
  answer: Made,
  forMs = IDEMPOTENCY_MS,
): void {
  tx.sql.exec(
    `INSERT INTO idempotency (key, body_hash, answer, expires_at) VALUES (?, ?, ?, ?)
     ON CONFLICT (key) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer, expires_at = excluded.expires_at`,
    key,
    bodyHash,
    JSON.stringify(answer),
    tx.now + forMs,
  );
}

/** Forgets keys that are over. Called by sweeps: it reads the table, which costs a thousandth of writing it. */
export function trimKeys(tx: Tx): void {
  tx.sql.exec(
    `DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_at <= ? LIMIT ${STEP_ROWS})`,
    tx.now,
  );
}
