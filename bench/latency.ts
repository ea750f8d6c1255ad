/**
 * From the call of enqueue to the start of the handler, on an idle queue, beside BullMQ.
 *
 * Both ends are read off the machine's clock: in the local runtime it runs on within a request. It ticks in whole
 * ms, at both ends alike, so the middle of many samples is right where single ones are not.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "../client/index.ts";
import { type Peer, startPeer } from "./bullmq.ts";
import { PAYLOAD } from "./counters.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { rounded, type SuiteReport } from "./report.ts";

const SAMPLES = 200;
/** Samples of each kind in turn. */
const BLOCK = 25;
/** Fewer than 20 jobs a second, or sessions would wait for more: the queue would not be idle. */
const GAP_MS = 60;
const START_WITHIN_MS = 30_000;

type Kind = "inWorker" | "http" | "bullmq";

export async function runLatency(): Promise<SuiteReport> {
  const peer = await startPeer();
  try {
    const millrace = await startMillrace({ watch: false });
    try {
      return toReport(await measure(millrace, peer));
    } finally {
      await millrace.stop();
    }
  } finally {
    await peer.stop();
  }
}

async function measure(millrace: Millrace, peer: Peer): Promise<Record<Kind, number[]>> {
  const found: Record<Kind, number[]> = { inWorker: [], http: [], bullmq: [] };
  const client = millrace.client();
  let n = 0;
  const next = () => ++n;
  await sampleInWorker(millrace, next());
  await sampleHttp(millrace, client, next());
  await peer.latencies(BLOCK, GAP_MS);
  for (let block = 0; block < SAMPLES / BLOCK; block++) {
    for (let i = 0; i < BLOCK; i++) found.inWorker.push(await sampleInWorker(millrace, next()));
    for (let i = 0; i < BLOCK; i++) found.http.push(await sampleHttp(millrace, client, next()));
    found.bullmq.push(...(await peer.latencies(BLOCK, GAP_MS)));
  }
  return found;
}

const QUEUE = "latency";

async function sampleInWorker(millrace: Millrace, n: number): Promise<number> {
  const from = await millrace.call<number>("sample", { queue: QUEUE, n });
  return (await startOf(millrace, n)) - from;
}

async function sampleHttp(millrace: Millrace, client: Client, n: number): Promise<number> {
  const from = Date.now();
  await client.enqueue("stamp", { ...PAYLOAD, n }, { queue: QUEUE });
  return (await startOf(millrace, n)) - from;
}

/** When the handler started; the queue is idle again when this resolves. */
async function startOf(millrace: Millrace, n: number): Promise<number> {
  const deadline = Date.now() + START_WITHIN_MS;
  for (;;) {
    await sleep(GAP_MS);
    const at = await millrace.call<number | null>("started", { n });
    if (at !== null) {
      await millrace.untilDone(QUEUE);
      return at;
    }
    if (Date.now() > deadline) throw new Error(`Job ${n} has not started within ${START_WITHIN_MS / 1_000} s`);
  }
}

function toReport(found: Record<Kind, number[]>): SuiteReport {
  const at = (kind: Kind, share: number): number => rounded(percentile(found[kind], share), 2);
  const row = (
    what: string,
    kind: Kind,
    most?: number,
  ): [string, number, number, number, { most: number } | undefined] => [
    what,
    at(kind, 0.5),
    at(kind, 0.99),
    Math.max(...found[kind].map((ms) => rounded(ms, 2))),
    most === undefined ? undefined : { most },
  ];
  const latency = {
    inWorkerP50Ms: at("inWorker", 0.5),
    httpP50Ms: at("http", 0.5),
    p99Ms: at("inWorker", 0.99),
    bullmqP50Ms: at("bullmq", 0.5),
    httpP99Ms: at("http", 0.99),
    bullmqP99Ms: at("bullmq", 0.99),
  };
  return {
    json: { latency },
    tables: [
      {
        title: `Latency, ms from enqueue to handler start on an idle queue (local runtime; ${SAMPLES} samples each)`,
        columns: ["", "median", "p99", "max"],
        rows: [
          row("Millrace, enqueued in the Worker", "inWorker", 5),
          row("Millrace, enqueued over HTTP", "http", 10),
          row("BullMQ", "bullmq"),
        ],
      },
    ],
  };
}

/** Of values that a clock has cut to whole ms: where in its ms the wanted one lies is told by its rank among equals. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = share * sorted.length;
  const value = sorted[Math.min(sorted.length - 1, Math.floor(rank))]!;
  if (!Number.isInteger(value)) return value;
  const below = sorted.filter((other) => other < value).length;
  const equal = sorted.filter((other) => other === value).length;
  return Math.max(0, value - 0.5 + (rank - below) / equal);
}
