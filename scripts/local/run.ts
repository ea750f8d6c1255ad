/**
 * Which processes belong to one run of the local runtime, and what a run that was killed has left behind.
 *
 * Every process of a run carries the run's random id in its environment. A process that shows it is certainly
 * ours; a process id alone proves nothing, because ids are given again.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CannotGoOn } from "./error.ts";

/** Written into the state folder while a run lives. `leader` is wrangler's process; null: about to be started. */
export interface Run {
  id: string;
  leader: number | null;
}

const ENV = "MILLRACE_RUN";
/** How long a former run may take to notice that its parent is gone. */
const LEAVE_MS = 6_000;

export function runEnvironment(id: string): { [name: string]: string } {
  return { [ENV]: id };
}

export function writeRun(file: string, run: Run): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify(run));
  renameSync(`${file}.new`, file);
}

export function removeRun(file: string): void {
  rmSync(file, { force: true });
}

/**
 * Waits until nothing of the former run on this state folder is left, and ends what was orphaned.
 * Throws {@link CannotGoOn} when that run is alive and well: two runtimes on one folder would destroy the data.
 */
export async function settleFormerRun(file: string, leaveMs: number = LEAVE_MS): Promise<void> {
  const run = readRun(file);
  if (run === null) return;
  const deadline = Date.now() + leaveMs;
  const isLed = () => run.leader !== null && processesOf(run.id).includes(run.leader);
  while (isLed() && Date.now() < deadline) await sleep(50);
  if (isLed()) {
    throw new CannotGoOn(
      `Cannot use the state folder ${dirname(file)}: process ${run.leader} runs on it. Stop that one, or set MILLRACE_STATE.`,
    );
  }
  await endAll(run.id);
  removeRun(file);
}

/** Kills every process of a run and waits until they are gone. */
export async function endAll(id: string): Promise<void> {
  for (let alive = processesOf(id); alive.length > 0; alive = processesOf(id)) {
    for (const pid of alive) kill(pid);
    await sleep(20);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function readRun(file: string): Run | null {
  try {
    const run = JSON.parse(readFileSync(file, "utf8")) as Partial<Run>;
    return typeof run.id === "string" && run.id !== "" ? { id: run.id, leader: run.leader ?? null } : null;
  } catch {
    return null; // missing
  }
}

/** The ids of all processes that carry this run's id. A zombie has no environment and does not count. */
export function processesOf(id: string): number[] {
  const mark = `${ENV}=${id}`;
  if (!existsSync("/proc/self/environ")) return processesByPs(mark);
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => environment(name).includes(mark))
    .map(Number);
}

function environment(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return []; // gone meanwhile, or of another user
  }
}

function processesByPs(mark: string): number[] {
  return execFileSync("ps", ["-A", "-E", "-ww", "-o", "pid=,command="], { encoding: "utf8", maxBuffer: 2 ** 26 })
    .split("\n")
    .filter((line) => line.split(" ").includes(mark))
    .map((line) => Number.parseInt(line, 10));
}
