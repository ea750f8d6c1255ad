/**
 * What waiting and closed jobs cost others: claims beside a great many of them, each as a ratio to the plain case of
 * the same run.
 *
 * All queues stand ready side by side, and take turns in every round, so that whatever else the machine does falls on
 * all of them. No worker runs: claims are driven from inside the objects (drive.ts).
 *
 * @module
 */
import type { Taken } from "./counters.ts";
import { measureHeap } from "./heap.ts";
import {
  CASES,
  CLAIMS,
  FEW,
  LEVEL,
  MANY,
  NAMES,
  type Name,
  type Queue,
  queueOf,
  ROUNDS,
  WAKES,
} from "./limits-cases.ts";
import { toReport } from "./limits-report.ts";
import { countKeyed } from "./limits-rows.ts";
import { type Millrace, startMillrace } from "./millrace.ts";
import type { SuiteReport } from "./report.ts";

const ENQUEUES_A_ROUND = 2;
const GETS_A_ROUND = 5;

/** Ms a call, one value a round. */
export type Times = { [name: string]: number[] };

export interface Found {
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
  // The first round warms up: it finds out which keys are closed, too. What runs after what is another each time.
  for (let round = -1; round < ROUNDS; round++) {
    const into = round < 0 ? null : found;
    await runRound(millrace, queues, into);
  }
  for (let wake = 0; wake < WAKES; wake++) {
    for (const name of NAMES) {
      const queue = queues.get(name)!;
      await millrace.call("evict", { queue: queue.name });
      note(found.wakes, name, await queue.drive<Taken>("wake", { want: CLAIMS[0].want }));
    }
  }
  return found;
}

async function runRound(millrace: Millrace, queues: Map<Name, Queue>, into: Found | null): Promise<void> {
  for (const [index, { want, calls }] of CLAIMS.entries()) {
    for (const name of shuffled(NAMES)) {
      const taken = await queues.get(name)!.drive<Taken>("claims", { calls, want, level: CASES[name].level });
      if (into) note(into.claims[index]!, name, taken);
    }
  }
  for (const name of shuffled(LEVEL)) {
    const queue = queues.get(name)!;
    const taken = await queue.drive<Taken>("enqueues", { calls: ENQUEUES_A_ROUND, level: true });
    const looked = await timeGets(millrace, queue.name);
    if (!into) continue;
    note(into.enqueues, name, taken);
    note(into.gets, name, looked);
  }
}

function shuffled<Item>(items: Item[]): Item[] {
  const places = items.map((item) => ({ item, place: Math.random() }));
  return places.sort((a, b) => a.place - b.place).map(({ item }) => item);
}

function note(times: Times, name: string, { ms, calls }: Taken): void {
  times[name] = [...(times[name] ?? []), ms / calls];
}

async function timeGets(millrace: Millrace, name: string): Promise<Taken> {
  const queue = millrace.client().queue(name);
  const startedAt = performance.now();
  for (let get = 0; get < GETS_A_ROUND; get++) await queue.get();
  return { ms: performance.now() - startedAt, calls: GETS_A_ROUND };
}
