/** Run by Deno, sources unchanged: `deno run --allow-net deno.ts <url> <token> <receiver>`. Prints JSON. */
import { createClient, isJobFailed, isMillraceError } from "../../client/index.ts";

const { args } = (globalThis as unknown as { Deno: { args: string[] } }).Deno;
const [url, token, receiver] = args as [string, string, string];
const client = createClient({ url, token });
const options = { queue: "from-deno", tags: ["deno"] };

const [first, second] = await Promise.all([
  client.enqueue("http", { url: receiver, body: "deno 1" }, options),
  client.enqueue("http", { url: receiver, body: "deno 2" }, { ...options, delay: "1h" }),
]);
const result = await first.result({ timeout: "20s" });
await second.cancel();
const failure = await second.result({ timeout: "5s" }).catch((error) => error);
const refused = await client.enqueue("htp", {}, options).catch((error) => error);
const listed = [];
for await (const job of client.jobs({ queue: options.queue, tag: "deno", pageSize: 1 })) listed.push(job.id);
const { state, attempts } = await client.job(first.id).get();

console.log(
  JSON.stringify({
    ids: [first.id, second.id],
    status: (result as { status: number }).status,
    state,
    outcomes: attempts.map(({ outcome }) => outcome),
    failed: isJobFailed(failure) && failure.job.state,
    refused: isMillraceError(refused) && refused.code,
    listed,
  }),
);
