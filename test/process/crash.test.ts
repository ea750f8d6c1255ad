import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createClient, type Job } from "../../client/index.ts";
import { makeToken } from "../../scripts/local/token.ts";
import { type Local, startLocal } from "../../scripts/local.ts";
import { ROOT } from "../../scripts/root.ts";

const token = makeToken();
const QUEUES = ["burst-a", "burst-b", "burst-c"];
const CALLERS = 12;
let stateDir: string;
let local: Local;
let server: Server;
let receiver: string;
/** When each body was delivered. */
const delivered = new Map<string, number[]>();

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "millrace-crash-"));
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    delivered.set(body, [...(delivered.get(body) ?? []), Date.now()]);
    response.end("thanks");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  receiver = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  local = await startLocal({ stateDir, token, quiet: true });
}, 90_000);

afterAll(async () => {
  await local?.kill9();
  server.close();
  rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
});

async function crash(): Promise<void> {
  const { port } = new URL(local.url);
  await local.kill9();
  local = await startLocal({ stateDir, token, quiet: true, port: Number(port) });
}

const client = () => createClient({ url: local.url, token });
const seqOf = (id: string): number => Number(id.split(":")[2]);

/** One call without the SDK: what is not answered is not sent again. Null: no answer, or none in the 2xx. */
async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  try {
    const response = await fetch(`${local.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!response.ok) return null;
    return { headers: response.headers, body: (await response.json()) as never };
  } catch {
    return null;
  }
}

interface Accepted {
  body: string;
  runAt: number;
}

it("runs the SDK in Deno against the real server", async () => {
  const args = ["run", "--no-config", "--no-prompt", "--allow-net=localhost,127.0.0.1"];
  args.push(join(ROOT, "test/process/deno.ts"), local.url, token, receiver);
  const { stdout } = await promisify(execFile)(join(ROOT, "node_modules/.bin/deno"), args);
  expect(JSON.parse(stdout)).toEqual({
    ids: ["from-deno:0:1", "from-deno:0:2"],
    status: 200,
    state: "completed",
    outcomes: ["completed"],
    failed: "cancelled",
    refused: "unknown_task",
    listed: ["from-deno:0:2", "from-deno:0:1"],
  });
  expect(delivered.get("deno 1")).toHaveLength(1);
  expect(delivered.has("deno 2")).toBe(false);
}, 60_000);

it("has every job whose id was answered, when it is killed with -9 in the middle of bursts", async () => {
  const accepted = new Map<string, Accepted>();
  let sent = 0;
  let isOver = false;

  /** Bursts of jobs, now and later, by one caller that never sends anything twice. */
  async function produce(caller: number): Promise<void> {
    const queue = QUEUES[caller % QUEUES.length]!;
    for (let n = 0; !isOver; n++) {
      const from = Date.now();
      const jobs = Array.from({ length: 5 }, (_, at) => ({
        task: "http",
        payload: { url: receiver, body: `${caller}.${n}.${at}` },
        backoff: { type: "fixed", delay: "1s" },
        ...(at === 4 && { delay: "4s" }),
      }));
      sent += jobs.length;
      const answer = await call("POST", `/v1/queues/${queue}/jobs`, { jobs });
      for (const [at, { id }] of ((answer?.body as { jobs: { id: string }[] } | undefined)?.jobs ?? []).entries()) {
        expect(accepted.has(id)).toBe(false);
        accepted.set(id, { body: jobs[at]!.payload.body, runAt: at === 4 ? from + 4_000 : from });
      }
      await sleep(answer ? 60 : 100);
    }
  }

  for (const queue of QUEUES) await call("PATCH", `/v1/queues/${queue}/config`, { lease: "5s" });
  const keyed = (key: string) =>
    call(
      "POST",
      "/v1/queues/keyed/jobs",
      { task: "http", payload: { url: receiver, body: key }, delay: "1h" },
      { "idempotency-key": key },
    );
  const first = await keyed("k1");

  const producing = Array.from({ length: CALLERS }, (_, caller) => produce(caller));
  const more = (count: number) =>
    vi.waitFor(() => expect(accepted.size).toBeGreaterThan(count), { timeout: 30_000, interval: 1 });
  await more(300);
  await crash();
  await more(accepted.size + 50);
  isOver = true;
  await Promise.all(producing);
  expect(sent).toBeGreaterThan(accepted.size);

  // Each is there, and is what was asked for.
  const ids = [...accepted.keys()];
  for (let from = 0; from < ids.length; from += 20) {
    await Promise.all(
      ids.slice(from, from + 20).map(async (id) => {
        const answer = await call("GET", `/v1/jobs/${id}`);
        expect((answer?.body as Job | undefined)?.payload, id).toMatchObject({ body: accepted.get(id)!.body });
      }),
    );
  }
  const replayed = await keyed("k1");
  expect(replayed?.headers.get("idempotency-replayed")).toBe("true");
  expect(replayed?.body).toEqual(first?.body);

  // And each comes to its end, in time and not before.
  await vi.waitFor(
    async () => {
      for (const queue of QUEUES) {
        const { counts, sessions } = await client().queue(queue).get();
        expect({ ...counts, sessions }).toEqual({
          scheduled: 0,
          retrying: 0,
          blocked: 0,
          ready: 0,
          running: 0,
          sessions: [],
        });
      }
    },
    { timeout: 60_000, interval: 200 },
  );
  for (const { body, runAt } of accepted.values()) {
    expect(delivered.get(body)?.length, body).toBeGreaterThanOrEqual(1);
    expect(Math.min(...delivered.get(body)!)).toBeGreaterThanOrEqual(runAt);
  }
  const twice = [...delivered.values()].filter(({ length }) => length > 1).length;
  expect(twice).toBeLessThan(delivered.size / 4);
}, 150_000);

it("never gives an id twice, and has every end in its history, also when it is killed while nothing is left to do", async () => {
  const last = new Map<string, number>();
  const finished = new Map<string, Job>();
  await vi.waitFor(
    async () => {
      finished.clear();
      for await (const job of client().jobs({ pageSize: 200 })) finished.set(job.id, job);
      const known = new Set<string>();
      for (const queue of QUEUES) {
        for await (const job of client().jobs({ queue, pageSize: 200 })) known.add(job.id);
      }
      for (const id of known) expect(finished.has(id), id).toBe(true);
    },
    { timeout: 20_000, interval: 300 },
  );
  for (const { id, queue, state } of finished.values()) {
    if (QUEUES.includes(queue)) expect(state, id).toBe("completed");
    last.set(queue, Math.max(last.get(queue) ?? 0, seqOf(id)));
  }
  await crash();
  for (const queue of QUEUES) {
    const job = await client().enqueue("http", { url: receiver, body: `after ${queue}` }, { queue });
    expect(seqOf(job.id)).toBeGreaterThan(last.get(queue)!);
    expect(await job.result({ timeout: "20s" })).toMatchObject({ status: 200 });
  }
}, 90_000);
