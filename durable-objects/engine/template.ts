/**
 * What a template comes to at the time of its acceptance.
 *
 * @module
 */
import { type JobTemplate, type StoredOptions, writeOptions } from "../../client/wire.ts";
import type { Stored } from "./insert.ts";
import { internLane, laneSpecOf } from "./lanes.ts";
import { DELAY_MS_MAX } from "./limits.ts";
import type { Tx } from "./ports.ts";

/** When a job of this template may start. `firstAt`: when the first of those that it is debounced with was accepted. */
export function startOf(now: number, template: JobTemplate, firstAt: number): number {
  const { runAt, delayMs, unique } = template;
  const debounced = unique?.onConflict === "debounce" && unique.waitMs !== null;
  const asked = debounced
    ? Math.min(now + unique.waitMs!, firstAt + (unique.maxWaitMs ?? Number.POSITIVE_INFINITY))
    : (runAt ?? now + delayMs);
  return Math.min(Math.max(asked, now), now + DELAY_MS_MAX);
}

/** A job of this template as it is stored; `blocked` where others of its ordering key are before it. */
export function storedOf(tx: Tx, template: JobTemplate, firstAt: number, blocked: boolean): Stored {
  const runAt = startOf(tx.now, template, firstAt);
  const options = optionsOf(tx, template);
  const expiresAt = earlier(options.expiresAt, options.deadlineAt);
  const scheduled = runAt > tx.now && !blocked;
  return {
    lane: internLane(tx, laneSpecOf(template.task, options)),
    state: blocked ? "blocked" : scheduled ? "scheduled" : "ready",
    priority: template.priority,
    rank: runAt,
    wakeAt: scheduled ? Math.min(runAt, expiresAt ?? runAt) : expiresAt,
    expiresAt,
    runAt,
    timeoutMs: template.timeoutMs,
    options: writeOptions(options),
    ordering: options.orderingKey,
    uniqueKey: options.unique?.key ?? null,
  };
}

function earlier(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b);
}

function optionsOf(tx: Tx, template: JobTemplate): StoredOptions {
  const { expiresInMs, deadlineMs = null, deadlineAt = null } = template;
  return {
    maxAttempts: template.maxAttempts,
    backoff: template.backoff,
    ownBackoff: template.ownBackoff,
    timeoutMs: template.timeoutMs,
    expiresAt: expiresInMs === null ? null : tx.now + expiresInMs,
    tags: template.tags,
    meta: template.meta,
    actor: template.actor,
    version: template.version,
    traceparent: template.traceparent,
    keys: template.keys ?? null,
    cost: template.cost ?? null,
    fairKey: template.fairKey ?? null,
    orderingKey: template.orderingKey ?? null,
    deadlineAt: deadlineAt ?? (deadlineMs === null ? null : tx.now + deadlineMs),
    unique: template.unique ?? null,
    schedule: template.schedule ?? null,
    parent: template.parent ?? null,
  };
}
