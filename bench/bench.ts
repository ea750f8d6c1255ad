/**
 * `npm run bench [-- --json] [-- --only <suite>]`: what jobs cost, how many go through, how soon they start.
 * With `--json` the last line is one JSON object with everything that was measured.
 *
 * @module
 */
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { CannotGoOn, exitWith } from "../scripts/local/error.ts";
import { runCost } from "./cost.ts";
import { runLatency } from "./latency.ts";
import { runLimits } from "./limits.ts";
import { runLive } from "./live.ts";
import { runProfile } from "./profile.ts";
import { runRemote } from "./remote.ts";
import { type SuiteReport, textOf } from "./report.ts";
import { runThroughput } from "./throughput.ts";

interface Suite {
  run(): Promise<SuiteReport>;
  /** Only when asked for by name. */
  isExtra?: boolean;
}

const SUITES: { [name: string]: Suite } = {
  cost: { run: runCost },
  throughput: { run: runThroughput },
  latency: { run: runLatency },
  limits: { run: runLimits },
  remote: { run: runRemote },
  live: { run: runLive, isExtra: true },
  profile: { run: runProfile, isExtra: true },
};

function readArguments(): { suites: [string, Suite][]; json: boolean } {
  const known = Object.keys(SUITES).join(", ");
  try {
    const { values } = parseArgs({ options: { json: { type: "boolean" }, only: { type: "string" } } });
    const { only, json = false } = values;
    const suites = Object.entries(SUITES).filter(([name, { isExtra }]) =>
      only === undefined ? !isExtra : name === only,
    );
    if (suites.length === 0) throw new Error(`There is no suite "${only}".`);
    return { suites, json };
  } catch (error) {
    throw new CannotGoOn(
      `Cannot read the arguments: ${(error as Error).message} (Known are --json and --only: ${known}.)`,
    );
  }
}

/** Numbers of a busy machine are noise: its load stands beside them. */
function machine(): string {
  const [load = 0] = loadavg();
  return `${cpus().length} CPUs, load average ${load.toFixed(1)}`;
}

async function main(): Promise<void> {
  const { suites, json } = readArguments();
  const found: { [section: string]: unknown } = {};
  console.log(`Millrace in the local runtime: not what production does, but the same code. ${machine()}.\n`);
  for (const [name, suite] of suites) {
    const before = machine();
    const { json: part, tables } = await suite.run();
    Object.assign(found, part);
    for (const table of tables) console.log(textOf(table));
    console.log(`(${name}: ${before} before, ${machine()} after)\n`);
  }
  if (json) console.log(JSON.stringify(found));
}

await main().catch(exitWith);
process.exit(0);
