/**
 * What a job costs, counted in real runs, in the three ways in which jobs come.
 *
 * A regime is counted from rest to rest: after it the clock is put past everything that is still owed (late alarms,
 * outbox rows that are kept for some minutes), and what that costs is part of it.
 *
 * @module
 */
import { type Counters, PAYLOAD } from "./counters.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { dollarsPerMillion } from "./prices.ts";
import { type Budget, rounded, type SuiteReport, type Table } from "./report.ts";

const HOUR_MS = 3_600_000;
export const LONE_JOBS = 20;
const STEADY_CALLERS = 32;
const STEADY_MS = 5_000;
const BULK_CALLS = 20;
const JOBS_PER_CALL = 1_000;

/** Jobs to make. */
export interface Kind {
  task: string;
  /** Of the n-th. */
  payload(n: number): { [field: string]: unknown };
}
export const NOOP: Kind = { task: "noop", payload: () => PAYLOAD };

interface Regime {
  about: string;
  /** Makes jobs until the regime has been seen for long enough; answers how many. */
  run(millrace: Millrace, queue: string): Promise<number>;
  budget: { objectRows: number; d1Rows: number; queueMessages: number };
}

const REGIMES: { [name in "lone" | "steady" | "bulk"]: Regime } = {
  lone: {
    about: `${LONE_JOBS} jobs an hour apart, the object put to sleep between them`,
    run: (millrace, queue) => runLone(millrace, queue, NOOP),
    budget: { objectRows: 9, d1Rows: 1.5, queueMessages: 1 },
  },
  steady: {
    about: `one job a request, ${STEADY_CALLERS} callers over HTTP for ${STEADY_MS / 1_000} s`,
    run: runSteady,
    budget: { objectRows: 5, d1Rows: 1.1, queueMessages: 0.05 },
  },
  bulk: {
    about: `${BULK_CALLS} requests of ${JOBS_PER_CALL} jobs over HTTP`,
    run: (millrace, queue) => runBulk(millrace, queue, NOOP),
    budget: { objectRows: 4.1, d1Rows: 1.1, queueMessages: 0.01 },
  },
};

export async function runCost(): Promise<SuiteReport> {
  const millrace = await startMillrace({ watch: true });
  try {
    const cost: { [regime: string]: { [name: string]: number } } = {};
    const tables: Table[] = [];
    for (const [name, regime] of Object.entries(REGIMES)) {
      const { first, perJob, jobs } = await count(millrace, `cost-${name}`, regime.run);
      cost[name] = {
        objectRowsPerJob: rounded(perJob.objectRows, 4),
        d1RowsPerJob: rounded(perJob.d1Rows, 4),
        queueMessagesPerJob: rounded(perJob.queueMessages, 4),
        objectRequestsPerJob: rounded(perJob.objectRequests, 4),
        dollarsPerMillion: rounded(dollarsPerMillion(perJob), 4),
      };
      tables.push(toTable(name, regime, perJob, jobs, first));
    }
    return { json: { cost }, tables };
  } finally {
    await millrace.stop();
  }
}

/** The first job of a new queue makes tables and the registry's row: it is counted apart, and the regime after it. */
export async function count(millrace: Millrace, queue: string, run: Regime["run"]) {
  const start = await millrace.call<Counters>("counters");
  await millrace.client().enqueue("noop", PAYLOAD, { queue });
  await rest(millrace, queue);
  const before = await millrace.call<Counters>("counters");
  const jobs = await run(millrace, queue);
  await rest(millrace, queue);
  const after = await millrace.call<Counters>("counters");
  const inHistory = await millrace.call<number>("history", { queue });
  if (inHistory !== jobs + 1)
    throw new Error(`Queue ${queue}: ${jobs + 1} jobs were made, ${inHistory} are in history`);
  return { first: difference(start, before, 1), perJob: difference(before, after, jobs), jobs };
}

function difference(from: Counters, to: Counters, jobs: number): Counters {
  const names = Object.keys(from) as (keyof Counters)[];
  return Object.fromEntries(names.map((name) => [name, (to[name] - from[name]) / jobs])) as unknown as Counters;
}

async function rest(millrace: Millrace, queue: string): Promise<void> {
  await millrace.untilDone(queue);
  await millrace.call("skip", { queue, ms: HOUR_MS });
  await millrace.untilDone(queue, true);
  await millrace.call("poke", { queue });
  await millrace.untilDone(queue, true);
}

export async function runLone(millrace: Millrace, queue: string, { task, payload }: Kind): Promise<number> {
  for (let made = 0; made < LONE_JOBS; made++) {
    await millrace.call("evict", { queue });
    await millrace.client().enqueue(task, payload(made), { queue });
    await millrace.untilDone(queue);
    await millrace.call("skip", { queue, ms: HOUR_MS });
    await millrace.untilDone(queue, true);
  }
  return LONE_JOBS;
}

async function runSteady(millrace: Millrace, queue: string): Promise<number> {
  const until = performance.now() + STEADY_MS;
  let made = 0;
  const caller = async () => {
    const client = millrace.client();
    while (performance.now() < until) {
      await client.enqueue("noop", PAYLOAD, { queue });
      made += 1;
    }
  };
  await Promise.all(Array.from({ length: STEADY_CALLERS }, caller));
  return made;
}

export async function runBulk(millrace: Millrace, queue: string, { task, payload }: Kind): Promise<number> {
  const client = millrace.client();
  const payloads = Array.from({ length: JOBS_PER_CALL }, (_, n) => payload(n));
  for (let call = 0; call < BULK_CALLS; call++) await client.enqueueMany(task, payloads, { queue });
  return BULK_CALLS * JOBS_PER_CALL;
}

function toTable(name: string, { about, budget }: Regime, perJob: Counters, jobs: number, first: Counters): Table {
  const row = (what: string, counter: keyof Counters, limit?: Budget): Table["rows"][number] => [
    what,
    rounded(perJob[counter], 3),
    rounded(first[counter], 3),
    limit,
  ];
  return {
    title: `Cost, ${name}: ${about} (${jobs} jobs; local runtime)`,
    columns: ["per job", "counted", "a new queue's first job"],
    rows: [
      row("object rows written, alarms set included", "objectRows", { most: budget.objectRows }),
      row("D1 rows written", "d1Rows", { most: budget.d1Rows }),
      row("Queues messages", "queueMessages", { most: budget.queueMessages }),
      row("object requests, runs of the alarm included", "objectRequests"),
      row("Worker requests, consumer batches included", "workerRequests"),
      row("object rows read", "objectRowsRead"),
      row("D1 rows read", "d1RowsRead"),
      ["dollars per million jobs, without CPU time", rounded(dollarsPerMillion(perJob), 2), "", undefined],
    ],
  };
}
