/**
 * The WebSocket of a remote worker: checked here, and handed on to the queue's object, which keeps it and may sleep.
 *
 * @module
 */
import { WORKERS } from "../caller.ts";
import { type Refused, refuse } from "../problem.ts";
import { queueParams } from "../schemas.ts";
import { openSocket, refuseWorkers } from "./exchange.ts";
import { type Raw, route, type Services } from "./route.ts";

/** A browser can send no headers: it offers its token as a subprotocol, `bearer.<token>`, beside this one. */
const SUBPROTOCOL = "millrace";

export const connectWorker = route({
  method: "get",
  path: "/v1/queues/{queue}/connect",
  roles: WORKERS,
  summary: "As a worker: exchanges as messages of a WebSocket, and jobs as they come",
  params: queueParams,
  answers: {
    101: {
      description:
        'A WebSocket. The worker sends an `ExchangeRequest` a message, and the text `ping` every 20 s, answered `pong`. It gets `{ "type": "answer", … }` with an `ExchangeResponse` for each, `{ "type": "problem", n, problem }` where it was refused, and between them `{ "type": "push", n, jobs, cancel }`: jobs for what it still wants of exchange `n`. A browser offers the subprotocols `millrace` and `bearer.<token>`.',
    },
  },
  errors: ["not_found", "conflict"],
  async handle(call) {
    const { queue } = call.params;
    const refused = refuseWorkers(call, queue);
    if (refused) return refused;
    if (!isUpgrade(call.request)) {
      const detail = 'This is a WebSocket: send "Upgrade: websocket", or use POST /v1/queues/{queue}/exchange.';
      return refuse("invalid_request", detail);
    }
    const webSocket = await openSocket(call, queue);
    return webSocket ? upgraded(call, webSocket) : noMore(queue);
  },
});

/** Whether a socket is asked for. By HEAD nobody would take it. */
export function isUpgrade({ method, headers }: Request): boolean {
  return method === "GET" && headers.get("upgrade")?.toLowerCase() === "websocket";
}

/** Hands the socket over. Its answer goes out as it is, so it bears the request's id by itself. */
export function upgraded({ request, requestId }: Services & { request: Request }, webSocket: WebSocket): Raw {
  const subprotocol = chosen(request.headers.get("sec-websocket-protocol"));
  const headers = { "x-request-id": requestId, ...(subprotocol && { "sec-websocket-protocol": subprotocol }) };
  return { ok: true, response: new Response(null, { status: 101, webSocket, headers }) };
}

export function noMore(queue: string): Refused {
  return refuse("unavailable", `Queue "${queue}" takes no more sockets just now: try again later.`);
}

/** Of the subprotocols that were offered: a browser takes no socket that chooses none of them. */
function chosen(offered: string | null): string | null {
  const names = (offered ?? "").split(",").map((name) => name.trim());
  return names.find((name) => name === SUBPROTOCOL) ?? names.find((name) => name.startsWith("bearer.")) ?? null;
}
