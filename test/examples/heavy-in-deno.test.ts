import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Job } from "../../client/index.ts";
import { ROOT } from "../../scripts/root.ts";
import { type RunningWorker, untilJob } from "../support/harness.ts";
import { startExample } from "./example.ts";

let example: RunningWorker;

beforeAll(async () => {
  example = await startExample("heavy-in-deno");
}, 90_000);
afterAll(() => example?.stop());

function startEncoder(token = example.token, stderr: "inherit" | "pipe" = "inherit"): ChildProcess {
  return spawn(join(ROOT, "node_modules/.bin/deno"), ["run", "--allow-net", "--allow-env", "encoder.ts"], {
    cwd: join(ROOT, "examples/heavy-in-deno"),
    env: { ...process.env, MILLRACE_URL: example.url, MILLRACE_TOKEN: token },
    stdio: ["ignore", "inherit", stderr],
  });
}

async function stopped(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const over = new Promise<number | null>((resolve) => child.once("exit", resolve));
  child.kill(signal);
  return over;
}

async function encodeOf(parent: string): Promise<Job | undefined> {
  const jobs = await Array.fromAsync(example.client.jobs({ queue: "video", task: "encode" }));
  return jobs.find((job) => job.parent === parent);
}

it("runs the light job in the Worker and the heavy one in Deno", async () => {
  const encoder = startEncoder();
  const { id } = await example.client.enqueue("describe", { video: "cat.mp4", seconds: 3 }, { queue: "video" });
  const described = await untilJob(
    () => example.client.job(id).get(),
    ({ state }) => state === "completed",
  );
  expect(described).toMatchObject({ result: { title: "cat.mp4, 3 s", where: "a Worker" } });
  const encoded = await untilJob(
    () => encodeOf(id),
    ({ state }) => state === "completed",
  );
  expect(encoded).toMatchObject({ result: { where: expect.stringMatching(/^Deno/) }, failures: 0, lapses: 0 });
  expect(await stopped(encoder, "SIGTERM")).toBe(0);
}, 90_000);

it("says why a heavy job waits where no encoder is, and goes on with the next one", async () => {
  const { id } = await example.client.enqueue("describe", { video: "dog.mp4", seconds: 2 }, { queue: "video" });
  const encode = await untilJob(
    () => encodeOf(id),
    () => true,
  );
  expect(encode.state).toBe("ready");
  const { gates } = await example.client.job(encode.id).explain();
  expect(gates.map(({ gate }) => gate)).toEqual(["no_worker"]);
  const encoder = startEncoder();
  await untilJob(
    () => example.client.job(encode.id).get(),
    ({ state }) => state === "completed",
  );
  expect(await stopped(encoder, "SIGTERM")).toBe(0);
}, 90_000);

it("says in one line that its token is not taken", async () => {
  const encoder = startEncoder("not-a-token-of-this-example", "pipe");
  const ended = new Promise((resolve) => encoder.once("exit", resolve));
  expect(await text(encoder.stderr!)).toMatch(/^.* 401 unauthorized: .*\n$/);
  expect(await ended).toBe(1);
}, 30_000);
