import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Job } from "../../client/index.ts";
import { ROOT } from "../../scripts/root.ts";
import { type Example, startExample } from "./example.ts";

const WITHIN_MS = 60_000;
let example: Example;

beforeAll(async () => {
  example = await startExample("heavy-in-deno");
}, 90_000);
afterAll(() => example?.stop());

function startEncoder(): ChildProcess {
  return spawn(join(ROOT, "node_modules/.bin/deno"), ["run", "--allow-net", "--allow-env", "encoder.ts"], {
    cwd: join(ROOT, "examples/heavy-in-deno"),
    env: { ...process.env, MILLRACE_URL: example.url, MILLRACE_TOKEN: example.token },
    stdio: ["ignore", "inherit", "inherit"],
  });
}

async function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const over = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.kill(signal);
  return over;
}

async function until(read: () => Promise<Job | undefined>, is: (job: Job) => boolean): Promise<Job> {
  for (const deadline = Date.now() + WITHIN_MS; ; ) {
    const job = await read();
    if (job && is(job)) return job;
    if (Date.now() > deadline) throw new Error(`It is still ${JSON.stringify(job)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function encodeOf(parent: string): Promise<Job | undefined> {
  const jobs = await Array.fromAsync(example.client.jobs({ queue: "video", task: "encode" }));
  return jobs.find((job) => job.parent === parent);
}

it("runs the light job in the Worker and the heavy one in Deno", async () => {
  const encoder = startEncoder();
  const { id } = await example.client.enqueue("describe", { video: "cat.mp4", seconds: 3 }, { queue: "video" });
  const described = await until(
    () => example.client.job(id).get(),
    ({ state }) => state === "completed",
  );
  expect(described).toMatchObject({ result: { title: "cat.mp4, 3 s", where: "a Worker" } });
  const encoded = await until(
    () => encodeOf(id),
    ({ state }) => state === "completed",
  );
  expect(encoded).toMatchObject({ result: { where: expect.stringMatching(/^Deno/) }, failures: 0, lapses: 0 });
  expect(await stopped(encoder, "SIGTERM")).toBe(0);
}, 90_000);

it("says why a heavy job waits where no encoder is, and goes on with the next one", async () => {
  const { id } = await example.client.enqueue("describe", { video: "dog.mp4", seconds: 2 }, { queue: "video" });
  const encode = await until(
    () => encodeOf(id),
    () => true,
  );
  expect(encode.state).toBe("ready");
  const { gates } = await example.client.job(encode.id).explain();
  expect(gates.map(({ gate }) => gate)).toEqual(["no_worker"]);
  const encoder = startEncoder();
  await until(
    () => example.client.job(encode.id).get(),
    ({ state }) => state === "completed",
  );
  expect(await stopped(encoder, "SIGTERM")).toBe(0);
}, 90_000);
