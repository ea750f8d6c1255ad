/**
 * Fair shares: each fair key has a flow, whose share counts what it was served, divided by its weight. Of what is
 * equally urgent the flow with the smallest share goes first (start-time fair queueing, Goyal, Vin and Cheng 1996).
 *
 * A flow is stamped when it is served, not when a job arrives, and one that wakes begins at the present: however much
 * another has waiting, the first job of a new key is among the next K starts of K keys. Those who wait behind one gate
 * share what it lets through, and so have shares of their own there. Shares are memory: after an eviction all begin
 * anew.
 *
 * @module
 */
import type { Books } from "./books.ts";
import { firstOf } from "./line.ts";
import type { Tx } from "./ports.ts";
import type { Flow, Gate, Head, Lane, Shares } from "./scheduler.ts";

/** Flows that nobody waits in are forgotten when there are this many more than lanes. */
const FLOWS_KEPT = 1_000;

function sharesOf(books: Books, gate: Gate | null): Shares {
  if (!gate) return books.shares;
  gate.shares ??= { flows: new Map(), served: new Map() };
  return gate.shares;
}

/** The flow of a lane's jobs at a level of urgency; those without a fair key share one. */
function flowOf(books: Books, shares: Shares, lane: Lane, level: number): Flow {
  const key = flowKey(lane, level);
  let flow = shares.flows.get(key);
  if (!flow) {
    if (shares.flows.size > books.lanes.size + FLOWS_KEPT) forgetIdle(shares);
    flow = { share: 0, lanes: 0 };
    shares.flows.set(key, flow);
  }
  return flow;
}

const flowKey = ({ fairKey }: Lane, level: number): string => (fairKey === null ? `${level}` : `${level} ${fairKey}`);

function forgetIdle({ flows, served }: Shares): void {
  for (const [key, flow] of flows) if (flow.lanes === 0) flows.delete(key);
  const levels = new Set([...flows.keys()].map((key) => Number.parseInt(key, 10)));
  for (const level of served.keys()) if (!levels.has(level)) served.delete(level);
}

/** A lane stands in its line with this first job; answers with its flow there. */
export function enterFlow({ books }: Tx, lane: Lane, head: Head): Flow {
  const shares = sharesOf(books, lane.line!.gate);
  const flow = flowOf(books, shares, lane, head.level);
  if (lane.flow === flow) return flow;
  leaveFlow(lane);
  if (flow.lanes === 0) flow.share = Math.max(flow.share, presentOf(shares, lane, head));
  flow.lanes += 1;
  lane.flow = flow;
  return flow;
}

/** A lane leaves its line, or its flow. */
export function leaveFlow(lane: Lane): void {
  if (lane.flow) lane.flow.lanes -= 1;
  lane.flow = null;
}

/** The share of what was served last, or of what is next where no worker has come for long. */
function presentOf({ served }: Shares, lane: Lane, { level }: Head): number {
  const last = served.get(level) ?? 0;
  const next = firstOf(lane.line!);
  return next && next.head.level === level ? Math.min(last, next.share) : last;
}

/** About the share that a lane's jobs of a level have, or begin with when they are next in line; changes nothing. */
export function shareOf({ shares: { flows, served } }: Books, lane: Lane, level: number): number {
  const flow = flows.get(flowKey(lane, level));
  if (flow && flow.lanes > 0) return flow.share;
  return Math.max(flow?.share ?? 0, served.get(level) ?? 0);
}

/** By how much a job of this lane lets its share grow. */
export function strideOf(books: Books, lane: Lane): number {
  return costOf(lane) / weightOf(books, lane.fairKey);
}

/** A job of this lane is served, in the open line and by the gate that sent it there. */
export function serve({ books }: Tx, lane: Lane, level: number): void {
  stamp(books, books.shares, lane, level);
  if (lane.via) stamp(books, sharesOf(books, lane.via), lane, level);
}

function stamp(books: Books, shares: Shares, lane: Lane, level: number): void {
  const flow = flowOf(books, shares, lane, level);
  shares.served.set(level, Math.max(shares.served.get(level) ?? 0, flow.share));
  flow.share += strideOf(books, lane);
}

/** What a job takes of its key's share: the dearest of its costs. */
function costOf({ cost }: Lane): number {
  return cost === null ? 1 : Math.max(1, ...Object.values(cost));
}

function weightOf({ rules: { weights } }: Books, fairKey: string | null): number {
  return fairKey !== null && Object.hasOwn(weights, fairKey) ? weights[fairKey]! : 1;
}
