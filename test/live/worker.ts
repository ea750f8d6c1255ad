/** A Worker that tells how often its objects were made: an object that sleeps is made again when it wakes. */
import { defineTask } from "../../client/index.ts";
import { createMillrace } from "../../worker/millrace.ts";

const mill = createMillrace({
  tasks: [defineTask({ name: "rest", queue: "quiet" })],
  queues: { quiet: { delivery: "pull" } },
});

let made = 0;

export class MillraceQueue extends mill.QueueObject {
  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env);
    made += 1;
  }
}

export default {
  fetch(request: Request, env: object, ctx: ExecutionContext) {
    return new URL(request.url).pathname === "/made" ? Response.json(made) : mill.routes.fetch(request, env, ctx);
  },
  queue: mill.queue,
  scheduled: mill.scheduled,
};
