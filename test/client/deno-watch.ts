/** Run by Deno, sources unchanged: `deno run --allow-net=… test/client/deno-watch.ts <url of a server>`. Prints JSON. */

import { createClient } from "../../client/index.ts";

const { args } = (globalThis as unknown as { Deno: { args: string[] } }).Deno;
const job = createClient({ url: args[0]!, token: "a-token" }).job("q:0:1");

const views = await Array.fromAsync(job.watch());

for await (const _ of job.watch()) break;

const stop = new AbortController();
let thrown = "";
try {
  for await (const _ of job.watch({ signal: stop.signal })) stop.abort(new Error("enough"));
} catch (error) {
  thrown = (error as Error).message;
}

const store = job.store();
const states = new Set<string | null>();
await new Promise<void>((resolve) => {
  const leave = store.subscribe(({ state }) => {
    states.add(state);
    if (state === "ready") {
      leave();
      resolve();
    }
  });
});
await new Promise((resolve) => setTimeout(resolve, 50));

console.log(JSON.stringify({ views, thrown, states: [...states], connection: store.getSnapshot().connection }));
