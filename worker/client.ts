/**
 * The client inside the Worker: new jobs go to their queue's object by binding, without HTTP and without a token; all
 * other calls go through the app in this process.
 *
 * @module
 */
import { type Client, clientOver, type Delivery } from "../client/client.ts";
import type { EnqueueOptions } from "../client/enqueue.ts";
import { MillraceError } from "../client/errors.ts";
import { createSend } from "../client/request.ts";
import type { AnyTaskDeclaration } from "../client/task.ts";
import type { EnqueuedJob, NewJob, TokenRequest } from "../client/types.ts";
import type { EnqueueInput, EnqueueReply, QueueRpc } from "../client/wire.ts";
import type { Config } from "./config.ts";
import { formatJobId } from "./job.ts";
import { type Refused, statusOf } from "./problem.ts";
import { MAX_JOBS, resolveJobs } from "./resolve.ts";
import type { Keyring } from "./tokens/keys.ts";
import { iso, LIFETIMES } from "./tokens/request.ts";
import { makeToken } from "./tokens/token.ts";

/** Tries of one call to the object, each with a new stub; the request id keeps them from making a job twice. */
const TRIES = 4;
const RETRY_MS = 50;
const RETRY_FOR_MS = 30_000;

export interface BindingClientOptions {
  config: Config;
  /** A new stub of the queue's object at each call. */
  stub(queue: string): QueueRpc;
  /** Answers a request of the API in this process. */
  fetch(request: Request): Promise<Response>;
  token: string;
  /** The keys that sign tokens. */
  keys(): Promise<Keyring | Refused>;
}

/** A token that code has made for a page or a worker. */
export interface MintedToken {
  /** What the page gives to `createClient`. */
  token: string;
  /** By which it can be revoked: `client.tokens.revoke(id)`. */
  id: string;
  expiresAt: string;
}

/** The client that `mill.client(env)` gives. */
export interface BindingClient<Tasks> extends Client<Tasks> {
  /**
   * Makes a token for a page or a worker, without a row in D1. It is valid for an hour, or for `expiresIn`, at most a
   * day. Give a page an `actor` that outlives its reloads: a producer sees the jobs of its own actor, and no others.
   *
   * @throws {MillraceError} `not_configured` where the environment has neither `MILLRACE_TOKEN` nor
   * `MILLRACE_SIGNING_KEY`; `invalid_request` for a restriction that is not valid, or does not go with the role
   * @example
   * const { token } = await mill.client(env).mintToken({
   *   name: "import page", role: "producer", tasks: ["import-csv"], pin: { user }, actor: user, rate: { limit: 10, per: "1m" },
   * });
   */
  mintToken(request: TokenRequest): Promise<MintedToken>;
}

/** Makes the client for code that runs in the Worker. Its calls reject as those of `createClient` do. */
export function createBindingClient<Tasks>(options: BindingClientOptions): BindingClient<Tasks> {
  const { fetch, token, keys } = options;
  const send = createSend({ url: `http://millrace${options.config.basePath}`, token, fetch, retryForMs: RETRY_FOR_MS });
  return {
    ...clientOver<Tasks>(send, delivery(options)),
    async mintToken(request) {
      const made = await makeToken(await keys(), request, LIFETIMES.minted);
      if (!made.ok) throw failure(made);
      const { id, expiresAt } = made.row;
      return { token: made.token, id, expiresAt: iso(expiresAt) };
    },
  };
}

interface Call {
  job: NewJob;
  resolve(made: EnqueuedJob): void;
  reject(error: unknown): void;
}

function delivery(options: BindingClientOptions): Delivery {
  /** Calls of this tick: to the same queue, or for the same task where none is named. */
  let groups = new Map<string, { queue: string | null; calls: Call[] }>();

  function flush(): void {
    const due = groups;
    groups = new Map();
    for (const { queue, calls } of due.values()) {
      for (let from = 0; from < calls.length; from += MAX_JOBS) void deliver(queue, calls.slice(from, from + MAX_JOBS));
    }
  }

  /** Never rejects. Nothing is made of a refused batch, so its halves are tried until the bad job is alone. */
  async function deliver(queue: string | null, calls: Call[]): Promise<void> {
    try {
      const made = await enqueue(
        options,
        queue,
        calls.map((call) => call.job),
        null,
      );
      for (const [index, call] of calls.entries()) call.resolve(made[index]!);
    } catch (error) {
      if (calls.length === 1 || !(error instanceof MillraceError && error.status < 500)) {
        for (const call of calls) call.reject(error);
        return;
      }
      const middle = calls.length >> 1;
      await deliver(queue, calls.slice(0, middle));
      await deliver(queue, calls.slice(middle));
    }
  }

  async function many(task: string | AnyTaskDeclaration, payloads: Iterable<unknown>, about: EnqueueOptions = {}) {
    const { idempotencyKey: key, signal, queue, ...shared } = about;
    const name = nameOf(task);
    const jobs = Array.from(payloads, (payload) => ({ ...shared, task: name, payload }) as NewJob);
    const made: EnqueuedJob[] = [];
    for (let from = 0; from < jobs.length; from += MAX_JOBS) {
      signal?.throwIfAborted();
      const part = key === undefined || from === 0 ? key : `${key}/${from / MAX_JOBS}`;
      for (const job of await enqueue(options, queue ?? null, jobs.slice(from, from + MAX_JOBS), part ?? null))
        made.push(job);
    }
    return made;
  }

  function one(task: string | AnyTaskDeclaration, payload: unknown, about: EnqueueOptions = {}): Promise<EnqueuedJob> {
    const { idempotencyKey, signal, queue = null, ...shared } = about;
    if (idempotencyKey !== undefined || signal) return many(task, [payload], about).then(([job]) => job!);
    const job = { ...shared, task: nameOf(task), payload } as NewJob;
    return new Promise((resolve, reject) => {
      if (groups.size === 0) queueMicrotask(flush);
      const key = queue === null ? `task ${job.task}` : `queue ${queue}`;
      const group = groups.get(key) ?? { queue, calls: [] };
      groups.set(key, group);
      group.calls.push({ job, resolve, reject });
    });
  }

  return { one, many };
}

const nameOf = (task: string | AnyTaskDeclaration): string => (typeof task === "string" ? task : task.name);

async function enqueue(
  { config, stub }: BindingClientOptions,
  queue: string | null,
  jobs: NewJob[],
  key: string | null,
): Promise<EnqueuedJob[]> {
  const resolved = await resolveJobs(config, { queue, jobs, actor: null });
  if (!resolved.ok) throw failure(resolved);
  const idempotency =
    key === null ? null : { key: `binding ${key}`, bodyHash: await hashOf([resolved.templates, resolved.jobs]) };
  const input = { templates: resolved.templates, jobs: resolved.jobs, requestId: crypto.randomUUID(), idempotency };
  const reply = await callObject(() => stub(resolved.queue), input);
  if (!reply.ok) throw failure(reply);
  return reply.jobs.map(({ seq, state, outcome }) => ({ id: formatJobId(resolved.queue, 0, seq), state, outcome }));
}

async function callObject(stub: () => QueueRpc, input: EnqueueInput): Promise<EnqueueReply> {
  for (let tried = 1; ; tried++) {
    try {
      return await stub().enqueue(input);
    } catch (error) {
      const { retryable, overloaded } = error as { retryable?: boolean; overloaded?: boolean };
      if (!retryable || overloaded || tried === TRIES) {
        throw new MillraceError(`Enqueueing ${input.jobs.length} jobs failed: the queue's object did not answer`, {
          code: "unavailable",
          status: 503,
          retryable: true,
          cause: error,
        });
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 2 ** tried * (0.5 + Math.random())));
    }
  }
}

function failure({ code, detail, errors }: Refused): MillraceError {
  const wrong = (errors ?? []).map(({ path, message }) => `${path} ${message}`).join("; ");
  return new MillraceError(wrong ? `${detail} ${wrong}` : detail, { code, status: statusOf(code) });
}

async function hashOf(value: unknown): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(JSON.stringify(value)));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
