/// <reference types="@cloudflare/vitest-plugin/types" />
import { applyD1Migrations, type D1Migration } from "cloudflare:test";
import { env, exports as workerExports } from "cloudflare:workers";
import { beforeAll, expect } from "vitest";
import { z } from "zod";
import { defineTask } from "../../../client/task.ts";
import type { EnqueuedJob, Job, Page, Problem } from "../../../client/types.ts";
import type { QueueRpc } from "../../../client/wire.ts";
import { objectName } from "../../../durable-objects/queue-object.ts";
import { type AppDeps, createApp } from "../../../worker/app.ts";
import { type MillraceConfig, readConfig } from "../../../worker/config.ts";
import { historyReads } from "../../../worker/history-reads.ts";
import { createKeyring } from "../../../worker/tokens/keys.ts";
import { createRevocations } from "../../../worker/tokens/revocations.ts";

interface Bindings {
  DB: D1Database;
  MILLRACE: DurableObjectNamespace;
  /** Objects whose tickets go nowhere, where the Worker of the tests has them. */
  FAULTY?: DurableObjectNamespace;
  MIGRATIONS: D1Migration[];
  MILLRACE_TOKEN: string;
}
const bindings = env as unknown as Bindings;
export const db: D1Database = bindings.DB;
export const TOKEN = bindings.MILLRACE_TOKEN;

/** The file begins with a migrated D1. */
export function migrated(): void {
  beforeAll(() => applyD1Migrations(db, bindings.MIGRATIONS));
}

function objectOf(queue: string) {
  return (bindings.FAULTY ?? bindings.MILLRACE).getByName(objectName(queue, 0));
}

export function stubOf(queue: string): QueueRpc {
  return objectOf(queue) as unknown as QueueRpc;
}

/** What the tests' own app knows: a task with a schema, one with options, one that takes anything. */
export const CONFIG: MillraceConfig = {
  tasks: [
    defineTask({ name: "greet", input: z.object({ name: z.string() }), queue: "greetings" }),
    defineTask({ name: "any" }),
    defineTask({
      name: "tuned",
      queue: "tuned",
      priority: 5,
      maxAttempts: 3,
      backoff: { type: "fixed", delay: "2s" },
      timeout: "20s",
      expiresIn: "1h",
      tags: ["from-task"],
      meta: { from: "task" },
      version: "v7",
    }),
    defineTask({ name: "later", input: z.object({ n: z.number() }).refine(async ({ n }) => n < 10, "n is below 10") }),
  ],
  queues: { "q-*": {}, "pull-*": { delivery: "pull" }, "tenant-a": { concurrency: 2, lease: "1m" } },
};

const keyring = createKeyring();

export const DEPS: AppDeps<unknown> = {
  config: readConfig(CONFIG),
  stub: (_env, queue) => stubOf(queue),
  upgrade: (_env, queue, path, headers = {}) =>
    objectOf(queue).fetch(`https://object${path}`, { headers: { ...headers, upgrade: "websocket" } }),
  history: () => historyReads(db),
  token: () => TOKEN,
  keys: () => keyring({ token: TOKEN, signing: undefined, previous: undefined }),
  version: "1.2.3",
  revocations: createRevocations(() => {}),
  log: () => {},
};

export type Fetch = (request: Request) => Promise<Response>;

/** An app over the real objects and the real D1, as an isolate of its own, with some of its parts replaced. */
export function appWith(deps: Partial<AppDeps<unknown>> = {}): Fetch {
  const app = createApp({ ...DEPS, revocations: createRevocations(() => {}), ...deps });
  return async (request) => app.fetch(request, {});
}

const own = appWith();
/** The default deployment, through its own `fetch`. */
export const deployed: Fetch = (request) =>
  (workerExports as unknown as { default: { fetch: Fetch } }).default.fetch(request);

export interface Ask {
  method?: string;
  body?: unknown;
  /** Instead of `body`: as it is. */
  raw?: BodyInit;
  headers?: Record<string, string | null>;
  fetch?: Fetch;
  signal?: AbortSignal;
}

/** Sends a request with the token; a body makes it a POST of JSON. A header that is null is left out. */
export async function ask(path: string, about: Ask = {}): Promise<Response> {
  const { body, raw, method = body === undefined && raw === undefined ? "GET" : "POST", fetch = own } = about;
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const headers = new Headers({ authorization: `Bearer ${TOKEN}` });
  if (sent !== undefined) headers.set("content-type", "application/json");
  for (const [name, value] of Object.entries(about.headers ?? {})) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  return fetch(new Request(`https://millrace.test${path}`, { method, headers, body: sent, signal: about.signal }));
}

/** The JSON of an answer of this status; fails with the answer's text otherwise. */
export async function answer<Body>(response: Response, status = 200): Promise<Body> {
  const text = await response.text();
  expect(response.status, text).toBe(status);
  return JSON.parse(text) as Body;
}

/** A problem of this status and code, checked for its form. */
export async function problem(response: Response, status: number, code: string): Promise<Problem> {
  const body = await answer<Problem>(response, status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(response.headers.get("x-request-id")).toMatch(/^[\w.-]{1,64}$/);
  expect(body).toMatchObject({ status, code, type: expect.stringContaining(code) });
  expect(body.detail.length).toBeGreaterThan(10);
  return body;
}

export const enqueue = async (queue: string, job: object): Promise<EnqueuedJob> =>
  answer(await ask(`/v1/queues/${queue}/jobs`, { body: job }), 201);

export const getJob = async (id: string): Promise<Job> => answer(await ask(`/v1/jobs/${id}`));

export const listJobs = async (query: string): Promise<Page<Job>> => answer(await ask(`/v1/jobs?${query}`));

/** How many jobs the queue ever took: reads the object's counts and the high-water mark through its list. */
export async function jobsIn(queue: string): Promise<number> {
  const { items } = await stubOf(queue).list({
    beforeSeq: null,
    limit: 1_000,
    states: null,
    task: null,
    tag: null,
    from: null,
    to: null,
  });
  return items.length;
}

let sessions = 0;
type Claimed = [seq: number, task: string, payload: string, encoding: string, fence: number];

/** Takes up to 500 ready jobs as a worker would. */
export async function claim(queue: string) {
  const session = `test-${++sessions}-${queue}`;
  const base = { session, worker: { name: "test", runtime: "test" }, channel: null, progress: [] };
  const reply = await stubOf(queue).exchange({ ...base, n: 1, holding: [], settle: [], want: 500 });
  if (!reply.ok) throw new Error(reply.detail);
  return { base, jobs: JSON.parse(reply.jobs) as Claimed[] };
}

/** Works through up to 500 ready jobs, ending each as `settle` says. */
export async function work(
  queue: string,
  settle: (seq: number) => { outcome: "completed" | "failed" | "dead"; message?: string } = () => ({
    outcome: "completed",
  }),
): Promise<number[]> {
  const { base, jobs } = await claim(queue);
  const settled = jobs.map(([seq, , , , fence]) => {
    const { outcome, message = "on purpose" } = settle(seq);
    const error = { name: "Error", message, stack: null };
    return outcome === "completed" ? { seq, fence, outcome, result: "42" } : { seq, fence, outcome, error };
  });
  const done = await stubOf(queue).exchange({ ...base, n: 2, holding: [], settle: settled, want: 0 });
  if (!done.ok) throw new Error(done.detail);
  return jobs.map(([seq]) => seq);
}
