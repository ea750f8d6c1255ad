/**
 * A remote worker: runs jobs wherever this code does, in Deno, in Node or in a page.
 *
 * @module
 */
import { parseDuration } from "./duration.ts";
import type { LineOptions, Transport } from "./line.ts";
import { SlotPool } from "./pool.ts";
import { createSend, type Fetch } from "./request.ts";
import { Stay, type StayPorts } from "./stay.ts";
import type { Duration, LeasedJob, LogLevel } from "./types.ts";
import { type Checked, checkWorker, type RunsIn } from "./worker-check.ts";
import { Watched, type WorkerState } from "./worker-state.ts";

/**
 * Told what happens in a worker. `event` is `connected`, `disconnected`, `lease_lost`, `unknown_task`, `job_started`,
 * `job_ended`, `job_lost`, or `log` with a `message`: a line of a handler's `ctx.log`, or of the worker itself,
 * `backoff_failed` or `session_abandoned`. Fields of a job: `job`, `task`, `attempt`, `fence`; of its end: `outcome`,
 * `ranMs`, `error`. `unknown_task`: the server has no such `task` yet, or it is mistyped: `didYouMean` is a name or null.
 */
export type WorkerLog = (level: LogLevel, event: string, fields: { [key: string]: unknown }) => void;

/** What {@link createWorker} takes. */
export interface WorkerSettings<Env = unknown> {
  /** Up to and with the base path, without `/v1`: `"https://app.example.com/jobs"`. */
  url: string;
  /**
   * Of role worker. A WebSocket carries it as a subprotocol, which takes letters, digits and ``! # $ % & ' * + - . ^ _ ` | ~``:
   * a minted token is made of these; an admin token with others is worked with by polling.
   */
  token: string;
  /** What it runs, at most 100, each with its handler. */
  tasks: readonly RunsIn<Env>[];
  /** The queues that it works at. @default those that the tasks declare, or "default" */
  queues?: readonly string[];
  /** Jobs that it runs side by side, of all queues together, 1 to 500. @default {6} */
  slots?: number;
  /** Shown with the attempts that it makes, 1 to 128 characters. @default the runtime and eight random characters */
  name?: string;
  /** @default warnings and errors, to the console */
  log?: WorkerLog;
  /**
   * `auto`: a WebSocket, over which work comes at once, and polling where none gets through or exists. With `fetch` it
   * is polling, because a WebSocket does not go by it.
   *
   * @default {"auto"}
   */
  transport?: "auto" | Transport;
  /** Answers each `Request` instead of the global `fetch`. */
  fetch?: Fetch;
}

/** With the environment of the handlers, where they use one. */
export type WorkerOptions<Env = unknown> = WorkerSettings<Env> &
  (unknown extends Env ? { env?: Env } : { /** Handed to handlers as `ctx.env`. */ env: Env });

/** Made by {@link createWorker}. */
export interface Worker {
  /**
   * Works until it is stopped, through lost connections.
   *
   * @throws {MillraceError} on what cannot get better, when what runs has ended or 30 s are over: a token that is not
   * taken (`unauthorized`, `forbidden`), a queue whose jobs run in the Worker (`conflict`), a URL that is not Millrace's
   * @throws {Error} when it was started before
   */
  start(): Promise<void>;
  /**
   * Claims no more, lets what runs end, and gives back what has not ended by then. Resolves when all is told to the
   * queues, or they could not be reached for 5 s more. A second call may shorten the time.
   *
   * @param options.timeout `"0s"`: gives everything back at once. @default {"30s"}
   */
  stop(options?: { timeout?: Duration }): Promise<void>;
  /** What it does now: the same object until something changes. */
  getSnapshot(): WorkerState;
  /** Calls `listener` when something has changed; the answer ends that. Fits `useSyncExternalStore`. */
  subscribe(listener: () => void): () => void;
}

const STOP_TIMEOUT = "30s";
/** The server keeps its own bound; nothing larger can be kept by any. */
const RESULT_BYTES_MAX = 512 * 1024;

/**
 * A worker for jobs of these tasks. It does nothing before it is started.
 *
 * @throws {TypeError | RangeError} at once, when an option is not what it should be, or a task has no handler
 * @example
 * const worker = createWorker({ url, token, tasks: [encode.handler(run)], slots: 2 });
 * process.once("SIGTERM", () => worker.stop());
 * await worker.start();
 */
export function createWorker<Env = unknown>(options: WorkerOptions<Env>): Worker {
  const checked = checkWorker(options);
  const log: WorkerLog = options.log ?? toConsole;
  const watched = new Watched(checked.queues, timer);
  const pool = new SlotPool(checked.slots);
  const ports: StayPorts = {
    tasks: checked.tasks,
    env: options.env,
    maxResultBytes: RESULT_BYTES_MAX,
    now: () => Date.now(),
    random: () => Math.random(),
    newId: () => crypto.randomUUID(),
    timer,
    log: (level, message, job, fields) => log(level, "log", { ...fields, message, ...identityOf(job) }),
    told(level, event, fields) {
      watched.contact(stays);
      log(level, event, fields);
    },
    watch: {
      started(job) {
        watched.started(job);
        log("info", "job_started", identityOf(job));
      },
      ended(job, outcome, ranMs) {
        watched.ended(job, outcome);
        const error = "error" in outcome ? `${outcome.error.name}: ${outcome.error.message}` : undefined;
        const level = error === undefined ? "info" : "warn";
        log(level, "job_ended", { ...identityOf(job), outcome: outcome.outcome, ranMs, error });
      },
      lost(job) {
        watched.lost(job);
        log("warn", "job_lost", identityOf(job));
      },
    },
  };
  const stays = checked.queues.map((queue) => new Stay(checked.info, pool, lineTo(queue, checked, options), ports));
  return workerOf(stays, watched);
}

function workerOf(stays: readonly Stay[], watched: Watched): Worker {
  let started = false;
  let ended = Promise.resolve();
  const stop = (timeout: Duration) => {
    const at = Date.now() + parseDuration(timeout);
    watched.become(started ? "stopping" : "stopped");
    for (const stay of stays) stay.stop(at);
  };
  const run = async () => {
    const failures: unknown[] = [];
    const running = stays.map((stay) =>
      stay.run().catch((error) => {
        failures.push(error);
        stop(STOP_TIMEOUT);
      }),
    );
    await Promise.all(running);
    watched.become("stopped");
    if (failures.length > 0) throw failures[0];
  };
  return {
    async start() {
      if (started) throw new Error("This worker was started before: make another with createWorker.");
      started = true;
      watched.become("running");
      const working = run();
      ended = working.catch(() => {});
      return working;
    },
    async stop({ timeout = STOP_TIMEOUT } = {}) {
      stop(timeout);
      await ended;
    },
    getSnapshot: () => watched.snapshot(),
    subscribe: (listener) => watched.subscribe(listener),
  };
}

type Reach = Pick<WorkerSettings, "token" | "fetch" | "transport">;

function lineTo(queue: string, { url, sockets }: Checked, { token, fetch: own, transport }: Reach): LineOptions {
  const send = createSend({ url, token, fetch: own ?? ((request) => fetch(request)), retryForMs: 0 });
  const makeSocket = sockets ? (at: string, protocols: string[]) => new WebSocket(at, protocols) : null;
  return { url, token, queue, send, makeSocket, socketOnly: transport === "websocket" };
}

function identityOf({ id, task, attempt, fence }: LeasedJob) {
  return { job: id, task, attempt, fence };
}

function timer(ms: number, fire: () => void): () => void {
  const id = setTimeout(fire, ms);
  return () => clearTimeout(id);
}

const toConsole: WorkerLog = (level, event, fields) => {
  if (level !== "info") console[level](`millrace: ${event}`, fields);
};
