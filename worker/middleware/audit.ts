/**
 * What goes into the audit log: who did what, when, to what. Never what was sent, and no secret.
 *
 * @module
 */
import type { Caller } from "../caller.ts";
import type { AuditRow, AuditStore } from "../history/audit.ts";
import type { Log } from "../log.ts";
import type { AnyRoute } from "../routes/route.ts";

const MAX_ACTION_CHARS = 300;

/** What is known of a call once it is answered. */
export interface Answered {
  caller: Caller;
  route: Pick<AnyRoute, "roles">;
  method: string;
  path: string;
  status: number;
  requestId: string;
}

/**
 * Changes that were made, and those that were refused to somebody who may not.
 *
 * Not what producers and workers do all day. Nor what is enqueued with the token that the server was configured with:
 * a row for each would cost as much as the jobs.
 */
export function isAudited({ caller, route: { roles }, method, status }: Answered): boolean {
  if (method === "GET" || method === "HEAD" || (status >= 400 && status !== 403)) return false;
  if (caller.role === "producer" || caller.role === "worker" || roles.includes("worker")) return false;
  return caller.tokenId !== null || !roles.includes("producer");
}

/** Notes it. Never rejects: what cannot be noted is in the Worker's log. */
export async function noteInAudit(answered: Answered, store: () => AuditStore, log: Log): Promise<void> {
  const { caller, method, path, status, requestId } = answered;
  const entry: Omit<AuditRow, "id"> = {
    at: Date.now(),
    who: caller.name,
    tokenId: caller.tokenId,
    role: caller.role,
    action: `${method} ${path.toWellFormed().slice(0, MAX_ACTION_CHARS)}`,
    status,
    requestId,
  };
  try {
    await store().note(entry);
  } catch (error) {
    log("error", "audit_unwritten", { ...entry, error: String(error) });
  }
}
