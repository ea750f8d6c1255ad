/**
 * How much the engine keeps in memory. Workerd does not tell an object's share of its process, so the engine is run
 * alone on `node:sqlite`, each size in a process of its own that collects its garbage before it looks.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Engine } from "../durable-objects/engine/engine.ts";
import { enqueue } from "../durable-objects/engine/enqueue.ts";
import { nodeStorage } from "../test/support/node-storage.ts";
import { JOBS_PER_CALL, requestOf } from "./requests.ts";

export interface Heap {
  jobs: number;
  usedMb: number;
}

export async function measureHeap(sizes: number[]): Promise<Heap[]> {
  const found: Heap[] = [];
  for (const jobs of sizes) {
    const file = fileURLToPath(import.meta.url);
    const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", file, String(jobs)]);
    found.push(JSON.parse(stdout) as Heap);
  }
  return found;
}

/** In the process of its own. */
function run(jobs: number): Heap {
  const engine = new Engine({
    queue: "heap",
    partition: 0,
    storage: nodeStorage(),
    settings: {},
    schedules: undefined,
    random: Math.random,
  });
  const startedAt = Date.now();
  for (let made = 0; made < jobs; made += JOBS_PER_CALL) {
    const input = JSON.parse(requestOf(made, JOBS_PER_CALL));
    // As if the jobs had come over an hour: request ids are remembered for some minutes.
    engine.write(startedAt + made * 3.6, (tx) => enqueue(tx, input));
  }
  globalThis.gc!();
  // Uses the engine, which is not garbage while it is looked at.
  const usedMb = engine.read(startedAt, () => process.memoryUsage().heapUsed)! / 1e6;
  return { jobs, usedMb };
}

const [, entry, jobs] = process.argv;
if (entry === fileURLToPath(import.meta.url)) console.log(JSON.stringify(run(Number(jobs))));
