/** Run by Deno, sources unchanged: `deno run --allow-net=… test/client/deno.ts <url of a server>`. Prints JSON. */

import { controlOf } from "../../client/control.ts";
import { cancel, createClient, defineTask, isJobFailed, snooze } from "../../client/index.ts";
import { toJobError } from "../../client/thrown.ts";

const { args } = (globalThis as unknown as { Deno: { args: string[] } }).Deno;
const task = defineTask({ name: "report", queue: "reports" }).handler(() => snooze("1m"));
const client = createClient<[typeof task]>({ url: args[0]!, token: "a-token" });

const [first, second] = await Promise.all([client.enqueue(task, { n: 1 }), client.enqueue("report", { n: 2 })]);
await first.cancel();
const failure = await first.result({ timeout: "5s" }).catch((error) => error);
const listed = [];
for await (const job of client.jobs({ queue: "reports", pageSize: 1 })) listed.push(job.id);
const refused = await client
  .job("q:0:404")
  .get()
  .catch((error) => error);

console.log(
  JSON.stringify({
    ids: [first.id, second.id],
    failed: isJobFailed(failure) && failure.job.state,
    listed,
    refused: refused.code,
    controls: [controlOf(await task.run({}, {} as never)), controlOf(cancel("no"))],
    error: toJobError(new TypeError("\ud800")).message,
  }),
);
