/**
 * What a caller may reach, and the words for what it may not.
 *
 * Queues and jobs that stand in a route's path or query are looked at before the route is called (`refuseReach`); a
 * route that takes them from elsewhere says so (`asksReach`) and asks here itself.
 *
 * @module
 */
import type { Role } from "../client/types.ts";
import { type JobRecord, readOptions } from "../client/wire.ts";
import type { Caller } from "./caller.ts";
import { parseJobId } from "./job.ts";
import { type Refused, refuse } from "./problem.ts";

/** What a route is about, as far as its path and query say. */
export interface Target {
  queue: string | null;
  /** The id of a job, as it was given. */
  job: string | null;
}

/** Whether a role may call a route. `what` names the call: `POST /v1/operations`. */
export function refuseRole(caller: Caller, roles: readonly Role[], what: string): Refused | null {
  if (roles.includes(caller.role)) return null;
  const needed = roles.length === 1 ? roles[0] : `${roles.slice(0, -1).join(", ")} or ${roles.at(-1)}`;
  return refuse("forbidden", `${what} needs a token of role ${needed}; this one is of role ${caller.role}.`);
}

/** Whether a caller may touch what a call names: a job, or a queue as a whole. */
export function refuseReach(caller: Caller, { queue, job }: Target): Refused | null {
  if (caller.queues === null && caller.jobs === null) return null;
  return job === null ? refuseWhole(caller, queue) : refuseJob(caller, job);
}

/** Whether a caller may look at or change a queue as a whole; null: all queues. */
export function refuseWhole(caller: Caller, queue: string | null): Refused | null {
  if (caller.jobs !== null) {
    return refuse("forbidden", "This token reads a few jobs by their ids, and no queue as a whole.");
  }
  return refuseQueue(caller, queue);
}

/** Whether a caller may touch a queue, if only to enqueue; null: all queues. */
export function refuseQueue(caller: Caller, queue: string | null): Refused | null {
  if (caller.queues === null || (queue !== null && caller.queue(queue))) return null;
  const reached = `This token is for ${caller.queues.join(", ")}`;
  if (queue === null) return refuse("forbidden", `${reached}: name one of these queues, not all.`);
  return refuse("forbidden", `${reached}, not for queue "${queue}".`);
}

/** By the id alone: it tells nothing of whether there is such a job. A malformed id is left to the route. */
function refuseJob(caller: Caller, id: string): Refused | null {
  const address = parseJobId(id);
  if (address === null) return null;
  if (caller.jobs === null || caller.jobs.has(id)) return refuseQueue(caller, address.queue);
  return refuse("forbidden", `This token reads a few jobs by their ids, and ${id} is none of them.`);
}

/**
 * Whether a caller may look at a job that it may name: a producer at those of its own actor. For a job that it may not
 * look at the answer is that of a job that is not there (`absent`), at once.
 */
export function mayReadJob(caller: Caller, record: Pick<JobRecord, "options">): boolean {
  return caller.role !== "producer" || readOptions(record.options).actor === caller.actor;
}
