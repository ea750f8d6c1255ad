/**
 * The demo's run: start, enqueue, watch, kill, start again, watch to the end, look the history through.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, createClient, type Job } from "../../client/index.ts";
import { CannotGoOn } from "../local/error.ts";
import { type Local, startLocal } from "../local.ts";
import { type FileReport, readReport } from "./files.ts";
import type { ProgressView } from "./progress.ts";
import { type Expected, startReceiver } from "./receiver.ts";
import { type Reconciliation, reconcile } from "./reconcile.ts";

export interface Settings {
  folder: string;
  files: string[];
  /** Kill the runtime once, when half of the files have been seen. */
  crash: boolean;
  /** An empty folder. */
  stateDir: string;
}

export interface Tools {
  port: number;
  token: string;
  view: ProgressView;
}

const QUEUE = "demo";
const WORKING = "working";
/** Jobs that may run at once: few enough to watch. */
const AT_ONCE = 12;
/** What the receiver's answers take together, unless that makes one of them too slow. */
const WORK_MS = 5_000;
const MAX_ANSWER_MS = 250;
/** Files that are read and enqueued at a time. */
const CHUNK = 500;
const LOOK_EVERY_MS = 150;
/** Without any change for this long, the work counts as stuck, and the reconciliation says with what. */
const STUCK_AFTER_MS = 45_000;
const HISTORY_WITHIN_MS = 20_000;

/** Does it all and tells what became of every file. Rejects only where the runtime cannot be started. */
export async function work(settings: Settings, tools: Tools): Promise<Reconciliation> {
  const { files, stateDir } = settings;
  const { port, token, view } = tools;
  const expected: Expected = new Map();
  const delayMs = Math.min(MAX_ANSWER_MS, (WORK_MS * AT_ONCE) / files.length);
  const receiver = await startReceiver({ expected, delayMs });
  const start = () => startLocal({ port, stateDir, token, quiet: true });
  view.show({ total: files.length, done: 0, counts: null, phase: "starting" });
  let local: Local = await start();
  const client = createClient({ url: local.url, token });
  const startedAt = new Date();

  const accepted = new Map<string, string>();
  const enqueued = enqueueAll(client, settings, receiver.url, expected, accepted);
  const watcher = createWatcher(client, settings, accepted, view);
  enqueued.catch(watcher.giveUp);
  if (settings.crash) {
    await watcher.until(WORKING, () => receiver.requests() >= files.length / 2);
    await local.kill9();
    local = await watcher.during("killed with -9, starting again", start());
  }
  const phase = settings.crash ? "going on where it was" : WORKING;
  await watcher.during(phase, enqueued);
  await watcher.until(phase, () => watcher.unfinished() === 0);
  const history = await readHistory(client, startedAt, accepted, view);
  await local.stop();
  await receiver.close();
  return reconcile({ files, accepted, deliveries: receiver.deliveries, history });
}

async function enqueueAll(
  client: Client,
  { folder, files }: Settings,
  url: string,
  expected: Expected,
  accepted: Map<string, string>,
): Promise<void> {
  // A short lease, so that what runs at the moment of the kill is soon given to somebody else; the default is 30 s.
  await client.queue(QUEUE).configure({ lease: "5s", concurrency: AT_ONCE });
  for (let from = 0; from < files.length; from += CHUNK) {
    const reports = await Promise.all(files.slice(from, from + CHUNK).map((name) => readFile(folder, name)));
    for (const [at, { name, size, digest }] of reports.entries())
      expected.set(name, { index: from + at, size, digest });
    const jobs = await client.enqueueMany(
      "http",
      reports.map((report) => ({ url, body: report })),
      { queue: QUEUE, maxAttempts: 8, backoff: { type: "fixed", delay: "1s" } },
    );
    for (const [at, job] of jobs.entries()) accepted.set(reports[at]!.name, job.id);
  }
}

async function readFile(folder: string, name: string): Promise<FileReport> {
  try {
    return await readReport(folder, name);
  } catch (error) {
    throw new CannotGoOn(`Cannot read ${name}: ${(error as Error).message}`);
  }
}

/** Shows the progress while something goes on. */
function createWatcher(client: Client, { files }: Settings, accepted: Map<string, string>, view: ProgressView) {
  let counts: { [state: string]: number } | null = null;
  let unfinished: number | null = null;
  let failure: { reason: unknown } | null = null;
  const look = async (phase: string): Promise<void> => {
    counts = await countsOf(client);
    if (counts !== null) unfinished = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const done = Math.max(0, accepted.size - (unfinished ?? accepted.size));
    view.show({ total: files.length, done, counts, phase });
  };
  return {
    /** Ends what waits for work that will not come. */
    giveUp(reason: unknown): void {
      failure = { reason };
    },
    /** Accepted jobs that are not final yet, as of the last look; null: never seen. */
    unfinished: () => unfinished,
    async until(phase: string, isSo: () => boolean): Promise<void> {
      let last = { at: Date.now(), counts: "" };
      while (!isSo()) {
        if (failure !== null) throw failure.reason;
        await look(phase);
        const now = JSON.stringify(counts);
        if (now !== last.counts) last = { at: Date.now(), counts: now };
        if (Date.now() - last.at > STUCK_AFTER_MS) return;
        await sleep(LOOK_EVERY_MS);
      }
    },
    async during<Result>(phase: string, going: Promise<Result>): Promise<Result> {
      let isOver = false;
      const end = going.finally(() => {
        isOver = true;
      });
      end.catch(() => {}); // told below
      while (!isOver) {
        await look(phase);
        await Promise.race([end.catch(() => {}), sleep(LOOK_EVERY_MS)]);
      }
      return await end;
    },
  };
}

/** Jobs by state; `scheduled` without those that wait for another try. Null while the runtime does not answer. */
async function countsOf(client: Client): Promise<{ [state: string]: number } | null> {
  try {
    const { counts } = await client.queue(QUEUE).get({ signal: AbortSignal.timeout(1_000) });
    return { ...counts, scheduled: counts.scheduled - counts.retrying };
  } catch {
    return null;
  }
}

/** The finished jobs as the history lists them; it lags by seconds, so it is asked until it has them all. */
async function readHistory(
  client: Client,
  from: Date,
  accepted: Map<string, string>,
  view: ProgressView,
): Promise<Job[]> {
  const deadline = Date.now() + HISTORY_WITHIN_MS;
  for (;;) {
    const jobs: Job[] = [];
    for await (const job of client.jobs({ from, pageSize: 200 })) jobs.push(job);
    view.show({ total: accepted.size, done: jobs.length, counts: null, phase: "in history" });
    if (jobs.length >= accepted.size || Date.now() > deadline) return jobs;
    await sleep(LOOK_EVERY_MS);
  }
}
