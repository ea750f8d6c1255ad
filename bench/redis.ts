/**
 * A Redis server of the benchmark's own, which keeps what it is told on disk as a queue's must.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CannotGoOn } from "../scripts/local/error.ts";
import { freePort } from "../scripts/local/port.ts";

const READY_WITHIN_MS = 10_000;

export interface Redis {
  host: string;
  port: number;
  stop(): Promise<void>;
}

/** Throws {@link CannotGoOn} where there is no `redis-server`. */
export async function startRedis(): Promise<Redis> {
  const [host, port] = ["127.0.0.1", await freePort()];
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-redis-"));
  const asked = ["--bind", host, "--port", String(port), "--dir", folder, "--appendonly", "yes", "--save", ""];
  const server = spawn("redis-server", asked, { stdio: "ignore" });
  const kill = () => server.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<string>((resolve) => {
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.once("exit", (status) => resolve(`it ended with status ${status}`));
  });
  const stop = async () => {
    server.kill("SIGTERM");
    await ended;
    process.off("exit", kill);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };

  const failed = await Promise.race([ended, untilListening(host, port)]);
  if (failed === undefined) return { host, port, stop };
  kill();
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  if (failed !== "ENOENT") throw new CannotGoOn(`Cannot start redis-server: ${failed}.`);
  throw new CannotGoOn(
    "Cannot compare with BullMQ: there is no redis-server on this machine. Install it (`apt-get install redis-server`), or measure without it: `npm run bench -- --only cost`.",
  );
}

async function untilListening(host: string, port: number): Promise<string | undefined> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await listens(host, port))) {
    if (Date.now() > deadline) return `it does not listen after ${READY_WITHIN_MS / 1_000} s`;
    await sleep(20);
  }
  return undefined;
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("close", () => socket.destroy());
    socket.once("connect", () => socket.end());
  });
}
