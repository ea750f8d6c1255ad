/** A remote worker over HTTP, and the API that it talks to: the whole program, its objects and its D1. */
import { expect } from "vitest";
import type {
  EnqueuedJob,
  ExchangeRequest,
  ExchangeResponse,
  Job,
  LeasedJob,
  Outcome,
  Problem,
} from "../../client/types.ts";
import { env } from "../object/support.ts";
import { mill } from "../support/runtime-worker.ts";

export const TOKEN = "test-token-of-more-than-32-characters";

export interface Ask {
  method?: string;
  body?: unknown;
  /** Instead of `body`: as it is. */
  raw?: BodyInit;
  headers?: Record<string, string>;
  token?: string;
  signal?: AbortSignal;
}

export async function ask(path: string, { method, body, raw, headers, token = TOKEN, signal }: Ask = {}) {
  const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const all = new Headers({ authorization: `Bearer ${token}`, ...headers });
  if (sent !== undefined) all.set("content-type", "application/json");
  const about = { method: method ?? (sent === undefined ? "GET" : "POST"), headers: all, body: sent, signal };
  return mill.routes.fetch(new Request(`https://millrace.test${path}`, about), env);
}

export async function answer<Body>(response: Response, status = 200): Promise<Body> {
  const text = await response.text();
  expect(response.status, text).toBe(status);
  return JSON.parse(text) as Body;
}

export async function problem(response: Response, status: number, code: string): Promise<Problem> {
  const body = await answer<Problem>(response, status);
  expect(body).toMatchObject({ status, code });
  return body;
}

export const enqueue = async (queue: string, payload: unknown = null, options: object = {}): Promise<string> => {
  const job = { task: "elsewhere", payload, ...options };
  return (await answer<EnqueuedJob>(await ask(`/v1/queues/${queue}/jobs`, { body: job }), 201)).id;
};

export const getJob = async (id: string): Promise<Job> => answer(await ask(`/v1/jobs/${id}`));

export type Said = Partial<Omit<ExchangeRequest, "settle">> & { settle?: object[]; wait?: string };

/** Takes part as a program in any language would; keeps its count, and nothing else. */
export function worker(queue: string, session: string = crypto.randomUUID()) {
  let n = 0;
  /** The latest again, as it was or otherwise. */
  const again = (said: Said = {}, more: Ask = {}) => {
    const body = { session, n, worker: { name: "hand", runtime: "test" }, holding: [], want: 0, ...said };
    return ask(`/v1/queues/${queue}/exchange`, { body, ...more });
  };
  const next = (said?: Said, more?: Ask) => {
    n += 1;
    return again(said, more);
  };
  const exchange = async (said?: Said): Promise<ExchangeResponse> => answer(await next(said));
  return { session, again, next, exchange };
}

export const settled = ({ id, fence }: LeasedJob, ending: Partial<Outcome> | object = {}) => ({
  ...{ id, fence, outcome: "completed", ...ending },
});
