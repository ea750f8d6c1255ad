/** Wrangler as a child that ends with its parent and says only what the user needs. */
import { type ChildProcess, spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readable } from "./output.ts";

export interface GuardedWrangler {
  pid: number;
  /** Resolves when the process has ended: its exit code, or the signal that ended it. */
  ended: Promise<number | string>;
  /** Asks wrangler to end in good order. What it says from now on, here and below, is not shown. */
  terminate(): void;
  /** Ends the whole group at once. */
  kill(): void;
}

export interface WranglerOptions {
  cwd: string;
  env: { [name: string]: string };
  /** Each line worth reading, without colours. */
  onLine(line: string): void;
}

/** Nothing of it leaves the machine, nothing is written outside the project, nobody is asked anything. */
const QUIET = {
  CI: "1",
  NO_COLOR: "1",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_WRITE_LOGS: "false",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  // It traces every request, call and statement into a database of its own, and costs more than most of them.
  X_LOCAL_OBSERVABILITY: "false",
};

/**
 * Starts wrangler in a process group of its own, under {@link file://./guard.ts}: its group dies with this process.
 * A `MILLRACE_TOKEN` in `env` becomes the Worker's secret.
 */
export function startWrangler(args: string[], { cwd, env, onLine }: WranglerOptions): GuardedWrangler {
  const guard = new URL("./guard.ts", import.meta.url).href;
  const wrangler = createRequire(import.meta.url).resolve("wrangler");
  const { MILLRACE_TOKEN: _, ...inherited } = process.env;
  const child = spawn(process.execPath, ["--no-warnings", "--import", guard, wrangler, ...args], {
    cwd,
    detached: true,
    env: { ...inherited, ...QUIET, ...env, MILLRACE_GUARD: "1" },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  let falling = false;
  forward(child, (line) => falling || onLine(line));
  return {
    pid: child.pid!,
    ended: new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => resolve(code ?? signal ?? 1));
    }),
    terminate() {
      falling = true;
      child.kill("SIGTERM");
    },
    kill() {
      falling = true;
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, "SIGKILL");
    },
  };
}

function forward(child: ChildProcess, onLine: (line: string) => unknown): void {
  for (const stream of [child.stdout!, child.stderr!]) {
    createInterface({ input: stream }).on("line", (line) => {
      const text = readable(line);
      if (text !== null) onLine(text);
    });
  }
}
