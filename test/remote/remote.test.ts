import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createWorker, defineTask, type Job } from "../../client/index.ts";
import { type RunningWorker, startWorker, untilJob } from "../support/harness.ts";
import { hasChromium, servePage, startChromium, WITHOUT } from "./chromium.ts";

const TOKEN = "a-token-of-the-tests-of-remote-workers";
const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
let mill: RunningWorker;

beforeAll(async () => {
  mill = await startWorker("test/remote/wrangler.toml", TOKEN);
}, 90_000);
afterAll(() => mill?.stop());

/** A program that works somewhere: the lines that it says, and its end. */
interface Program {
  line(): Promise<string>;
  kill9(): Promise<void>;
}

function spawned(command: string, args: string[]): Program {
  const child = spawn(path(`../../node_modules/.bin/${command}`), [...args, mill.url, TOKEN], { detached: true });
  const said = linesOf(child);
  return {
    line: () => said,
    async kill9() {
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      process.kill(-child.pid!, "SIGKILL");
      await gone;
    },
  };
}

function linesOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let errors = "";
    child.stdout!.once("data", (chunk) => resolve(String(chunk)));
    child.stderr!.on("data", (chunk) => {
      errors += String(chunk);
    });
    child.once("exit", (code) => reject(new Error(`The program ended with ${code}: ${errors}`)));
  });
}

async function inChromium(): Promise<Program> {
  const contents = `import { run } from "./program.ts";
    run(${JSON.stringify({ url: mill.url, token: TOKEN })}, (line) => console.log("said " + line)).catch((error) => console.log("said " + error));`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: path("."), loader: "ts" },
    bundle: true,
    format: "esm",
    write: false,
  });
  const served = await servePage(outputFiles[0]!.text);
  const { browser, kill9 } = await startChromium();
  const page = await browser.contexts()[0]!.newPage();
  const said = new Promise<string>((resolve) => {
    page.on("console", (message) => {
      if (message.text().startsWith("said ")) resolve(message.text().slice(5));
    });
  });
  await page.goto(served.url);
  return {
    line: () => said,
    async kill9() {
      served.close();
      await kill9();
    },
  };
}

/** It enqueues, works and watches; killed in the middle, its job is finished by another. */
async function playsItsPart(program: Program, agent: RegExp): Promise<void> {
  try {
    const { states, percents, lines, result } = JSON.parse(await program.line());
    expect(states.at(-1)).toBe("completed");
    expect(states).toContain("running");
    expect(percents).toBeGreaterThan(0);
    expect(lines).toBe(40);
    expect(result.where).toMatch(agent);
    const { id } = await mill.client.enqueue("hold", {}, { queue: "anywhere" });
    await until(id, ({ state }) => state === "running");
    await program.kill9();
    const job = await finishedByAnother(id);
    expect(job).toMatchObject({ state: "completed", result: "by another", lapses: 1, failures: 0 });
    expect(job.attempts.map(({ outcome }) => outcome)).toEqual(["lapsed", "completed"]);
  } catch (error) {
    await program.kill9().catch(() => {});
    throw error;
  }
}

async function finishedByAnother(id: string): Promise<Job> {
  const hold = defineTask({ name: "hold", queue: "anywhere" }).handler(() => "by another");
  const worker = createWorker({ url: mill.url, token: TOKEN, tasks: [hold] });
  const working = worker.start();
  const job = await until(id, ({ state }) => state === "completed");
  await worker.stop();
  await working;
  return job;
}

const until = (id: string, is: (job: Job) => boolean): Promise<Job> => untilJob(() => mill.client.job(id).get(), is);

it("works in Node, and another finishes what a killed one held", async () => {
  await playsItsPart(spawned("node", [path("./node.ts")]), /^Node/);
}, 120_000);

it("works in Deno, and another finishes what a killed one held", async () => {
  const net = `--allow-net=${new URL(mill.url).host}`;
  await playsItsPart(spawned("deno", ["run", "--no-config", "--no-prompt", net, path("./deno.ts")]), /^Deno/);
}, 120_000);

// Without a browser there is nothing to try it in, and the name of the test says so.
it.skipIf(!hasChromium)(
  hasChromium ? "works in a page of Chromium, and another finishes what a killed one held" : WITHOUT,
  async () => {
    await playsItsPart(await inChromium(), /Chrome/);
  },
  120_000,
);
