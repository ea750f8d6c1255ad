/**
 * Fair shares: each fair key has a flow, whose share counts what it was served, divided by its weight. Of what is
 * equally urgent the flow with the smallest share goes first (start-time fair queueing, Goyal, Vin and Cheng 1996).
 *
 * A flow is stamped when it is served, not when a job arrives, and one that wakes begins at the present: however much
 * another has waiting, the first job of a new key is among the next K starts of K keys. One that stood open and could
 * not be served, because its task was closed or no worker came for it, goes first once, and is at the present then: it
 * saves nothing up. Shares are memory: after an eviction all begin anew.
 *
 * @module
 */
import type { Books } from "./books.ts";
import type { Tx } from "./ports.ts";
import type { Flow, Head, Lane } from "./scheduler.ts";

/** Flows that nobody waits in are forgotten when there are this many more than lanes. */
const FLOWS_KEPT = 1_000;

/** The flow of a lane's jobs at a level of urgency; those without a fair key share one. */
function flowOf(books: Books, lane: Lane, level: number): Flow {
  const key = flowKey(lane, level);
  let flow = books.flows.get(key);
  if (!flow) {
    if (books.flows.size > books.lanes.size + FLOWS_KEPT) forgetIdle(books);
    flow = { share: 0, lanes: 0, open: 0, standsFor: null };
    books.flows.set(key, flow);
  }
  return flow;
}

const flowKey = ({ fairKey }: Lane, level: number): string => (fairKey === null ? `${level}` : `${level} ${fairKey}`);

function forgetIdle(books: Books): void {
  for (const [key, flow] of books.flows) if (flow.lanes === 0) books.flows.delete(key);
  const levels = new Set([...books.flows.keys()].map((key) => Number.parseInt(key, 10)));
  for (const level of books.served.keys()) if (!levels.has(level)) books.served.delete(level);
}

/** A lane stands in its line with this first job; answers with its flow. */
export function enterFlow(tx: Tx, lane: Lane, head: Head): Flow {
  const flow = flowOf(tx.books, lane, head.level);
  if (lane.flow === flow) return flow;
  leaveFlow(lane);
  flow.lanes += 1;
  lane.flow = flow;
  if (lane.line!.gate !== null) return flow;
  if (flow.open === 0) flow.share = Math.max(flow.share, presentAt(tx.books, head.level));
  flow.open += 1;
  return flow;
}

/** A lane leaves its line, or its flow. */
export function leaveFlow(lane: Lane): void {
  if (!lane.flow) return;
  lane.flow.lanes -= 1;
  if (lane.line!.gate === null) lane.flow.open -= 1;
  lane.flow = null;
}

/** The share at which what was served last began; it only grows. */
export function presentAt({ served }: Books, level: number): number {
  return served.get(level) ?? 0;
}

/** About the share that a lane's jobs of a level have, or begin with when they are next in line; changes nothing. */
export function shareOf(books: Books, lane: Lane, level: number): number {
  const flow = books.flows.get(flowKey(lane, level));
  if (flow && flow.open > 0) return flow.share;
  return Math.max(flow?.share ?? 0, presentAt(books, level));
}

/** By how much a job of this lane lets its share grow. */
export function strideOf(books: Books, lane: Lane): number {
  return costOf(lane) / weightOf(books, lane.fairKey);
}

/** A job of this lane is served. */
export function serve({ books }: Tx, lane: Lane, level: number): void {
  const flow = flowOf(books, lane, level);
  const begins = Math.max(flow.share, presentAt(books, level));
  books.served.set(level, begins);
  flow.share = begins + strideOf(books, lane);
  // Where it stood for the lanes behind a gate, another may be better now.
  for (const gate of flow.standsFor ?? []) books.opened.add(gate);
  flow.standsFor = null;
}

/** What a job takes of its key's share: the dearest of its costs. */
function costOf({ cost }: Lane): number {
  return cost === null ? 1 : Math.max(1, ...Object.values(cost));
}

function weightOf({ rules: { weights } }: Books, fairKey: string | null): number {
  return fairKey !== null && Object.hasOwn(weights, fairKey) ? weights[fairKey]! : 1;
}
