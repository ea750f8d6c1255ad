/**
 * `npm run deploy [-- --env <name>]`: everything that Millrace needs in your Cloudflare account, and the Worker.
 * Works on an empty account and every time after.
 *
 * @module
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readPlan } from "./deploy/plan.ts";
import { deploy } from "./deploy/steps.ts";
import { createWrangler } from "./deploy/wrangler.ts";
import { CannotGoOn, exitWith } from "./local/error.ts";
import { ROOT } from "./root.ts";

function readEnv(): string {
  try {
    return parseArgs({ options: { env: { type: "string", short: "e", default: "" } } }).values.env;
  } catch (error) {
    throw new CannotGoOn(`Cannot read the arguments: ${(error as Error).message} Known is --env <name>.`);
  }
}

async function main(): Promise<void> {
  const env = readEnv();
  const plan = readPlan(join(ROOT, "wrangler.toml"), env);
  await deploy(plan, createWrangler(ROOT, env), (line) => console.log(line));
}

await main().catch(exitWith);
