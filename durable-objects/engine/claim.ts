/**
 * Gives ready jobs to a session: the first of the lanes that it can serve, merged by order, under every limit.
 *
 * No scan: lanes stand in lines (lines.ts), and each is a seek in the partial index of ready jobs. So a claim costs the
 * same with a thousand jobs waiting as with a million, and as much with nine hundred closed keys as with none.
 *
 * @module
 */
import type { Channel } from "../../client/wire.ts";
import { assert } from "./assert.ts";
import { type Held, type Session, setting } from "./books.ts";
import { serve } from "./flows.ts";
import { closedBy, closedGateOf, gatesOf, roomOf, settleTaken, take } from "./gates.ts";
import { readHeads } from "./heads.ts";
import { fitAnswer } from "./lease.ts";
import { HELD_MAX, WANT_MAX } from "./limits.ts";
import { firstOf, likelyLanes, precedes } from "./line.ts";
import { enqueueLane, followUp, openGates, park, refresh, touchLane } from "./lines.ts";
import type { Tx } from "./ports.ts";
import { TEXT_BYTES } from "./rows.ts";
import type { Entry, Group, Lane } from "./scheduler.ts";
import { tallyClaimed } from "./tally.ts";
import { touch } from "./watch.ts";

/** How many jobs a session may claim now. */
export function claimable(tx: Tx, session: Session, want: number): number {
  const { books } = tx;
  if (books.paused || want <= 0) return 0;
  const others = liveSessions(tx, session.id);
  if (others >= setting(books, "maxSessions")) return 0;
  return Math.max(0, Math.min(want, WANT_MAX, HELD_MAX - session.held.size, roomOf(tx, books.gate)));
}

/** Sessions other than `except` that hold jobs under a lease that is not over. */
export function liveSessions(tx: Tx, except: string | null): number {
  let live = 0;
  for (const session of tx.books.sessions.values()) {
    if (session.id !== except && session.leaseUntil > tx.now) live += 1;
  }
  return live;
}

/** What a session can run: jobs of this channel and these tasks; null: of any. */
export interface Abilities {
  channel: Channel | null;
  tasks: string[] | null;
}

/** Claims up to `most` jobs for a session; its books hold them. Returns what was claimed, in order. */
export function claim(tx: Tx, session: Session, can: Abilities, most: number): Held[] {
  openGates(tx);
  const picks = new Pick(tx, servable(tx, session, can), most).run();
  if (picks.length === 0) return [];
  const [row] = tx.sql.exec(LOAD, JSON.stringify(picks.map(({ seq }) => seq)), tx.now);
  const loaded = JSON.parse(String(row!.books)) as Loaded[];
  assert(loaded.length === picks.length, `${loaded.length} of ${picks.length} jobs were ready as the books say`);
  const claimed = fitAnswer(beforeExpired(loaded), ([, , , , , bytes]) => bytes);
  settleTaken(
    tx,
    picks.map(({ lane }) => lane),
    claimed.length,
  );
  // What is left comes first in its lane again.
  if (claimed.length < picks.length) for (const { lane } of picks) touchLane(tx.books, lane);
  if (claimed.length === 0) return [];
  tx.sql.exec(CLAIM, JSON.stringify(claimed.map(([seq]) => seq)), session.id, tx.now);
  const leaseMs = setting(tx.books, "leaseMs");
  tx.books.metrics.starts += claimed.length;
  const taken = claimed.map(([seq, fence, lane, rank, timeoutMs, bytes]) => {
    const until = tx.now + timeoutMs + leaseMs;
    const held: Held = { seq, fence, lane, startedAt: tx.now, until, waitMs: Math.max(0, tx.now - rank), bytes };
    session.held.set(seq, held);
    tallyClaimed(tx, lane);
    return held;
  });
  touch(tx, taken);
  return taken;
}

type Loaded = [
  seq: number,
  fence: number,
  lane: number,
  rank: number,
  timeoutMs: number,
  bytes: number,
  expired: 0 | 1,
];

/** Where more is due than one step ends, jobs whose time is over are still in line: who comes behind waits for the next step. */
function beforeExpired(loaded: Loaded[]): Loaded[] {
  const expired = loaded.findIndex(([, , , , , , expired]) => expired === 1);
  return expired < 0 ? loaded : loaded.slice(0, expired);
}

/** Groups with ready jobs that this session may be given, suspects only while it holds none. */
function servable(tx: Tx, session: Session, { channel, tasks: known }: Abilities): Group[] {
  const { lanes, groups } = tx.books;
  const tasks = known ? new Set(known) : null;
  const holdsSuspect = [...session.held.values()].some((held) => lanes.get(held.lane)?.suspect);
  return [...groups.values()].filter(
    (group) =>
      group.openReady > 0 &&
      (channel === null || group.channel === channel) &&
      (!tasks || tasks.has(group.task)) &&
      !(group.suspect && holdsSuspect),
  );
}

/** Lanes whose next jobs are read together. */
const READ_LANES = 64;
/** Of so many, a few jobs more are read than this claim needs: the next claims find them known. */
const FEW_LANES = 256;
const SPARE_HEADS = 4;

/** One claim's choice of jobs. */
class Pick {
  readonly #tx: Tx;
  readonly #most: number;
  /** Groups that are not closed, or done with. */
  readonly #groups: Set<Group>;
  readonly #picked: { lane: Lane; seq: number }[] = [];
  readonly #takenOf = new Map<Lane, number>();
  /** Lanes of which it is not known what comes after what was taken. */
  readonly #aside = new Set<Lane>();

  constructor(tx: Tx, groups: Group[], most: number) {
    this.#tx = tx;
    this.#most = most;
    this.#groups = new Set(groups);
  }

  /** The first jobs in order: higher priority, then the smaller share, then ready longer, then accepted earlier. */
  run(): { lane: Lane; seq: number }[] {
    this.#readDirty();
    while (this.#picked.length < this.#most) {
      const entry = this.#first();
      if (!entry) break;
      const closed = closedGateOf(this.#tx, entry.lane);
      if (closed) park(this.#tx, entry, closed);
      else this.#take(entry);
      if (this.#tx.books.opened.size > 0) openGates(this.#tx);
    }
    // The next claim finds out.
    for (const lane of this.#aside) touchLane(this.#tx.books, lane);
    return this.#picked;
  }

  #readDirty(): void {
    const lines = [...this.#groups].map(({ open }) => open);
    const lanes = lines.reduce((sum, { dirty }) => sum + dirty.size, 0);
    if (lanes === 0) return;
    refresh(this.#tx, lines, this.#chunk(lanes));
  }

  /** How many jobs to read of each of so many lanes. */
  #chunk(lanes: number): number {
    const left = this.#most - this.#picked.length;
    return lanes === 1 ? left : Math.ceil((2 * left) / lanes) + (lanes > FEW_LANES ? 0 : SPARE_HEADS);
  }

  #first(): Entry | null {
    let first: Entry | null = null;
    for (const group of this.#groups) {
      if (closedBy(this.#tx, group.gate, 1)) {
        this.#groups.delete(group);
        continue;
      }
      const entry = firstOf(group.open);
      if (entry && (!first || precedes(entry, first))) first = entry;
    }
    return first;
  }

  #take({ lane, head }: Entry): void {
    const { books } = this.#tx;
    this.#picked.push({ lane, seq: head.seq });
    const taken = (this.#takenOf.get(lane) ?? 0) + 1;
    this.#takenOf.set(lane, taken);
    take(gatesOf(books, lane), lane);
    serve(this.#tx, lane, head.level);
    // A session is given one suspect at a time.
    if (lane.suspect) for (const group of this.#groups) if (group.suspect) this.#groups.delete(group);
    if (taken === lane.ready) this.#setAside(lane);
    else this.#next(lane);
    followUp(this.#tx, lane);
  }

  /** The lane's next job takes its place. */
  #next(lane: Lane): void {
    if (lane.next.length === 0 && this.#picked.length < this.#most) this.#readAhead(lane);
    const next = lane.next.shift();
    if (next) enqueueLane(this.#tx, lane, next);
    else this.#setAside(lane);
  }

  /** Takes a lane out of this claim; it is looked at again by the next. */
  #setAside(lane: Lane): void {
    lane.stamp += 1;
    this.#aside.add(lane);
  }

  /** Reads on in a lane, and in those that come next, since they will need it too. */
  #readAhead(lane: Lane): void {
    const lanes = [lane];
    for (const group of this.#groups) {
      for (const other of likelyLanes(group.open, READ_LANES)) {
        if (lanes.length >= READ_LANES) break;
        if (other !== lane && other.line === group.open && other.next.length === 0 && other.ready > 1) {
          lanes.push(other);
        }
      }
    }
    const unique = [...new Set(lanes)];
    const taken = Math.max(...unique.map((one) => this.#takenOf.get(one) ?? 0));
    const gone = new Set(this.#picked.map(({ seq }) => seq));
    const heads = readHeads(this.#tx, unique, this.#chunk(unique.length) + taken + 1);
    for (const one of unique) {
      const rest = (heads.get(one) ?? []).filter(({ seq }) => !gone.has(seq));
      // The first of the others stands in its line already.
      one.next = one === lane ? rest : rest.slice(1);
    }
  }
}

/** What of its timeout an attempt has before its job's deadline; a waiting job with a deadline has an end of waiting. */
const TIME_LEFT = `CASE WHEN expires_at IS NULL THEN timeout_ms ELSE
  max(1, min(timeout_ms, coalesce(options ->> 'deadlineAt' - CAST(?2 AS INTEGER), timeout_ms))) END`;

/** In the order asked for. */
const LOAD = `
SELECT json_group_array(json_array(jobs.seq, fence + 1, lane, rank, ${TIME_LEFT}, ${TEXT_BYTES},
  coalesce(expires_at <= ?2, 0))) AS books
FROM json_each(?1) AS p CROSS JOIN jobs ON jobs.seq = p.value AND +jobs.state = 'ready'`;

const CLAIM = `
UPDATE jobs SET state = 'running', reason = NULL, fence = fence + 1, session = ?2, started_at = ?3, wake_at = NULL
WHERE seq IN (SELECT value FROM json_each(?1)) AND state = 'ready'`;
