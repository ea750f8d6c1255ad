/** `node node.ts <url> <token>` */
import { run } from "./program.ts";

const [url, token] = process.argv.slice(2);
await run({ url: url!, token: token! }, console.log);
