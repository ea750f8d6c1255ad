/**
 * What a program says to `createMillrace`, checked at once: a mistake in code is found when the Worker starts.
 *
 * @module
 */
import { parseDuration } from "../client/duration.ts";
import type { StandardSchemaV1 } from "../client/standard-schema.ts";
import { type AnyTaskDeclaration, hasHandler } from "../client/task.ts";
import { QUEUE_NAME, TASK_NAME } from "../client/task-check.ts";
import type { Backoff, Delivery, QueueConfig, ScheduleSpec } from "../client/types.ts";
import type { Settings } from "../client/wire.ts";
import { readFlow, type TaskFlow } from "./flow.ts";
import { errorsOf } from "./issues.ts";
import { unknownTask } from "./limit-settings.ts";
import { type CorsConfig, readCors } from "./middleware/cors.ts";
import { queueConfig, toSettings } from "./settings.ts";

/** Names of the bindings in the Worker's environment. */
export interface BindingNames {
  /** The Durable Object namespace. @default {"MILLRACE"} */
  object?: string;
  /** The Cloudflare Queue for tickets. @default {"TICKETS"} */
  tickets?: string;
  /** The same for jobs whose attempts may take over 30 s. @default {"TICKETS_LONG"} */
  ticketsLong?: string;
  /** The D1 database of the history. @default {"DB"} */
  history?: string;
}

/** What `createMillrace` takes. */
export interface MillraceConfig {
  /** Every task that jobs may name; those with a handler also run in this Worker. */
  tasks: readonly AnyTaskDeclaration[];
  /**
   * Queues by name or pattern (`"tenant-*"`, or `"*"` for any), with their settings. A task's own queue and `"default"`
   * need not stand here. An exact name goes before a pattern, a longer pattern before a shorter one.
   */
  queues?: { [nameOrPattern: string]: QueueConfig & { delivery?: Delivery } };
  /**
   * Schedules by name. Each belongs to the queue that its task declares, or to the one named here, and fires from the
   * deploy on, also where nobody has used that queue.
   */
  schedules?: { [name: string]: ScheduleSpec & { queue?: string } };
  /** Where the app is mounted: `"/jobs"` serves `/jobs/v1/…`. @default {""} */
  basePath?: string;
  /** Pages of these origins may call from a browser: exact ones, or `"*"`. @default none */
  cors?: CorsConfig;
  bindings?: BindingNames;
  /** Largest payload as JSON, in bytes; at most 524,288. @default {131_072} */
  maxPayloadBytes?: number;
  log?: {
    /** One line for each job that starts and ends. @default {false} */
    jobs?: boolean;
  };
}

/** A task with its options in the units of the wire. */
export interface KnownTask {
  declaration: AnyTaskDeclaration;
  queue: string;
  priority: number;
  maxAttempts: number;
  /** The declared policy; null for the default's, or where the task decides by a function of its own. */
  backoff: Backoff | null;
  timeoutMs: number;
  expiresInMs: number | null;
  tags: string[];
  meta: { [key: string]: unknown } | null;
  version: string | null;
  validate: StandardSchemaV1["~standard"]["validate"] | null;
  flow: TaskFlow;
}

/** What code says of a queue, or of those of a pattern. */
export interface DeclaredQueue {
  settings: Partial<Settings>;
  delivery: Delivery;
}

/** A config after its check. */
export interface Config {
  tasks: ReadonlyMap<string, KnownTask>;
  queues: ReadonlyMap<string, DeclaredQueue>;
  /** The longest first. */
  patterns: readonly ({ pattern: string; matches: RegExp } & DeclaredQueue)[];
  basePath: string;
  /** Origins whose pages may call. */
  cors: ReadonlySet<string>;
  bindings: Required<BindingNames>;
  maxPayloadBytes: number;
  log: { jobs: boolean };
}

export const DEFAULT_QUEUE = "default";
/** A job of a push queue runs in a consumer Worker, which lives for 15 minutes. */
export const PUSH_TIMEOUT_MS = 13 * 60_000;

const DELIVERIES: readonly Delivery[] = ["push", "pull", "both"];
/** A queue's name, or several by `*`. */
export const QUEUE_PATTERN = /^[a-z0-9*][a-z0-9._*-]{0,127}$/;
const KEYS = ["tasks", "queues", "schedules", "basePath", "cors", "bindings", "maxPayloadBytes", "log"];
const BINDINGS: Required<BindingNames> = {
  object: "MILLRACE",
  tickets: "TICKETS",
  ticketsLong: "TICKETS_LONG",
  history: "DB",
};
const PAYLOAD_BYTES = { usual: 128 * 1024, most: 512 * 1024 };

/**
 * Checks a config and puts it into the form that the Worker uses.
 *
 * @throws {TypeError | RangeError} naming what is wrong and what it should be
 */
export function readConfig(config: MillraceConfig): Config {
  checkKeys("createMillrace", config, KEYS);
  const tasks = readTasks(config.tasks);
  checkKeys("log", config.log ?? {}, ["jobs"]);
  const read: Config = {
    tasks,
    ...readQueues(config.queues ?? {}, tasks),
    basePath: readBasePath(config.basePath ?? ""),
    cors: readCors(config.cors),
    bindings: readBindings(config.bindings ?? {}),
    maxPayloadBytes: readMaxPayload(config.maxPayloadBytes ?? PAYLOAD_BYTES.usual),
    log: { jobs: config.log?.jobs === true },
  };
  for (const task of tasks.values()) checkTimeout(read, task);
  return read;
}

/** What code says of a queue; null when it is not declared. */
export function declaredQueue(config: Config, queue: string): DeclaredQueue | null {
  const exact = config.queues.get(queue);
  if (exact) return exact;
  if (!QUEUE_NAME.test(queue)) return null;
  return config.patterns.find(({ matches }) => matches.test(queue)) ?? null;
}

/**
 * Whether consumer Workers run the jobs of a task in a queue: those of a push queue are theirs, known or not, and of a
 * queue of both kinds those that they have handlers for.
 */
export function pushes(config: Config, queue: string, task: string): boolean {
  switch (declaredQueue(config, queue)?.delivery ?? "push") {
    case "push":
      return true;
    case "pull":
      return false;
    case "both": {
      const known = config.tasks.get(task);
      return known !== undefined && hasHandler(known.declaration);
    }
  }
}

/** The settings that code gives a queue (absent ones have Millrace's default); null when it is not declared. */
export function queueSettings(config: Config, queue: string): Partial<Settings> | null {
  return declaredQueue(config, queue)?.settings ?? null;
}

function readTasks(tasks: readonly AnyTaskDeclaration[]): Map<string, KnownTask> {
  if (!Array.isArray(tasks)) throw new TypeError(`tasks is a list of what defineTask makes, not ${typeof tasks}.`);
  const known = new Map<string, KnownTask>();
  for (const [index, task] of tasks.entries()) {
    if (typeof task?.handler !== "function" || !TASK_NAME.test(task.name)) {
      throw new TypeError(`tasks[${index}] is not what defineTask makes: list defineTask({ … }) or its .handler(…).`);
    }
    if (known.has(task.name)) {
      throw new TypeError(`Two tasks are called "${task.name}": a name is how jobs find their task, so it is unique.`);
    }
    known.set(task.name, readTask(task));
  }
  return known;
}

function readTask(task: AnyTaskDeclaration): KnownTask {
  const { input } = task;
  return {
    declaration: task,
    queue: task.queue ?? DEFAULT_QUEUE,
    priority: task.priority ?? 0,
    maxAttempts: task.maxAttempts ?? 8,
    backoff: typeof task.backoff === "object" ? task.backoff : null,
    timeoutMs: parseDuration(task.timeout ?? "5m"),
    expiresInMs: task.expiresIn === undefined ? null : parseDuration(task.expiresIn),
    tags: [...(task.tags ?? [])],
    meta: task.meta ?? null,
    version: task.version ?? null,
    validate: input ? (value) => input["~standard"].validate(value) : null,
    flow: readFlow(task),
  };
}

function checkTimeout(config: Config, { declaration, queue, timeoutMs }: KnownTask): void {
  if (timeoutMs <= PUSH_TIMEOUT_MS || !pushes(config, queue, declaration.name)) return;
  throw new RangeError(
    `Task "${declaration.name}" has a timeout of ${declaration.timeout}, and its queue "${queue}" runs it in a consumer Worker, where an attempt takes at most 13m. Shorten it, split the work, or leave it to remote workers: give the queue delivery "pull", or "both" and the task no handler here.`,
  );
}

function readQueues(queues: NonNullable<MillraceConfig["queues"]>, tasks: Config["tasks"]) {
  const exact = new Map<string, DeclaredQueue>();
  const patterns: ({ pattern: string; matches: RegExp } & DeclaredQueue)[] = [];
  for (const [name, queue] of Object.entries(queues)) {
    const declared = readQueue(name, queue, tasks);
    if (QUEUE_NAME.test(name)) exact.set(name, declared);
    else if (name.includes("*") && QUEUE_PATTERN.test(name))
      patterns.push({ pattern: name, matches: glob(name), ...declared });
    else {
      throw new TypeError(
        `queues["${name}"]: a queue's name is 1 to 128 of a-z 0-9 . _ -, beginning with a letter or digit; in a pattern, * stands for any of them.`,
      );
    }
  }
  patterns.sort((a, b) => b.pattern.length - a.pattern.length);
  for (const name of [DEFAULT_QUEUE, ...[...tasks.values()].map((task) => task.queue)]) {
    if (!exact.has(name) && !patterns.some(({ matches }) => matches.test(name)))
      exact.set(name, { settings: {}, delivery: "push" });
  }
  return { queues: exact, patterns };
}

function readQueue(name: string, queue: QueueConfig & { delivery?: Delivery }, tasks: Config["tasks"]): DeclaredQueue {
  const where = `queues["${name}"]`;
  if (typeof queue !== "object" || queue === null) throw new TypeError(`${where} is an object, {} for the defaults.`);
  const { delivery = "push", ...settings } = queue;
  if (!DELIVERIES.includes(delivery)) {
    throw new TypeError(`${where}.delivery is "push", "pull" or "both", not ${JSON.stringify(delivery)}.`);
  }
  const checked = queueConfig.safeParse(settings);
  if (!checked.success) {
    const known = [...Object.keys(queueConfig.shape), "delivery"];
    const [wrong] = errorsOf(checked.error.issues, settings, "", { known });
    throw new TypeError(`${where}: ${wrong!.path} ${wrong!.message}`);
  }
  const unknown = unknownTask(checked.data, tasks);
  if (!unknown) return { settings: toSettings(checked.data), delivery };
  const hint = unknown.near === null ? "give it to createMillrace in `tasks`" : `did you mean "${unknown.near}"?`;
  throw new TypeError(`${where}: tasks.${unknown.name} limits a task that is not known; ${hint}`);
}

/** `*` stands for any characters of a name, none included. */
export function glob(pattern: string): RegExp {
  const parts = pattern.split(/\*+/).map((part) => part.replaceAll(".", "\\."));
  return new RegExp(`^${parts.join("[a-z0-9._-]*")}$`);
}

function readBasePath(basePath: string): string {
  if (basePath === "" || basePath === "/") return "";
  if (typeof basePath === "string" && /^(\/[A-Za-z0-9._~-]+)+$/.test(basePath)) return basePath;
  throw new TypeError(
    `basePath is a path such as "/jobs", without a slash at its end, not ${JSON.stringify(basePath)}.`,
  );
}

function readBindings(bindings: BindingNames): Required<BindingNames> {
  checkKeys("bindings", bindings, Object.keys(BINDINGS));
  for (const [key, name] of Object.entries(bindings)) {
    if (name !== undefined && (typeof name !== "string" || name === "")) {
      throw new TypeError(`bindings.${key} is the name of a binding, not ${JSON.stringify(name)}.`);
    }
  }
  const given = Object.fromEntries(Object.entries(bindings).filter(([, name]) => name !== undefined));
  return { ...BINDINGS, ...given };
}

function readMaxPayload(bytes: number): number {
  if (Number.isInteger(bytes) && bytes >= 1 && bytes <= PAYLOAD_BYTES.most) return bytes;
  throw new RangeError(`maxPayloadBytes is a whole number from 1 to ${PAYLOAD_BYTES.most} (512 KiB), not ${bytes}.`);
}

function checkKeys(what: string, value: object, known: string[]): void {
  if (typeof value !== "object" || value === null) throw new TypeError(`${what} takes an object, not ${typeof value}.`);
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    throw new TypeError(`${what} was given "${key}", which is not known. There are: ${known.join(", ")}.`);
  }
}
