/**
 * The states of a job and every edge between them, in one table.
 *
 * ```
 *   nothing                     ──enqueue──────────────────────────────────────────► scheduled, blocked, ready
 *   scheduled                   ──promote, hasten──────────────────────────────────► ready
 *   scheduled, ready            ──reschedule───────────────────────────────────────► scheduled, ready
 *   blocked                     ──unblock──────────────────────────────────────────► scheduled, ready
 *   scheduled, blocked, ready   ──replace──────────────────────────────────────────► scheduled, blocked, ready
 *   ready                       ──claim────────────────────────────────────────────► running
 *   running                     ──complete─────────────────────────────────────────► completed
 *   running                     ──release, lapse───────────────────────────────────► ready
 *   running                     ──fail, snooze, decline, lapse─────────────────────► scheduled
 *   running                     ──fail, dead, decline, lapse───────────────────────► dead
 *   running                     ──stop, fail, dead, snooze, release, decline, lapse─► cancelled
 *   scheduled, blocked, ready   ──cancel, expire───────────────────────────────────► cancelled
 *   completed, dead, cancelled  ──reopen───────────────────────────────────────────► blocked, ready
 * ```
 *
 * A running job that somebody cancelled ends cancelled, however its attempt ends, unless it completes; so does one
 * that is past its deadline, or whose unique key another job has taken.
 *
 * Every unfinished state has a timer or an owner that moves it on: `scheduled` its `wake_at`, `ready` a ticket or a
 * session, `running` its session's lease, `blocked` the end of the job before it in its ordering key's line.
 *
 * @module
 */
import type { FinalState, JobState } from "../../client/types.ts";
import { assert } from "./assert.ts";

export const FINAL: readonly FinalState[] = ["completed", "dead", "cancelled"];

/** `null` stands for "no row": before enqueue. */
interface Edge {
  from: readonly (JobState | null)[];
  to: readonly JobState[];
}

export const EDGES = {
  enqueue: { from: [null], to: ["scheduled", "blocked", "ready"] },
  promote: { from: ["scheduled"], to: ["ready"] },
  claim: { from: ["ready"], to: ["running"] },
  complete: { from: ["running"], to: ["completed"] },
  fail: { from: ["running"], to: ["scheduled", "dead", "cancelled"] },
  dead: { from: ["running"], to: ["dead", "cancelled"] },
  snooze: { from: ["running"], to: ["scheduled", "cancelled"] },
  release: { from: ["running"], to: ["ready", "cancelled"] },
  decline: { from: ["running"], to: ["scheduled", "dead", "cancelled"] },
  stop: { from: ["running"], to: ["cancelled"] },
  lapse: { from: ["running"], to: ["ready", "scheduled", "dead", "cancelled"] },
  cancel: { from: ["scheduled", "blocked", "ready"], to: ["cancelled"] },
  expire: { from: ["scheduled", "blocked", "ready"], to: ["cancelled"] },
  reschedule: { from: ["scheduled", "ready"], to: ["scheduled", "ready"] },
  unblock: { from: ["blocked"], to: ["scheduled", "ready"] },
  replace: { from: ["scheduled", "blocked", "ready"], to: ["scheduled", "blocked", "ready"] },
  hasten: { from: ["scheduled"], to: ["ready"] },
  reopen: { from: ["completed", "dead", "cancelled"], to: ["blocked", "ready"] },
} as const satisfies Record<string, Edge>;

export type Verb = keyof typeof EDGES;

export function isFinal(state: JobState): state is FinalState {
  return (FINAL as readonly string[]).includes(state);
}

/** Asserts that `verb` may take a job from `from` to `to`. */
export function assertEdge(verb: Verb, from: JobState | null, to: JobState): void {
  const edge: Edge = EDGES[verb];
  assert(edge.from.includes(from) && edge.to.includes(to), `no edge ${verb} from ${from} to ${to}`);
}
