import { createTestHarness } from "wrangler";
import { type Client, createClient, type Job } from "../../client/index.ts";
import { ROOT } from "../../scripts/root.ts";

const WITHIN_MS = 60_000;

/** A Worker in the real runtime. */
export interface RunningWorker {
  url: string;
  token: string;
  client: Client;
  stop(): Promise<void>;
}

/** Starts the Worker of a wrangler.toml, named from the root, with data of its own. */
export async function startWorker(configPath: string, token: string): Promise<RunningWorker> {
  process.env.X_LOCAL_OBSERVABILITY = "false";
  const harness = createTestHarness({ root: ROOT, workers: [{ configPath }] });
  const stop = () => harness.close();
  try {
    const url = (await harness.listen()).url.origin;
    await harness.getWorker().applyD1Migrations("DB");
    return { url, token, client: createClient({ url, token }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Reads a job until it is there, and as it is to be. */
export async function untilJob(read: () => Promise<Job | undefined>, is: (job: Job) => boolean): Promise<Job> {
  for (const deadline = Date.now() + WITHIN_MS; ; ) {
    const job = await read();
    if (job && is(job)) return job;
    if (Date.now() > deadline) throw new Error(`It is still ${JSON.stringify(job)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
