/** A Worker that runs none of its tasks itself: remote workers do, and pages of anywhere may call it. */
import { defineTask } from "../../client/index.ts";
import { createMillrace } from "../../worker/millrace.ts";

const queue = "anywhere";
const mill = createMillrace({
  tasks: [defineTask({ name: "slow", queue }), defineTask({ name: "hold", queue })],
  queues: { [queue]: { delivery: "pull", lease: "5s" } },
  cors: { origins: ["*"] },
});

export const MillraceQueue = mill.QueueObject;
export default { fetch: mill.routes.fetch, queue: mill.queue, scheduled: mill.scheduled };
