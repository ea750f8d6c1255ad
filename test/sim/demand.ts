import type { JobTemplate, UniqueTemplate } from "../../client/wire.ts";
import type { Features } from "./features.ts";
import type { Random } from "./random.ts";
import { TAKE_NAMES, TASK_NAMES } from "./tasks.ts";

export const KINDS = ["tenant", "vendor", "constructor"] as const;

/** A value of a kind: few, so that they meet. */
export function drawValue(random: Random, kind: string): string {
  return random.pick(kind === "vendor" ? ["v:1", "v:2"] : ["a", "b", "c", "__proto__"]);
}

/** A job as somebody may ask for it, within the features of the run. */
export function drawTemplate(random: Random, features: Features, now: number): JobTemplate {
  const start = random.weighted({ now: 6, delay: 3, at: 1 });
  const backoff = random.pick([
    null,
    { type: "fixed" as const, delay: "100ms" as const },
    { type: "exponential" as const, base: "1s" as const, max: "30s" as const, jitter: 1 },
  ]);
  return {
    task: drawTask(random, features),
    priority: random.pick([0, 0, 0, 1, -1, 5]),
    runAt: start === "at" ? now + random.int(-5_000, 60_000) : null,
    delayMs: start === "delay" ? random.pick([1, 500, 5_000, 60_000, 600_000]) : 0,
    maxAttempts: random.int(1, 4),
    backoff,
    ownBackoff: backoff !== null,
    timeoutMs: random.pick(features.long ? [1_000, 2_000, 10_000, 20_000, 40_000] : [1_000, 2_000, 10_000, 20_000]),
    expiresInMs: random.chance(0.15) ? random.pick([1, 1_000, 20_000, 300_000]) : null,
    tags: random.chance(0.2) ? ["tag"] : [],
    meta: null,
    actor: null,
    version: null,
    traceparent: null,
    ...drawKeys(random, features),
    fairKey: features.fairness && random.chance(0.7) ? drawFairKey(random) : null,
    orderingKey: features.ordering && random.chance(0.4) ? `o${random.int(1, 3)}` : null,
    ...(features.deadlines ? drawDeadline(random, now) : {}),
    unique: features.unique && random.chance(0.4) ? drawUnique(random) : null,
  };
}

function drawTask(random: Random, { takes }: Features): string {
  if (random.chance(0.02)) return "nobody";
  return takes && random.chance(0.3) ? random.pick(TAKE_NAMES) : random.pick(TASK_NAMES.slice(0, -1));
}

function drawDeadline(random: Random, now: number): Pick<JobTemplate, "deadlineMs" | "deadlineAt"> {
  const ms = random.pick([1, 1_000, 10_000, 60_000, 600_000]);
  const kind = random.weighted({ none: 4, after: 3, at: 1 });
  return { deadlineMs: kind === "after" ? ms : null, deadlineAt: kind === "at" ? now + ms - 500 : null };
}

/** With final states a key holds for a time; without, as long as its job does. */
function drawUnique(random: Random): UniqueTemplate {
  const key = `u${random.int(1, 4)}`;
  const onConflict = random.pick(["return", "return", "reject", "replace", "debounce", "throttle"] as const);
  const ttlMs = random.pick([1_000, 20_000, 300_000]);
  const all = ["waiting", "running", "completed", "dead", "cancelled"] as const;
  if (onConflict === "throttle") {
    return { key, states: [...all], ttlMs, onConflict, waitMs: ttlMs, maxWaitMs: null };
  }
  const states = random.pick([all.slice(0, 1), all.slice(0, 2), all.slice(0, 2), all.slice(0, 3), all.slice()]);
  const bounded = states.length > 2 || random.chance(0.2);
  const waits = onConflict === "debounce";
  return {
    key,
    states,
    ttlMs: bounded ? ttlMs : null,
    onConflict,
    waitMs: waits ? random.pick([100, 5_000, 60_000]) : null,
    maxWaitMs: waits ? random.pick([null, 10_000, 120_000]) : null,
  };
}

function drawKeys(random: Random, { limits, rates, closures }: Features): Pick<JobTemplate, "keys" | "cost"> {
  if (!(limits || rates || closures)) return {};
  const kinds = KINDS.filter(() => random.chance(0.4));
  if (kinds.length === 0) return { keys: null, cost: null };
  const dear = rates ? kinds.filter(() => random.chance(0.2)) : [];
  return {
    keys: named(kinds.map((kind) => [kind, drawValue(random, kind)])),
    cost: dear.length === 0 ? null : named(dear.map((kind) => [kind, random.int(2, 8)])),
  };
}

/** Now and then a key that nobody had before. */
function drawFairKey(random: Random): string {
  return random.chance(0.15) ? `new${random.int(1, 1_000_000)}` : `f${random.int(1, 4)}`;
}

/** An object with these own properties, whatever their names. */
function named<Value>(entries: [string, Value][]): { [name: string]: Value } {
  return Object.fromEntries(entries);
}
