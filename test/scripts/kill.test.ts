import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createClient, type Job } from "../../client/index.ts";
import { processesOf } from "../../scripts/local/run.ts";
import { makeToken } from "../../scripts/local/token.ts";
import { type Local, startLocal } from "../../scripts/local.ts";

const KILLS = 3;
const token = makeToken();
let stateDir: string;
let local: Local;
let server: Server;
/** How often each job was delivered, by the name in its body. */
const delivered = new Map<string, number>();

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "millrace-kill-"));
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    delivered.set(body, (delivered.get(body) ?? 0) + 1);
    await sleep(20);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  local = await startLocal({ stateDir, token, quiet: true });
}, 60_000);

afterAll(async () => {
  await local.kill9();
  server.close();
  rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
});

/** A new runtime on the same port and folder, as after a power cut. */
async function crash(): Promise<void> {
  const { port } = new URL(local.url);
  await local.kill9();
  local = await startLocal({ stateDir, token, quiet: true, port: Number(port) });
}

it("asks for the token, which no command line shows", async () => {
  const ask = (headers: { [name: string]: string }) => fetch(`${local.url}/v1/queues`, { headers });
  expect((await ask({})).status).toBe(401);
  expect((await ask({ authorization: `Bearer ${makeToken()}` })).status).toBe(401);
  expect((await ask({ authorization: `Bearer ${token}` })).status).toBe(200);
  const { id } = JSON.parse(readFileSync(join(stateDir, "millrace-run.json"), "utf8")) as { id: string };
  const commands = processesOf(id).map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8"));
  expect(commands.join("\n")).toContain("workerd");
  expect(commands.join("\n")).not.toContain(token);
});

it(`loses nothing and makes nothing twice, killed with -9 ${KILLS} times while jobs come in and run`, async () => {
  const client = createClient({ url: local.url, token });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  await client.queue("kill").configure({ lease: "5s", concurrency: 12 });
  const accepted = new Map<string, string>();
  let isOver = false;
  const producing = (async () => {
    for (let n = 0; !isOver; n++) {
      const names = Array.from({ length: 10 }, (_, at) => `${n}.${at}`);
      const payloads = names.map((body) => ({ url, body }));
      const backoff = { type: "fixed", delay: "1s" } as const;
      const jobs = await client.enqueueMany("http", payloads, { queue: "kill", backoff });
      for (const [at, job] of jobs.entries()) accepted.set(job.id, names[at]!);
      await sleep(50);
    }
  })();
  for (let kill = 1; kill <= KILLS; kill++) {
    const target = accepted.size + 100;
    await vi.waitFor(() => expect(accepted.size).toBeGreaterThan(target), { timeout: 30_000, interval: 10 });
    await crash();
  }
  isOver = true;
  await producing;

  const unfinished = async () => Object.values((await client.queue("kill").get()).counts).reduce((a, b) => a + b, 0);
  await vi.waitFor(async () => expect(await unfinished()).toBe(0), { timeout: 60_000, interval: 200 });
  const history: Job[] = [];
  await vi.waitFor(
    async () => {
      history.length = 0;
      for await (const job of client.jobs({ pageSize: 200 })) history.push(job);
      expect(history.length).toBeGreaterThanOrEqual(accepted.size);
    },
    { timeout: 20_000, interval: 200 },
  );
  expect(history.map(({ id }) => id).sort()).toEqual([...accepted.keys()].sort());
  expect(new Set(history.map(({ state }) => state))).toEqual(new Set(["completed"]));
  expect([...delivered.keys()].sort()).toEqual([...accepted.values()].sort());
}, 180_000);
