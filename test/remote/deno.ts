/** `deno run --allow-net=… deno.ts <url> <token>` */
import { run } from "./program.ts";

const { args } = (globalThis as unknown as { Deno: { args: string[] } }).Deno;
await run({ url: args[0]!, token: args[1]! }, console.log);
