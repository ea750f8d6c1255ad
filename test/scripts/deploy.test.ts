import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readPlan } from "../../scripts/deploy/plan.ts";
import { deploy } from "../../scripts/deploy/steps.ts";
import { createWrangler } from "../../scripts/deploy/wrangler.ts";
import { CannotGoOn } from "../../scripts/local/error.ts";
import { ROOT } from "../../scripts/root.ts";
import type { Account } from "./account.ts";

const CONFIG = join(ROOT, "wrangler.toml");
const PLANS = { "": readPlan(CONFIG, ""), staging: readPlan(CONFIG, "staging") };
const EVERYTHING = [
  "d1 create millrace",
  "queues create millrace",
  "queues create millrace-long",
  "d1 migrations apply DB --remote",
  "deploy",
  "secret put MILLRACE_TOKEN",
];

let folder: string;
let said: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-deploy-"));
  said = [];
  vi.stubEnv("ACCOUNT_FILE", join(folder, "account.json"));
  vi.stubEnv("MILLRACE_WRANGLER", fileURLToPath(new URL("./account.ts", import.meta.url)));
  setAccount({});
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

function setAccount(change: Partial<Account>): void {
  const empty: Account = {
    ...{ loggedIn: true, config: PLANS, databases: {}, queues: [], workers: {} },
    ...{ migrations: ["0000_history.sql"], failures: [], changes: [] },
  };
  writeFileSync(join(folder, "account.json"), JSON.stringify({ ...empty, ...change }));
}

function account(): Account {
  return JSON.parse(readFileSync(join(folder, "account.json"), "utf8")) as Account;
}

async function deployTo(env: keyof typeof PLANS): Promise<void> {
  await deploy(PLANS[env], createWrangler(ROOT, env), (line) => said.push(line));
}

async function failureOf(run: Promise<void>): Promise<string> {
  const error = await run.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CannotGoOn);
  return (error as Error).message;
}

describe("deploy, against a stand-in for wrangler", () => {
  it("makes everything in an empty account, in an order that never finds something missing", async () => {
    await deployTo("");
    expect(account().changes).toEqual(EVERYTHING);
    expect(account().databases.millrace?.migrations).toEqual(["0000_history.sql"]);
    const token = account().workers.millrace?.secrets.MILLRACE_TOKEN ?? "";
    expect(token.length).toBeGreaterThanOrEqual(32);
    expect(said.filter((line) => line.includes(token))).toHaveLength(1);
    expect(said.join("\n")).toContain("https://millrace.example.workers.dev");
  });

  it("changes nothing the second time and does not show the token again", async () => {
    await deployTo("");
    const first = account();
    said = [];
    await deployTo("");
    expect(account()).toEqual(first);
    expect(said.join("\n")).not.toContain(first.workers.millrace?.secrets.MILLRACE_TOKEN);
    expect(said.join("\n")).toContain("Admin token: there already");
  });

  it("adds what a partial account lacks and leaves what is there", async () => {
    setAccount({ queues: ["millrace"], workers: { millrace: { secrets: { MILLRACE_TOKEN: "kept" }, draft: false } } });
    await deployTo("");
    expect(account().changes).toEqual([
      "d1 create millrace",
      "queues create millrace-long",
      "d1 migrations apply DB --remote",
    ]);
    expect(account().workers.millrace?.secrets.MILLRACE_TOKEN).toBe("kept");
  });

  it("applies a new migration to the database that is there", async () => {
    await deployTo("");
    setAccount({ ...account(), migrations: ["0000_history.sql", "0001_more.sql"], changes: [] });
    await deployTo("");
    expect(account().changes).toEqual(["d1 migrations apply DB --remote"]);
    expect(account().databases.millrace?.migrations).toEqual(["0000_history.sql", "0001_more.sql"]);
  });

  it.each(EVERYTHING)("stops where `wrangler %s` fails, and goes on from there when run again", async (command) => {
    setAccount({ failures: [{ command, done: false }] });
    const message = await failureOf(deployTo(""));
    expect(message).toContain(`wrangler ${command}`);
    expect(message).toContain("[code: 10000]");
    expect(account().changes).toEqual(EVERYTHING.slice(0, EVERYTHING.indexOf(command)));
    await deployTo("");
    expect(account().changes).toEqual(EVERYTHING);
  });

  it("tells the token when it was kept but the answer was lost", async () => {
    setAccount({ failures: [{ command: "secret put", done: true }] });
    const message = await failureOf(deployTo(""));
    expect(message).toContain(account().workers.millrace?.secrets.MILLRACE_TOKEN);
    await deployTo("");
    expect(account().changes).toEqual(EVERYTHING);
  });

  it("keeps staging beside production, with names and a token of its own", async () => {
    await deployTo("");
    const production = account();
    await deployTo("staging");
    const { databases, queues, workers } = account();
    expect(Object.keys(databases)).toEqual(["millrace", "millrace-staging"]);
    expect(queues).toEqual(["millrace", "millrace-long", "millrace-staging", "millrace-staging-long"]);
    expect(workers.millrace).toEqual(production.workers.millrace);
    expect(workers["millrace-staging"]?.secrets.MILLRACE_TOKEN).not.toBe(workers.millrace?.secrets.MILLRACE_TOKEN);
  });

  it("says how to log in, and touches nothing, when nobody is", async () => {
    setAccount({ loggedIn: false });
    expect(await failureOf(deployTo(""))).toContain("npx wrangler login");
    expect(account().changes).toEqual([]);
  });

  it("runs as a program: exit code 0, and 1 with the known names for an unknown environment", async () => {
    const script = join(ROOT, "scripts", "deploy.ts");
    const { stdout } = await promisify(execFile)(process.execPath, [script, "--env", "staging"]);
    expect(stdout).toContain("Worker millrace-staging: deployed");
    const failed = promisify(execFile)(process.execPath, [script, "--env", "stagin"]);
    await expect(failed).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("defines staging") });
    const mistyped = promisify(execFile)(process.execPath, [script, "--evn", "staging"]);
    const stderr = "Unknown option '--evn'. Usage: npm run deploy -- [--env <name>]\n";
    await expect(mistyped).rejects.toMatchObject({ code: 1, stderr });
  });
});

describe("deploy, with wrangler itself", () => {
  it.each(["", "staging"])("builds environment %j and finds nothing wrong with its configuration", async (env) => {
    vi.unstubAllEnvs();
    const answer = await createWrangler(ROOT, env)(["deploy", "--dry-run", "--outdir", folder]);
    expect(answer.complaint).not.toContain("[ERROR]");
    expect(answer.ok).toBe(true);
    expect(existsSync(join(folder, "index.js"))).toBe(true);
    for (const queue of PLANS[env as keyof typeof PLANS].queues) expect(answer.stdout).toContain(`(${queue})`);
  });
});
