/**
 * Millrace's side of the benchmark: a fresh local runtime with the benchmark's Worker, and how to drive it.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, createClient } from "../client/index.ts";
import { makeToken } from "../scripts/local/token.ts";
import { startLocal } from "../scripts/local.ts";
import { ROOT } from "../scripts/root.ts";
import type { QueueLook } from "./counters.ts";

const STUCK_AFTER_MS = 120_000;
const LOOK_EVERY_MS = 10;

export interface Millrace {
  /** A client over HTTP. Each coalesces only its own calls. */
  client(): Client;
  /** Calls a route of the benchmark's Worker. Rejects when it fails. */
  call<Answer = void>(route: string, ask?: { [field: string]: unknown }): Promise<Answer>;
  /** Waits until every job of a queue is in the history; also until its object sleeps, with `asleep`. */
  untilDone(queue: string, asleep?: boolean): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the local runtime on an empty folder. With `watch` everything is counted and timed, which costs time. */
export async function startMillrace({ watch }: { watch: boolean }): Promise<Millrace> {
  const stateDir = mkdtempSync(join(tmpdir(), "millrace-bench-"));
  const token = makeToken();
  const config = join(ROOT, "bench/wrangler.toml");
  const local = await startLocal({ stateDir, token, quiet: process.env.BENCH_VERBOSE !== "1", config });

  async function call<Answer>(route: string, ask: object = {}): Promise<Answer> {
    const response = await fetch(`${local.url}/bench/${route}`, { method: "POST", body: JSON.stringify(ask) });
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
  async function stop(): Promise<void> {
    await local.stop();
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 3 });
  }

  if (watch) await call("watch");
  return { client: () => createClient({ url: local.url, token }), call, untilDone, stop };
}
