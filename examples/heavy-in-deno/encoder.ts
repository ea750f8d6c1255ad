/** Run by Deno: `deno run --allow-net --allow-env encoder.ts`. Nothing in it is Deno's own: Node runs it as well. */
import process from "node:process";
import { createWorker } from "millrace";
import { encode } from "./tasks.ts";

const worker = createWorker({
  url: process.env.MILLRACE_URL ?? "http://localhost:8790",
  token: process.env.MILLRACE_TOKEN ?? "",
  slots: 2,
  log: (_level, event, fields) => console.log(event, JSON.stringify(fields)),
  tasks: [
    encode.handler(async ({ seconds }, ctx) => {
      for (let second = 1; second <= seconds; second++) {
        // Here a second of the film is encoded, on as many cores as there are.
        await new Promise((done) => setTimeout(done, 100));
        ctx.signal.throwIfAborted();
        ctx.progress({ percent: (second / seconds) * 100, note: `${second} of ${seconds} s` });
      }
      return { where: navigator.userAgent };
    }),
  ],
});

// Told to stop, it gives back what it cannot finish; killed, the queue notices within a lease.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => worker.stop({ timeout: "10s" }));
// What does not get better by waiting: a token that is not taken, a queue that is not there.
await worker.start().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
