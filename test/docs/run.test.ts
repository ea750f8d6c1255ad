import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createClient, type Explanation, type Job } from "../../client/index.ts";
import { makeToken } from "../../scripts/local/token.ts";
import { type Local, startLocal } from "../../scripts/local.ts";
import { ROOT, readText } from "../repo/sources.ts";
import { blocksOf, makeFolder, snippetsOf, writeSnippets } from "./snippets.ts";

const run = promisify(execFile);
const DOCUMENTED = "localhost:8787";
const START_WITHIN_MS = 60_000;
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

/** In the real runtime, with the configuration that docs/compose.md shows. */
describe("the Worker of README.md", () => {
  const folder = makeFolder();
  let local: Local;
  beforeAll(async () => {
    const configs = snippetsOf("docs/compose.md").filter(({ file }) => file === "wrangler.toml");
    const migrations = JSON.stringify(join(ROOT, "migrations"));
    const here = configs.map((one) => ({
      ...one,
      text: one.text.replace('"node_modules/millrace/migrations"', migrations),
    }));
    writeSnippets([...snippetsOf("README.md"), ...here], ({ file }) => join(folder, file));
    const config = join(folder, "wrangler.toml");
    local = await startLocal({ stateDir: join(folder, "state"), token: makeToken(), quiet: true, config });
  }, START_WITHIN_MS);
  afterAll(async () => {
    await local?.stop();
    rmSync(folder, { recursive: true, maxRetries: 5 });
  });

  it("enqueues by binding, and runs the job", async () => {
    const body = JSON.stringify({ email: "grace@example.com" });
    const answer = await fetch(`${local.url}/signup`, { method: "POST", body });
    expect(answer.status).toBe(202);
    const { job } = (await answer.json()) as { job: string };
    const client = createClient({ url: `${local.url}/jobs`, token: local.token });
    expect(await client.job(job).result({ timeout: "20s" })).toEqual({ sentAt: expect.any(String) });
  });

  it("is reached by the script beside it", async () => {
    const [script] = snippetsOf("README.md").filter(({ file }) => file === "script.ts");
    writeFileSync(join(folder, "script.ts"), script!.text.replace(`http://${DOCUMENTED}`, local.url));
    const env = { ...process.env, MILLRACE_TOKEN: local.token };
    const { stdout } = await run(process.execPath, [join(folder, "script.ts")], { env });
    expect(stdout).toMatch(/^mail:0:\d+ \d{4}-\d\d-\d\dT/);
  });
});

describe.runIf(hasCurl)("the commands of the documents", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-docs-"));
  let local: Local;
  beforeAll(async () => {
    local = await startLocal({ stateDir: join(folder, "state"), token: makeToken(), quiet: true });
    writeFileSync(join(folder, ".dev.vars"), `MILLRACE_TOKEN=${local.token}\n`);
  }, START_WITHIN_MS);
  afterAll(async () => {
    await local?.stop();
    rmSync(folder, { recursive: true, maxRetries: 5 });
  });

  /** The JSON that each `curl` of a page's block answers. */
  async function answersOf(page: string): Promise<unknown[]> {
    const [block] = blocksOf(readText(page)).filter(({ text }) => text.includes("curl -s"));
    const script = block!.text
      .replaceAll(DOCUMENTED, new URL(local.url).host)
      .replaceAll("curl -s", "curl -sS --fail-with-body -w '\\n'");
    const env = { ...process.env, MILLRACE_TOKEN: local.token };
    const { stdout } = await run("bash", ["-euc", script], { cwd: folder, env });
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  it("README.md: enqueue, wait, look at the queue, list", async () => {
    const [made, job, queue, list] = (await answersOf("README.md")) as [unknown, Job, unknown, { items: Job[] }];
    expect(made).toEqual({ id: "hooks:0:1", state: "ready", outcome: "created" });
    expect(job).toMatchObject({ id: "hooks:0:1", state: "completed", result: { status: 200 } });
    expect(queue).toMatchObject({ name: "hooks", counts: { ready: 0, running: 0 } });
    expect(list.items.map(({ id }) => id)).toEqual(["hooks:0:1"]);
  });

  it("docs/http-api.md: the calls of the contract, all of them and no others", async () => {
    const answer = await fetch(`${local.url}/openapi.json`, { headers: { authorization: `Bearer ${local.token}` } });
    const { paths } = (await answer.json()) as { paths: { [path: string]: object } };
    const served = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const [, calls] = readText("docs/http-api.md").split(/^## /m);
    const told = [...calls!.matchAll(/`((?:GET|POST|PUT|PATCH|DELETE) \/[^`? ]*)/g)].map(([, call]) => call!);
    expect(told.sort()).toEqual(served.sort());
  });

  it("docs/limits.md: limit and close a key, ask why its job waits, open it", async () => {
    const answers = await answersOf("docs/limits.md");
    const [config, closed, made, why, keys, opened, job] = answers as [
      unknown,
      unknown,
      unknown,
      Explanation,
      ...unknown[],
    ];
    expect(config).toMatchObject({ limits: { customer: { concurrency: { value: 5, origin: "api" } } } });
    expect(closed).toMatchObject({ kind: "customer", value: "acme", paused: { reason: "their server is down" } });
    expect(made).toMatchObject({ id: "webhooks:0:1", state: "ready" });
    expect(why).toMatchObject({ runnable: false, gates: [{ gate: "key_paused", until: expect.any(String) }] });
    expect(keys).toMatchObject({ items: [{ value: "acme", waiters: 1, holders: 0, tokens: 10 }] });
    expect(opened).toMatchObject({ paused: null });
    expect(job).toMatchObject({ state: "completed" });
  });

  it("docs/dead-letters.md: look at what went wrong, redrive with a canary, purge", async () => {
    const [, dead, errors, dry, redrive, purge] = await answersOf("docs/dead-letters.md");
    expect(dead).toMatchObject({ state: "dead", error: { fingerprint: expect.any(String) } });
    const { fingerprint } = (dead as Job).error!;
    expect(errors).toMatchObject({ items: [{ fingerprint, count: 1, examples: ["deliveries:0:1"] }], complete: true });
    expect(dry).toMatchObject({ action: "retry", filter: { state: "dead" }, dryRun: true });
    expect(redrive).toMatchObject({ matched: 1, changed: 1, canary: { count: 1, started: 1 } });
    expect(purge).toMatchObject({ action: "delete", filter: { queue: "deliveries", state: "dead" } });
  });

  it("docs/operations.md: pause, configure, resume", async () => {
    const [paused, config, resumed] = await answersOf("docs/operations.md");
    expect(paused).toMatchObject({ name: "mail", paused: true, pauseReason: "the vendor is down" });
    expect(config).toMatchObject({ concurrency: { value: 5, origin: "api" } });
    expect(resumed).toMatchObject({ paused: false });
  });
});
