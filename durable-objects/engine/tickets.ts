/**
 * When to send tickets. A ticket is only a wake: lost or doubled it does no harm. What matters is that somebody is
 * always on the way to ready work that nothing closes, and that nobody is sent for who is not needed.
 *
 * Expected visitors are tickets that no session has followed yet, and sessions that will be back in a moment because
 * they took all that they wanted or were told to ask again. A session that got less than it wanted is not one: it
 * may sit on a long job with free slots and never hear of new work.
 *
 * @module
 */
import { type Channel, type ExchangeInput, SHIFT_JOBS, SHIFT_MS } from "../../client/wire.ts";
import { setting, type Visitor } from "./books.ts";
import { liveSessions } from "./claim.ts";
import { closedBy, closedGateOf, costAt, roomOf } from "./gates.ts";
import { TICKET_MS_MAX, TICKET_MS_MIN } from "./limits.ts";
import { lanesOf } from "./line.ts";
import { followUp, openGates } from "./lines.ts";
import type { Tx } from "./ports.ts";
import type { Gate, Group, Lane } from "./scheduler.ts";
import { runs } from "./standing.ts";
import { readyCount } from "./tally.ts";

const CHANNELS: readonly Channel[] = ["short", "long"];
/** How late a session that said it would be back may be. */
const GRACE_MS = 2_000;
const VISITORS_KEPT = 200;
const VISITORS_KEPT_MS = 60_000;

/** A session may not keep jobs from others for longer by saying that it gathers them. */
const GATHER_MS_MAX = 5_000;

interface Visit {
  /** It took all that it wanted. */
  full: boolean;
  retryInMs: number | null;
  /** Jobs that it gathers and did not get. */
  gatherRoom: number;
}

/** Notes that a session was here, and whether it will be back without a ticket. */
export function noteVisit(tx: Tx, input: ExchangeInput, visit: Visit): void {
  const { visitors, channels } = tx.books;
  if (input.channel) {
    if (!visitors.has(input.session)) channels[input.channel].ticketsAt.shift();
    channels[input.channel].unanswered = null;
  }
  visitors.delete(input.session);
  const backInMs =
    visit.full && input.channel ? Math.min(channels[input.channel].runMs, TICKET_MS_MIN) : visit.retryInMs;
  visitors.set(input.session, {
    n: input.n,
    channel: input.channel,
    tasks: input.worker.tasks ?? null,
    seenAt: tx.now,
    backBy: backInMs === null ? null : tx.now + backInMs + GRACE_MS,
    gathers: gathersOf(tx, input, visit.gatherRoom),
    gone: false,
  });
  for (const [id, visitor] of visitors) {
    if (visitors.size <= VISITORS_KEPT && visitor.seenAt > tx.now - VISITORS_KEPT_MS) break;
    visitors.delete(id);
  }
}

function gathersOf(tx: Tx, { gather }: ExchangeInput, room: number): Visitor["gathers"] {
  if (!gather || room <= 0) return null;
  return { tasks: gather.tasks, room, by: tx.now + Math.min(gather.backInMs, GATHER_MS_MAX) + GRACE_MS };
}

/** Jobs that sessions gather: how many of each task they will come for, and by when. */
function gathered(tx: Tx, channel: Channel): { room: Map<string, number>; by: number } {
  const room = new Map<string, number>();
  let by = Number.POSITIVE_INFINITY;
  for (const { gathers, channel: of } of tx.books.visitors.values()) {
    if (!gathers || gathers.by <= tx.now || (of !== null && of !== channel)) continue;
    for (const task of gathers.tasks) room.set(task, (room.get(task) ?? 0) + gathers.room);
    by = Math.min(by, gathers.by);
  }
  return { room, by };
}

/** The tickets to send now, given what may start and who is expected. Notes when to look again. */
export function decideTickets(tx: Tx): Channel[] {
  const { books } = tx;
  const tickets: Channel[] = [];
  if (books.paused) {
    // Who resumes a queue does not want to wait for as long as its jobs have.
    for (const channel of CHANNELS) books.channels[channel].intervalMs = TICKET_MS_MIN;
    return tickets;
  }
  openGates(tx);
  const room = setting(books, "maxSessions") - liveSessions(tx, null);
  for (const channel of CHANNELS) {
    const { startable, opensAt } = startableIn(tx, channel, (task) => tx.pushes(task));
    const state = books.channels[channel];
    const expected = expectedBack(tx, channel);
    // Who will be back looks at the gate; should it not come, the alarm does.
    tx.due(Math.max(opensAt, expected.latestBy));
    if (startable === 0) {
      state.intervalMs = TICKET_MS_MIN;
      state.unanswered = null;
      continue;
    }
    const sent = state.ticketsAt.filter((at) => at > tx.now - state.intervalMs);
    state.ticketsAt = sent;
    // Looked at again when the first of those that are on their way is given up.
    tx.due((sent[0] ?? tx.now) + state.intervalMs);
    const needed = Math.ceil(startable / jobsPerShift(tx, channel)) - expected.visitors;
    // The room is not shared out: a channel that could fill it alone would leave the other no ticket.
    const wanted = Math.min(needed, room) - sent.length;
    for (let i = 0; i < wanted; i++) {
      sent.push(tx.now);
      state.unanswered ??= { since: tx.now, tickets: 0 };
      state.unanswered.tickets += 1;
      tickets.push(channel);
    }
  }
  dueForStanding(tx);
  books.metrics.ticketsSent += tickets.length;
  return tickets;
}

/** Lanes of one group whose gates are looked at one by one, to see how many of their jobs may start. */
const LANES_COUNTED = 64;

/**
 * About how many jobs of the tasks that `match` accepts may start now, and when a gate opens that keeps others;
 * infinite: none does by itself.
 */
function startableIn(
  tx: Tx,
  channel: Channel,
  match: (task: string) => boolean,
): { startable: number; opensAt: number } {
  const { books } = tx;
  const waiting = [...books.groups.values()].filter(
    (group) => group.ready > 0 && group.channel === channel && match(group.task),
  );
  if (waiting.length === 0) return { startable: 0, opensAt: Number.POSITIVE_INFINITY };
  const left = gathered(tx, channel);
  let opensAt = books.timed.peek()?.at ?? Number.POSITIVE_INFINITY;
  const roomAt = (gate: Gate, cost: number): number => {
    const closed = closedBy(tx, gate, cost);
    opensAt = Math.min(opensAt, closed?.until ?? Number.POSITIVE_INFINITY);
    return closed ? 0 : roomOf(tx, gate);
  };
  const queueRoom = roomAt(books.gate, 1);
  let startable = 0;
  for (const group of waiting) {
    if (group.openReady === 0) continue;
    const jobs = Math.min(roomAt(group.gate, 1), openIn(tx, group, roomAt));
    const room = group.suspect ? 0 : (left.room.get(group.task) ?? 0);
    // Should who gathers them not come back, the alarm does.
    if (jobs > 0 && room > 0) tx.due(left.by);
    startable += Math.max(0, jobs - room);
  }
  return { startable: Math.min(startable, queueRoom), opensAt };
}

/** Jobs in the open line of a group, as far as their keys let them start; with many lanes, all of them. */
function openIn(tx: Tx, { open, openReady }: Group, roomAt: (gate: Gate, cost: number) => number): number {
  const lanes = lanesOf(open, LANES_COUNTED);
  if (!lanes) return openReady;
  let jobs = 0;
  for (const lane of lanes) {
    const room = lane.gates.reduce((least, gate) => Math.min(least, roomAt(gate, costAt(gate, lane))), lane.ready);
    jobs += room;
    // Where it cannot use the gate that sent it, another may.
    const next = room === 0 ? followUp(tx, lane) : null;
    if (next) lanes.add(next);
  }
  return jobs;
}

/** When a gate opens that keeps ready jobs of a channel (null: any); infinite: none does by itself, or nothing waits. */
export function nextOpening(tx: Tx, channel: Channel | null, match: (task: string) => boolean): number {
  const channels = CHANNELS.filter((one) => channel === null || one === channel);
  return Math.min(...channels.map((one) => startableIn(tx, one, match).opensAt));
}

/** Sessions that stand ready do not look at gates again: the alarm does. */
function dueForStanding(tx: Tx): void {
  const { standing } = tx.books;
  if (standing.size === 0 || readyCount(tx.books) === 0) return;
  const wanting = [...standing.values()].filter(({ want }) => want > 0);
  if (wanting.length === 0) return;
  tx.due(nextOpening(tx, null, (task) => wanting.some((one) => runs(one, task))));
}

function expectedBack(tx: Tx, channel: Channel): { visitors: number; latestBy: number } {
  let visitors = 0;
  let latestBy = 0;
  for (const visitor of tx.books.visitors.values()) {
    if (visitor.channel !== channel || visitor.backBy === null || visitor.backBy <= tx.now) continue;
    visitors += 1;
    latestBy = Math.max(latestBy, visitor.backBy);
  }
  return { visitors, latestBy };
}

/** How many jobs one session can be expected to do in its shift. */
function jobsPerShift(tx: Tx, channel: Channel): number {
  const { runMs } = tx.books.channels[channel];
  const jobs = (setting(tx.books, "slots") * SHIFT_MS) / Math.max(1, runMs);
  return Math.max(1, Math.min(SHIFT_JOBS, Math.floor(jobs)));
}

/** A lane may stand open and meet a closed gate with the next claim. */
function isStartable(tx: Tx, lane: Lane): boolean {
  return lane.line?.gate === null && closedGateOf(tx, lane) === null;
}

/**
 * Sets how long a ticket is given before another is sent: as long as the oldest ready job has waited by then, within
 * bounds, so that work which nobody can take does not cost a ticket every few seconds. Looked up by the alarm only, and
 * not for a ticket on its way: that would be given a little more each time.
 */
export function pacePatience(tx: Tx): void {
  for (const channel of CHANNELS) {
    const state = tx.books.channels[channel];
    state.ticketsAt = state.ticketsAt.filter((at) => at > tx.now - state.intervalMs);
    if (state.ticketsAt.length > 0) continue;
    const oldest = oldestReadyAt(
      tx,
      (lane) => lane.channel === channel && tx.pushes(lane.task) && isStartable(tx, lane),
    );
    const age = oldest === null ? 0 : tx.now - oldest;
    state.intervalMs = Math.min(Math.max(age, TICKET_MS_MIN), TICKET_MS_MAX);
  }
}

/** Lanes, and rows of the search below: one to begin with, and one for each priority, of each lane. */
const LANES_SEARCHED = 64;
const SEARCH_ROWS = 4 * LANES_SEARCHED;

/**
 * When the longest waiting ready job of the lanes that `match` accepts became ready; null: none waits. Seeks the head of
 * each priority of each lane, for the first 64 of them.
 */
export function oldestReadyAt(tx: Tx, match: (lane: Lane) => boolean): number | null {
  const lanes: number[] = [];
  for (const lane of tx.books.lanes.values()) {
    if (lanes.length === LANES_SEARCHED) break;
    if (lane.ready > 0 && match(lane)) lanes.push(lane.id);
  }
  if (lanes.length === 0) return null;
  const [row] = tx.sql.exec(
    `WITH RECURSIVE heads (lane, priority, rank) AS (
       SELECT l.value,
         (SELECT priority FROM jobs WHERE state = 'ready' AND lane = l.value ORDER BY priority DESC LIMIT 1), NULL
       FROM json_each(?1) AS l
       UNION ALL
       SELECT h.lane,
         (SELECT priority FROM jobs WHERE state = 'ready' AND lane = h.lane AND priority < h.priority ORDER BY priority DESC LIMIT 1),
         (SELECT rank FROM jobs WHERE state = 'ready' AND lane = h.lane AND priority = h.priority ORDER BY rank LIMIT 1)
       FROM heads AS h WHERE h.priority IS NOT NULL
       LIMIT ${SEARCH_ROWS}
     ) SELECT min(rank) AS oldest FROM heads`,
    JSON.stringify(lanes),
  );
  return row?.oldest == null ? null : Number(row.oldest);
}
