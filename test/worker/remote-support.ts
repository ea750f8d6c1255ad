/** A remote worker over HTTP, and the API that it talks to: the whole program, its objects and its D1. */
import type { EnqueuedJob, ExchangeRequest, ExchangeResponse, Job, LeasedJob, Outcome } from "../../client/types.ts";
import { env } from "../object/support.ts";
import { mill } from "../support/runtime-worker.ts";
import { type Ask as ApiAsk, answer, ask as askApi, problem, TOKEN } from "./api/support.ts";

export { answer, problem, TOKEN };

export type Ask = Omit<ApiAsk, "fetch"> & { token?: string };

export const ask = (path: string, { token = TOKEN, headers, ...about }: Ask = {}): Promise<Response> =>
  askApi(path, {
    ...about,
    headers: { authorization: `Bearer ${token}`, ...headers },
    fetch: async (request) => mill.routes.fetch(request, env),
  });

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
