/**
 * Gives ready jobs to a session: the heads of the lanes that it can serve, merged by order, under every limit.
 *
 * No scan: each lane is a seek in the partial index of ready jobs, so a claim costs the same with a thousand jobs
 * waiting as with a million.
 *
 * @module
 */
import type { ExchangeInput } from "../../client/wire.ts";
import { type Held, type Lane, type Session, setting } from "./books.ts";
import { fitAnswer } from "./lease.ts";
import { WANT_MAX } from "./limits.ts";
import type { Tx } from "./ports.ts";
import { TEXT_BYTES } from "./rows.ts";
import { tally } from "./tally.ts";

type Head = [priority: number, rank: number, seq: number];

/** Why a session may not claim now, or how many jobs it may. */
export function claimable(tx: Tx, session: { id: string }, want: number): number {
  const { books } = tx;
  if (books.paused || want <= 0) return 0;
  const others = liveSessions(tx, session.id);
  if (others >= setting(books, "maxSessions")) return 0;
  const concurrency = setting(books, "concurrency") ?? Number.POSITIVE_INFINITY;
  return Math.max(0, Math.min(want, WANT_MAX, concurrency - books.running));
}

/** Sessions other than `except` that hold jobs under a lease that is not over. */
export function liveSessions(tx: Tx, except: string | null): number {
  let live = 0;
  for (const session of tx.books.sessions.values()) {
    if (session.id !== except && session.leaseUntil > tx.now) live += 1;
  }
  return live;
}

/** Claims up to `most` jobs for a session; its books hold them. Returns what was claimed, in order. */
export function claim(tx: Tx, session: Session, input: ExchangeInput, most: number): Held[] {
  const picked = pick(tx, servable(tx, session, input), most);
  if (picked.length === 0) return [];
  const [row] = tx.sql.exec(LOAD, JSON.stringify(picked));
  const claimed = fitAnswer(JSON.parse(String(row!.books)) as Loaded[], ([, , , , , bytes]) => bytes);
  tx.sql.exec(CLAIM, JSON.stringify(claimed.map(([seq]) => seq)), session.id, tx.now);
  const leaseMs = setting(tx.books, "leaseMs");
  tx.books.metrics.starts += claimed.length;
  return claimed.map(([seq, fence, lane, rank, timeoutMs, bytes]) => {
    const until = tx.now + timeoutMs + leaseMs;
    const held: Held = { seq, fence, lane, startedAt: tx.now, until, waitMs: Math.max(0, tx.now - rank), bytes };
    session.held.set(seq, held);
    tally(tx, { state: "ready", lane, retrying: false }, { state: "running", lane, retrying: false });
    return held;
  });
}

type Loaded = [seq: number, fence: number, lane: number, rank: number, timeoutMs: number, bytes: number];

/** Lanes with ready jobs that this session may be given, suspects only while it holds none. */
function servable(tx: Tx, session: Session, { channel, worker }: ExchangeInput): Lane[] {
  const { lanes } = tx.books;
  const tasks = worker.tasks ? new Set(worker.tasks) : null;
  const holdsSuspect = [...session.held.values()].some((held) => lanes.get(held.lane)?.suspect);
  return [...lanes.values()].filter(
    (lane) =>
      lane.ready > 0 &&
      (channel === null || lane.channel === channel) &&
      (!tasks || tasks.has(lane.task)) &&
      !(lane.suspect && holdsSuspect),
  );
}

/** The first `most` jobs of these lanes in order: higher priority, then ready longer, then accepted earlier. */
function pick(tx: Tx, lanes: Lane[], most: number): number[] {
  if (lanes.length === 0 || most === 0) return [];
  const chunk = lanes.length === 1 ? most : Math.min(most, Math.ceil((2 * most) / lanes.length) + 8);
  const heads = new Map<number, Head[]>();
  const [plain, suspects] = [lanes.filter((lane) => !lane.suspect), lanes.filter((lane) => lane.suspect)];
  readHeads(tx, plain, chunk, heads);
  readHeads(tx, suspects, 1, heads);
  let suspectLeft = 1;
  const picked: number[] = [];
  while (picked.length < most) {
    const best = firstOf(heads);
    if (best === null) break;
    const queue = heads.get(best)!;
    const [, , seq] = queue.shift()!;
    const lane = tx.books.lanes.get(best)!;
    if (lane.suspect) {
      heads.delete(best);
      if (suspectLeft === 0) continue;
      suspectLeft -= 1;
    } else if (queue.length === 0) {
      heads.delete(best);
      if (picked.length + 1 < most) readMore(tx, lane, chunk, picked, seq, heads);
    }
    picked.push(seq);
  }
  return picked;
}

const HEADS = `
SELECT l.value AS lane, (
  SELECT json_group_array(json_array(priority, rank, seq)) FROM (
    SELECT priority, rank, seq FROM jobs WHERE state = 'ready' AND lane = l.value
    ORDER BY priority DESC, rank, seq LIMIT ?2)) AS heads
FROM json_each(?1) AS l`;

function readHeads(tx: Tx, lanes: Lane[], limit: number, into: Map<number, Head[]>): void {
  if (lanes.length === 0) return;
  for (const row of tx.sql.exec(HEADS, JSON.stringify(lanes.map((lane) => lane.id)), limit)) {
    const heads = JSON.parse(String(row.heads)) as Head[];
    if (heads.length > 0) into.set(Number(row.lane), heads);
  }
}

/** Reads on in a lane whose first chunk is used up. */
function readMore(tx: Tx, lane: Lane, chunk: number, picked: number[], last: number, into: Map<number, Head[]>): void {
  if (lane.ready <= chunk) return;
  const taken = new Set([...picked, last]);
  const more = new Map<number, Head[]>();
  readHeads(tx, [lane], chunk + taken.size, more);
  const rest = (more.get(lane.id) ?? []).filter(([, , seq]) => !taken.has(seq));
  if (rest.length > 0) into.set(lane.id, rest);
}

function firstOf(heads: Map<number, Head[]>): number | null {
  let best: number | null = null;
  for (const [lane, [head]] of heads) {
    if (best === null || before(head!, heads.get(best)![0]!)) best = lane;
  }
  return best;
}

function before([priorityA, rankA, seqA]: Head, [priorityB, rankB, seqB]: Head): boolean {
  if (priorityA !== priorityB) return priorityA > priorityB;
  return rankA !== rankB ? rankA < rankB : seqA < seqB;
}

/** In the order asked for. */
const LOAD = `
SELECT json_group_array(json_array(jobs.seq, fence + 1, lane, rank, timeout_ms, ${TEXT_BYTES})) AS books
FROM json_each(?1) AS p CROSS JOIN jobs ON jobs.seq = p.value`;

const CLAIM = `
UPDATE jobs SET state = 'running', reason = NULL, fence = fence + 1, session = ?2, started_at = ?3, wake_at = NULL,
  expires_at = NULL
WHERE seq IN (SELECT value FROM json_each(?1)) AND state = 'ready'`;
