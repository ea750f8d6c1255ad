/**
 * Who calls, and what the caller may do.
 *
 * @module
 */
import type { JobId, JobOptions, Json, Role } from "../client/types.ts";
import type { RateLimitSetting } from "../client/wire.ts";

/** The bearer of a token. What is null is not restricted. */
export interface Caller {
  role: Role;
  /** The token's name; of the one that the server was configured with, `admin`. */
  name: string;
  /** Null: the token that the server was configured with. */
  tokenId: string | null;
  /** When the token expires. */
  expiresAt: number | null;
  /** Names the token without telling it. */
  scope: string;
  /** Names and patterns. */
  queues: readonly string[] | null;
  /** Whether it may touch a queue. */
  queue(name: string): boolean;
  tasks: ReadonlySet<string> | null;
  /** It looks at no others. */
  jobs: ReadonlySet<JobId> | null;
  pin: { readonly [field: string]: Json } | null;
  /** Job options that it may give. */
  options: ReadonlySet<keyof JobOptions> | null;
  rate: RateLimitSetting | null;
  /** Stands with each job that it makes. A producer sees no others. */
  actor: string | null;
}

/** The bearer of the token that the server was configured with; `name` stands in the audit log. */
export function rootCaller(scope: string, name: string): Caller {
  const any = { queues: null, tasks: null, jobs: null, pin: null, options: null, rate: null, actor: null };
  return { role: "admin", name, tokenId: null, expiresAt: null, scope, queue: () => true, ...any };
}

/** Who may look at things. */
export const READERS: readonly Role[] = ["admin", "operator", "viewer"];
/** Who may look at a job: a producer at those of its own. */
export const JOB_READERS: readonly Role[] = [...READERS, "producer"];
/** Who may change things. */
export const OPERATORS: readonly Role[] = ["admin", "operator"];
export const PRODUCERS: readonly Role[] = [...OPERATORS, "producer"];
export const WORKERS: readonly Role[] = ["admin", "worker"];
export const ADMINS: readonly Role[] = ["admin"];
export const EVERYBODY: readonly Role[] = ["admin", "operator", "producer", "worker", "viewer"];
