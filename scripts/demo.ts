/**
 * `npm run demo -- [folder] [--no-crash]`: one job for each file, a receiver that misbehaves, a kill -9 in the
 * middle, and a reconciliation. Exit code 0 only if nothing is missing.
 *
 * @module
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { findFiles } from "./demo/files.ts";
import { createProgressView } from "./demo/progress.ts";
import { type Settings, type Tools, work } from "./demo/work.ts";
import { readArguments } from "./local/arguments.ts";
import { CannotGoOn, exitWith } from "./local/error.ts";
import { freePort } from "./local/port.ts";
import { makeToken } from "./local/token.ts";
import { ROOT } from "./root.ts";

const NOTES: { [what: string]: string } = {
  "delivered twice": "under one Idempotency-Key, so the receiver can tell",
  retried: "after a failure, or because the runtime was killed",
  dead: "refused with 422, which no retry mends",
};

const USAGE = "npm run demo -- [folder] [--no-crash]";

function readDemand(): { named: string | undefined; crash: boolean } {
  const { values, positionals } = readArguments(USAGE, {
    options: { "no-crash": { type: "boolean", default: false } },
    allowPositionals: true,
  });
  if (positionals.length > 1) throw new CannotGoOn(`More than one folder: ${positionals.join(" ")}. Usage: ${USAGE}`);
  return { named: positionals[0], crash: !values["no-crash"] };
}

/** The folder that was named, or the project's own Markdown and TypeScript. */
async function chooseFiles(named: string | undefined): Promise<{ folder: string; files: string[] }> {
  const folder = named === undefined ? ROOT : resolve(named);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new CannotGoOn(`There is no folder ${folder}.`);
  const files = await findFiles(folder, named === undefined ? (name) => /\.(md|ts)$/.test(name) : undefined);
  if (files.length === 0) throw new CannotGoOn(`Cannot show anything: ${folder} has no files.`);
  return { folder, files };
}

async function main(): Promise<boolean> {
  const startedAt = Date.now();
  const { named, crash } = readDemand();
  const { folder, files } = await chooseFiles(named);
  const settings: Settings = { folder, files, crash, stateDir: mkdtempSync(join(tmpdir(), "millrace-demo-")) };
  process.on("exit", () => rmSync(settings.stateDir, { recursive: true, force: true, maxRetries: 3 }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));

  const tools: Tools = { port: await freePort(), token: makeToken(), view: createProgressView(process.stdout) };
  console.log(`${files.length} files of ${folder}, one http job each, to a receiver that fails on purpose.`);
  const { counts, missing } = await work(settings, tools);
  tools.view.close();

  const digits = String(files.length).length;
  for (const [what, count] of counts) {
    const note = count > 0 ? (NOTES[what] ?? "") : "";
    console.log(`  ${what.padEnd(16)} ${String(count).padStart(digits)}  ${note}`.trimEnd());
  }
  for (const line of missing.slice(0, 20)) console.error(`  missing: ${line}`);
  if (missing.length > 20) console.error(`  … and ${missing.length - 20} more`);
  const took = `${((Date.now() - startedAt) / 1_000).toFixed(0)} s, ${crash ? "killed once with -9" : "no crash"}`;
  console.log(
    missing.length === 0 ? `Nothing is missing (${took}).` : `${missing.length} things are missing (${took}).`,
  );
  return missing.length === 0;
}

const isComplete = await main().catch(exitWith);
process.exit(isComplete ? 0 : 1);
