import { createMillrace } from "millrace/worker";
import { describe, encode } from "./tasks.ts";

const mill = createMillrace({
  tasks: [
    describe.handler(async ({ video, seconds }, ctx) => {
      // The heavy part comes with the completion of this job, or not at all.
      ctx.enqueue(encode, { video, seconds });
      return { title: `${video}, ${seconds} s`, where: "a Worker" };
    }),
    encode,
  ],
  // Both run its jobs: the Worker those of tasks with a handler, remote workers those that they name.
  queues: { video: { delivery: "both" } },
});

export const MillraceQueue = mill.QueueObject;
export default { fetch: mill.routes.fetch, queue: mill.queue, scheduled: mill.scheduled };
