/**
 * A queue's settings: default, then code, then what was set through the API.
 *
 * @module
 */
import type { ConfigOrigin } from "../../client/types.ts";
import type { EffectiveSettings, Settings, SettingsPatch } from "../../client/wire.ts";
import { DAY } from "./limits.ts";
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
};

/** Smallest and largest value of each number. */
const RANGES: Record<Exclude<keyof Settings, "historyCompleted">, [number, number]> = {
  concurrency: [1, 1_000_000],
  slots: [1, 500],
  maxSessions: [1, 1_000],
  leaseMs: [5_000, 600_000],
  historyKeepMs: [60_000, 3_660 * DAY],
  historyKeepDeadMs: [60_000, 3_660 * DAY],
};

/** Each setting with where it comes from. */
export function effectiveSettings(code: CodeSettings, overrides: Overrides): EffectiveSettings {
  const pick = (key: keyof Settings): { value: unknown; origin: ConfigOrigin } => {
    if (overrides[key] !== undefined) return { value: overrides[key], origin: "api" };
    if (code[key] !== undefined) return { value: code[key], origin: "code" };
    return { value: DEFAULT_SETTINGS[key], origin: "default" };
  };
  const keys = Object.keys(DEFAULT_SETTINGS) as (keyof Settings)[];
  return Object.fromEntries(keys.map((key) => [key, pick(key)])) as unknown as EffectiveSettings;
}

/** What is wrong with settings, or null. */
export function invalidSetting(settings: SettingsPatch): string | null {
  for (const [key, value] of Object.entries(settings)) {
    if (value === null || value === undefined) continue;
    if (key === "historyCompleted") {
      if (value !== "all" && value !== "none")
        return `history.completed is "all" or "none": got ${JSON.stringify(value)}`;
      continue;
    }
    const range = RANGES[key as keyof typeof RANGES];
    if (!range) return `there is no setting ${key}`;
    const [least, most] = range;
    if (!Number.isInteger(value) || Number(value) < least || Number(value) > most) {
      return `${key} is an integer from ${least} to ${most}: got ${JSON.stringify(value)}`;
    }
  }
  return null;
}

/** Overrides after a JSON Merge Patch. */
export function patchOverrides(overrides: Overrides, patch: SettingsPatch): Overrides {
  const merged = { ...overrides, ...patch };
  return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null && value !== undefined));
}
