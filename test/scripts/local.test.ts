import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { freePort } from "../../scripts/local/port.ts";
import { processesOf, runEnvironment, settleFormerRun, writeRun } from "../../scripts/local/run.ts";
import { makeToken } from "../../scripts/local/token.ts";
import { startLocal } from "../../scripts/local.ts";
import { ROOT } from "../../scripts/root.ts";

const START = join(ROOT, "scripts", "start.ts");
let stateDir: string;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "millrace-local-"));
});

afterEach(() => {
  rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
});

/** The id under which the runtime on this folder was started. */
function runId(): string {
  return (JSON.parse(readFileSync(join(stateDir, "millrace-run.json"), "utf8")) as { id: string }).id;
}

/** `npm start` without npm. */
function startScript(port: number, env: { [name: string]: string } = {}, args: string[] = []) {
  return spawn(process.execPath, [START, ...args], {
    env: { ...process.env, MILLRACE_STATE: stateDir, MILLRACE_TOKEN: makeToken(), PORT: String(port), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function untilReady(child: ReturnType<typeof startScript>): Promise<string> {
  let output = "";
  for await (const chunk of child.stdout) {
    output += String(chunk);
    if (/^Ready on .*\n/m.test(output)) return output;
  }
  throw new Error(`It ended before it was ready: ${output}${await text(child.stderr)}`);
}

function appliedMigrations(): unknown[] {
  const folder = join(stateDir, "v3", "d1", "miniflare-D1DatabaseObject");
  const file = readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name))!;
  const database = new DatabaseSync(join(folder, file), { readOnly: true });
  const rows = database.prepare("SELECT name FROM d1_migrations ORDER BY name").all();
  database.close();
  return rows.map(({ name }) => name);
}

function migrationFiles(): string[] {
  const names = readdirSync(join(ROOT, "migrations"));
  return names.filter((name) => name.endsWith(".sql")).sort();
}

it("serves migrated data, is killed, and serves again on the same folder and port, with nothing left behind", async () => {
  const first = await startLocal({ stateDir, token: makeToken(), quiet: true });
  expect((await fetch(`${first.url}/healthz`)).status).toBeLessThan(600);
  expect((await fetch(`${first.url}/cdn-cgi/local/scheduled?cron=*+*+*+*+*`)).status).toBe(200);
  const id = runId();
  expect(processesOf(id).length).toBeGreaterThan(1);
  await first.kill9();
  expect(processesOf(id)).toEqual([]);

  const port = Number(new URL(first.url).port);
  const second = await startLocal({ stateDir, token: makeToken(), quiet: true, port });
  expect(second.url).toBe(first.url);
  await second.stop();
  await expect(fetch(second.url)).rejects.toThrow();
  expect(existsSync(join(stateDir, "millrace-run.json"))).toBe(false);
  expect(appliedMigrations()).toEqual(migrationFiles());
});

it("does not let two runtimes use one folder", async () => {
  const local = await startLocal({ stateDir, token: makeToken(), quiet: true });
  await expect(startLocal({ stateDir, token: makeToken(), quiet: true })).rejects.toThrow(
    `Cannot use the state folder ${stateDir}: process ${local.pid} runs on it`,
  );
  expect((await fetch(`${local.url}/healthz`)).status).toBeLessThan(600);
  await local.stop();
});

it("says in one line that a port is taken, and leaves nothing running", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const child = startScript(port);
  const [[code], told] = await Promise.all([once(child, "exit"), text(child.stderr)]);
  server.close();
  expect(code).toBe(1);
  expect(told.trim().split("\n")).toEqual([
    `Cannot serve on port ${port}: something else listens there. Stop it, or set PORT.`,
  ]);
});

it.each([
  ["a token that is too short", { MILLRACE_TOKEN: "short" }, "it has 5 characters, and needs 32 or more"],
  ["an empty token", { MILLRACE_TOKEN: "" }, "it has 0 characters"],
  ["a port that is no number", { PORT: "http" }, 'Cannot read PORT: it is "http"'],
  [
    "a state folder that is a file",
    { MILLRACE_STATE: START, PORT: String(await freePort()) },
    `Cannot use the state folder ${START}: ENOTDIR`,
  ],
  ["an argument", {}, "Unknown option '--port'. Usage: PORT=8796 npm start", ["--port", "8796"]],
])("refuses %s in one line", async (_, env: { [name: string]: string }, line, args: string[] = []) => {
  const child = startScript(1, env, args);
  const [[code], told] = await Promise.all([once(child, "exit"), text(child.stderr)]);
  expect(code).toBe(1);
  expect(told.trim().split("\n")).toHaveLength(1);
  expect(told).toContain(line);
});

it("npm start prints one line when it serves, and ends with 0 when asked to", async () => {
  const port = await freePort();
  const child = startScript(port);
  expect(await untilReady(child)).toBe(`Ready on http://localhost:${port}\n`);
  const id = runId();
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect(code).toBe(0);
  expect(processesOf(id)).toEqual([]);
});

it("npm start, killed with -9, takes wrangler and workerd with it; the next start goes on", async () => {
  const port = await freePort();
  const first = startScript(port);
  await untilReady(first);
  const id = runId();
  first.kill("SIGKILL");
  await vi.waitFor(() => expect(processesOf(id)).toEqual([]), { timeout: 5_000, interval: 20 });
  const second = startScript(port);
  expect(await untilReady(second)).toContain(`Ready on http://localhost:${port}\n`);
  second.kill("SIGTERM");
  await once(second, "exit");
});

it("ends what a killed run left behind, and only that", async () => {
  const sleeper = (id: string) =>
    spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { env: { ...process.env, ...runEnvironment(id) } });
  const orphan = sleeper("former");
  const stranger = sleeper("other");
  await vi.waitFor(() => expect(processesOf("former")).toEqual([orphan.pid]));
  await vi.waitFor(() => expect(processesOf("other")).toEqual([stranger.pid]));
  const file = join(stateDir, "run.json");
  // The former leader's process id now belongs to somebody else.
  writeRun(file, { id: "former", leader: stranger.pid! });
  const ended = once(orphan, "exit");
  await settleFormerRun(file);
  expect(await ended).toEqual([null, "SIGKILL"]);
  expect(processesOf("other")).toEqual([stranger.pid]);
  expect(existsSync(file)).toBe(false);
  stranger.kill("SIGKILL");
});

it("tells why a Worker does not build", async () => {
  const config = join(stateDir, "wrangler.toml");
  const ours = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const migrations = JSON.stringify(join(ROOT, "migrations"));
  writeFileSync(config, ours.replace("worker/index.ts", "broken.ts").replaceAll('"migrations"', migrations));
  writeFileSync(join(stateDir, "broken.ts"), "export default {");
  await expect(startLocal({ stateDir, token: makeToken(), quiet: true, config })).rejects.toThrow(
    /Cannot start the local runtime .*broken\.ts:1:16/,
  );
  expect(existsSync(join(stateDir, "millrace-run.json"))).toBe(false);
});
