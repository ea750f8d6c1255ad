/**
 * Reads the books from the tables.
 *
 * @module
 */
import type { Channel } from "../../client/wire.ts";
import { applySettings, type Books, emptyBooks, type Held, type HeldTuple } from "./books.ts";
import { hold } from "./gates.ts";
import { addLane } from "./lanes.ts";
import { countReady } from "./lines.ts";
import { loadTargets } from "./outgoing.ts";
import type { CodeSettings, Sql } from "./ports.ts";
import type { LaneSpec } from "./scheduler.ts";
import { schemaVersion } from "./schema.ts";

/** Reads the books from the tables; null when the queue has never been written to. */
export function openBooks(sql: Sql, code: CodeSettings): Books | null {
  if (schemaVersion(sql) === 0) return null;
  const books = emptyBooks(code);
  loadIds(sql, books);
  loadMeta(sql, books);
  applySettings(books, code);
  loadLanes(sql, books);
  loadSessions(sql, books);
  for (const { key, full_at } of sql.exec("SELECT key, full_at FROM buckets"))
    books.buckets.set(String(key), Number(full_at));
  for (const { key, since, until, reason } of sql.exec("SELECT key, since, until, reason FROM closures")) {
    const text = reason === null ? null : String(reason);
    books.closures.set(String(key), { since: Number(since), until: Number(until), reason: text });
  }
  const [wake] = sql.exec("SELECT wake_at FROM jobs WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1");
  if (wake) books.wakeAt = Number(wake.wake_at);
  const [keyed] = sql.exec(`SELECT (SELECT count(*) FROM jobs WHERE ordering IS NOT NULL) AS ordered,
    (SELECT count(*) FROM uniques) AS uniques`);
  books.ordered = Number(keyed?.ordered);
  books.uniques = Number(keyed?.uniques);
  books.targets = loadTargets(sql);
  return books;
}

function loadMeta(sql: Sql, books: Books): void {
  for (const { key, value } of sql.exec("SELECT key, value FROM meta")) {
    if (key === "paused") books.paused = JSON.parse(String(value));
    if (key === "overrides") books.overrides = JSON.parse(String(value));
    if (key === "registered") books.registered = true;
  }
}

/**
 * Ids are for ever: a row leaves `jobs` only into an outbox row that notes the high-water mark, in the same
 * transaction, and the newest outbox row is never deleted. So the next id needs no row of its own.
 */
function loadIds(sql: Sql, books: Books): void {
  const [row] = sql.exec(`SELECT
    (SELECT max(seq) FROM jobs) AS live,
    (SELECT high_water FROM outbox ORDER BY id DESC LIMIT 1) AS gone,
    (SELECT max(id) FROM outbox) AS outbox_id,
    (SELECT max(id) FROM outbox WHERE kind = 'sent') AS sent`);
  const sent = Number(row?.sent ?? 0);
  const [waiting] = sql.exec(
    "SELECT sum(max(count, 1)) AS jobs, min(created_at) AS oldest FROM outbox WHERE id > ?",
    sent,
  );
  books.nextSeq = Math.max(Number(row?.live ?? 0), Number(row?.gone ?? 0)) + 1;
  books.nextOutboxId = Number(row?.outbox_id ?? 0) + 1;
  // Rows go to the history in order, so it has all up to the last stripped one. Which of those after it, is not known
  // any more: they are sent again, which changes nothing there.
  books.outbox.flushedUpto = sent;
  books.outbox.unflushed = Number(waiting?.jobs ?? 0);
  books.outbox.oldestAt = waiting?.oldest == null ? null : Number(waiting.oldest);
}

function loadLanes(sql: Sql, books: Books): void {
  const rows = sql.exec(`SELECT id, task, channel, suspect, keys, cost, fair_key,
    (SELECT count(*) FROM jobs WHERE state = 'ready' AND lane = lanes.id) AS ready FROM lanes`);
  for (const row of rows) {
    const spec: LaneSpec = {
      task: String(row.task),
      channel: row.channel as Channel,
      suspect: row.suspect === 1,
      keys: row.keys === null ? null : JSON.parse(String(row.keys)),
      cost: row.cost === null ? null : JSON.parse(String(row.cost)),
      fairKey: row.fair_key === null ? null : String(row.fair_key),
    };
    const lane = addLane(books, Number(row.id), spec);
    if (Number(row.ready) === 0) continue;
    countReady(books, lane, Number(row.ready));
    // Found in use: an eviction alone is no reason to read all jobs.
    books.lanesSwept += 2;
  }
}

function loadSessions(sql: Sql, books: Books): void {
  for (const row of sql.exec("SELECT * FROM sessions")) {
    const held = new Map<number, Held>();
    for (const [seq, fence, lane, startedAt, until, waitMs, bytes] of JSON.parse(String(row.held)) as HeldTuple[]) {
      held.set(seq, { seq, fence, lane, startedAt, until, waitMs, bytes });
      hold(books, books.lanes.get(lane)!, 1);
    }
    books.running += held.size;
    books.sessions.set(String(row.id), {
      id: String(row.id),
      worker: String(row.worker),
      n: Number(row.n),
      leaseUntil: Number(row.lease_until),
      held,
      cancels: new Set(JSON.parse(String(row.cancels))),
      refused: JSON.parse(String(row.refused)),
    });
  }
}
