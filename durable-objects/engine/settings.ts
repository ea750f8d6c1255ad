/**
 * A queue's settings: default, then code, then what was set through the API.
 *
 * @module
 */
import type { ConfigOrigin } from "../../client/types.ts";
import {
  BUCKET_FILL_MS_MAX,
  type EffectiveSettings,
  type LimitSetting,
  type RateLimitSetting,
  SETTING_NAMES_MAX,
  type Settings,
  type SettingsPatch,
} from "../../client/wire.ts";
import { DAY, OVERRIDES_BYTES_MAX, utf8Bytes } from "./limits.ts";
import type { CodeSettings } from "./ports.ts";

export type Overrides = Partial<Settings>;

export const DEFAULT_SETTINGS: Settings = {
  concurrency: null,
  slots: 6,
  maxSessions: 20,
  leaseMs: 30_000,
  historyCompleted: "all",
  historyKeepMs: 7 * DAY,
  historyKeepDeadMs: 30 * DAY,
  rateLimit: null,
  ageing: null,
  tasks: {},
  limits: {},
  weights: {},
};

type Path = readonly string[];
/** What is wrong with a value, or null. */
type Check = (value: unknown) => string | null;
interface Tree {
  [name: string]: unknown;
}

const integer =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && Number(value) >= least && Number(value) <= most
      ? null
      : `is an integer from ${least} to ${most}`;
const MOST = 1_000_000;
const concurrency = integer(1, MOST);
const weight: Check = (value) =>
  typeof value === "number" && value >= 0.001 && value <= 1_000 ? null : "is a number from 0.001 to 1000";

function rateLimit(value: unknown): string | null {
  const { limit, perMs, burst, ...rest } = (value ?? {}) as RateLimitSetting;
  const right =
    Object.keys(rest).length === 0 &&
    [limit, burst].every((n) => integer(1, MOST)(n) === null) &&
    integer(1_000, 31 * DAY)(perMs) === null;
  if (!right) return `is { limit, per, burst }: 1 to ${MOST} starts each 1 s to 31 d, and a burst of 1 to ${MOST}`;
  return (burst / limit) * perMs <= BUCKET_FILL_MS_MAX ? null : "has a burst that would take over 366 days to fill";
}

function ageing(value: unknown): string | null {
  const { perMs, priority, ...rest } = (value ?? {}) as NonNullable<Settings["ageing"]>;
  const right =
    Object.keys(rest).length === 0 && integer(1_000, DAY)(perMs) === null && integer(1, 32_767)(priority) === null;
  return right ? null : "is { per, priority }: 1 to 32767 for each 1 s to 1 d";
}

/** What may stand at a path; null: nothing. */
function checkOf([head, ...rest]: Path): Check | null {
  const limit: { [name: string]: Check } = { concurrency, rateLimit };
  if (rest.length === 0) {
    const checks: { [name: string]: Check } = {
      ...limit,
      slots: integer(1, 500),
      maxSessions: integer(1, 1_000),
      leaseMs: integer(5_000, 600_000),
      historyCompleted: (value) => (value === "all" || value === "none" ? null : 'is "all" or "none"'),
      historyKeepMs: integer(60_000, 3_660 * DAY),
      historyKeepDeadMs: integer(60_000, 3_660 * DAY),
      ageing,
    };
    return own(checks, head!);
  }
  if (head === "weights") return rest.length === 1 ? weight : null;
  if (head === "tasks") return rest.length === 2 ? own(limit, rest[1]!) : null;
  if (head !== "limits") return null;
  if (rest.length === 2) return own(limit, rest[1]!);
  return rest.length === 4 && rest[1] === "values" ? own(limit, rest[3]!) : null;
}

/** A task may be called `constructor`: only own properties count. */
function own<Value>(of: { [name: string]: Value }, name: string): Value | null {
  return Object.hasOwn(of, name) ? of[name]! : null;
}

/** Whether a tree holds others at this path, rather than a value. */
function isBranch(path: Path): boolean {
  const [head] = path;
  if (head === "weights") return path.length === 1;
  if (head === "tasks") return path.length <= 2;
  return head === "limits" && (path.length <= 2 || (path[2] === "values" && path.length <= 4));
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Each setting with where it comes from. */
export function effectiveSettings(code: CodeSettings, overrides: Overrides): EffectiveSettings {
  const layers: [ConfigOrigin, object][] = [
    ["default", DEFAULT_SETTINGS],
    ["code", code],
    ["api", overrides],
  ];
  const merged: Tree = {};
  for (const [origin, layer] of layers) mergeLayer(merged, layer as Tree, origin, []);
  return merged as EffectiveSettings;
}

function mergeLayer(into: Tree, layer: Tree, origin: ConfigOrigin, path: Path): void {
  for (const [name, value] of Object.entries(layer)) {
    if (value === undefined) continue;
    const here = [...path, name];
    if (!isBranch(here)) set(into, name, { value, origin });
    else mergeLayer(branch(into, name), value as Tree, origin, here);
  }
}

/** The settings in force, without their origins. */
export function plainSettings(code: CodeSettings, overrides: Overrides): Settings {
  const merged: Tree = {};
  for (const layer of [DEFAULT_SETTINGS, code, overrides]) mergePlain(merged, layer as unknown as Tree, []);
  return merged as unknown as Settings;
}

function mergePlain(into: Tree, layer: Tree, path: Path): void {
  for (const [name, value] of Object.entries(layer)) {
    if (value === undefined) continue;
    const here = [...path, name];
    if (!isBranch(here)) set(into, name, value);
    else mergePlain(branch(into, name), value as Tree, here);
  }
}

function branch(into: Tree, name: string): Tree {
  if (!Object.hasOwn(into, name)) set(into, name, {});
  return into[name] as Tree;
}

/** Assigning to `__proto__` would do something else. */
function set(into: Tree, name: string, value: unknown): void {
  Object.defineProperty(into, name, { value, enumerable: true, configurable: true, writable: true });
}

/** What is wrong with settings, or null. */
export function invalidSetting(settings: SettingsPatch): string | null {
  return invalidAt(settings as Tree, []);
}

function invalidAt(tree: Tree, path: Path): string | null {
  for (const [name, value] of Object.entries(tree)) {
    const here = [...path, name];
    const shown = here.join(".");
    const check = checkOf(here);
    if (!check && !isBranch(here)) return `there is no setting ${shown}`;
    if (value === null || value === undefined) continue;
    const wrong = check ? check(value) : isTree(value) ? invalidAt(value, here) : "is an object";
    if (wrong) return check || !isTree(value) ? `${shown} ${wrong}: got ${JSON.stringify(value)}` : wrong;
  }
  return null;
}

/** What of overrides is too much to keep, or null. */
export function excessOf(overrides: Overrides): string | null {
  const { tasks, kinds, values, weights } = SETTING_NAMES_MAX;
  const maps: [path: string, of: object | undefined, most: number][] = [
    ["tasks", overrides.tasks, tasks],
    ["limits", overrides.limits, kinds],
    ["weights", overrides.weights, weights],
  ];
  for (const [kind, limit] of Object.entries(overrides.limits ?? {})) {
    maps.push([`limits.${kind}.values`, limit.values, values]);
  }
  for (const [path, of, most] of maps) {
    const names = Object.keys(of ?? {}).length;
    if (names > most) return `${path} would name ${names}, and names at most ${most}: take some back with null`;
  }
  const bytes = utf8Bytes(JSON.stringify(overrides));
  if (bytes <= OVERRIDES_BYTES_MAX) return null;
  return `all overrides of the queue would take ${bytes} bytes as JSON, and take at most ${OVERRIDES_BYTES_MAX}`;
}

/** Overrides after a JSON Merge Patch. */
export function patchOverrides(overrides: Overrides, patch: SettingsPatch): Overrides {
  return patched(overrides as Tree, patch as Tree, []) as Overrides;
}

function patched(tree: Tree, patch: Tree, path: Path): Tree {
  const result: Tree = {};
  for (const [name, value] of Object.entries(tree)) if (!Object.hasOwn(patch, name)) set(result, name, value);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null || value === undefined) continue;
    const here = [...path, name];
    if (!isBranch(here)) set(result, name, value);
    else {
      const below = patched(isTree(tree[name]) ? tree[name] : {}, value as Tree, here);
      if (Object.keys(below).length > 0) set(result, name, below);
    }
  }
  return result;
}

/** The limits that a value of a kind has; what nobody set is absent. */
export function limitOf(settings: Settings, kind: string, value: string): LimitSetting {
  const of = own(settings.limits, kind);
  if (!of) return {};
  const { values, ...usual } = of;
  return { ...usual, ...(values ? own(values, value) : null) };
}

/** The limits of a task; what nobody set is absent. */
export function taskLimitOf(settings: Settings, task: string): LimitSetting {
  return own(settings.tasks, task) ?? {};
}
