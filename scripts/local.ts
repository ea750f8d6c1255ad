/**
 * Millrace on this machine, in the real runtime: `wrangler dev` with its data on disk, minus its chatter, plus what
 * production has and it has not (the cron trigger).
 *
 * @module
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CannotGoOn } from "./local/error.ts";
import { digestOfMigrations, readStamp, writeStamp } from "./local/migrations.ts";
import { assertFree, freePort } from "./local/port.ts";
import { endAll, removeRun, runEnvironment, settleFormerRun, writeRun } from "./local/run.ts";
import { checkToken } from "./local/token.ts";
import { type GuardedWrangler, startWrangler } from "./local/wrangler.ts";
import { ROOT } from "./root.ts";

const READY_WITHIN_MS = 90_000;
const STOP_WITHIN_MS = 5_000;
const CRON_EVERY_MS = 60_000;

export interface LocalOptions {
  /** 0 or absent: any free one. */
  port?: number;
  /** Folder for the data, made if it is not there. One runtime at a time may use it. */
  stateDir: string;
  /** The admin token, 32 characters or more. */
  token: string;
  /** Show neither wrangler's errors nor the Worker's logs. @default {false} */
  quiet?: boolean;
  /** A wrangler configuration other than this project's. It needs the D1 binding `DB`, with Millrace's migrations. */
  config?: string;
}

export interface Local {
  /** `http://localhost:<port>` */
  url: string;
  token: string;
  /** Wrangler's process, which leads a process group of its own. */
  pid: number;
  /** Resolves when the runtime has ended, by itself or by one of the two below. */
  ended: Promise<void>;
  /** Ends it in good order; what had not been answered is lost, what had been stays. */
  stop(): Promise<void>;
  /** Ends every process of it with SIGKILL, as a power cut would. */
  kill9(): Promise<void>;
}

/**
 * Starts the local runtime and resolves when it answers requests. Pending migrations are applied first. What a
 * killed run on the same folder left behind is ended first. It ends with the process that called this.
 *
 * Throws `CannotGoOn`, with one line that says why: the port is taken, the folder is in use, the token is too
 * short, a migration failed, the Worker does not build or does not start.
 *
 * @example
 * const local = await startLocal({ stateDir: await mkdtemp(join(tmpdir(), "millrace-")), token: makeToken() });
 * await fetch(`${local.url}/healthz`);
 * await local.stop();
 */
export async function startLocal(options: LocalOptions): Promise<Local> {
  const token = checkToken(options.token, "the caller");
  const stateDir = resolve(options.stateDir);
  const runFile = join(stateDir, "millrace-run.json");
  await settleFormerRun(runFile);
  const port = options.port || (await freePort());
  await assertFree(port);

  const run = randomUUID();
  makeTemporaryFolder(stateDir);
  const launch = launcher({ ...options, run, runFile, stateDir });
  await applyMigrations(launch, stateDir, options.config);
  const { wrangler, lines } = launch(serveArguments(port), { MILLRACE_TOKEN: token });
  const ended = wrangler.ended.then(async () => {
    await endAll(run);
    removeRun(runFile);
  });
  const kill9 = async () => {
    wrangler.kill();
    await ended;
  };
  const stop = async () => {
    wrangler.terminate();
    await Promise.race([ended, sleep(STOP_WITHIN_MS, undefined, { ref: false })]);
    await kill9();
  };

  const url = `http://localhost:${port}`;
  try {
    await untilReady(url, wrangler, lines);
  } catch (error) {
    await kill9();
    throw error;
  }
  fireCron(url, ended);
  return { url, token, pid: wrangler.pid, ended, stop, kill9 };
}

/** For what wrangler puts into temporary folders: it clears them only when it ends in good order. */
function makeTemporaryFolder(stateDir: string): void {
  const folder = join(stateDir, "tmp");
  try {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new CannotGoOn(
      `Cannot use the state folder ${stateDir}: ${(error as Error).message}. Set MILLRACE_STATE to another.`,
    );
  }
}

type Launch = (
  args: string[],
  env?: { [name: string]: string },
) => {
  wrangler: GuardedWrangler;
  lines: string[];
};

/** Starts wrangler on this folder, known as part of this run. `lines` grows with what it says. */
function launcher(options: LocalOptions & { run: string; runFile: string }): Launch {
  const { run, runFile, stateDir, config = join(ROOT, "wrangler.toml"), quiet = false } = options;
  return (args, env = {}) => {
    const lines: string[] = [];
    writeRun(runFile, { id: run, leader: null });
    const wrangler = startWrangler([...args, "--config", config, "--persist-to", stateDir], {
      cwd: ROOT,
      env: {
        ...env,
        ...runEnvironment(run),
        WRANGLER_REGISTRY_PATH: join(stateDir, "registry"),
        TMPDIR: join(stateDir, "tmp"),
      },
      onLine(line) {
        lines.push(line);
        if (lines.length > 100) lines.shift();
        if (!quiet && args[0] === "dev") console.error(line);
      },
    });
    writeRun(runFile, { id: run, leader: wrangler.pid });
    return { wrangler, lines };
  };
}

function serveArguments(port: number): string[] {
  return [
    "dev",
    ...["--port", String(port), "--inspector-port", "0", "--show-interactive-dev-session=false"],
    // Lets sessions of one queue overlap, as they do in production; the local simulator delivers one batch at a time.
    ...["--compatibility-flags", "queue_consumer_no_wait_for_wait_until"],
    ...["--var", "MILLRACE_LOCAL:1"],
  ];
}

/** The stamp lies beside the database, so that both go together. */
async function applyMigrations(launch: Launch, stateDir: string, config: string | undefined): Promise<void> {
  const beside = join(config ? dirname(resolve(config)) : ROOT, "migrations");
  const digest = digestOfMigrations(existsSync(beside) ? beside : join(ROOT, "migrations"));
  const stamp = join(stateDir, "v3", "d1", "millrace-migrations");
  if (digest === null || readStamp(stamp) === digest) return;
  const { wrangler, lines } = launch(["d1", "migrations", "apply", "DB", "--local"]);
  const status = await wrangler.ended;
  if (status !== 0) throw new CannotGoOn(`Cannot apply the D1 migrations locally (${status}): ${reason(lines)}`);
  writeStamp(stamp, digest);
}

async function untilReady(url: string, wrangler: GuardedWrangler, lines: string[]): Promise<void> {
  const end = { status: undefined as number | string | undefined };
  void wrangler.ended.then((status) => {
    end.status = status;
  });
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await answers(url))) {
    const broken = lines.some((line) => /Build failed with|runtime failed to start/.test(line));
    if (end.status !== undefined || broken) {
      throw new CannotGoOn(`Cannot start the local runtime (${end.status ?? "it does not build"}): ${reason(lines)}`);
    }
    if (Date.now() > deadline) {
      throw new CannotGoOn(`Cannot start the local runtime: ${url} gave no answer in ${READY_WITHIN_MS / 1_000} s.`);
    }
    await sleep(50);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(10_000) });
    return true;
  } catch {
    return false;
  }
}

/** The first error that wrangler told, in one line. */
function reason(lines: string[]): string {
  const first = lines.findIndex((line) => line.includes("[ERROR]") && !line.includes("Build failed with"));
  const from = lines.slice(Math.max(0, first));
  const rest = from.slice(1, 4);
  const next = rest.findIndex((line) => /^[✘▲]/.test(line.trim()));
  const told = [from[0] ?? "it said nothing.", ...(next < 0 ? rest : rest.slice(0, next))];
  return told.map((line) => line.trim().replace("✘ [ERROR] ", "")).join(" ");
}

/** Locally nothing fires cron triggers by itself. */
function fireCron(url: string, ended: Promise<void>): void {
  const timer = setInterval(() => {
    fetch(`${url}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}`, {
      signal: AbortSignal.timeout(CRON_EVERY_MS),
    }).catch(() => {}); // best effort, as in production; the Worker logs its own errors
  }, CRON_EVERY_MS);
  timer.unref();
  void ended.then(() => clearInterval(timer));
}
