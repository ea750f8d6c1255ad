/**
 * Jobs as callers ask for them, made into what the object takes: options resolved (job > task > queue > default),
 * payloads checked and serialised once. All or nothing.
 *
 * Hot: most of the cost of an enqueue over HTTP is here. Jobs that ask for the same are checked once and share one
 * template, found by a key made of their options and of what their task's functions make of their payloads.
 *
 * @module
 */
import { isThenable } from "../client/payload.ts";
import type { StandardIssue, StandardResult } from "../client/standard-schema.ts";
import type { NewJob } from "../client/types.ts";
import type { JobTemplate } from "../client/wire.ts";
import { type Config, type KnownTask, queueSettings } from "./config.ts";
import { askFlow } from "./flow.ts";
import { pathOf } from "./issues.ts";
import { holdsLoneSurrogate, isDeeperThan, joinPath, MAX_BODY_BYTES, MAX_DEPTH, utf8Bytes } from "./json.ts";
import { type Refused, refuse } from "./problem.ts";
import { type Draft, draftTemplate, makeTemplate, refuseField, refuseTimeout } from "./template.ts";

export const MAX_JOBS = 1_000;
/** A job's record must fit a row of the object, which holds 2 MB, with its error and attempts beside the payload. */
const ESCAPED_BYTES_MAX = 1_500_000;

export interface ResolveInput {
  /** Null: the one that the jobs' task declares. */
  queue: string | null;
  jobs: readonly NewJob[];
  /** Who asks, where tokens name an actor. */
  actor: string | null;
  /** True when payloads come straight from `JSON.parse`; others are checked as their task will see them, after JSON. */
  parsed?: boolean;
  /** True when `jobs` is one job that does not stand in a list: errors then name its fields without an index. */
  single?: boolean;
  /** @default Date.now() */
  now?: number;
}

export interface Resolved {
  ok: true;
  queue: string;
  templates: JobTemplate[];
  /** Index into `templates`, and the payload as JSON text. */
  jobs: [template: number, payload: string | null][];
}

/**
 * Checks and resolves up to 1,000 jobs of one call.
 *
 * Refusals: `invalid_request` (also for an undeclared name that cannot be one), `not_found` for a queue that is not
 * declared, `unknown_task`, `payload_too_large`. They name the index of the first bad job.
 */
export async function resolveJobs(config: Config, input: ResolveInput): Promise<Resolved | Refused> {
  const begun = beginJobs(config, input);
  if (!begun.ok) return begun;
  const { waiting, ...resolved } = begun;
  for (const wait of waiting) {
    const refused = await wait();
    if (refused) return refused;
  }
  return resolved;
}

/**
 * The same as far as it goes at once: where a task's schema checks asynchronously, each of `waiting` has to be called
 * and awaited before the jobs are what they seem.
 */
export function beginJobs(
  config: Config,
  input: ResolveInput,
): (Resolved & { waiting: (() => Promise<Refused | null>)[] }) | Refused {
  const { jobs, parsed = false, single = false, actor, now = Date.now() } = input;
  if (jobs.length < 1 || jobs.length > MAX_JOBS) {
    return refuse("invalid_request", `A call makes 1 to ${MAX_JOBS} jobs, not ${jobs.length}.`);
  }
  let { queue } = input;
  const templates = new Templates(config, actor, now);
  const resolved: Resolved["jobs"] = [];
  const waiting: (() => Promise<Refused | null>)[] = [];
  let chars = 0;

  for (let at = 0; at < jobs.length; at++) {
    const job = jobs[at]!;
    const where = single ? "" : `jobs[${at}]`;
    if (typeof job !== "object" || job === null || Array.isArray(job)) {
      return refuse("invalid_request", `A job is an object: { "task": …, "payload": … }.`, [
        { path: where, message: `is not an object` },
      ]);
    }
    const drafted = templates.draft(job, where);
    if (!drafted.ok) return drafted;
    const { task } = drafted;
    if (drafted.queue === null) {
      queue ??= task.queue;
      const elsewhere =
        refuseQueue(config, input.queue, queue, task, where) ?? refuseTimeout(config, queue, drafted, where);
      if (elsewhere) return elsewhere;
      drafted.queue = queue;
    }
    const text = toText(job.payload, config.maxPayloadBytes, where);
    if (typeof text === "object" && text !== null) return text;
    chars += text === null ? 0 : text.length;
    if (chars > MAX_BODY_BYTES) return refuse("payload_too_large", "A call holds at most 8 MiB: make several.");
    let index: number | Refused | null = drafted.only;
    if (task.validate !== null || index === null) {
      const value = parsed || text === null ? job.payload : JSON.parse(text);
      const accepted: Result = { value: value ?? null };
      const result = task.validate === null ? accepted : validate(task.validate, value);
      if (result instanceof Promise) {
        waiting.push(async () => {
          const made = templates.indexOf(drafted, await result, where);
          if (typeof made === "object") return made;
          resolved[at]![0] = made;
          return null;
        });
      } else if (index === null || result.issues) index = templates.indexOf(drafted, result, where);
    }
    if (typeof index === "object" && index !== null) return index;
    resolved.push([index ?? 0, text]);
  }
  return { ok: true, queue: queue!, templates: templates.list, jobs: resolved, waiting };
}

/** A draft with the templates that were made of it. */
interface Drafted extends Draft {
  /** Its one template, where the task makes nothing of payloads. */
  only: number | null;
  /** Templates by what the task made. */
  byMade: Map<string, number>;
  /** Where jobs of it may go, once that has been looked at. */
  queue: string | null;
}

/** The templates of one call: one for each set of options that its jobs come to. */
class Templates {
  readonly list: JobTemplate[] = [];
  readonly #config: Config;
  readonly #about: { actor: string | null; now: number };
  readonly #drafts = new Map<string, Drafted>();
  /** Of the job before: most ask for the same as that, and comparing is cheaper than looking up. */
  #last: { key: string; drafted: Drafted } | null = null;

  constructor(config: Config, actor: string | null, now: number) {
    this.#config = config;
    this.#about = { actor, now };
  }

  /** What a job asks for, payload aside: checked once for all that ask for the same. */
  draft(job: NewJob, where: string): Drafted | Refused {
    const key = keyOf(job);
    if (this.#last?.key === key) return this.#last.drafted;
    const known = this.#drafts.get(key);
    const drafted = known ?? this.#draftNew(job, key, where);
    if (drafted.ok) this.#last = { key, drafted };
    return drafted;
  }

  #draftNew(job: NewJob, key: string, where: string): Drafted | Refused {
    const draft = draftTemplate(this.#config, job, { ...this.#about, where });
    if (!draft.ok) return draft;
    const drafted: Drafted = { ...draft, only: null, byMade: new Map(), queue: null };
    if (draft.calls.length === 0) {
      const only = this.#add(drafted, "{}", where);
      if (typeof only === "object") return only;
      drafted.only = only;
    }
    this.#drafts.set(key, drafted);
    return drafted;
  }

  /** The template for a payload, by what the task's schema made of that. */
  indexOf(drafted: Drafted, checked: Result, where: string): number | Refused {
    const { task, calls, only, byMade } = drafted;
    if (checked.issues) return refusePayload(checked.issues, task.declaration.name, where);
    if (only !== null) return only;
    const made = askFlow(task.flow, calls, checked.value);
    if (!made.ok) return refuseField(made.wrong, where);
    return byMade.get(made.json) ?? this.#add(drafted, made.json, where);
  }

  #add(drafted: Drafted, made: string, where: string): number | Refused {
    const done = makeTemplate(drafted, made, { ...this.#about, where });
    if (!done.ok) return done;
    const index = this.list.push(done.template) - 1;
    drafted.byMade.set(made, index);
    return index;
  }
}

/** Equal for jobs that ask for the same, payload aside. Lengths stand before texts, so that no text can feign another. */
function keyOf(job: NewJob): string {
  let key = "";
  for (const name in job) {
    if (name === "payload") continue;
    const value: unknown = job[name as keyof NewJob];
    if (value === undefined) continue;
    const text = typeof value === "string" ? value : shown(value);
    key += `${name.length}:${name}${typeof value}${text.length}:${text}`;
  }
  return key;
}

function shown(value: unknown): string {
  if (value instanceof Date) return `date ${value.getTime()}`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return "cannot be shown";
  }
}

function refuseQueue(
  config: Config,
  asked: string | null,
  queue: string,
  task: KnownTask,
  where: string,
): Refused | null {
  if (asked === null && queue !== task.queue) {
    return refuse("invalid_request", "All jobs of one call go to one queue: make a call for each, or name the queue.", [
      { path: joinPath(where, "task"), message: `goes to "${task.queue}", and the jobs before it to "${queue}"` },
    ]);
  }
  if (queueSettings(config, queue) !== null) return null;
  return refuse("not_found", undeclared(config, queue));
}

/** What to say of a queue that no name or pattern of the config covers. */
export function undeclared(config: Config, queue: string): string {
  const names = [...config.queues.keys(), ...config.patterns.map(({ pattern }) => pattern)].slice(0, 20);
  return `Queue "${queue}" is not declared: there are ${names.join(", ")}. Declare it in "queues" of createMillrace.`;
}

/** The payload as JSON text; null for none. */
function toText(payload: unknown, maxBytes: number, where: string): string | null | Refused {
  if (payload === undefined) return null;
  const path = joinPath(where, "payload");
  let text: string | undefined;
  try {
    text = JSON.stringify(payload);
  } catch (error) {
    return refuse("invalid_request", "A payload is JSON.", [
      { path, message: `cannot be sent as JSON: ${(error as Error)?.message ?? error}` },
    ]);
  }
  if (text === undefined) {
    return refuse("invalid_request", "A payload is JSON.", [{ path, message: `is a ${typeof payload}` }]);
  }
  // A UTF-16 unit is at most three bytes, so most texts need no counting.
  const bytes = text.length * 3 <= maxBytes ? 0 : text.length > maxBytes ? text.length : utf8Bytes(text);
  if (bytes > maxBytes) {
    return refuse("payload_too_large", `A payload holds at most ${maxBytes} bytes as JSON: store more elsewhere.`, [
      { path, message: `holds ${bytes === text.length ? "at least " : ""}${bytes} bytes` },
    ]);
  }
  if (text.length * 4 > ESCAPED_BYTES_MAX && utf8Bytes(JSON.stringify(JSON.stringify(text))) > ESCAPED_BYTES_MAX) {
    return refuse(
      "payload_too_large",
      "A payload is kept as JSON within JSON: store what is mostly quotes elsewhere.",
      [{ path, message: `holds more than ${ESCAPED_BYTES_MAX} bytes where its quotes and backslashes are escaped` }],
    );
  }
  if (isDeeperThan(text, MAX_DEPTH)) {
    return refuse("invalid_request", `A payload nests at most ${MAX_DEPTH} arrays and objects.`, [
      { path, message: "nests deeper than that" },
    ]);
  }
  if (holdsLoneSurrogate(text)) {
    return refuse("invalid_request", "A payload is text that UTF-8 can hold.", [
      { path, message: "holds half of a surrogate pair, which is no character" },
    ]);
  }
  return text;
}

type Result = StandardResult<unknown>;

/** A schema that throws on what callers send is not their fault to see, but it is a refusal. */
function validate(check: NonNullable<KnownTask["validate"]>, value: unknown): Result | Promise<Result> {
  try {
    const result = check(value);
    return isThenable(result) ? Promise.resolve(result).catch(() => UNCHECKED) : result;
  } catch {
    return UNCHECKED;
  }
}

const UNCHECKED: Result = { issues: [{ message: "is nothing that the task's schema can check" }] };
const MAX_ISSUES = 20;

function refusePayload(issues: readonly StandardIssue[], task: string, where: string): Refused {
  const errors = issues.slice(0, MAX_ISSUES).map(({ path = [], message }) => {
    const keys = path.map((part) => (typeof part === "object" ? part.key : part));
    return { path: pathOf(keys, joinPath(where, "payload")), message: String(message).slice(0, 500) };
  });
  return refuse("invalid_request", `The payload is not what task "${task}" takes.`, errors);
}
