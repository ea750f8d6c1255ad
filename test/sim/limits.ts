import type { JobTemplate, LimitSetting, RateLimitSetting, Settings } from "../../client/wire.ts";
import type { Invariant } from "./violation.ts";

/** By how much an instant that was computed may be off. */
const ROUNDING_MS = 0.01;

/** What may keep a job from starting: the queue, a task or a key, with what is set for it. */
export interface ModelGate {
  /** `queue`, `task:<task>` or `key:<kind>:<value>`. */
  name: string;
  concurrency: number;
  rate: RateLimitSetting | null;
  holders: number;
  /** No start before this instant. */
  closedUntil: number;
  /** When the bucket is full again: at the earliest, and at the latest. They differ after a change of the rate only. */
  fullAtLeast: number;
  fullAtMost: number;
}

/** A gate that a job goes through, and what it takes of its bucket. */
export interface Passage {
  gate: ModelGate;
  cost: number;
}

type Own = <Value>(of: { [name: string]: Value } | undefined, name: string) => Value | undefined;
const own: Own = (of, name) => (of && Object.hasOwn(of, name) ? of[name] : undefined);

/** Every gate of a queue: who passes, by the settings in force, the holders counted and the starts noted. */
export class Limits {
  readonly #gates = new Map<string, ModelGate>();
  #rules: Partial<Settings> = {};

  /** The gates of a job. */
  passages({ task, keys, cost }: Pick<JobTemplate, "task" | "keys" | "cost">): Passage[] {
    return [
      { gate: this.gate("queue"), cost: 1 },
      { gate: this.gate(`task:${task}`), cost: 1 },
      ...Object.entries(keys ?? {}).map(([kind, value]) => ({
        gate: this.gate(`key:${kind}:${value}`),
        cost: own(cost ?? undefined, kind) ?? 1,
      })),
    ];
  }

  gate(name: string): ModelGate {
    let gate = this.#gates.get(name);
    if (!gate) {
      gate = {
        name,
        concurrency: Number.POSITIVE_INFINITY,
        rate: null,
        holders: 0,
        closedUntil: 0,
        fullAtLeast: 0,
        fullAtMost: 0,
      };
      this.#set(gate, 0);
      this.#gates.set(name, gate);
    }
    return gate;
  }

  gates(): Iterable<ModelGate> {
    return this.#gates.values();
  }

  /** The settings are these from now on. */
  apply(rules: Partial<Settings>, now: number): void {
    this.#rules = rules;
    for (const gate of this.#gates.values()) this.#set(gate, now);
  }

  #set(gate: ModelGate, now: number): void {
    const { concurrency, rateLimit } = this.#limitOf(gate.name);
    gate.concurrency = concurrency ?? Number.POSITIVE_INFINITY;
    const [before, rate] = [gate.rate, rateLimit ?? null];
    if (JSON.stringify(before) === JSON.stringify(rate)) return;
    gate.rate = rate;
    if (!rate) return;
    // What the old rate left of the bucket may count as time, as tokens that are there, or as tokens that are missing.
    const missing = before ? Math.max(0, gate.fullAtMost - now) / tokenMs(before) : 0;
    const held = before ? before.burst - missing : rate.burst;
    const most = Math.min(rate.burst, Math.max(missing, rate.burst - held));
    gate.fullAtMost = Math.max(gate.fullAtMost, now + most * tokenMs(rate));
    gate.fullAtLeast = 0;
  }

  #limitOf(name: string): LimitSetting {
    const rules = this.#rules;
    if (name === "queue") {
      return {
        ...(rules.concurrency != null ? { concurrency: rules.concurrency } : {}),
        ...(rules.rateLimit != null ? { rateLimit: rules.rateLimit } : {}),
      };
    }
    if (name.startsWith("task:")) return own(rules.tasks, name.slice(5)) ?? {};
    const [, kind, value] = /^key:([^:]*):(.*)$/s.exec(name)!;
    const of = own(rules.limits, kind!);
    return { ...of, ...own(of?.values, value!) };
  }

  /** A bucket that is full stays so until something starts, also where the clock is put back. */
  passed(now: number): void {
    for (const gate of this.#gates.values()) if (gate.fullAtLeast <= now) gate.fullAtLeast = 0;
  }

  /** Somebody closes a key from now on, or (0) opens it. */
  close(kind: string, value: string, forMs: number, now: number): void {
    this.gate(`key:${kind}:${value}`).closedUntil = forMs === 0 ? 0 : now + forMs;
  }

  /** A job starts: notes what it takes, and says what did not allow it. */
  start(passages: Passage[], now: number): [Invariant, string] | null {
    let wrong: [Invariant, string] | null = null;
    for (const { gate, cost } of passages) {
      if (gate.closedUntil > now) wrong ??= ["closed-keys", `${gate.name} is closed for ${gate.closedUntil - now} ms`];
      const { rate } = gate;
      if (!rate) continue;
      const taken = Math.min(cost, rate.burst) * tokenMs(rate);
      gate.fullAtLeast = Math.max(gate.fullAtLeast, now) + taken;
      gate.fullAtMost = Math.max(gate.fullAtMost, now) + taken;
      const overMs = gate.fullAtLeast - now - rate.burst * tokenMs(rate);
      if (overMs > ROUNDING_MS) wrong ??= ["rate", `${gate.name} is ${overMs} ms ahead of ${JSON.stringify(rate)}`];
    }
    return wrong;
  }
}

function tokenMs({ limit, perMs }: RateLimitSetting): number {
  return perMs / limit;
}

/** What more a gate must let through: a dearer job that waits there, and less what has just started. */
export interface Instead {
  cost: number;
  holders: number;
  takenMs: number;
}

/** From when on a gate lets a job of this cost start for sure; null: nobody knows the instant. */
export function opensAt({ gate, cost }: Passage, now: number, instead?: Instead): number | null {
  if (gate.holders - (instead?.holders ?? 0) >= gate.concurrency) return null;
  const filled = filledAt(gate, Math.max(cost, instead?.cost ?? 0), gate.fullAtMost) - (instead?.takenMs ?? 0);
  return Math.max(now, gate.closedUntil, Math.ceil(filled + ROUNDING_MS));
}

/** Whether a gate is closed to a job of this cost for sure. */
export function isClosed({ gate, cost }: Passage, now: number): boolean {
  return (
    gate.holders >= gate.concurrency ||
    gate.closedUntil > now ||
    filledAt(gate, cost, gate.fullAtLeast) - ROUNDING_MS > now
  );
}

function filledAt({ rate }: ModelGate, cost: number, fullAt: number): number {
  return rate ? fullAt - (rate.burst - Math.min(cost, rate.burst)) * tokenMs(rate) : Number.NEGATIVE_INFINITY;
}

/** Jobs that start take the tokens of a dear one that waits: so the bucket is saved for the dearest of each gate. */
export function dearest(jobs: Iterable<{ passages: Passage[] }>): Map<ModelGate, number> {
  const most = new Map<ModelGate, number>();
  for (const { passages } of jobs) {
    for (const { gate, cost } of passages) if (gate.rate && cost > (most.get(gate) ?? 1)) most.set(gate, cost);
  }
  return most;
}

/** Whether every gate lets a job start for sure; `without`: had these not just started. */
export function isOpen(
  passages: Passage[],
  now: number,
  saved: Map<ModelGate, number>,
  without: readonly { passages: Passage[] }[] = [],
): boolean {
  return passages.every((passage) => {
    const { gate } = passage;
    const instead = { cost: saved.get(gate) ?? 0, holders: 0, takenMs: 0 };
    for (const other of without) {
      const same = other.passages.find((its) => its.gate === gate);
      if (!same) continue;
      instead.holders += 1;
      if (gate.rate) instead.takenMs += Math.min(same.cost, gate.rate.burst) * tokenMs(gate.rate);
    }
    const at = opensAt(passage, now, instead);
    return at !== null && at <= now;
  });
}
