/**
 * The peer: BullMQ on Redis, used as its documentation says, with the same payload.
 *
 * @module
 */
import { Queue, Worker } from "bullmq";
import { PAYLOAD } from "./counters.ts";
import { type Redis, startRedis } from "./redis.ts";

const JOBS_PER_CALL = 1_000;
const OPTIONS = { removeOnComplete: true };
const NAME = "noop";

/** All rates are jobs per second. Each call works on a queue of its own. */
export interface Peer {
  /** `jobs` in calls of 1,000, `callers` of them at a time; no worker runs. */
  addBulk(jobs: number, callers: number): Promise<number>;
  /** One job a call, `callers` at a time; no worker runs. */
  add(jobs: number, callers: number): Promise<number>;
  /** From the start of a worker to the end of the last of `jobs` that are waiting. */
  process(jobs: number, concurrency: number): Promise<number>;
  /** From `addBulk`'s first call to the end of the last job, a worker running. */
  endToEnd(jobs: number, callers: number, concurrency: number): Promise<number>;
  /** Ms from the call of `add` to the start of the handler, `samples` times on an idle queue, `gapMs` apart. */
  latencies(samples: number, gapMs: number): Promise<number[]>;
  stop(): Promise<void>;
}

export async function startPeer(): Promise<Peer> {
  const redis = await startRedis();
  let queues = 0;
  async function withQueue<Result>(run: (queue: Queue) => Promise<Result>): Promise<Result> {
    queues += 1;
    const queue = new Queue(`bench-${queues}`, { connection: connectionOf(redis) });
    await queue.waitUntilReady();
    try {
      return await run(queue);
    } finally {
      await queue.obliterate({ force: true });
      await queue.close();
    }
  }
  return {
    addBulk: (jobs, callers) => withQueue((queue) => rateOf(jobs, () => addAll(queue, jobs, callers))),
    add: (jobs, callers) =>
      withQueue((queue) =>
        rateOf(jobs, async () => {
          let left = jobs;
          const caller = async () => {
            while (left-- > 0) await queue.add(NAME, PAYLOAD, OPTIONS);
          };
          await Promise.all(Array.from({ length: callers }, caller));
        }),
      ),
    process: (jobs, concurrency) =>
      withQueue(async (queue) => {
        await addAll(queue, jobs, 1);
        return rateOf(jobs, () => processAll(redis, queue, jobs, concurrency, async () => {}));
      }),
    endToEnd: (jobs, callers, concurrency) =>
      withQueue((queue) =>
        rateOf(jobs, () => processAll(redis, queue, jobs, concurrency, () => addAll(queue, jobs, callers))),
      ),
    latencies: (samples, gapMs) => withQueue((queue) => latencies(redis, queue, samples, gapMs)),
    stop: redis.stop,
  };
}

/** A worker's connection waits for as long as it takes, or BullMQ refuses it. */
function connectionOf({ host, port }: Redis) {
  return { host, port, maxRetriesPerRequest: null };
}

async function addAll(queue: Queue, jobs: number, callers: number): Promise<void> {
  let left = jobs;
  const bulk = Array.from({ length: JOBS_PER_CALL }, () => ({ name: NAME, data: PAYLOAD, opts: OPTIONS }));
  const caller = async () => {
    while (left > 0) {
      left -= JOBS_PER_CALL;
      await queue.addBulk(bulk);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

/** Resolves when so many jobs have completed. The worker is closed after that, behind the caller's clock. */
async function processAll(
  redis: Redis,
  queue: Queue,
  jobs: number,
  concurrency: number,
  meanwhile: () => Promise<void>,
): Promise<void> {
  const worker = new Worker(queue.name, async () => null, { connection: connectionOf(redis), concurrency });
  const done = new Promise<void>((resolve, reject) => {
    let left = jobs;
    worker.on("completed", () => {
      left -= 1;
      if (left === 0) resolve();
    });
    worker.on("failed", (_job, error) => reject(error));
    worker.on("error", reject);
  });
  await Promise.all([done, meanwhile()]);
  closing.add(worker.close());
}

const closing = new Set<Promise<void>>();

async function rateOf(jobs: number, run: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await run();
  const rate = (jobs / (performance.now() - startedAt)) * 1_000;
  await Promise.all(closing);
  closing.clear();
  return rate;
}

async function latencies(redis: Redis, queue: Queue, samples: number, gapMs: number): Promise<number[]> {
  let onStart = (): void => {};
  const worker = new Worker(queue.name, async () => onStart(), { connection: connectionOf(redis) });
  await worker.waitUntilReady();
  const found: number[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const started = new Promise<number>((resolve) => {
      onStart = () => resolve(performance.now());
    });
    const startedAt = performance.now();
    await queue.add(NAME, PAYLOAD, OPTIONS);
    found.push((await started) - startedAt);
    await new Promise((resolve) => setTimeout(resolve, gapMs));
  }
  await worker.close();
  return found;
}
