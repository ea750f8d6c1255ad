/**
 * Millrace's side of the benchmark: a fresh local runtime with the benchmark's Worker, and how to drive it.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createTestHarness } from "wrangler";
import { type Client, createClient } from "../client/index.ts";
import { ROOT } from "../scripts/root.ts";
import type { QueueLook } from "./counters.ts";

const STUCK_AFTER_MS = 120_000;
/** Looking costs the runtime time, which is one thread. */
const LOOK_EVERY_MS = 50;
/** As in wrangler.toml. */
const TOKEN = "a-token-of-the-benchmark-s-own-runtime";

export interface Millrace {
  /** A client over HTTP. Each coalesces only its own calls. */
  client(): Client;
  /** Where it is, and its token. */
  access: { url: string; token: string };
  /** Calls a route of the benchmark's Worker. Rejects when it fails. */
  call<Answer = void>(route: string, ask?: { [field: string]: unknown }): Promise<Answer>;
  /** Waits until every job of a queue is in the history; also until its object sleeps, with `asleep`. */
  untilDone(queue: string, asleep?: boolean): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a fresh local runtime, without the proxy and the debugger that a developer's one has: they cost a request
 * several times what the Worker does. With `watch` everything is counted and timed, which costs time.
 */
export async function startMillrace({ watch }: { watch: boolean }): Promise<Millrace> {
  // Without it the local runtime keeps a trace of every request in a database of its own.
  process.env.X_LOCAL_OBSERVABILITY = "false";
  process.env.WRANGLER_LOG = "none";
  const harness = createTestHarness({ root: ROOT, workers: [{ configPath: "bench/wrangler.toml" }] });
  quiet();
  const { url: base } = await harness.listen();
  await harness.getWorker().applyD1Migrations("DB");
  const url = base.origin;

  async function call<Answer>(route: string, ask: object = {}): Promise<Answer> {
    const response = await fetch(`${url}/bench/${route}`, { method: "POST", body: JSON.stringify(ask) });
    if (!response.ok) throw new Error(`The benchmark's Worker failed at ${route}: ${await response.text()}`);
    return (await response.json()) as Answer;
  }
  async function untilDone(queue: string, asleep = false): Promise<void> {
    const deadline = Date.now() + STUCK_AFTER_MS;
    for (;;) {
      const look = await call<QueueLook>("look", { queue });
      const { unfinished, sessions, outbox, alarmSet } = look;
      if (unfinished + sessions + outbox === 0 && !(asleep && alarmSet)) return;
      if (Date.now() > deadline) throw new Error(`Queue ${queue} is stuck: ${JSON.stringify(look)}`);
      await sleep(LOOK_EVERY_MS);
    }
  }
  if (watch) await call("watch");
  const access = { url, token: TOKEN };
  return { client: () => createClient(access), access, call, untilDone, stop: () => harness.close() };
}

/** The runtime tells each request and batch on standard output, which is the benchmark's own. */
function quiet(): void {
  if (process.env.BENCH_VERBOSE === "1") return;
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = ((chunk: string | Uint8Array, ...rest: never[]) =>
    String(chunk).includes("[wrangler:") ? true : write(chunk, ...rest)) as typeof process.stdout.write;
}
