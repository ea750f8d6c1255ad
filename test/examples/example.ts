import { createTestHarness } from "wrangler";
import { type Client, createClient } from "../../client/index.ts";
import { ROOT } from "../../scripts/root.ts";

/** As in the examples' wrangler.toml. */
const TOKEN = "the-token-of-an-example-on-this-machine";

export interface Example {
  url: string;
  token: string;
  client: Client;
  stop(): Promise<void>;
}

/** Starts the Worker of an example as its README says, with data of its own. */
export async function startExample(name: string): Promise<Example> {
  process.env.X_LOCAL_OBSERVABILITY = "false";
  const harness = createTestHarness({ root: ROOT, workers: [{ configPath: `examples/${name}/wrangler.toml` }] });
  const url = (await harness.listen()).url.origin;
  await harness.getWorker().applyD1Migrations("DB");
  return { url, token: TOKEN, client: createClient({ url, token: TOKEN }), stop: () => harness.close() };
}
