/**
 * `millrace work`: from arguments to a worker that runs until it is told to stop.
 *
 * @module
 */
import { createServer, type Server } from "node:http";
import process from "node:process";
import { createWorker, type Duration, parseDuration, type Worker } from "../client/index.ts";
import { lineOf } from "./lines.ts";
import { loadTasks } from "./load.ts";
import { type Env, readArguments, USAGE, UsageError, type WorkArguments } from "./options.ts";

/** Resolves when the worker was stopped. @throws {UsageError | Error} saying in one line what is wrong */
export async function work(args: string[], env: Env): Promise<void> {
  const given = readArguments(args, env);
  if (given === null) return console.log(USAGE);
  const worker = await makeWorker(given, env);
  const health = given.healthPort === undefined ? null : await answerHealth(given.healthPort, worker);
  stopAtSignals(worker, given.stopTimeout);
  try {
    await worker.start();
    console.log("Stopped.");
  } finally {
    health?.close();
  }
}

async function makeWorker(given: WorkArguments, env: Env): Promise<Worker> {
  const { url, token, slots, queues, name, transport } = given;
  checkDuration(given.stopTimeout);
  const tasks = await loadTasks(given.module);
  const log: Parameters<typeof createWorker>[0]["log"] = (level, event, fields) =>
    console[level === "info" ? "log" : level](lineOf(event, fields));
  try {
    const worker = createWorker({ url, token, tasks, slots, queues, name, transport, log, env });
    console.log(`Working on ${tasks.map((task) => task.name).join(", ")}`);
    return worker;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function checkDuration(text: string): void {
  try {
    parseDuration(text);
  } catch (error) {
    throw new UsageError(`--stop-timeout: ${(error as Error).message}`);
  }
}

/** The first asks it to end what runs, the second to give it back. */
function stopAtSignals(worker: Worker, timeout: Duration): void {
  let asked = 0;
  const stop = () => {
    asked += 1;
    if (asked > 2) process.exit(1);
    console.log(asked === 1 ? `Stopping: jobs have ${timeout} to end (again: at once)` : "Stopping at once");
    void worker.stop({ timeout: asked === 1 ? timeout : "0s" });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
}

/** 200 while every queue is reached, else 503, each with what the worker does. */
function answerHealth(port: number, worker: Worker): Promise<Server> {
  const server = createServer((_request, response) => {
    const state = worker.getSnapshot();
    const well = state.status === "running" && state.queues.every(({ transport }) => transport !== null);
    response.writeHead(well ? 200 : 503, { "content-type": "application/json" });
    response.end(`${JSON.stringify(state)}\n`);
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new Error(`No health on port ${port}: ${error.message}`)));
    server.listen(port, () => resolve(server));
  });
}
