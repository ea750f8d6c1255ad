/**
 * Limits as people write them (`{ limit: 10, per: "1s" }`) and as the object counts them.
 *
 * @module
 */
import { formatDuration, parseDuration } from "../client/duration.ts";
import type { Ageing, EffectiveConfig, EffectiveLimit, RateLimit, Setting } from "../client/types.ts";
import type { EffectiveLimitSetting, EffectiveSettings, RateLimitSetting, SettingsPatch } from "../client/wire.ts";
import { nearest } from "./issues.ts";

interface Limit {
  concurrency?: number | null;
  rateLimit?: AskedRate | null;
}
/** A rate as a schema lets it pass: its duration is checked, and a string. */
type AskedRate = Omit<RateLimit, "per"> & { per: string };
interface Kind extends Limit {
  values?: Named<Limit | null> | null;
}
interface Named<Value> {
  [name: string]: Value;
}
/** The limits of a config, or of a patch of one. */
export interface Limits {
  rateLimit?: AskedRate | null;
  ageing?: (Omit<Ageing, "per"> & { per: string }) | null;
  tasks?: Named<Limit | null> | null;
  limits?: Named<Kind | null> | null;
  fairness?: { weights?: Named<number | null> | null } | null;
}

/** In the object's units. What was left out is undefined, and what is null stays so. */
export function toLimitPatch({ rateLimit, ageing, tasks, limits, fairness }: Limits): SettingsPatch {
  return {
    rateLimit: given(rateLimit, toRate),
    ageing: given(ageing, ({ per, priority }) => ({ perMs: parseDuration(per), priority })),
    tasks: given(tasks, (all) => mapped(all, (one) => given(one, toLimit))),
    limits: given(limits, (all) => mapped(all, (one) => given(one, toKind))),
    weights: fairness === null ? null : fairness?.weights,
  };
}

function toLimit({ concurrency, rateLimit }: Limit) {
  return present({ concurrency, rateLimit: given(rateLimit, toRate) });
}

function toKind({ values, ...limit }: Kind) {
  const exceptions = given(values, (all) => mapped(all, (one) => given(one, toLimit)));
  return { ...toLimit(limit), ...present({ values: exceptions }) };
}

/** In the object's units. */
export function toRate({ limit, per, burst = limit }: AskedRate): RateLimitSetting {
  return { limit, perMs: parseDuration(per), burst };
}

/**
 * The first task that limits are set for and that is not known, with the one that was probably meant. Taking back is
 * always allowed: the task may be gone from the code.
 */
export function unknownTask(
  { tasks }: Limits,
  known: ReadonlyMap<string, unknown>,
): { name: string; near: string | null } | null {
  const sets = (limit: Limit | null) => Object.values(limit ?? {}).some((value) => value !== null);
  const unknown = Object.entries(tasks ?? {}).find(([name, limit]) => !known.has(name) && sets(limit));
  return unknown ? { name: unknown[0], near: nearest(unknown[0], known.keys()) } : null;
}

/** The limits in force as the API shows them. */
export function toEffectiveLimits(
  settings: EffectiveSettings,
): Pick<EffectiveConfig, "rateLimit" | "ageing" | "tasks" | "limits" | "fairness"> {
  const { rateLimit, ageing, tasks, limits, weights } = settings;
  return {
    rateLimit: shown(rateLimit, (value) => value && showRate(value)),
    ageing: shown(ageing, (value) => value && { per: formatDuration(value.perMs), priority: value.priority }),
    tasks: mapped(tasks, showLimit),
    limits: mapped(limits, ({ values = {}, ...limit }) => ({ ...showLimit(limit), values: mapped(values, showLimit) })),
    fairness: { weights },
  };
}

function showLimit({ concurrency, rateLimit }: EffectiveLimitSetting): EffectiveLimit {
  return present({ concurrency, rateLimit: rateLimit && shown(rateLimit, showRate) });
}

/** As it would be asked for, with its burst. */
export function showRate({ limit, perMs, burst }: RateLimitSetting): RateLimit {
  return { limit, per: formatDuration(perMs), burst };
}

function shown<From, To>({ value, origin }: Setting<From>, show: (value: From) => To): Setting<To> {
  return { value: show(value), origin };
}

function given<From, To>(value: From | null | undefined, convert: (value: From) => To): To | null | undefined {
  return value === null || value === undefined ? (value as null | undefined) : convert(value);
}

/** `Object.fromEntries` defines: a key may be called `__proto__`. */
function mapped<From, To>(all: Named<From>, convert: (one: From) => To): Named<To> {
  return Object.fromEntries(Object.entries(all).map(([name, one]) => [name, convert(one)]));
}

function present<Fields extends object>(fields: Fields): { [Key in keyof Fields]: Exclude<Fields[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
