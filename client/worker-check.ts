/**
 * What a worker is made of, checked before it does anything.
 *
 * @module
 */
import type { Ctx } from "./context.ts";
import { notTheUrl } from "./request.ts";
import { type AnyTaskDeclaration, hasHandler } from "./task.ts";
import type { WorkerInfo } from "./types.ts";
import type { WorkerSettings } from "./worker.ts";

/** A task with a handler that is content with this environment. */
export type RunsIn<Env> = AnyTaskDeclaration & {
  // biome-ignore lint/suspicious/noExplicitAny: tasks of all payloads stand side by side in one list
  readonly run: (input: any, ctx: Ctx<Env>) => unknown;
};

export interface Checked {
  url: string;
  tasks: ReadonlyMap<string, AnyTaskDeclaration>;
  queues: string[];
  slots: number;
  info: WorkerInfo;
  /** WebSockets may be tried. */
  sockets: boolean;
}

const OPTIONS = ["url", "token", "tasks", "queues", "slots", "name", "env", "log", "transport", "fetch"];
const TASKS_MAX = 100;
const SLOTS_MAX = 500;
const SLOTS = 6;
const NAME_CHARS_MAX = 128;
const QUEUE = /^[a-z0-9][a-z0-9._-]{0,127}$/;
/** What a subprotocol of a WebSocket is made of: a token of RFC 9110. */
const SUBPROTOCOL = /^[\w!#$%&'*+.^`|~-]+$/;
const HEADER = /^[\x21-\x7e]+$/;

/** @throws {TypeError | RangeError} naming what is wrong, and what it should be */
export function checkWorker<Env>(options: WorkerSettings<Env>): Checked {
  const strange = Object.keys(options ?? {}).find((key) => !OPTIONS.includes(key));
  if (strange !== undefined) {
    throw new TypeError(`A worker has no option "${strange}". There are: ${OPTIONS.join(", ")}.`);
  }
  const tasks = tasksOf(options?.tasks);
  const slots = options.slots ?? SLOTS;
  if (!Number.isInteger(slots) || slots < 1 || slots > SLOTS_MAX) {
    throw new RangeError(`slots is a whole number of 1 to ${SLOTS_MAX}, not ${slots}.`);
  }
  const runtime = runtimeName();
  const name = options.name ?? `${runtime}-${crypto.randomUUID().slice(0, 8)}`;
  if (typeof name !== "string" || name === "" || name.length > NAME_CHARS_MAX || !name.isWellFormed()) {
    throw new RangeError(`The name of a worker is 1 to ${NAME_CHARS_MAX} characters.`);
  }
  return {
    url: urlOf(options.url),
    tasks,
    queues: queuesOf(options.queues, tasks),
    slots,
    info: { name, runtime, tasks: [...tasks.keys()] },
    sockets: mayTrySockets(options),
  };
}

function urlOf(url: unknown): string {
  const parsed = URL.canParse(String(url)) ? new URL(String(url)) : null;
  if (!parsed || !/^https?:$/.test(parsed.protocol)) throw notTheUrl(url);
  return (parsed.origin + parsed.pathname).replace(/\/+$/, "");
}

function tasksOf(given: readonly AnyTaskDeclaration[]): Map<string, AnyTaskDeclaration> {
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError("A worker needs tasks: an array of what defineTask(…).handler(…) makes.");
  }
  if (given.length > TASKS_MAX) {
    throw new RangeError(`A worker runs at most ${TASKS_MAX} tasks, not ${given.length}: start several.`);
  }
  const tasks = new Map<string, AnyTaskDeclaration>();
  for (const task of given) {
    if (typeof task?.name !== "string") {
      throw new TypeError("Each of a worker's tasks is what defineTask(…).handler(…) makes.");
    }
    if (!hasHandler(task)) {
      throw new TypeError(`Task "${task.name}" has no handler: give the worker what its .handler(…) makes.`);
    }
    if (tasks.has(task.name)) throw new TypeError(`Two of the worker's tasks are named "${task.name}".`);
    tasks.set(task.name, task);
  }
  return tasks;
}

function queuesOf(given: readonly string[] | undefined, tasks: ReadonlyMap<string, AnyTaskDeclaration>): string[] {
  if (given !== undefined && !Array.isArray(given)) {
    throw new TypeError(`The queues of a worker are an array of names, not ${JSON.stringify(given)}.`);
  }
  const queues = [...new Set(given ?? [...tasks.values()].map(({ queue }) => queue ?? "default"))];
  if (queues.length === 0) throw new TypeError("A worker works at one queue at least.");
  const wrong = queues.find((queue) => typeof queue !== "string" || !QUEUE.test(queue));
  if (wrong === undefined) return queues;
  throw new TypeError(`${JSON.stringify(wrong)} is not the name of a queue: 1 to 128 of a-z, 0-9 and . _ -`);
}

function mayTrySockets<Env>({ token, transport = "auto", fetch }: WorkerSettings<Env>): boolean {
  if (!token) throw new TypeError("The token of a worker is missing: give it one of role worker.");
  if (typeof token !== "string" || !HEADER.test(token)) {
    throw new TypeError("The token of a worker is a text of visible ASCII characters, without spaces.");
  }
  if (!["auto", "websocket", "poll"].includes(transport)) {
    throw new TypeError(`transport is "auto", "websocket" or "poll", not ${JSON.stringify(transport)}.`);
  }
  const fits = SUBPROTOCOL.test(token);
  const there = typeof WebSocket === "function";
  if (transport === "websocket" && !(fits && there)) {
    const why = there ? "its token holds characters that no subprotocol may" : "there is no WebSocket in this runtime";
    throw new TypeError(`A worker with transport "websocket" cannot be made: ${why}. Use "auto" or "poll".`);
  }
  return transport === "websocket" || (transport === "auto" && fits && there && fetch === undefined);
}

/** As runtimes name themselves: `Node.js/24`, `Deno/2.9`, `Cloudflare-Workers`; all others are browsers. */
function runtimeName(): string {
  const agent = globalThis.navigator?.userAgent ?? "";
  const known = [
    ["Node.js", "node"],
    ["Deno", "deno"],
    ["Bun", "bun"],
    ["Cloudflare-Workers", "workerd"],
    ["Mozilla", "browser"],
  ];
  return known.find(([begins]) => agent.startsWith(begins!))?.[1] ?? "javascript";
}
