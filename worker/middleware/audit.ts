/**
 * What goes into the audit log: who did what, when, to what. Never a payload, and no secret.
 *
 * @module
 */
import type { Caller } from "../caller.ts";
import type { AuditRow, AuditStore } from "../history/audit.ts";
import type { Log } from "../log.ts";
import type { AnyRoute } from "../routes/route.ts";

const MAX_PATH_CHARS = 300;
const MAX_TARGET_CHARS = 700;
/** Of what one token is refused, by an isolate: its bearer could fill D1 with it. */
const REFUSED_PER_MINUTE = 20;
const MINUTE_MS = 60_000;

/** What is known of a call once it is answered. */
export interface Answered {
  caller: Caller;
  route: Pick<AnyRoute, "roles">;
  method: string;
  path: string;
  /** To what, where the path does not say it. */
  target: string | null;
  status: number;
  requestId: string;
}

/**
 * Changes that were made, perhaps in part (5xx), and those that were refused to somebody who may not.
 *
 * Not what producers and workers do all day. Nor what is enqueued with the token that the server was configured with:
 * a row for each would cost as much as the jobs.
 */
export function isAudited(answered: Pick<Answered, "caller" | "route" | "method" | "status">): boolean {
  const { caller, route, method, status } = answered;
  if (method === "GET" || method === "HEAD" || (status >= 400 && status < 500 && status !== 403)) return false;
  if (caller.role === "producer" || caller.role === "worker" || route.roles.length === 0) return false;
  if (route.roles.includes("worker") && status !== 403) return false;
  return caller.tokenId !== null || !route.roles.includes("producer");
}

/** Whether there is room in the audit log for what is to stand there: for changes always, for refusals at a pace. */
export function createRoom(clock: () => number = Date.now) {
  let minute = 0;
  let refused = new Map<string, number>();
  return ({ caller: { scope }, status }: Pick<Answered, "caller" | "status">): boolean => {
    if (status !== 403) return true;
    const now = Math.floor(clock() / MINUTE_MS);
    if (now !== minute) refused = new Map();
    minute = now;
    const before = refused.get(scope) ?? 0;
    refused.set(scope, before + 1);
    return before < REFUSED_PER_MINUTE;
  };
}

/** Notes it. Never rejects: what cannot be noted is in the Worker's log. */
export async function noteInAudit(answered: Answered, store: () => AuditStore, log: Log): Promise<void> {
  const { caller, method, path, target, status, requestId } = answered;
  const what = target === null ? "" : ` ${target.slice(0, MAX_TARGET_CHARS)}`;
  const entry: Omit<AuditRow, "id"> = {
    at: Date.now(),
    who: caller.name,
    tokenId: caller.tokenId,
    role: caller.role,
    action: `${method} ${path.slice(0, MAX_PATH_CHARS)}${what}`.toWellFormed(),
    status,
    requestId,
  };
  try {
    await store().note(entry);
  } catch (error) {
    log("error", "audit_unwritten", { ...entry, error: String(error) });
  }
}
