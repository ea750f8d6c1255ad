/**
 * `npm run deploy -- [--env <name>]`: everything that Millrace needs in your Cloudflare account, and the Worker.
 * Works on an empty account and every time after.
 *
 * @module
 */
import { join } from "node:path";
import { readPlan } from "./deploy/plan.ts";
import { deploy } from "./deploy/steps.ts";
import { createWrangler } from "./deploy/wrangler.ts";
import { readArguments } from "./local/arguments.ts";
import { exitWith } from "./local/error.ts";
import { ROOT } from "./root.ts";

async function main(): Promise<void> {
  const { env } = readArguments("npm run deploy -- [--env <name>]", {
    options: { env: { type: "string", short: "e", default: "" } },
  }).values;
  const plan = readPlan(join(ROOT, "wrangler.toml"), env);
  await deploy(plan, createWrangler(ROOT, env), (line) => console.log(line));
}

await main().catch(exitWith);
