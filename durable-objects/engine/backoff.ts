/**
 * When the next attempt may start.
 *
 * @module
 */
import type { Backoff } from "../../client/types.ts";
import { DECLINE_MS_MAX, DECLINE_MS_MIN, DELAY_MS_MAX, RETRY_BASE_MS, RETRY_MS_MAX } from "./limits.ts";

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Durations reach the engine inside stored policies, validated at the door. */
function durationMs(text: string): number {
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text)!;
  return Number(amount) * UNIT_MS[unit!]!;
}

/**
 * Delay in ms before the attempt after `failures` failures (1: the first). No policy: 1 min, 2, 4, 8 … up to 6 h.
 * Jitter only ever adds: at most its share of the delay, 10 % unless the policy says otherwise.
 */
export function retryDelayMs(policy: Backoff | null, failures: number, random: () => number): number {
  const jitter = 1 + (policy?.jitter ?? 0.1) * random();
  if (policy?.type === "fixed") return clampDelayMs(durationMs(policy.delay) * jitter);
  const baseMs = policy ? durationMs(policy.base) : RETRY_BASE_MS;
  const maxMs = policy?.max ? durationMs(policy.max) : RETRY_MS_MAX;
  return clampDelayMs(Math.min(baseMs * 2 ** Math.min(failures - 1, 60), maxMs) * jitter);
}

/** Delay in ms after the nth time (1: the first) that no worker wanted to run a job. */
export function declineDelayMs(declines: number): number {
  return Math.min(DECLINE_MS_MIN * 2 ** Math.min(declines - 1, 20), DECLINE_MS_MAX);
}

/** A delay that somebody asked for, as a whole number of ms that the engine accepts. */
export function clampDelayMs(ms: number): number {
  return Number.isFinite(ms) ? Math.min(Math.max(Math.round(ms), 0), DELAY_MS_MAX) : DELAY_MS_MAX;
}
