/**
 * `npm start`: Millrace on this machine. `PORT`, `MILLRACE_STATE` and `MILLRACE_TOKEN` are honoured.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readArguments } from "./local/arguments.ts";
import { CannotGoOn, exitWith } from "./local/error.ts";
import { parsePort } from "./local/port.ts";
import { adminToken } from "./local/token.ts";
import { startLocal } from "./local.ts";
import { ROOT } from "./root.ts";

const { env } = process;
const USAGE = "PORT=8796 npm start (so too MILLRACE_STATE and MILLRACE_TOKEN), without arguments";

async function start(): Promise<void> {
  readArguments(USAGE, { options: {} });
  const port = parsePort(env.PORT, 8787);
  const { token, made } = adminToken(env, join(ROOT, ".dev.vars"));
  if (made) console.log(`Made an admin token, kept in .dev.vars: ${token}`);
  const stopping = untilAsked();
  const starting = startLocal({ port, token, stateDir: resolve(env.MILLRACE_STATE || join(ROOT, ".wrangler/state")) });
  const local = await Promise.race([starting, stopping]);
  if (local === undefined) process.exit(0); // the guard ends what has been started so far
  console.log(`Ready on ${local.url}`);
  const asked = await Promise.race([stopping.then(() => true), local.ended.then(() => false)]);
  if (!asked) throw new CannotGoOn("The local runtime ended by itself. Start it again: it goes on where it was.");
  await local.stop();
  process.exit(0);
}

/** Resolves at SIGINT or SIGTERM, and when the npm that runs this script is gone (it does not pass every signal on). */
function untilAsked(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve());
    if (env.npm_lifecycle_event === undefined) return;
    const before = ancestors();
    setInterval(() => ancestors() !== before && resolve(), 250).unref();
  });
}

/** The parent and, where `/proc` tells it, the parent's parent: npm runs scripts through a shell. */
function ancestors(): string {
  try {
    const [, rest = ""] = readFileSync(`/proc/${process.ppid}/stat`, "utf8").split(/\) \S /);
    return `${process.ppid} ${rest.split(" ")[0]}`;
  } catch {
    return `${process.ppid}`;
  }
}

await start().catch(exitWith);
