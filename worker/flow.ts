/**
 * What a job asks of limits, order, shares, uniqueness and time: its own options, then its task's, which may be made of
 * the payload.
 *
 * @module
 */
import { parseDuration } from "../client/duration.ts";
import type { AnyTaskDeclaration } from "../client/task.ts";
import type { UniqueState } from "../client/types.ts";
import type { JobTemplate, UniqueTemplate } from "../client/wire.ts";
import { type CheckedUnique, UNIQUE_STATES, uniqueContradiction, type Wrong } from "./flow-fields.ts";
import { MAX_AHEAD_MS, parseInstant } from "./instant.ts";
import { errorsOf } from "./issues.ts";
import { type CheckedJob, newJob } from "./job-schema.ts";
import { joinPath } from "./json.ts";

const FLOW = { keys: true, cost: true, fairKey: true, orderingKey: true, unique: true, deadline: true } as const;
type FlowOption = keyof typeof FLOW;
const OPTIONS = Object.keys(FLOW) as FlowOption[];
/** Checked; what is absent is not there. */
export type FlowOptions = Pick<CheckedJob, FlowOption>;
/** An option of a task, and the function that makes it of a payload. */
export type FlowCall = readonly [option: FlowOption, make: (payload: unknown) => unknown];

/** What a task says of all its jobs. */
export interface TaskFlow {
  name: string;
  fixed: FlowOptions;
  calls: readonly FlowCall[];
}

/** What one job says itself. */
export interface OwnFlow {
  options: FlowOptions;
  runAt: string | undefined;
  delay: string | undefined;
}

/** The part of a template that stands here, or what cannot be and where in the job. */
export type Resolved = { ok: true; fields: Partial<JobTemplate> } | { ok: false; wrong: Wrong };
/** What the functions of a task made of a payload, as JSON text: payloads that give the same share a template. */
export type Made = { ok: true; json: string } | { ok: false; wrong: Wrong };

const flowSchema = newJob.pick(FLOW);

/** Those of a job's options that stand here. */
export function ownFlow(options: CheckedJob): OwnFlow {
  const own = Object.fromEntries(
    OPTIONS.filter((option) => options[option] !== undefined).map((option) => [option, options[option]]),
  );
  return { options: own, runAt: options.runAt, delay: options.delay };
}

/**
 * The options that a task gives all its jobs, and the functions that make others.
 *
 * @throws {TypeError} naming the task, its option and what it should be
 */
export function readFlow(task: AnyTaskDeclaration): TaskFlow {
  const calls: FlowCall[] = [];
  const given: { [option: string]: unknown } = {};
  for (const option of OPTIONS) {
    const value: unknown = task[option];
    if (typeof value === "function") calls.push([option, value as FlowCall[1]]);
    else if (value !== undefined) given[option] = value;
  }
  const checked = check(given);
  const fixed = checked.ok ? checked.options : {};
  const wrong = checked.ok
    ? (fixedInstant(fixed) ?? contradiction(fixed, fixed.keys ? { options: fixed } : {}, 0))
    : checked.wrong;
  if (wrong) throw new TypeError(`Task "${task.name}": ${wrong.path} ${wrong.message}.`);
  return { name: task.name, fixed, calls };
}

function fixedInstant({ deadline }: FlowOptions): Wrong | null {
  if (deadline === undefined || parseInstant(deadline) === null) return null;
  return { path: "deadline", message: "is an instant, which later jobs are past: give a duration, or a function" };
}

function check(given: object): { ok: true; options: FlowOptions } | { ok: false; wrong: Wrong } {
  const checked = flowSchema.safeParse(given);
  if (checked.success) return { ok: true, options: checked.data };
  const [wrong] = errorsOf(checked.error.issues, given, "", { known: OPTIONS });
  return { ok: false, wrong: wrong! };
}

/** Asks the functions of a task that a job leaves to decide. */
export function askFlow(task: TaskFlow, calls: readonly FlowCall[], payload: unknown): Made {
  const made: { [option: string]: unknown } = {};
  for (const [option, make] of calls) {
    try {
      const value = make(payload);
      if (value === undefined) continue;
      const strange = strangeness(option, value);
      if (strange) return { ok: false, wrong: ofPayload(task, option, `${strange}, which it cannot be`) };
      made[option] = value;
    } catch (thrown) {
      const what = thrown instanceof Error ? String(thrown.name) : `a ${typeof thrown}`;
      return { ok: false, wrong: ofPayload(task, option, `throw ${cut(what)}`) };
    }
  }
  try {
    return { ok: true, json: JSON.stringify(made) };
  } catch {
    const [[option]] = calls as [FlowCall];
    return { ok: false, wrong: ofPayload(task, option, "what JSON cannot hold") };
  }
}

/** What JSON would pass over in silence, as if nothing were asked: promises, maps, members that are undefined. */
function strangeness(option: FlowOption, value: unknown): string | null {
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  if (typeof value !== "object" || value === null || value instanceof Date || Array.isArray(value)) return null;
  // Nobody waits for it any more.
  if (value instanceof Promise) value.catch(() => {});
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return `a ${cut(String(prototype.constructor?.name))}`;
  if (option !== "keys" && option !== "cost") return null;
  const unsaid = Object.entries(value).find(([, member]) =>
    ["undefined", "function", "symbol"].includes(typeof member),
  );
  return unsaid ? `{ ${cut(unsaid[0])}: ${typeof unsaid[1]} }` : null;
}

/**
 * `made` is JSON text of what the task's functions gave for the payload. The job's own options go before all that is the
 * task's.
 */
export function resolveFlow(task: TaskFlow, own: OwnFlow, made: string, now: number): Resolved {
  const given = JSON.parse(made);
  const asked = check(given);
  if (!asked.ok) {
    const option = optionOf(asked.wrong);
    return { ok: false, wrong: ofPayload(task, option, came(given[option], asked.wrong)) };
  }
  const flow: FlowOptions = { ...task.fixed, ...asked.options, ...own.options };
  if (own.options.cost === undefined) flow.cost = ofKinds(flow.cost, flow.keys);
  const wrong = contradiction(flow, own, now);
  if (wrong) return { ok: false, wrong: blame(wrong, task, own, asked.options) };
  return { ok: true, fields: toWire(flow, now) };
}

function ofKinds(cost: FlowOptions["cost"], keys: FlowOptions["keys"]): FlowOptions["cost"] {
  return cost && Object.fromEntries(Object.entries(cost).filter(([kind]) => Object.hasOwn(keys ?? {}, kind)));
}

/** What no option alone can tell. `beside` is the other one, where it takes two. */
interface Contradiction extends Wrong {
  beside?: "runAt" | "delay" | "unique";
}

function contradiction(flow: FlowOptions, own: Partial<OwnFlow>, now: number): Contradiction | null {
  const { keys = {}, cost = {}, unique, deadline } = flow;
  const kind = Object.keys(cost).find((one) => cost[one] !== undefined && !(Object.hasOwn(keys, one) && keys[one]));
  // A task's cost counts for the kinds that the job has, whoever gives them.
  if (kind !== undefined && own.options?.cost) {
    const there = Object.keys(keys).join(", ") || "none";
    return { path: joinPath("cost", kind), message: `is of no kind in keys: there are ${there}` };
  }
  const wrong = unique ? uniqueContradiction(unique) : null;
  if (wrong) return wrong;
  const { at, beside } = startOf(unique, own, now);
  if (unique?.onConflict === "debounce" && (own.runAt ?? own.delay) !== undefined) {
    const path = own.runAt === undefined ? "delay" : "runAt";
    return { path, message: "stands beside debounce, which starts the job `wait` after the latest request" };
  }
  if (deadline === undefined) return null;
  const end = readDeadline(deadline, now);
  if (end.at <= now) return { path: "deadline", message: "is not ahead of now" };
  if (end.at > now + MAX_AHEAD_MS) return { path: "deadline", message: "is more than 366 days ahead" };
  if (end.at <= at) return { path: "deadline", message: `is not after the start of the job by ${beside}`, beside };
  return null;
}

/** When the job starts at the earliest, and which option says so. */
function startOf(
  unique: CheckedUnique | undefined,
  own: Partial<OwnFlow>,
  now: number,
): { at: number; beside?: Contradiction["beside"] } {
  if (unique?.onConflict === "debounce") return { at: now + parseDuration(unique.wait!), beside: "unique" };
  if (own.runAt !== undefined) return { at: parseInstant(own.runAt)!, beside: "runAt" };
  if (own.delay !== undefined) return { at: now + parseDuration(own.delay), beside: "delay" };
  return { at: now };
}

/** Says it where the caller can mend it: at an option of the job's own, or at the payload of which the task made one. */
function blame(wrong: Contradiction, task: TaskFlow, own: OwnFlow, made: FlowOptions): Wrong {
  const { path, message, beside } = wrong;
  const option = optionOf(wrong);
  if (!Object.hasOwn(FLOW, option) || Object.hasOwn(own.options, option)) return { path, message };
  for (const culprit of [option, beside as FlowOption]) {
    if (Object.hasOwn(made, culprit)) {
      return ofPayload(task, culprit, came(made[culprit], wrong));
    }
  }
  const mine = beside === "unique" ? "unique.wait" : beside!;
  return { path: mine, message: `leaves no time before the deadline of task "${task.name}", ${task.fixed.deadline}` };
}

function ofPayload(task: TaskFlow, option: FlowOption, what: string): Wrong {
  return { path: "payload", message: `makes ${option} of task "${task.name}" ${what}` };
}

function came(value: unknown, { path, message }: Wrong): string {
  return `${cut(JSON.stringify(value), 120)}, but ${path} ${message}`;
}

function optionOf({ path }: Wrong): FlowOption {
  return path.split(".", 1)[0] as FlowOption;
}

const cut = (text: string, chars = 64) => text.slice(0, chars).toWellFormed();

function toWire(flow: FlowOptions, now: number): Partial<JobTemplate> {
  const { keys, cost, fairKey, orderingKey, unique, deadline } = flow;
  const fields: Partial<JobTemplate> = {};
  const kept = Object.entries(keys ?? {}).filter(([, value]) => value !== undefined);
  if (kept.length > 0) fields.keys = Object.fromEntries(kept);
  // A cost of 1 is what every kind has.
  const dear = Object.entries(cost ?? {}).filter(([, units]) => units !== undefined && units !== 1);
  if (dear.length > 0) fields.cost = Object.fromEntries(dear);
  if (fairKey !== undefined) fields.fairKey = fairKey;
  if (orderingKey !== undefined) fields.orderingKey = orderingKey;
  if (unique !== undefined) fields.unique = toUnique(unique);
  if (deadline !== undefined) Object.assign(fields, readDeadline(deadline, now).field);
  return fields;
}

function toUnique({ key, states, ttl, onConflict = "return", wait, maxWait }: CheckedUnique): UniqueTemplate {
  const ms = (text: string | undefined) => (text === undefined ? null : parseDuration(text));
  const changes = onConflict === "replace" || onConflict === "debounce";
  const usual: UniqueState[] = changes ? ["waiting"] : ["waiting", "running"];
  const throttle = onConflict === "throttle";
  const held: readonly UniqueState[] = throttle ? UNIQUE_STATES : (states ?? usual);
  return {
    key,
    states: UNIQUE_STATES.filter((state) => held.includes(state)),
    ttlMs: ms(throttle ? wait : ttl),
    onConflict,
    waitMs: ms(wait),
    maxWaitMs: ms(maxWait),
  };
}

/** A deadline as the object takes it, and the instant that it is for a job accepted now. */
function readDeadline(text: string, now: number): { field: Partial<JobTemplate>; at: number } {
  const deadlineAt = parseInstant(text);
  if (deadlineAt !== null) return { field: { deadlineAt }, at: deadlineAt };
  const deadlineMs = parseDuration(text);
  return { field: { deadlineMs }, at: now + deadlineMs };
}
