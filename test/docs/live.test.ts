import { execFile } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createClient } from "../../client/index.ts";
import { makeToken } from "../../scripts/local/token.ts";
import { type Local, startLocal } from "../../scripts/local.ts";
import { ROOT } from "../repo/sources.ts";
import { makeFolder, snippetsOf, writeSnippets } from "./snippets.ts";

const run = promisify(execFile);

const WORKER = `
import { createMillrace } from "millrace/worker";
import { tasks } from "./tasks.ts";
const mill = createMillrace({ tasks, basePath: "/jobs" });
export const MillraceQueue = mill.QueueObject;
export default { fetch: mill.routes.fetch, queue: mill.queue, scheduled: mill.scheduled };
`;

const ADDRESS = "http://localhost:8787";

/** In the real runtime: what the snippets print is what was seen over the wire. */
describe("the programs of docs/live.md", () => {
  const folder = makeFolder();
  let local: Local;
  beforeAll(async () => {
    const [config] = snippetsOf("docs/compose.md").filter(({ file }) => file === "wrangler.toml");
    const migrations = JSON.stringify(join(ROOT, "migrations"));
    const text = config!.text.replace('"node_modules/millrace/migrations"', migrations);
    writeSnippets([...snippetsOf("docs/live.md"), { ...config!, text }], ({ file }) => join(folder, file));
    writeFileSync(join(folder, "worker.ts"), WORKER);
    const wrangler = join(folder, "wrangler.toml");
    local = await startLocal({ stateDir: join(folder, "state"), token: makeToken(), quiet: true, config: wrangler });
    // Only the programs: a file of the Worker that is written again has the runtime start it anew, and cut off what runs.
    for (const { file, text } of snippetsOf("docs/live.md").filter(({ text }) => text.includes(ADDRESS))) {
      writeFileSync(join(folder, file), text.replace(ADDRESS, local.url));
    }
  }, 60_000);
  afterAll(async () => {
    await local?.stop();
    rmSync(folder, { recursive: true, maxRetries: 5 });
  });

  const program = (file: string) =>
    run(process.execPath, [join(folder, file)], { env: { ...process.env, MILLRACE_TOKEN: local.token } });

  it("a job: its states, its progress, its log and its result", async () => {
    const { stdout, stderr } = await program("watch.ts");
    expect(stderr).toBe("");
    const lines = stdout.trim().split("\n");
    const logged = ["a.png", "b.png", "c.png"].map((picture, n) => `${n + 1} info: resized {"picture":"${picture}"}`);
    expect(lines.filter((line) => /^\d+ info/.test(line))).toEqual(logged);
    expect(lines[0]).toMatch(/^state (ready|running) 0$/);
    expect(lines.filter((line) => line.startsWith("state completed"))).toHaveLength(1);
    expect(lines.filter((line) => line.startsWith("progress")).at(-1)).toMatch(/^progress (running|completed) 100$/);
    expect(lines.slice(-2)).toEqual(["result 3", "3 3"]);
  });

  it("a queue, until the first of its jobs has ended; and the log, when all is over", async () => {
    const client = createClient({ url: `${local.url}/jobs`, token: local.token });
    const watching = program("queue.ts");
    await new Promise((resolve) => watching.child.stdout!.once("data", resolve));
    const job = await client.enqueue("resize", { pictures: ["d.png"] });
    const { stdout } = await watching;
    expect(stdout.trim().split("\n").at(-1)).toBe(`${job.id} result`);
    expect(await job.logs()).toMatchObject({ count: 1, items: [{ n: 1, level: "info", message: "resized" }] });
    const views = await Array.fromAsync(client.job(job.id).watch());
    expect(views.map(({ event }) => event)).toEqual(["state", "log", "progress", "result"]);
    expect(views.at(-1)).toMatchObject({ state: "completed", percent: 100, result: { resized: 1 } });
  });
});
