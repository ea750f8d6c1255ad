/**
 * What Deno, Node and a browser each do in remote.test.ts, from the same sources: works at the queue, enqueues a job,
 * watches it, and holds another until it is killed. Says what happens, a line of JSON each.
 */
import { createClient, createWorker, defineTask } from "../../client/index.ts";

interface Access {
  url: string;
  token: string;
}

const slow = defineTask({ name: "slow", queue: "anywhere" }).handler(async (input, ctx) => {
  const { steps } = input as { steps: number };
  for (let step = 1; step <= steps; step++) {
    await new Promise((done) => setTimeout(done, 30));
    ctx.log.info(`step ${step}`, { step });
    ctx.progress({ percent: (step / steps) * 100 });
  }
  return { where: navigator.userAgent };
});

/** Ends only where the test says so. */
const hold = defineTask({ name: "hold", queue: "anywhere" }).handler(async (_input, ctx) => {
  await new Promise((_done, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason)));
});

export async function run({ url, token }: Access, say: (line: string) => void): Promise<void> {
  const worker = createWorker({ url, token, tasks: [slow, hold], slots: 2 });
  const working = worker.start();
  const client = createClient({ url, token });
  const job = await client.enqueue("slow", { steps: 40 }, { queue: "anywhere" });
  const states = new Set<string>();
  let percents = 0;
  let lines = 0;
  for await (const view of client.job(job.id).watch()) {
    states.add(view.state);
    if (view.event === "progress") percents += 1;
    if (view.event === "log") lines += 1;
  }
  say(JSON.stringify({ states: [...states], percents, lines, result: await job.result() }));
  await working;
}
