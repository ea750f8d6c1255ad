import { unstable_readConfig } from "wrangler";
import { CannotGoOn } from "../local/error.ts";

/** What one environment of the configuration needs in the account. */
export interface Plan {
  worker: string;
  databases: { binding: string; name: string }[];
  queues: string[];
}

interface D1Binding {
  binding: string;
  database_name?: string;
}

/**
 * Reads an environment ("" is the top level) of a wrangler configuration.
 * Throws {@link CannotGoOn} where the environment is not there or a resource has no name.
 */
export function readPlan(configFile: string, env: string): Plan {
  const config = unstable_readConfig({ config: configFile }, { hideWarnings: true });
  const known = config.definedEnvironments ?? [];
  if (env !== "" && !known.includes(env)) {
    throw new CannotGoOn(`Cannot deploy environment "${env}": ${configFile} defines ${known.join(", ") || "none"}.`);
  }
  const chosen = env === "" ? config : unstable_readConfig({ config: configFile, env }, { hideWarnings: true });
  const named = <Thing>(thing: Thing | undefined, what: string): Thing => {
    if (thing !== undefined) return thing;
    throw new CannotGoOn(`Cannot deploy: ${configFile} names no ${what} for environment "${env || "top level"}".`);
  };
  const { producers = [], consumers = [] } = chosen.queues;
  const queues = [...producers, ...consumers].map(({ queue }) => named(queue, "queue"));
  return {
    worker: named(chosen.name, "Worker"),
    databases: (chosen.d1_databases as D1Binding[]).map(({ binding, database_name }) => ({
      binding,
      name: named(database_name, "database"),
    })),
    queues: [...new Set(queues)],
  };
}
