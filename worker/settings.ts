/**
 * A queue's settings as people write them (`lease: "30s"`) and as the object counts them (`leaseMs: 30000`).
 *
 * @module
 */
import { z } from "zod";
import { formatDuration, parseDuration } from "../client/duration.ts";
import type { Duration, EffectiveConfig, Setting } from "../client/types.ts";
import type { EffectiveSettings, Settings, SettingsPatch } from "../client/wire.ts";
import { duration, wholeNumber } from "./fields.ts";
import { limitPatches, limitSettings } from "./limit-schema.ts";
import { toEffectiveLimits, toLimitPatch } from "./limit-settings.ts";

const KEEP = { min: "1m", max: "3660d" } as const;

/** Each setting as the API and the code take it. */
export const settingFields = {
  concurrency: wholeNumber(1, 1_000_000).describe("Most jobs running at once across all sessions."),
  slots: wholeNumber(1, 500).describe("Jobs that one session runs side by side."),
  maxSessions: wholeNumber(1, 1_000).describe("Most sessions at once."),
  lease: duration("5s", "10m").describe("Time for which the queue believes in a silent session."),
};

/** The same for finished jobs. */
export const historyFields = {
  completed: z
    .enum(["all", "none"], 'is "all" or "none"')
    .describe("`none` keeps no completed job; its result is still answered for ten minutes."),
  keep: duration(KEEP.min, KEEP.max).describe("How long completed jobs are kept."),
  keepDead: duration(KEEP.min, KEEP.max).describe("How long dead and cancelled jobs are kept."),
};

/** The schema of a queue in code: everything may be left out. */
export const queueConfig = z
  .strictObject({ ...settingFields, history: z.strictObject(historyFields).partial(), ...limitSettings })
  .partial();

/** A JSON Merge Patch of the settings: null takes an override back. */
export const settingsPatch = z
  .strictObject({
    concurrency: settingFields.concurrency.nullable(),
    slots: settingFields.slots.nullable(),
    maxSessions: settingFields.maxSessions.nullable(),
    lease: settingFields.lease.nullable(),
    history: z
      .strictObject({
        completed: historyFields.completed.nullable(),
        keep: historyFields.keep.nullable(),
        keepDead: historyFields.keepDead.nullable(),
      })
      .partial()
      .nullable(),
    ...limitPatches,
  })
  .partial();

type Patch = z.infer<typeof settingsPatch>;

/** Settings of a queue in code, in the object's units. What was left out is absent. */
export function toSettings(config: z.infer<typeof queueConfig>): Partial<Settings> {
  return toSettingsPatch(config) as Partial<Settings>;
}

/** A checked patch in the object's units. `history: null` takes back all of it. */
export function toSettingsPatch(asked: Patch): SettingsPatch {
  const { concurrency, slots, maxSessions, lease, history, ...limits } = asked;
  const kept = history === null ? { completed: null, keep: null, keepDead: null } : (history ?? {});
  const patch: SettingsPatch = {
    concurrency,
    slots,
    maxSessions,
    leaseMs: toMs(lease),
    historyCompleted: kept.completed,
    historyKeepMs: toMs(kept.keep),
    historyKeepDeadMs: toMs(kept.keepDead),
    ...toLimitPatch(limits),
  };
  return Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
}

/** The settings in force as the API shows them. */
export function toEffectiveConfig(settings: EffectiveSettings): EffectiveConfig {
  const { concurrency, slots, maxSessions, leaseMs, historyCompleted, historyKeepMs, historyKeepDeadMs } = settings;
  return {
    concurrency,
    slots,
    maxSessions,
    lease: asDuration(leaseMs),
    history: {
      completed: historyCompleted,
      keep: asDuration(historyKeepMs),
      keepDead: asDuration(historyKeepDeadMs),
    },
    ...toEffectiveLimits(settings),
  };
}

function toMs(text: string | null | undefined): number | null | undefined {
  return typeof text === "string" ? parseDuration(text) : text;
}

function asDuration({ value, origin }: Setting<number>): Setting<Duration> {
  return { value: formatDuration(value), origin };
}
