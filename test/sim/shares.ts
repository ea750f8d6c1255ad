import type { ModelJob } from "./model.ts";

/** One share of the starts of its line: the jobs of a fair key that are equally urgent. */
interface Flow {
  fairKey: string;
  ready: number;
  /** Whether it had a start in this incarnation of the object. */
  served: boolean;
  /** The dearest start of its jobs. */
  dearest: number;
  /**
   * By how much another has been served more, divided by weight, in some stretch in which this one could start. Below 0:
   * this one had a start where no other could be served, which counts as its share.
   */
  readonly behind: Map<Flow, number>;
  /** Set while its first job waits: how many of the line started before it, and how many flows had jobs waiting. */
  first: { starts: number; flows: Set<Flow>; running: number } | null;
}

/** Jobs of one priority share its starts. */
type Line = Map<string, Flow>;

/** What each fair key was given, beside the others that could start. */
export class Shares {
  readonly #lines = new Map<number, Line>();
  #unknown = false;

  /** A job begins or ceases to be ready. */
  ready(priority: number, job: ModelJob, count: number): void {
    if (count < 0) this.#unhide(priority, job);
    const flows = this.#line(priority);
    const flow = this.#flow(flows, job);
    flow.ready += count;
    flow.dearest = Math.max(flow.dearest, costOf(job));
    if (flow.ready === 0) {
      flow.behind.clear();
      flow.first = null;
    } else if (count > 0 && flow.ready === 1) {
      if (!flow.served) this.#begin(flows, flow);
      for (const other of flows.values()) other.first?.flows.add(flow);
    }
  }

  /** A more urgent job of the same key may have stood before the others in its lane: they come into line again. */
  #unhide(priority: number, job: ModelJob): void {
    for (const [lower, flows] of this.#lines) {
      const flow = lower < priority ? flows.get(shareKey(job)) : undefined;
      flow?.behind.clear();
      if (flow?.first) flow.first.starts = 0;
    }
  }

  /** Lanes come into line again. Where shares are counted otherwise from now on, nobody knows what they are worth. */
  settingsChanged(counting: boolean): void {
    this.#unknown ||= counting;
    for (const flows of this.#lines.values()) {
      for (const flow of flows.values()) {
        flow.behind.clear();
        if (flow.first) flow.first.starts = 0;
      }
    }
  }

  /** Memory of the object is gone: every key begins anew. */
  reset(): void {
    this.#unknown = false;
    for (const flows of this.#lines.values()) {
      for (const [key, flow] of flows) {
        if (flow.ready === 0) flows.delete(key);
        flow.served = false;
        flow.behind.clear();
      }
      for (const flow of flows.values()) this.#begin(flows, flow);
    }
  }

  #begin(flows: Line, flow: Flow): void {
    const waiting = [...flows.values()].filter((other) => other.ready > 0);
    flow.first = { starts: 0, flows: new Set(waiting), running: 0 };
  }

  /**
   * What one session was given, of one priority. `waiting`: by fair key the jobs in whose place it could have been given
   * one of that key that waits. Says what is not fair.
   */
  started(
    priority: number,
    jobs: ModelJob[],
    waiting: Map<string, Set<ModelJob>>,
    running: number,
    weights: { [key: string]: number },
  ): string | null {
    const flows = this.#line(priority);
    const served = new Map(jobs.map((job) => [job, this.#flow(flows, job)]));
    for (const [job, flow] of served) {
      flow.served = true;
      flow.first = null;
      flow.dearest = Math.max(flow.dearest, costOf(job));
    }
    if (this.#unknown) return null;
    const taken = sumOf(served, jobs, weights);
    for (const [flow, own] of taken) {
      if ([...waiting.keys()].some((key) => key !== flow.fairKey)) continue;
      for (const other of flows.values()) if (other !== flow) lead(flow, other, own, weights);
    }
    for (const flow of flows.values()) {
      if (flow.ready === 0) continue;
      const places = waiting.get(flow.fairKey);
      // What cannot be served saves nothing up.
      if (!places || places.size === 0)
        for (const [other, behind] of flow.behind) if (behind > 0) flow.behind.delete(other);
      if (!places) continue;
      const before = sumOf(served, places, weights);
      compare(flow, before, taken.get(flow) ?? 0);
      if (before.size === 0) continue;
      const unfair = tooFarBehind(flow, weights) ?? lateFirst(flow, places.size, running, weights);
      if (unfair) return `priority ${priority}: ${unfair}`;
    }
    return null;
  }

  #line(priority: number): Line {
    let line = this.#lines.get(priority);
    if (!line) {
      line = new Map();
      this.#lines.set(priority, line);
    }
    return line;
  }

  #flow(flows: Line, job: ModelJob): Flow {
    const key = shareKey(job);
    let flow = flows.get(key);
    if (!flow) {
      flow = { fairKey: key, ready: 0, served: false, dearest: 1, behind: new Map(), first: null };
      flows.set(key, flow);
    }
    return flow;
  }
}

/** What these jobs took of the shares of their flows. */
function sumOf(
  served: Map<ModelJob, Flow>,
  jobs: Iterable<ModelJob>,
  weights: { [key: string]: number },
): Map<Flow, number> {
  const sum = new Map<Flow, number>();
  for (const job of jobs) {
    const flow = served.get(job)!;
    sum.set(flow, (sum.get(flow) ?? 0) + costOf(job) / weightOf(weights, flow));
  }
  return sum;
}

/** As it stands in the sets of waiting keys. */
export function shareKey({ fairKey }: ModelJob): string {
  return fairKey === null ? "" : `=${fairKey}`;
}

/** The dearest of a job's costs, at least 1. */
function costOf({ template }: ModelJob): number {
  return Math.max(1, ...Object.values(template.cost ?? {}));
}

function weightOf(weights: { [key: string]: number }, { fairKey }: Flow): number {
  const key = fairKey.slice(1);
  return fairKey !== "" && Object.hasOwn(weights, key) ? weights[key]! : 1;
}

function compare(flow: Flow, taken: Map<Flow, number>, own: number): void {
  for (const other of new Set([...flow.behind.keys(), ...taken.keys()])) {
    const behind = (flow.behind.get(other) ?? 0) + (taken.get(other) ?? 0) - own;
    // Who is served among others has no lead any more.
    if (other !== flow && (behind > 0 || (behind < 0 && own === 0))) flow.behind.set(other, behind);
    else flow.behind.delete(other);
  }
}

/** A start that no other could have had: at most one of them is ahead of the others' share when these come. */
function lead(flow: Flow, other: Flow, own: number, weights: { [key: string]: number }): void {
  const most = flow.dearest / weightOf(weights, flow);
  flow.behind.set(other, Math.max((flow.behind.get(other) ?? 0) - own, -most));
}

/**
 * While a flow could start, no other gets more than one start of each beyond its share (the bound of start-time fair
 * queueing).
 */
function tooFarBehind(flow: Flow, weights: { [key: string]: number }): string | null {
  const least = flow.dearest / weightOf(weights, flow);
  for (const [other, behind] of flow.behind) {
    const most = least + other.dearest / weightOf(weights, other);
    if (behind > most + 1e-6) return `${name(other)} got ${behind} more than ${name(flow)}; ${most} may be`;
  }
  return null;
}

/** With K flows that have jobs waiting and c slots, the first job of a new one is among the next K + c. */
function lateFirst(flow: Flow, starts: number, running: number, weights: object): string | null {
  const { first } = flow;
  if (!first || Object.keys(weights).length > 0) return null;
  first.starts += starts;
  first.running = Math.max(first.running, running);
  const dearest = Math.max(...[...first.flows].map((other) => other.dearest));
  const most = (first.flows.size + Math.max(first.running, 1)) * dearest;
  if (first.starts <= most) return null;
  return `${first.starts} jobs started before the first of ${name(flow)}; ${most} may with ${first.flows.size} keys`;
}

function name({ fairKey }: Flow): string {
  return fairKey === "" ? "jobs without a key" : `key ${fairKey.slice(1)}`;
}
