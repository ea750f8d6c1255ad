#!/usr/bin/env node
/**
 * `millrace work ./tasks.ts --url … --slots …`: a worker from the command line, on Node and on Deno.
 *
 * @module
 */
import process from "node:process";
import { USAGE, UsageError } from "./options.ts";
import { work } from "./work.ts";

async function main(): Promise<void> {
  const [command, ...rest] = process.argv.slice(2);
  if (command === "work") return work(rest, process.env);
  if (command === undefined || command === "help" || command === "--help" || command === "-h") {
    console.log(USAGE);
    return;
  }
  throw new UsageError(`There is no command "${command}": try "millrace work".`);
}

/** 2: it was asked for in the wrong way. 1: it could not be done. */
await main().catch((error) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof UsageError ? 2 : 1;
});
// What handlers have left behind must not keep the process.
process.exit();
