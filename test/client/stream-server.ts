import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { JobEvent, QueueEvent } from "../../client/index.ts";

/** One request for a stream, and what is done with it. */
export interface Connection {
  path: string;
  headers: IncomingMessage["headers"];
  /** True once the client has closed it. */
  closed: boolean;
  /** Resolves when the client has closed it. */
  gone: Promise<void>;
  /** Events from cursor `from` on, which counts them. */
  tell(from: number, ...events: (JobEvent | QueueEvent)[]): void;
  raw(text: string): void;
  end(): void;
  /** Without saying so. */
  break(): void;
}

type Answer = { status: number; type?: string; body: unknown };

/** A real HTTP server whose streams the test plays, one after the other as they are asked for. */
export async function startStreams() {
  const opened: Connection[] = [];
  const waiting: ((connection: Connection) => void)[] = [];
  const answers: (Answer | "drop")[] = [];
  let taken = 0;

  const server = createServer((request, response) => {
    const answer = answers.shift();
    if (answer === "drop") return void request.socket.destroy();
    if (answer) {
      response.writeHead(answer.status, { "content-type": answer.type ?? "application/problem+json" });
      return void response.end(typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body));
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.flushHeaders();
    const connection = connect(request, response);
    opened.push(connection);
    waiting.shift()?.(connection);
  });

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    opened,
    /** Given to the next requests in place of a stream. */
    answers,
    /** The next stream that is asked for, or was and nobody took yet. */
    async next(): Promise<Connection> {
      taken += 1;
      return opened[taken - 1] ?? new Promise((resolve) => waiting.push(resolve));
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function connect(request: IncomingMessage, response: ServerResponse): Connection {
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  const connection: Connection = {
    path: request.url ?? "",
    headers: request.headers,
    closed: false,
    gone,
    tell(from, ...events) {
      for (const [index, event] of events.entries()) {
        response.write(`id: ${from + index}\nevent: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`);
      }
    },
    raw: (text) => void response.write(text),
    end: () => void response.end(),
    break: () => void request.socket.destroy(),
  };
  response.on("close", () => {
    connection.closed = true;
    resolve();
  });
  return connection;
}

/** What a job says that ends well, in order. */
export const LIFE: JobEvent[] = [
  { event: "state", id: "q:0:1", task: "encode", state: "ready", reason: null, attempt: 1, fence: 0 },
  { event: "state", id: "q:0:1", task: "encode", state: "running", reason: null, attempt: 1, fence: 1 },
  { event: "progress", id: "q:0:1", percent: 40, note: "é" },
  {
    ...{ event: "log", id: "q:0:1", n: 1 },
    ...{ at: "2026-06-01T00:00:00.000Z", level: "warn", message: "slow", fields: { disk: "full" } },
  },
  { event: "progress", id: "q:0:1", percent: 90, note: null },
  { event: "result", id: "q:0:1", state: "completed", reason: null, result: { bytes: 3 }, error: null },
];
