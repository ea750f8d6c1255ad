import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Millrace, startMillrace } from "../../bench/millrace.ts";
import { createWorker, defineTask } from "../../client/index.ts";
import { ROOT } from "../../scripts/root.ts";

const exec = promisify(execFile);
const BIN = join(ROOT, "node_modules/.bin");
/** Written by somebody who has installed the package. */
const TASKS = `
  import { defineTask } from "millrace";
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
  export const noop = defineTask({ name: "noop", queue: "remote-cli" }).handler(async (input, ctx) => {
    ctx.log.info("at it", { n: input.n });
    await sleep(input.ms ?? 0);
    return { where: navigator.userAgent.slice(0, 4), key: ctx.env.A_KEY };
  });
  export const elsewhere = defineTask({ name: "elsewhere" });
  export default [noop];
  export const answer = 42;
`;

const USE = `
  import { createClient, createWorker, defineTask, type WorkerState } from "millrace";
  import { createMillrace } from "millrace/worker";
  const task = defineTask({ name: "x" }).handler((_, ctx) => ({ attempt: ctx.attempt }));
  const job = await createClient<[typeof task]>({ url: "http://x" }).enqueue("x");
  export const attempt: number = (await job.result()).attempt;
  export const state: WorkerState = createWorker({ url: "http://x", token: "t", tasks: [task] }).getSnapshot();
  export const make: Function = createMillrace;
  // @ts-expect-error: there is no such task
  void createClient<[typeof task]>({ url: "http://x" }).enqueue("y");
`;

let folder: string;
let millrace: Millrace;
const running = new Set<ChildProcess>();

/** Builds, packs, and unpacks as an installation does; what the package depends on is this repository's own. */
async function install(): Promise<void> {
  await exec(process.execPath, [join(ROOT, "scripts/build.ts")]);
  const packing = ["pack", join(ROOT, "dist"), "--silent", "--pack-destination", folder];
  const packed = (await exec("npm", packing)).stdout.trim();
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "millrace"), { recursive: true });
  mkdirSync(join(modules, ".bin"));
  await exec("tar", ["-xzf", join(folder, packed), "-C", join(modules, "millrace"), "--strip-components=1"]);
  const { bin, dependencies } = JSON.parse(readFileSync(join(modules, "millrace/package.json"), "utf8"));
  symlinkSync(join("../millrace", bin.millrace), join(modules, ".bin/millrace"));
  for (const name of Object.keys(dependencies)) {
    mkdirSync(join(modules, name, ".."), { recursive: true });
    symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", dependencies: { millrace: "*" } }));
  writeFileSync(join(folder, "tasks.js"), TASKS);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "millrace-cli-"));
  [millrace] = await Promise.all([startMillrace({ watch: false }), install()]);
}, 120_000);

afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  await millrace?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const NODE = [join("node_modules", ".bin", "millrace")];
const DENO = [join(BIN, "deno"), "run", "-A", "--no-prompt", join("node_modules", "millrace", "cli", "main.js")];

/** Runs the command. `ended` resolves to its exit code; `out` is all that it has said. */
function run(command: string[], args: string[], env: { [name: string]: string } = {}) {
  const [file, ...first] = command;
  const [path, url] = [`${process.execPath.slice(0, -"/node".length)}:${process.env.PATH}`, millrace.access.url];
  const child = spawn(file!, [...first, ...args, "--url", url], {
    cwd: folder,
    env: { HOME: folder, PATH: path, MILLRACE_TOKEN: millrace.access.token, A_KEY: "a key", NO_COLOR: "1", ...env },
  });
  running.add(child);
  const said = { out: "" };
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said.out += String(chunk)));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  void ended.then(() => running.delete(child));
  return { child, said, ended };
}

describe.each([
  ["Node", NODE],
  ["Deno", DENO],
])("millrace work on %s", (name, command) => {
  it("runs the tasks of a module, and ends what runs when it is told to stop", async () => {
    const { child, said, ended } = run(command, ["work", "./tasks.js", "--slots", "2", "--name", "from the test"]);
    const client = millrace.client();
    const first = await client.enqueue("noop", { x: "", n: 1 }, { queue: "remote-cli" });
    expect(await first.result({ timeout: "20s" })).toEqual({ where: name, key: "a key" });
    const second = await client.enqueue("noop", { x: "", n: 2, ms: 700 }, { queue: "remote-cli" });
    await vi.waitFor(() => expect(said.out).toContain(`${second.id} | at it {"n":2}`), { timeout: 10_000 });
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(await second.get()).toMatchObject({ state: "completed", attempts: [{ worker: "from the test" }] });
    const lines = said.out.trim().split("\n");
    expect(lines.slice(0, 2)).toEqual(["Working on noop", "remote-cli: connected (websocket)"]);
    expect(lines.slice(-3)).toEqual([
      expect.stringMatching(new RegExp(`^${second.id} completed after \\d+ ms$`)),
      "remote-cli: left",
      "Stopped.",
    ]);
  });

  it("says in one line what is wrong", async () => {
    const [key, option] = [
      run(command, ["work", "tasks.js"], { MILLRACE_TOKEN: "no-such-key" }),
      run(command, ["work", "tasks.js", "--slot", "2"]),
    ];
    const module = run(command, ["work", "missing.js"]);
    expect(await Promise.all([key.ended, option.ended, module.ended])).toEqual([1, 2, 2]);
    expect(key.said.out).toMatch(/^Working on noop\n.* 401 unauthorized: .*\n$/);
    expect(option.said.out).toMatch(/^Unknown option '--slot'.*--slots.*\n$/);
    expect(module.said.out).toBe("There is no module missing.js.\n");
    for (const { said } of [key, option, module]) expect(said.out).not.toMatch(/^ +at /m);
  });
});

it("gives back what runs when it is told twice, and says how it is meanwhile", async () => {
  const port = 20_000 + (process.pid % 20_000);
  const { child, said, ended } = run(NODE, ["work", "tasks.js", "--health-port", String(port)]);
  const job = await millrace.client().enqueue("noop", { x: "", n: 3, ms: 60_000 }, { queue: "remote-cli" });
  await vi.waitFor(() => expect(said.out).toContain(`${job.id} noop`), { timeout: 10_000 });
  const health = await fetch(`http://127.0.0.1:${port}/`);
  expect([health.status, await health.json()]).toMatchObject([200, { status: "running", running: [{ id: job.id }] }]);
  child.kill("SIGINT");
  await vi.waitFor(() => expect(said.out).toContain("Stopping:"), { timeout: 5_000 });
  child.kill("SIGINT");
  expect(await ended).toBe(0);
  expect(await job.get()).toMatchObject({ state: "ready", reason: "released", failures: 0 });
  await job.cancel();
});

it("has types of its own, the SDK as one file for pages, and the parts of a Worker", async () => {
  const page = await import(join(folder, "node_modules/millrace/browser/millrace.js"));
  expect(Object.keys(page)).toEqual(expect.arrayContaining(["createClient", "createWorker", "defineTask"]));
  writeFileSync(join(folder, "use.ts"), USE);
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "esnext",
    "--types",
    "",
    "--skipLibCheck",
  ];
  await exec(join(BIN, "tsc"), [...options, "use.ts"], { cwd: folder });
});

it.each(["websocket", "poll"] as const)("works in this process over %s", async (transport) => {
  const queue = `remote-${transport}`;
  const double = defineTask({ name: "noop", queue }).handler((input) => (input as { n: number }).n * 2);
  const worker = createWorker({ ...millrace.access, tasks: [double], transport });
  const working = worker.start();
  const jobs = await millrace.client().enqueueMany(
    "noop",
    Array.from({ length: 50 }, (_, n) => ({ x: "", n })),
    { queue },
  );
  const results = await Promise.all(jobs.map((job) => job.result({ timeout: "20s" })));
  expect(results).toEqual(jobs.map((_, n) => n * 2));
  expect(worker.getSnapshot().queues).toEqual([{ queue, transport }]);
  await worker.stop();
  await working;
});
