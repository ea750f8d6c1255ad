/**
 * The default deployment: any queue, and the built-in `http` task. Copy it and add tasks of your own.
 *
 * @module
 */
import { env } from "cloudflare:workers";
import { createMillrace, http, LOOPBACK } from "./millrace.ts";

const local = (env as { MILLRACE_LOCAL?: string }).MILLRACE_LOCAL === "1";

const mill = createMillrace({
  // Any public host over https; on a developer's machine also this machine itself.
  tasks: [http({ allow: local ? ["https://*", ...LOOPBACK] : ["https://*"] })],
  queues: { "*": {} },
});

/** The Durable Object of a queue. */
export const MillraceQueue = mill.QueueObject;

/** The Worker's handlers: the API, the consumer of tickets, and the sweep. */
export default { fetch: mill.routes.fetch, queue: mill.queue, scheduled: mill.scheduled };
