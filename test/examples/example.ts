import { type RunningWorker, startWorker } from "../support/harness.ts";

/** As in the examples' wrangler.toml. */
const TOKEN = "the-token-of-an-example-on-this-machine";

/** Starts the Worker of an example as its README says. */
export const startExample = (name: string): Promise<RunningWorker> =>
  startWorker(`examples/${name}/wrangler.toml`, TOKEN);
