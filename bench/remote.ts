/**
 * A remote worker over a WebSocket on loopback, in this process: how many jobs go through one, and how soon an idle one
 * starts what is enqueued.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createWorker, defineTask, type Worker } from "../client/index.ts";
import { PAYLOAD } from "./counters.ts";
import { percentile } from "./latency.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { median, rounded, type SuiteReport } from "./report.ts";

/** Pull queues of the benchmark's Worker. */
const MANY = "remote-many";
const IDLE = "remote-idle";
const JOBS = 20_000;
const ROUNDS = 3;
const SLOTS = 100;
const SAMPLES = 200;
const GAP_MS = 20;
const START_WITHIN_MS = 30_000;

type Input = { x: string; n: number };

export async function runRemote(): Promise<SuiteReport> {
  const millrace = await startMillrace({ watch: false });
  try {
    const perSecond: number[] = [];
    for (let round = 0; round < ROUNDS; round++) perSecond.push(await throughput(millrace));
    return toReport(perSecond, await latencies(millrace));
  } finally {
    await millrace.stop();
  }
}

/** Jobs a second from the start of the worker until the last one has been settled. */
async function throughput(millrace: Millrace): Promise<number> {
  const payloads = Array.from({ length: JOBS }, () => PAYLOAD);
  await millrace.client().enqueueMany("noop", payloads, { queue: MANY });
  const noop = defineTask({ name: "noop", queue: MANY }).handler(() => null);
  const from = performance.now();
  return withWorker(createWorker({ ...millrace.access, tasks: [noop], queues: [MANY], slots: SLOTS }), async () => {
    await millrace.untilDone(MANY);
    return JOBS / ((performance.now() - from) / 1_000);
  });
}

async function latencies(millrace: Millrace): Promise<{ inWorker: number[]; http: number[] }> {
  const found = { inWorker: [] as number[], http: [] as number[] };
  const started = new Map<number, number>();
  const stamp = defineTask({ name: "stamp", queue: IDLE }).handler((input) => {
    started.set((input as Input).n, Date.now());
  });
  const client = millrace.client();
  const worker = createWorker({ ...millrace.access, tasks: [stamp], queues: [IDLE], slots: 1 });
  return withWorker(worker, async () => {
    for (let n = -5; n < SAMPLES; n++) {
      const inside = n % 2 === 0;
      const from = inside ? await millrace.call<number>("sample", { queue: IDLE, n }) : Date.now();
      if (!inside) await client.enqueue("stamp", { ...PAYLOAD, n }, { queue: IDLE });
      const took = (await startOf(started, n)) - from;
      if (n >= 0) found[inside ? "inWorker" : "http"].push(took);
      await sleep(GAP_MS);
    }
    return found;
  });
}

async function startOf(started: ReadonlyMap<number, number>, n: number): Promise<number> {
  const deadline = Date.now() + START_WITHIN_MS;
  for (;;) {
    const at = started.get(n);
    if (at !== undefined) return at;
    if (Date.now() > deadline) throw new Error(`Job ${n} has not started within ${START_WITHIN_MS / 1_000} s`);
    await sleep(1);
  }
}

async function withWorker<Result>(worker: Worker, run: () => Promise<Result>): Promise<Result> {
  const working = worker.start();
  try {
    return await Promise.race([run(), working.then(hasStopped)]);
  } finally {
    await worker.stop();
    await working;
  }
}

function hasStopped(): never {
  throw new Error("The worker stopped before its jobs were done");
}

function toReport(perSecond: number[], { inWorker, http }: { inWorker: number[]; http: number[] }): SuiteReport {
  const remote = {
    jobsPerSecond: Math.round(median(perSecond)),
    inWorkerP50Ms: rounded(percentile(inWorker, 0.5), 2),
    inWorkerP99Ms: rounded(percentile(inWorker, 0.99), 2),
    httpP50Ms: rounded(percentile(http, 0.5), 2),
    httpP99Ms: rounded(percentile(http, 0.99), 2),
  };
  return {
    json: { remote },
    tables: [
      {
        title: `One remote worker over a WebSocket (local runtime; median of ${ROUNDS} rounds of ${JOBS} jobs)`,
        columns: ["", "jobs/s", "least", "most"],
        rows: [["no-op jobs", remote.jobsPerSecond, Math.min(...perSecond), Math.max(...perSecond), { least: 5_000 }]],
      },
      {
        title: `Ms from enqueue to handler start on an idle remote worker (${SAMPLES / 2} samples each)`,
        columns: ["", "median", "p99"],
        rows: [
          ["enqueued in the Worker", remote.inWorkerP50Ms, remote.inWorkerP99Ms, { most: 5 }],
          ["enqueued over HTTP", remote.httpP50Ms, remote.httpP99Ms, undefined],
        ],
      },
    ],
  };
}
