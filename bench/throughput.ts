/**
 * Jobs per second, beside BullMQ. The two take turns, so that whatever else the machine does falls on both.
 *
 * @module
 */
import { type Peer, startPeer } from "./bullmq.ts";
import { PAYLOAD } from "./counters.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import { median, rounded, type SuiteReport, type Table } from "./report.ts";

const ROUNDS = 3;
const BULK_JOBS = 20_000;
const SINGLE_JOBS = 4_000;
const SINGLE_CALLERS = 32;
const MILLRACE_END_TO_END_JOBS = 30_000;
const BULLMQ_PROCESS_JOBS = 15_000;
/** Tried at the start; each side then works in its best way. */
const CALLERS = [1, 4];
const CONCURRENCIES = [8, 32, 128, 512];

interface Best {
  inWorkerCallers: number;
  httpCallers: number;
  addCallers: number;
  concurrency: number;
}

interface Round {
  enqueueInWorker: number;
  enqueueHttp: number;
  enqueueSingleHttp: number;
  emptyHttp: number;
  endToEnd: number;
  addBulk: number;
  add: number;
  process: number;
  bullmqEndToEnd: number;
}

export async function runThroughput(): Promise<SuiteReport> {
  const peer = await startPeer();
  try {
    const millrace = await startMillrace({ watch: false });
    try {
      const best = await tryOut(millrace, peer);
      const rounds: Round[] = [];
      for (let round = 0; round < ROUNDS; round++) rounds.push(await runRound(millrace, peer, best, round));
      return toReport(best, rounds);
    } finally {
      await millrace.stop();
    }
  } finally {
    await peer.stop();
  }
}

/** Warms both sides up, and finds what suits each. */
async function tryOut(millrace: Millrace, peer: Peer): Promise<Best> {
  await enqueueInWorker(millrace, "warm", BULK_JOBS, 1);
  await peer.addBulk(BULK_JOBS, 1);
  const quarter = BULK_JOBS / 4;
  return {
    inWorkerCallers: await bestOf(CALLERS, (callers) =>
      enqueueInWorker(millrace, `try-w${callers}`, BULK_JOBS, callers),
    ),
    httpCallers: await bestOf(CALLERS, (callers) => enqueueHttp(millrace, `try-h${callers}`, quarter, callers)),
    addCallers: await bestOf(CALLERS, (callers) => peer.addBulk(quarter, callers)),
    concurrency: await bestOf(CONCURRENCIES, (concurrency) => peer.process(quarter, concurrency)),
  };
}

async function bestOf(choices: number[], rate: (choice: number) => Promise<number>): Promise<number> {
  let best = { choice: choices[0]!, rate: 0 };
  for (const choice of choices) {
    const found = await rate(choice);
    if (found > best.rate) best = { choice, rate: found };
  }
  return best.choice;
}

async function runRound(millrace: Millrace, peer: Peer, best: Best, round: number): Promise<Round> {
  return {
    enqueueInWorker: await enqueueInWorker(millrace, `in-worker-${round}`, BULK_JOBS, best.inWorkerCallers),
    addBulk: await peer.addBulk(BULK_JOBS, best.addCallers),
    enqueueHttp: await enqueueHttp(millrace, `http-${round}`, BULK_JOBS, best.httpCallers),
    enqueueSingleHttp: await enqueueSingleHttp(millrace, `single-${round}`, SINGLE_JOBS, SINGLE_CALLERS),
    emptyHttp: await emptyHttp(millrace, SINGLE_JOBS, SINGLE_CALLERS),
    add: await peer.add(SINGLE_JOBS, SINGLE_CALLERS),
    endToEnd: await endToEnd(millrace, `end-${round}`, MILLRACE_END_TO_END_JOBS),
    process: await peer.process(BULLMQ_PROCESS_JOBS, best.concurrency),
    bullmqEndToEnd: await peer.endToEnd(BULLMQ_PROCESS_JOBS, best.addCallers, best.concurrency),
  };
}

/** Nothing works off a paused queue, as no worker runs beside BullMQ's adds. */
async function onPausedQueue(
  millrace: Millrace,
  queue: string,
  jobs: number,
  run: () => Promise<void>,
): Promise<number> {
  await millrace.call("pause", { queue });
  return rateOf(jobs, run);
}

function enqueueInWorker(millrace: Millrace, queue: string, jobs: number, callers: number): Promise<number> {
  return onPausedQueue(millrace, queue, jobs, () => millrace.call("enqueue", { queue, jobs, callers }));
}

function enqueueHttp(millrace: Millrace, queue: string, jobs: number, callers: number): Promise<number> {
  const client = millrace.client();
  const payloads = Array.from({ length: jobs / callers }, () => PAYLOAD);
  return onPausedQueue(millrace, queue, jobs, async () => {
    await Promise.all(Array.from({ length: callers }, () => client.enqueueMany("noop", payloads, { queue })));
  });
}

/** Each caller has a client of its own, so that calls are not coalesced. */
function enqueueSingleHttp(millrace: Millrace, queue: string, jobs: number, callers: number): Promise<number> {
  return onPausedQueue(millrace, queue, jobs, () => {
    return sideBySide(jobs, callers, () => {
      const client = millrace.client();
      return () => client.enqueue("noop", PAYLOAD, { queue });
    });
  });
}

/** Requests that do nothing: what the local runtime's own way of HTTP allows. */
function emptyHttp(millrace: Millrace, requests: number, callers: number): Promise<number> {
  return rateOf(requests, () => sideBySide(requests, callers, () => () => millrace.call("nothing")));
}

async function sideBySide(calls: number, callers: number, caller: () => () => Promise<unknown>): Promise<void> {
  let left = calls;
  const run = async () => {
    const call = caller();
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: callers }, run));
}

/** Enqueue, ticket, claim, the handler, settle, and in the history. A new queue, in use already. */
async function endToEnd(millrace: Millrace, queue: string, jobs: number): Promise<number> {
  await millrace.call("enqueue", { queue, jobs: 1, callers: 1 });
  await millrace.untilDone(queue);
  const rate = await rateOf(jobs, async () => {
    await millrace.call("enqueue", { queue, jobs, callers: 1 });
    await millrace.untilDone(queue);
  });
  const inHistory = await millrace.call<number>("history", { queue });
  if (inHistory !== jobs + 1)
    throw new Error(`Queue ${queue}: ${jobs + 1} jobs were made, ${inHistory} are in history`);
  return rate;
}

async function rateOf(jobs: number, run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return (jobs / (performance.now() - startedAt)) * 1_000;
}

function toReport(best: Best, rounds: Round[]): SuiteReport {
  const rate = (name: keyof Round): number => Math.round(median(rounds.map((round) => round[name])));
  const spread = (name: keyof Round): string => {
    const rates = rounds.map((round) => Math.round(round[name]));
    return `${Math.min(...rates).toLocaleString("en-US")} to ${Math.max(...rates).toLocaleString("en-US")}`;
  };
  const bullmq = { addBulk: rate("addBulk"), add: rate("add"), process: rate("process") };
  const throughput = {
    enqueueInWorker: rate("enqueueInWorker"),
    enqueueHttp: rate("enqueueHttp"),
    enqueueSingleHttp: rate("enqueueSingleHttp"),
    endToEnd: rate("endToEnd"),
    bullmq: { ...bullmq, endToEnd: rate("bullmqEndToEnd") },
  };
  const ratio = {
    enqueue: rounded(throughput.enqueueInWorker / bullmq.addBulk, 3),
    enqueueHttp: rounded(throughput.enqueueHttp / bullmq.addBulk, 3),
    endToEnd: rounded(throughput.endToEnd / bullmq.process, 3),
  };
  const single = rounded(throughput.enqueueSingleHttp / bullmq.add, 3);
  const row = (what: string, name: keyof Round): Table["rows"][number] => [what, rate(name), spread(name), undefined];
  const rates: Table = {
    title: `Throughput, jobs per second (local runtime; median of ${ROUNDS} rounds in turns)`,
    columns: ["", "median", "from, to"],
    rows: [
      row(`Millrace, 1,000 a call in the Worker, ${best.inWorkerCallers} at a time`, "enqueueInWorker"),
      row(`Millrace, 1,000 a call over HTTP, validated, ${best.httpCallers} at a time`, "enqueueHttp"),
      row(`BullMQ addBulk, 1,000 a call, ${best.addCallers} at a time`, "addBulk"),
      row(`Millrace, one a call over HTTP, ${SINGLE_CALLERS} callers`, "enqueueSingleHttp"),
      row(`Requests over HTTP that do nothing, ${SINGLE_CALLERS} callers`, "emptyHttp"),
      row(`BullMQ add, ${SINGLE_CALLERS} callers`, "add"),
      row("Millrace, enqueue to history", "endToEnd"),
      row(`BullMQ, waiting to completed, concurrency ${best.concurrency}`, "process"),
      row(`BullMQ, addBulk to completed, concurrency ${best.concurrency}`, "bullmqEndToEnd"),
    ],
  };
  const ratios: Table = {
    title: "Beside BullMQ, in this run (local runtime)",
    columns: ["Millrace / BullMQ", "times"],
    rows: [
      ["bulk enqueue in the Worker / addBulk", ratio.enqueue, { least: 5 }],
      ["bulk enqueue over HTTP / addBulk", ratio.enqueueHttp, { least: 2 }],
      ["one enqueue a call over HTTP / add", single, undefined],
      ["enqueue to history / waiting to completed", ratio.endToEnd, { least: 3 }],
    ],
    notes: ["BullMQ's time in the last line leaves its enqueue out; Millrace's has it in."],
  };
  return { json: { throughput, ratio }, tables: [rates, ratios] };
}
