import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  type AuditEntry,
  createClient,
  type EnqueuedJob,
  type Explanation,
  type Job,
  type Page,
  type TokenInfo,
} from "../../client/index.ts";
import { makeToken } from "../../scripts/local/token.ts";
import { type Local, startLocal } from "../../scripts/local.ts";
import { ROOT, readText } from "../repo/sources.ts";
import { blocksOf, makeFolder, snippetsOf, writeSnippets } from "./snippets.ts";

const run = promisify(execFile);
const DOCUMENTED = "localhost:8787";
const START_WITHIN_MS = 60_000;
const WITHIN = { timeout: 20_000, interval: 300 };
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

  it.each(['{"email":"nix"}', "no JSON"])("answers 400 to %s", async (body) => {
    expect((await fetch(`${local.url}/signup`, { method: "POST", body })).status).toBe(400);
  });

  it("is reached by the script beside it", async () => {
    const [script] = snippetsOf("README.md").filter(({ file }) => file === "script.ts");
    writeFileSync(join(folder, "script.ts"), script!.text.replace(`http://${DOCUMENTED}`, local.url));
    const env = { ...process.env, MILLRACE_TOKEN: local.token };
    const { stdout } = await run(process.execPath, [join(folder, "script.ts")], { env });
    expect(stdout).toMatch(/^mail:0:\d+ \d{4}-\d\d-\d\dT/);
  });
});

describe("the tasks of docs/follow-ups.md and docs/take.md", () => {
  const folder = makeFolder();
  let local: Local;
  beforeAll(async () => {
    const pages = ["docs/follow-ups.md", "docs/take.md"].flatMap(snippetsOf);
    const [config] = snippetsOf("docs/compose.md").filter(({ file }) => file === "wrangler.toml");
    const text = config!.text
      .replace('"node_modules/millrace/migrations"', JSON.stringify(join(ROOT, "migrations")))
      .concat('\n[[d1_databases]]\nbinding = "MY_DB"\ndatabase_name = "mine"\n');
    writeSnippets([...pages, { ...config!, text }], ({ file }) => join(folder, file));
    const [, table] = /\/\/ (CREATE TABLE .*)$/m.exec(readText("docs/follow-ups.md"))!;
    writeFileSync(
      join(folder, "worker.ts"),
      workerOf(
        pages.map(({ file }) => file),
        table!,
      ),
    );
    local = await startLocal({
      stateDir: join(folder, "state"),
      token: makeToken(),
      quiet: true,
      config: join(folder, "wrangler.toml"),
    });
    await fetch(`${local.url}/setup`);
  }, START_WITHIN_MS);
  afterAll(async () => {
    await local?.stop();
    rmSync(folder, { recursive: true, maxRetries: 5 });
  });

  const client = () => createClient({ url: `${local.url}/jobs`, token: local.token });
  async function jobsOf(queue: string, task: string): Promise<Job[]> {
    const jobs: Job[] = [];
    for await (const job of client().jobs({ queue, task })) jobs.push(job);
    return jobs.reverse();
  }

  it("a chain over two queues, each job with its parent", async () => {
    const first = await client().enqueue("account.remove", { userId: "7" });
    await first.result({ timeout: "20s" });
    await vi.waitFor(async () => {
      const [wipe] = await jobsOf("storage", "account.wipe");
      expect(wipe).toMatchObject({ state: "completed", parent: first.id, tags: ["7"] });
      const [last] = await jobsOf("accounts", "account.farewell");
      expect(last).toMatchObject({ state: "completed", parent: wipe!.id, result: "sent" });
    }, WITHIN);
  });

  it("steps of one ordering key, in order", async () => {
    await client().enqueue("migrate", { site: "a" });
    await vi.waitFor(async () => {
      const steps = await jobsOf("migrations", "migration.step");
      expect(steps.map(({ state }) => state)).toEqual(Array(4).fill("completed"));
      expect(steps.map(({ result }) => result)).toEqual(["lock", "copy", "switch", "unlock"]);
      const times = steps.flatMap(({ startedAt, finishedAt }) => [startedAt!, finishedAt!]);
      expect(times).toEqual(times.toSorted());
    }, WITHIN);
  });

  it("a batch, whose last job completes after all of its parts", async () => {
    await client().enqueue("batch", { batch: "b", parts: 20 });
    await vi.waitFor(async () => {
      const [last] = await jobsOf("batches", "summary");
      expect(last).toMatchObject({ state: "completed", result: { done: 20 } });
      const parts = await jobsOf("batches", "part");
      expect(parts.map(({ state }) => state)).toEqual(Array(20).fill("completed"));
    }, WITHIN);
  });

  it("many at a time, each with an end of its own", async () => {
    const documents = ["fine", "", "later", "too"].map((text, n) => ({ id: `d${n}`, text }));
    const made = await client().enqueueMany("index", documents);
    await vi.waitFor(async () => {
      const jobs = await Promise.all(made.map(({ id }) => client().job(id).get()));
      expect(jobs.map(({ state }) => state)).toEqual(["completed", "dead", "scheduled", "completed"]);
      expect(jobs[0]!.result).toEqual({ id: "d0", status: 200 });
    }, WITHIN);
  });
});

/** A Worker that runs the tasks of these files. */
function workerOf(files: string[], table: string): string {
  const imports = files.map((file, n) => `import * as tasks${n} from ${JSON.stringify(`./${file}`)};`);
  const tasks = files.map((_, n) => `...Object.values(tasks${n})`);
  return `${imports.join("\n")}
import { createMillrace } from "millrace/worker";
const mill = createMillrace({ tasks: [${tasks.join(", ")}], basePath: "/jobs" });
export const MillraceQueue = mill.QueueObject;
export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/setup") return mill.routes.fetch(request, env, ctx);
    await env.MY_DB.exec(${JSON.stringify(table)});
    return new Response();
  },
  queue: mill.queue,
  scheduled: mill.scheduled,
};
`;
}

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
    const answered = stdout.split("\n").filter((line) => line !== "");
    return answered.map((line) => JSON.parse(line));
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

  it("docs/unique.md: every outcome of a key that is held", async () => {
    const answers = (await answersOf("docs/unique.md")) as EnqueuedJob[];
    expect(answers.map(({ outcome }) => outcome)).toEqual([
      "created",
      "returned",
      "debounced",
      "throttled",
      "replaced",
    ]);
    expect(new Set(answers.map(({ id }) => id))).toEqual(new Set(["invoices:0:1"]));
  });

  it("docs/deadlines.md: a job that waits ends at its deadline", async () => {
    const [, , job] = await answersOf("docs/deadlines.md");
    expect(job).toMatchObject({ id: "quotes:0:1", state: "cancelled", reason: "expired", attempts: [] });
  });

  it("docs/explain.md: the third of a rate that lets one start a minute", async () => {
    const [, , , why, , job] = (await answersOf("docs/explain.md")) as [
      unknown,
      unknown,
      unknown,
      Explanation,
      ...Job[],
    ];
    expect(why).toMatchObject({ runnable: false, gates: [{ gate: "rate", until: expect.any(String) }], position: 1 });
    expect(why.etaMs).toBeGreaterThan(100_000);
    expect(why.etaMs).toBeLessThanOrEqual(120_000);
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

  it("docs/tokens.md: make a token, enqueue with it, list it, revoke it, see who did so", async () => {
    const [job, tokens, audit] = (await answersOf("docs/tokens.md")) as [
      EnqueuedJob,
      Page<TokenInfo>,
      Page<AuditEntry>,
    ];
    expect(job).toMatchObject({ id: expect.stringMatching(/^orders:/), state: "scheduled" });
    const [token] = tokens.items;
    expect(token).toMatchObject({ name: "the shop", role: "producer", tasks: ["http"], options: ["delay"] });
    const actions = audit.items.map(({ action }) => action);
    expect(actions).toContainEqual(expect.stringMatching(/^POST \/v1\/tokens tok-\S+ producer$/));
    expect(audit.items[0]).toMatchObject({ who: "admin", requestId: expect.any(String) });
  });

  it("docs/operations.md: pause, configure, resume", async () => {
    const [paused, config, resumed] = await answersOf("docs/operations.md");
    expect(paused).toMatchObject({ name: "mail", paused: true, pauseReason: "the vendor is down" });
    expect(config).toMatchObject({ concurrency: { value: 5, origin: "api" } });
    expect(resumed).toMatchObject({ paused: false });
  });
});
