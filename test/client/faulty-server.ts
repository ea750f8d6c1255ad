import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Job } from "../../client/index.ts";

/** What goes wrong with one request, in the order of arrival. */
export type Fault =
  | "drop" // the connection breaks before anything is done
  | "lose-answer" // everything is done, the connection breaks before the answer
  | "cut-answer" // everything is done, the connection breaks in the middle of the answer
  | "hang"
  | { status: number; headers?: { [name: string]: string }; body?: string };

export interface Received {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  bytes: number;
  body: unknown;
  at: number;
}

type Body = { task: string; payload?: { bad?: boolean }; unique?: { key: string; onConflict?: string } };

/**
 * A real HTTP server that keeps jobs in memory and misbehaves on order. It refuses whole calls of which one payload is
 * `{ bad: true }` or one task is `nope`, and knows a repeated `Millrace-Request-Id`. A unique key is held once a job has it.
 */
export async function startServer() {
  const faults: Fault[] = [];
  const received: Received[] = [];
  const made: Body[] = [];
  const jobs = new Map<string, Partial<Job>>();
  const answered = new Map<string, unknown>();

  const server = createServer(async (request, response) => {
    const text = await readAll(request);
    const url = new URL(request.url ?? "/", "http://localhost");
    received.push({
      method: request.method ?? "",
      path: url.pathname + url.search,
      headers: request.headers,
      bytes: Buffer.byteLength(text),
      body: text === "" ? null : JSON.parse(text),
      at: performance.now(),
    });
    const fault = faults.shift();
    if (fault === "hang") return;
    if (fault === "drop") return request.socket.destroy();
    if (typeof fault === "object") {
      response.writeHead(fault.status, { "content-type": "text/html", ...fault.headers });
      return response.end(fault.body ?? "<h1>no</h1>");
    }
    const answer = route(request, url, received.at(-1)?.body);
    if (fault === "lose-answer") return request.socket.destroy();
    if (fault === "cut-answer") {
      response.writeHead(200, { "content-type": "application/json", "content-length": "10000" });
      response.write('{"id":', () => request.socket.destroy());
      return;
    }
    reply(response, answer.status, answer.body);
  });

  function route(request: IncomingMessage, url: URL, body: unknown): { status: number; body: unknown } {
    const [, , kind, id, rest] = url.pathname.split("/");
    if (request.method === "POST" && (rest === "jobs" || (kind === "jobs" && !id))) {
      return enqueue(String(request.headers["millrace-request-id"]), body as Body | { jobs: Body[] });
    }
    if (kind === "jobs" && id) return job(request, decodeURIComponent(id), rest);
    if (kind === "jobs" || (kind === "queues" && !id)) return page([...jobs.values()], url);
    return { status: 200, body: { name: id, did: rest ?? "get", body } };
  }

  function enqueue(requestId: string, body: Body | { jobs: Body[] }) {
    const before = answered.get(requestId);
    if (before) return { status: 201, body: before };
    const list = "jobs" in body ? body.jobs : [body];
    const bad = list.findIndex((one) => one.payload?.bad || one.task === "nope");
    if (bad >= 0) {
      const [status, code] = list[bad]?.task === "nope" ? [422, "unknown_task"] : [400, "invalid_request"];
      return { status, body: { status, code, detail: `jobs.${bad} is bad` } };
    }
    const taken = list.findIndex((one) => one.unique?.onConflict === "reject" && holderOf(one));
    if (taken >= 0) return { status: 409, body: { status: 409, code: "conflict", detail: `jobs.${taken} is taken` } };
    const results = list.map((one) => {
      const holder = holderOf(one);
      if (holder) return { id: `q:0:${holder}`, state: "ready", outcome: "returned" };
      made.push(one);
      const id = `q:0:${made.length}`;
      jobs.set(id, { id, task: one.task, state: "ready" });
      return { id, state: "ready", outcome: "created" };
    });
    const answer = "jobs" in body ? { jobs: results } : results[0];
    answered.set(requestId, answer);
    return { status: "jobs" in body || results[0]?.outcome === "created" ? 201 : 200, body: answer };
  }

  /** Counted from 1; 0: nobody holds the key. */
  function holderOf({ unique }: Body): number {
    return unique ? made.findIndex((other) => other.unique?.key === unique.key) + 1 : 0;
  }

  function job(request: IncomingMessage, id: string, verb: string | undefined) {
    const found = jobs.get(id);
    if (!found) return { status: 404, body: { status: 404, code: "not_found", detail: `there is no job ${id}` } };
    if (request.method === "DELETE") {
      jobs.delete(id);
      return { status: 204, body: null };
    }
    if (verb === "cancel") found.state = "cancelled";
    return { status: 200, body: found };
  }

  function page(items: unknown[], url: URL) {
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const next = from + Number(url.searchParams.get("limit") ?? 50);
    return {
      status: 200,
      body: { items: items.slice(from, next), nextCursor: next < items.length ? String(next) : null },
    };
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    received,
    made,
    jobs,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function readAll(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function reply(response: ServerResponse, status: number, body: unknown) {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type, "x-request-id": "req-1" });
  response.end(status === 204 ? undefined : JSON.stringify(body));
}
