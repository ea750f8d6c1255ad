/**
 * Simulates queues: `npm run sim -- --seeds 2000`. A failure prints its seed and what came last.
 * `--seed 7` runs one, `--from 1000` begins elsewhere, `--steps 200` makes runs longer, `--only limits,rates` switches
 * these features on and all others off, `--keep` goes on after a failure.
 */
import { parseArgs } from "node:util";
import { drawFeatures } from "./features.ts";
import { World } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    steps: { type: "string", default: "120" },
    keep: { type: "boolean", default: false },
    only: { type: "string" },
  },
});
const steps = Number(values.steps);
const from = values.seed === undefined ? Number(values.from) : Number(values.seed);
const until = values.seed === undefined ? from + Number(values.seeds) : from + 1;
const startedAt = performance.now();
let events = 0;
let jobs = 0;
const failures = new Map<string, number[]>();
for (let seed = from; seed < until; seed++) {
  const outcome = await new World({ seed, steps, features: drawFeatures(seed, values.only ?? null) }).run();
  if (values.keep) console.log(`seed ${seed}: ${outcome.events} events, ${outcome.jobs} jobs`);
  events += outcome.events;
  jobs += outcome.jobs;
  if (!outcome.violation) continue;
  const { invariant } = outcome.violation;
  failures.set(invariant, [...(failures.get(invariant) ?? []), seed]);
  if (values.keep) console.log(`seed ${seed}: ${outcome.violation.message.slice(0, 200)}`);
  if (values.keep) continue;
  console.log(outcome.trace.slice(-40).join("\n"));
  console.log(`\nseed ${seed} failed after ${outcome.events} events: ${outcome.violation.message}`);
  const only = values.only === undefined ? "" : ` --only ${values.only}`;
  console.log(`Again: npm run sim -- --seed ${seed} --steps ${steps}${only}`);
  break;
}
const seconds = (performance.now() - startedAt) / 1000;
const done = until - from;
console.log(
  `${done} seeds, ${events} events, ${jobs} jobs in ${seconds.toFixed(1)} s (${(done / seconds).toFixed(1)} seeds/s, ${Math.round(events / seconds)} events/s)`,
);
for (const [invariant, seeds] of failures)
  console.log(`${invariant}: ${seeds.length} seeds, first ${seeds.slice(0, 8)}`);
process.exit(failures.size > 0 ? 1 : 0);
