/**
 * Stretches of the index of ready jobs, and how many jobs stand in them. Each is a seek and a walk along the index
 * that ends at a given number of entries.
 *
 * @module
 */
import { LEVELS } from "./heads.ts";
import type { Tx } from "./ports.ts";
import type { Lane } from "./scheduler.ts";

/** `above`, `below`: of a priority. `ranks`: of one priority, `from <= rank < to`. `seqs`: of one rank, `from <= seq < to`. */
type Stretch =
  | [kind: "above" | "below", lane: number, priority: number]
  | [kind: "ranks", lane: number, priority: number, from: number, to: number]
  | [kind: "seqs", lane: number, priority: number, from: number, to: number, rank: number];

/** How many jobs; not exact: at least so many. */
export interface Count {
  jobs: number;
  exact: boolean;
}

/** A place in the order of jobs that share a flow. */
interface Place {
  rank: number;
  seq: number;
}

const END = Number.MAX_SAFE_INTEGER;

const within = (range: string): string =>
  `(SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'ready' AND lane = s.lane AND ${range} LIMIT ?2))`;

const COUNT = `
WITH s AS MATERIALIZED (
  SELECT key, value ->> 0 AS kind, value ->> 1 AS lane, value ->> 2 AS priority, value ->> 3 AS first, value ->> 4 AS past,
    value ->> 5 AS rank
  FROM json_each(?1)
)
SELECT CASE s.kind WHEN 'above' THEN ${within("priority > s.priority")}
  WHEN 'below' THEN ${within("priority < s.priority")}
  WHEN 'ranks' THEN ${within("priority = s.priority AND rank >= s.first AND rank < s.past")}
  ELSE ${within("priority = s.priority AND rank = s.rank AND seq >= s.first AND seq < s.past")} END AS jobs
FROM s ORDER BY s.key`;

/** Counts the jobs of each list of stretches; of none of the stretches more than `most`. */
export function countJobsIn(tx: Tx, lists: Stretch[][], most: number): Count[] {
  const stretches = lists.flat();
  const rows = stretches.length === 0 ? [] : tx.sql.exec(COUNT, JSON.stringify(stretches), most);
  let at = 0;
  return lists.map(({ length }) => {
    const counts = rows.slice(at, at + length).map(({ jobs }) => Number(jobs));
    at += length;
    return { jobs: counts.reduce((sum, jobs) => sum + jobs, 0), exact: counts.every((jobs) => jobs < most) };
  });
}

/** Lanes cut by urgency. */
export class Cut {
  readonly #level: number;
  readonly aged: boolean;
  /** With ageing: the priorities of each lane. */
  readonly #priorities: Map<number, number[]> | null;
  readonly #ageing: { perMs: number; priority: number } | null;

  constructor(tx: Tx, lanes: Lane[], level: number) {
    this.#level = level;
    this.#ageing = tx.books.rules.ageing;
    this.aged = this.#ageing !== null;
    this.#priorities = this.#ageing && readPriorities(tx, lanes);
  }

  /** What is more urgent. */
  above({ id }: Lane): Stretch[] {
    if (!this.#ageing) return [["above", id, this.#level]];
    const { perMs } = this.#ageing;
    return this.#steps(id).map(([priority, steps]) => ["ranks", id, priority, 0, perMs * Math.ceil(steps)]);
  }

  /** What is as urgent. */
  level({ id }: Lane): Stretch[] {
    if (!this.#ageing) return [["ranks", id, this.#level, 0, END]];
    const { perMs } = this.#ageing;
    const whole = this.#steps(id).filter(([, steps]) => Number.isInteger(steps));
    return whole.map(([priority, steps]) => ["ranks", id, priority, perMs * steps, perMs * (steps + 1)]);
  }

  /** What is as urgent and became ready before. */
  before(lane: Lane, { rank, seq }: Place): Stretch[] {
    return this.level(lane).flatMap((stretch): Stretch[] => {
      const [, id, priority, from, to] = stretch as [string, number, number, number, number];
      if (rank < from) return [];
      if (rank >= to) return [stretch];
      return [
        ["ranks", id, priority, from, rank],
        ["seqs", id, priority, 0, seq, rank],
      ];
    });
  }

  /** What is less urgent, or became ready afterwards: the rest of the lane. Not with ageing, which mixes priorities. */
  behind({ id }: Lane, { rank, seq }: Place): Stretch[] {
    return [
      ["below", id, this.#level],
      ["ranks", id, this.#level, rank + 1, END],
      ["seqs", id, this.#level, seq + 1, END, rank],
    ];
  }

  /** Each priority of a lane, with the number of periods after the epoch at which its jobs are of this level. */
  #steps(lane: number): [priority: number, steps: number][] {
    const priorities = this.#priorities!.get(lane) ?? [];
    return priorities.map((priority) => [priority, (priority - this.#level) / this.#ageing!.priority]);
  }
}

const PRIORITIES = `${LEVELS}
SELECT lane, priority FROM levels WHERE priority IS NOT NULL`;

function readPriorities(tx: Tx, lanes: Lane[]): Map<number, number[]> {
  const found = new Map<number, number[]>(lanes.map(({ id }) => [id, []]));
  for (const { lane, priority } of tx.sql.exec(PRIORITIES, JSON.stringify([...found.keys()]))) {
    found.get(Number(lane))!.push(Number(priority));
  }
  return found;
}
