/**
 * The exchange over HTTP: what a remote worker says and is told, held back for a while where there is nothing to tell.
 *
 * @module
 */
import { parseDuration } from "../../client/duration.ts";
import type { ExchangeRequest } from "../../client/types.ts";
import type { ExchangeInput } from "../../client/wire.ts";
import { GRANT_HEADER, type Grant, writeGrant } from "../../durable-objects/queue-object.ts";
import { WORKERS } from "../caller.ts";
import { declaredQueue } from "../config.ts";
import { exchange } from "../exchange.ts";
import { parseExchange } from "../exchange-read.ts";
import { exchangeRequest, exchangeResponse } from "../exchange-schema.ts";
import { hold, mayHold } from "../hold.ts";
import { type Refused, refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { queueParams } from "../schemas.ts";
import { ok, route, type Services } from "./route.ts";

export const exchangeJobs = route({
  method: "post",
  path: "/v1/queues/{queue}/exchange",
  roles: WORKERS,
  summary: "As a worker: settle what ended, renew the lease, and get what is next",
  params: queueParams,
  body: { schema: exchangeRequest, checked: false, text: true },
  answers: { 200: { description: "What it is to do now.", schema: exchangeResponse } },
  errors: ["not_found", "conflict", "payload_too_large", "unsupported_media_type"],
  async handle(call) {
    const { queue } = call.params;
    const refused = refuseWorkers(call, queue);
    if (refused) return refused;
    const parsed = parseExchange(call.body as unknown as string);
    if (!parsed.ok) return parsed;
    const run = (input: ExchangeInput) => call.stub(queue).exchange(input);
    const via = { queue, partition: 0, channel: null, may: grantOf(call), standing: false, run };
    const done = await exchange(call.config, via, parsed.value);
    if (!done.ok) return done;
    const waitMs = done.wait === null ? 0 : parseDuration(done.wait);
    const asked = parsed.value as ExchangeRequest;
    if (waitMs === 0 || !mayHold(asked, done.response)) return ok(done.response);
    const ports = { open: () => openSocket(call, queue), timer, gone: call.request.signal };
    return { ...ok(await hold(ports, asked, done.response, waitMs)), held: true };
  },
});

/** Whether remote workers may come for jobs of a queue; null: they may. */
export function refuseWorkers({ config }: Services, queue: string): Refused | null {
  const declared = declaredQueue(config, queue);
  if (!declared) return refuse("not_found", undeclared(config, queue));
  if (declared.delivery !== "push") return null;
  const detail = `Queue "${queue}" takes no remote workers: its jobs run in the Worker. Set its delivery to "pull" or "both" in "queues" of createMillrace.`;
  return refuse("conflict", detail);
}

/** What the caller's token lets it do as a worker. */
function grantOf({ caller }: Services): Grant {
  const { tasks, queues, name, tokenId } = caller;
  return { tasks: tasks && [...tasks], queues: queues && [...queues], name, token: tokenId };
}

/** Opens a socket for a worker at the queue's object; null where it takes none. */
export async function openSocket(call: Services, queue: string): Promise<WebSocket | null> {
  const opened = await call.upgrade(queue, "/connect", { [GRANT_HEADER]: writeGrant(grantOf(call)) });
  return opened.webSocket;
}

function timer(ms: number, fire: () => void): () => void {
  const id = setTimeout(fire, ms);
  return () => clearTimeout(id);
}
