import type { JobTemplate } from "../../client/wire.ts";

/** A job of which nothing was said. */
export const PLAIN: JobTemplate = {
  task: "noop",
  priority: 0,
  runAt: null,
  delayMs: 0,
  maxAttempts: 8,
  backoff: null,
  ownBackoff: false,
  timeoutMs: 30_000,
  expiresInMs: null,
  tags: [],
  meta: null,
  actor: null,
  version: null,
  traceparent: null,
};
