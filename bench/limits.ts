/**
 * What waiting and closed jobs cost others: claims beside a great many of them, each as a ratio to the plain case of
 * the same run.
 *
 * All queues stand ready side by side, and take turns in every round, so that whatever else the machine does falls on
 * all of them. No worker runs: claims are driven from inside the objects (drive.ts).
 *
 * @module
 */
import type { SettingsPatch } from "../client/wire.ts";
import type { Taken } from "./counters.ts";
import type { DriveAsk } from "./drive.ts";
import { type Heap, measureHeap } from "./heap.ts";
import { countKeyed, type KeyedRows } from "./limits-rows.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { type Budget, median, rounded, type SuiteReport, type Table } from "./report.ts";
import { JOBS_PER_CALL, type Keyed, keyValue } from "./requests.ts";

const ROUNDS = 12;
/** Jobs a claim, and claims a round. */
const CLAIMS = [
  { want: 100, calls: 10 },
  { want: 10, calls: 40 },
] as const;
const ENQUEUES_A_ROUND = 5;
const GETS_A_ROUND = 20;
const WAKES = 3;

const KEYS = 1_000;
const CLOSED = 900;
const HOT_JOBS = 100_000;
const FAIR_KEYS = 100_000;
const FEW = 1_000;
const MANY = 1_000_000;
/** Enough for every round to claim from. */
const SERVED = 30_000;
const WAITING = 60_000;
const SEEDED_A_CALL = 50_000;

interface Case {
  about: string;
  /** Its claims are held against those of this one. */
  beside: "plain" | "few" | null;
  /** Of its claims. */
  budget: number | null;
  /** As many jobs wait after each round as before. */
  level?: boolean;
  settings?: SettingsPatch;
  seed(queue: Queue): Promise<void>;
}

const HELD = CLOSED / 2;
const heldValues = Object.fromEntries(Array.from({ length: HELD }, (_, n) => [keyValue(n), { concurrency: 1 }]));

const CASES: { [name in "plain" | "closed" | "hot" | "fair" | "few" | "many"]: Case } = {
  plain: {
    about: `plain: ${WAITING.toLocaleString("en-US")} jobs wait`,
    beside: null,
    budget: null,
    async seed(queue) {
      await queue.seed(HELD);
      await queue.drive("hold", { want: HELD });
      await queue.seed(WAITING);
    },
  },
  closed: {
    about: `as many over ${KEYS} keys, ${HELD} closed by concurrency, ${CLOSED - HELD} by a pause`,
    beside: "plain",
    budget: 1.5,
    settings: { limits: { tenant: { concurrency: 1_000, values: heldValues } } },
    async seed(queue) {
      await queue.seed(HELD, { kind: "tenant", first: 0, count: HELD });
      await queue.drive("hold", { want: HELD });
      await queue.drive("close", { keys: { kind: "tenant", first: HELD, count: CLOSED - HELD } });
      await queue.seed(WAITING - SERVED, { kind: "tenant", first: 0, count: KEYS });
      await queue.seed(SERVED, { kind: "tenant", first: CLOSED, count: KEYS - CLOSED });
    },
  },
  hot: {
    about: `plain ones behind ${HOT_JOBS.toLocaleString("en-US")} of one hot key, closed by concurrency`,
    beside: "plain",
    budget: 1.2,
    settings: { limits: { tenant: { values: { [keyValue(0)]: { concurrency: 1 } } } } },
    async seed(queue) {
      await queue.seed(HOT_JOBS, { kind: "tenant", first: 0, count: 1 });
      await queue.drive("hold", { want: 1 });
      await queue.seed(WAITING);
    },
  },
  fair: {
    about: `${FAIR_KEYS.toLocaleString("en-US")} fair keys with a job each`,
    beside: "plain",
    budget: null,
    seed: (queue) => queue.seed(FAIR_KEYS, { kind: "fair", first: 0, count: FAIR_KEYS }),
  },
  few: {
    about: `plain: ${FEW.toLocaleString("en-US")} jobs wait`,
    beside: null,
    budget: null,
    level: true,
    seed: (queue) => queue.seed(FEW),
  },
  many: {
    about: `plain: ${MANY.toLocaleString("en-US")} jobs wait`,
    beside: "few",
    budget: 1.2,
    level: true,
    seed: (queue) => queue.seed(MANY),
  },
};
type Name = keyof typeof CASES;
const NAMES = Object.keys(CASES) as Name[];
const LEVEL: Name[] = ["few", "many"];

/** A queue of this suite, as it is driven. */
interface Queue {
  name: string;
  seed(jobs: number, keys?: Keyed): Promise<void>;
  drive<Answer>(drive: string, ask?: Partial<DriveAsk>): Promise<Answer>;
}

function queueOf(millrace: Millrace, name: string): Queue {
  const drive = <Answer>(what: string, ask: Partial<DriveAsk> = {}): Promise<Answer> =>
    millrace.call("drive", { queue: name, drive: what, ...ask });
  return {
    name,
    drive,
    async seed(jobs, keys) {
      for (let from = 0; from < jobs; from += SEEDED_A_CALL) {
        const part = Math.min(SEEDED_A_CALL, jobs - from);
        const rest = keys && { ...keys, first: keys.count > part ? keys.first + from : keys.first };
        await drive("seed", { jobs: part, keys: rest });
      }
    },
  };
}

/** Ms a call, one value a round. */
type Times = { [name: string]: number[] };

interface Found {
  claims: Times[];
  enqueues: Times;
  gets: Times;
  /** Of the first claim after the object was put to sleep. */
  wakes: Times;
  seedMs: { [name: string]: number };
}

export async function runLimits(): Promise<SuiteReport> {
  const rows = await countKeyed();
  const heap = await measureHeap([FEW, MANY]);
  const millrace = await startMillrace({ watch: false });
  try {
    return toReport(await measure(millrace), rows, heap);
  } finally {
    await millrace.stop();
  }
}

async function measure(millrace: Millrace): Promise<Found> {
  await millrace.call("idle");
  const found: Found = { claims: CLAIMS.map(() => ({})), enqueues: {}, gets: {}, wakes: {}, seedMs: {} };
  const queues = new Map<Name, Queue>();
  for (const name of NAMES) {
    const queue = queueOf(millrace, `limits-${name}`);
    const { settings, seed } = CASES[name];
    // Holders keep what they hold, and what ends is not sent to D1: neither is to be measured.
    const patch = { leaseMs: 600_000, historyCompleted: "none", ...settings };
    await millrace.call("configure", { queue: queue.name, patch });
    const startedAt = performance.now();
    await seed(queue);
    found.seedMs[name] = performance.now() - startedAt;
    queues.set(name, queue);
  }
  // The first round warms up: it finds out which keys are closed, too.
  for (let round = -1; round < ROUNDS; round++) {
    const into = round < 0 ? null : found;
    await runRound(millrace, queues, turned(NAMES, round + 1), into);
  }
  for (let wake = 0; wake < WAKES; wake++) {
    for (const name of NAMES) {
      await millrace.call("evict", { queue: queues.get(name)!.name });
      const [{ want }] = CLAIMS;
      note(
        found.wakes,
        name,
        await queues.get(name)!.drive<Taken>("claims", { calls: 1, want, level: CASES[name].level }),
      );
    }
  }
  return found;
}

async function runRound(
  millrace: Millrace,
  queues: Map<Name, Queue>,
  names: Name[],
  into: Found | null,
): Promise<void> {
  for (const [index, { want, calls }] of CLAIMS.entries()) {
    for (const name of names) {
      const taken = await queues.get(name)!.drive<Taken>("claims", { calls, want, level: CASES[name].level });
      if (into) note(into.claims[index]!, name, taken);
    }
  }
  for (const name of names.filter((one) => LEVEL.includes(one))) {
    const queue = queues.get(name)!;
    const taken = await queue.drive<Taken>("enqueues", { calls: ENQUEUES_A_ROUND, level: true });
    const looked = await timeGets(millrace, queue.name);
    if (!into) continue;
    note(into.enqueues, name, taken);
    note(into.gets, name, looked);
  }
}

const turned = (names: Name[], by: number): Name[] => names.map((_, at) => names[(at + by) % names.length]!);

function note(times: Times, name: string, { ms, calls }: Taken): void {
  times[name] = [...(times[name] ?? []), ms / calls];
}

async function timeGets(millrace: Millrace, name: string): Promise<Taken> {
  const queue = millrace.client().queue(name);
  const startedAt = performance.now();
  for (let get = 0; get < GETS_A_ROUND; get++) await queue.get();
  return { ms: performance.now() - startedAt, calls: GETS_A_ROUND };
}

/** The middle of the ratios that were found round by round. */
function ratioOf(times: Times, name: string, beside: string): number {
  return rounded(median(times[name]!.map((ms, round) => ms / Math.max(0.05, times[beside]![round]!))), 3);
}

const msOf = (times: Times, name: string): number => rounded(median(times[name]!), 2);
const atMost = (most: number | null): Budget | undefined => (most === null ? undefined : { most });

function toReport(found: Found, rows: KeyedRows, heap: Heap[]): SuiteReport {
  const claimRatio = Object.fromEntries(
    CLAIMS.map(({ want }, index) => {
      const compared = NAMES.flatMap((name) => {
        const { beside } = CASES[name];
        return beside ? [[name, ratioOf(found.claims[index]!, name, beside)]] : [];
      });
      return [`of${want}`, Object.fromEntries(compared) as { [name: string]: number }];
    }),
  );
  const [few, many] = heap;
  const limits = {
    claimRatio,
    wakeMs: Object.fromEntries(NAMES.map((name) => [name, msOf(found.wakes, name)])),
    million: {
      enqueueRatio: ratioOf(found.enqueues, "many", "few"),
      getRatio: ratioOf(found.gets, "many", "few"),
      heapGrowthMb: rounded(many!.usedMb - few!.usedMb, 2),
    },
    rows,
  };
  return { json: { limits }, tables: [...claimTables(found), millionTable(found, heap), rowsTable(rows)] };
}

function claimTables(found: Found): Table[] {
  const claims = CLAIMS.map(({ want, calls }, index): Table => {
    const times = found.claims[index]!;
    return {
      title: `A claim of ${want} jobs (local runtime; median of ${ROUNDS} rounds of ${calls} in turns)`,
      columns: ["", "ratio", "ms"],
      rows: NAMES.map((name) => {
        const { about, beside, budget } = CASES[name];
        return [about, beside ? ratioOf(times, name, beside) : 1, msOf(times, name), atMost(budget)];
      }),
      notes: [`Ratios are to the nearest "plain" above.`],
    };
  });
  const wakes: Table = {
    title: `The first claim of ${CLAIMS[0].want} after the object was put to sleep, ms (median of ${WAKES})`,
    columns: ["", "ms", "made within, ms"],
    rows: NAMES.map((name) => [CASES[name].about, msOf(found.wakes, name), Math.round(found.seedMs[name]!), undefined]),
  };
  return [...claims, wakes];
}

function millionTable({ enqueues, gets }: Found, heap: Heap[]): Table {
  const [few, many] = heap;
  const row = (what: string, times: Times): Table["rows"][number] => [
    what,
    ratioOf(times, "many", "few"),
    msOf(times, "few"),
    msOf(times, "many"),
    { most: 1.2 },
  ];
  const heapRatio = rounded(many!.usedMb / few!.usedMb, 3);
  return {
    title: `${MANY.toLocaleString("en-US")} jobs waiting beside ${FEW.toLocaleString("en-US")} (local runtime)`,
    columns: ["", "ratio", "few", "many"],
    rows: [
      row(`bulk enqueue of ${JOBS_PER_CALL} until on disk, ms`, enqueues),
      row("GET of the queue over HTTP, ms", gets),
      ["heap of the engine, MB", heapRatio, rounded(few!.usedMb, 2), rounded(many!.usedMb, 2), { most: 1.2 }],
    ],
    notes: ["The heap is that of a process which runs the engine alone, on node:sqlite, after collecting garbage."],
  };
}

function rowsTable(rows: KeyedRows): Table {
  return {
    title: "Object rows written a job, with a key that has a concurrency and a rate limit (local runtime)",
    columns: ["", "more than plain", "plain", "keyed"],
    rows: [
      ["lone, each job with a key of its own", rows.lone.more, rows.lone.plain, rows.lone.keyed, { most: 4 }],
      ["bulk, 20 requests of 1,000 jobs over 50 keys", rows.bulk.more, rows.bulk.plain, rows.bulk.keyed, { most: 0.2 }],
    ],
    notes: ["Counted until the object sleeps, later removal of lanes and buckets included."],
  };
}
