/**
 * How many ready jobs come before one in the order that claims use, as things stand now.
 *
 * Counted along the index of ready jobs, from whichever end of a lane is nearer, and only so far: in `LANES_COUNTED`
 * lanes and over about `ROWS_COUNTED` entries at most. Where that is not enough, the answer is a lower bound and says
 * so.
 *
 * Exact where no other fair key waits, and near it where some do: each is taken to be served until its share passes
 * the one that the job's own key will have when it comes to the job. Jobs that a limit keeps from starting do not come
 * before it, unless the job waits for the same limit.
 *
 * @module
 */
import { costIn } from "./buckets.ts";
import { liveSessions } from "./claim.ts";
import { presentAt, shareOf, strideOf } from "./flows.ts";
import { closedBy, costAt, gatesOf, roomOf } from "./gates.ts";
import { levelOf } from "./heads.ts";
import type { Tx } from "./ports.ts";
import type { Gate, Lane } from "./scheduler.ts";
import { type Count, Cut, countJobsIn } from "./stretches.ts";

const LANES_COUNTED = 1_000;
const ROWS_COUNTED = 30_000;
/** Shares are sums of fractions. */
const EPSILON = 1e-9;

/** A job that is in line, or (`ready` is false) will be in a moment. */
export interface Placed {
  seq: number;
  lane: Lane;
  priority: number;
  rank: number;
  ready: boolean;
}

export interface Ahead extends Count {
  /** Of those, what goes through each gate of the job: how many, and what they take of its bucket. */
  through: Map<Gate, { jobs: number; tokens: number }>;
}

/** The jobs that come before this one. */
export function jobsAhead(tx: Tx, job: Placed): Ahead {
  const own = new Set(gatesOf(tx.books, job.lane));
  const { lanes, all } = lanesInPlay(tx, job.lane, own);
  const level = levelOf(tx.books, job.priority, job.rank);
  const count: Counting = { job, level, cut: new Cut(tx, lanes, level), most: rowsEach(lanes) };
  const peers = lanes.filter(({ fairKey }) => fairKey === job.lane.fairKey);
  const rivals = lanes.filter(({ fairKey }) => fairKey !== job.lane.fairKey);
  const { share, counts } = countPeers(tx, count, peers);
  for (const [lane, found] of countRivals(tx, count, rivals, share.at)) counts.set(lane, found);
  const turns = new Turns(tx, job.lane, own);
  for (const [lane, { jobs }] of counts) turns.take(lane, jobs);
  const exact = all && (share.exact || rivals.length === 0) && [...counts.values()].every((found) => found.exact);
  return { jobs: turns.jobs, exact, through: turns.through };
}

interface Counting {
  job: Placed;
  level: number;
  cut: Cut;
  most: number;
}

/** Lanes whose jobs may start before one of `lane`: its own first, then those of its fair key; whether it is all of them. */
function lanesInPlay(tx: Tx, lane: Lane, own: Set<Gate>): { lanes: Lane[]; all: boolean } {
  const peers = [lane];
  const rivals: Lane[] = [];
  for (const other of tx.books.lanes.values()) {
    if (other.ready === 0 || other === lane) continue;
    const gates = gatesOf(tx.books, other).filter((gate) => !own.has(gate));
    if (gates.some((gate) => closedBy(tx, gate, costAt(gate, other)))) continue;
    (other.fairKey === lane.fairKey ? peers : rivals).push(other);
  }
  const lanes = [...peers, ...rivals];
  return { lanes: lanes.slice(0, LANES_COUNTED), all: lanes.length <= LANES_COUNTED };
}

/** How many entries to count of each stretch: where some lanes are short, more is left for the long ones. */
function rowsEach(lanes: Lane[]): number {
  let left = ROWS_COUNTED;
  const sizes = lanes.map(({ ready }) => ready).sort((a, b) => a - b);
  for (const [index, ready] of sizes.entries()) {
    const each = Math.floor(left / (sizes.length - index));
    if (ready >= each) return each;
    left -= ready;
  }
  return ROWS_COUNTED;
}

/** Of lanes of the job's own flow: what comes before it, and the share that the flow then has. */
function countPeers(tx: Tx, { job, level, cut, most }: Counting, lanes: Lane[]) {
  const urgent = countJobsIn(
    tx,
    lanes.map((lane) => cut.above(lane)),
    most,
  );
  const before = countJobsIn(
    tx,
    lanes.map((lane) => cut.before(lane, job)),
    most,
  );
  // Where the way from the front is too long, the one from the end may not be.
  const long = lanes.filter((_, index) => !cut.aged && !(urgent[index]!.exact && before[index]!.exact));
  const rests = countJobsIn(
    tx,
    long.map((lane) => cut.behind(lane, job)),
    most,
  );
  const behind = new Map(long.map((lane, index) => [lane, rests[index]!]));
  const share = { at: 0, exact: true };
  const counts = new Map<Lane, Count>();
  for (const [index, lane] of lanes.entries()) {
    const total = {
      jobs: urgent[index]!.jobs + before[index]!.jobs,
      exact: urgent[index]!.exact && before[index]!.exact,
    };
    const rest = behind.get(lane);
    if (rest?.exact) {
      total.jobs = lane.ready - rest.jobs - (lane === job.lane && job.ready ? 1 : 0);
      total.exact = true;
    }
    const known = total.exact && urgent[index]!.exact;
    share.at += (known ? total.jobs - urgent[index]!.jobs : before[index]!.jobs) * strideOf(tx.books, lane);
    share.exact &&= known;
    counts.set(lane, total);
  }
  const now = shareOf(tx.books, job.lane, level);
  share.at = share.at === 0 ? now : Math.max(now, presentAt(tx.books, level)) + share.at;
  return { share, counts };
}

/** Of lanes of other flows: what is more urgent, and what is as urgent and is served until their shares pass `share`. */
function countRivals(tx: Tx, { job, level, cut, most }: Counting, lanes: Lane[], share: number): Map<Lane, Count> {
  const flows = Map.groupBy(lanes, ({ fairKey }) => fairKey);
  const turns = new Map([...flows].map(([key, [first]]) => [key, turnsBefore(tx, first!, level, share)]));
  const enough = Math.min(most, 1 + Math.max(0, ...[...turns.values()].map(({ whole }) => whole)));
  const urgent = countJobsIn(
    tx,
    lanes.map((lane) => cut.above(lane)),
    most,
  );
  const equal = countJobsIn(
    tx,
    lanes.map((lane) => cut.level(lane)),
    enough,
  );
  // Only where shares are the same does it matter who became ready before.
  const earlier = countJobsIn(
    tx,
    lanes.map((lane) => (turns.get(lane.fairKey)!.tie ? cut.before(lane, job) : [])),
    enough,
  );
  const at = new Map(lanes.map((lane, index) => [lane, index]));
  const counts = new Map<Lane, Count>();
  for (const [key, members] of flows) {
    const { whole, tie } = turns.get(key)!;
    const jobsOf = (found: Count[]): number => members.reduce((sum, lane) => sum + found[at.get(lane)!]!.jobs, 0);
    let left = Math.min(jobsOf(equal), whole + (tie && jobsOf(earlier) > whole ? 1 : 0));
    const counted = jobsOf(equal) >= whole || members.every((lane) => equal[at.get(lane)!]!.exact);
    for (const lane of members) {
      const taken = Math.min(left, equal[at.get(lane)!]!.jobs);
      left -= taken;
      const { jobs, exact } = urgent[at.get(lane)!]!;
      counts.set(lane, { jobs: jobs + taken, exact: exact && counted });
    }
  }
  return counts;
}

/** How often a flow is served before its share reaches `share`; `tie`: it then is the very same. */
function turnsBefore(tx: Tx, lane: Lane, level: number, share: number): { whole: number; tie: boolean } {
  const now = shareOf(tx.books, lane, level);
  if (now > share - EPSILON) return { whole: 0, tie: now < share + EPSILON };
  // Its first turn takes it to the present at least.
  const turns = (share - Math.max(now, presentAt(tx.books, level))) / strideOf(tx.books, lane);
  const whole = Math.max(1, Math.ceil(turns - EPSILON));
  return { whole, tie: Math.abs(turns - whole) < EPSILON };
}

/** Adds up what comes before a job, as far as gates that it does not wait for let it start. */
class Turns {
  jobs = 0;
  readonly through: Ahead["through"];
  readonly #tx: Tx;
  readonly #own: Set<Gate>;
  readonly #room = new Map<Gate, number>();
  /** Suspects that may start: each session takes one. */
  #suspects: number;

  constructor(tx: Tx, lane: Lane, own: Set<Gate>) {
    this.#tx = tx;
    this.#own = own;
    this.through = new Map([...own].map((gate) => [gate, { jobs: 0, tokens: 0 }]));
    this.#suspects = lane.suspect ? Number.POSITIVE_INFINITY : Math.max(1, liveSessions(tx, null));
  }

  take(lane: Lane, most: number): void {
    const gates = gatesOf(this.#tx.books, lane);
    const others = gates.filter((gate) => !this.#own.has(gate));
    const room = others.map((gate) => this.#room.get(gate) ?? roomOf(this.#tx, gate));
    const jobs = Math.min(most, ...room, lane.suspect ? this.#suspects : most);
    for (const [index, gate] of others.entries()) this.#room.set(gate, room[index]! - jobs);
    if (lane.suspect) this.#suspects -= jobs;
    this.jobs += jobs;
    for (const gate of gates) {
      const through = this.through.get(gate);
      if (!through) continue;
      through.jobs += jobs;
      const { rateLimit } = gate.limit;
      if (rateLimit) through.tokens += jobs * costIn(rateLimit, costAt(gate, lane));
    }
  }
}
