/**
 * Keys of a queue: look at them, close one, open it again.
 *
 * @module
 */

import { parseDuration } from "../../client/duration.ts";
import type { ErrorCode, KeyState, Page } from "../../client/types.ts";
import type { KeyName, KeyReport } from "../../client/wire.ts";
import { OPERATORS, READERS } from "../caller.ts";
import { kindName } from "../fields.ts";
import { keyParams, keyState, pauseKeyBody } from "../limit-schema.ts";
import { showRate } from "../limit-settings.ts";
import { refuse } from "../problem.ts";
import { pageOf, paging, queueParams } from "../schemas.ts";
import { pageAsked, writeCursor } from "./cursor.ts";
import { refuseUndeclared } from "./queues.ts";
import { type Answer, ok, route, type Services } from "./route.ts";

const PATH = "/v1/queues/{queue}/limits/{kind}/{value}/pause";
const answers = { 200: { description: "The key as it then is.", schema: keyState } };
const errors: ErrorCode[] = ["not_found"];

export const listKeys = route({
  method: "get",
  path: "/v1/queues/{queue}/limits",
  roles: READERS,
  summary: "Keys that run, wait, are closed or have spent of their rate, by name: holders, waiters, tokens",
  params: queueParams,
  query: paging.extend({ kind: kindName.optional().describe("Keys of this kind only.") }),
  answers: { 200: { description: "A page.", schema: pageOf(keyState) } },
  errors,
  async handle(call) {
    const strange = refuseUndeclared(call.config, call.params.queue);
    if (strange) return strange;
    const asked = pageAsked("keys", call.query);
    if (!asked.ok) return asked;
    const { place, limit } = asked;
    const after = place && { kind: place[0], value: place[1] };
    const found = await call.stub(call.params.queue).keys(call.query.kind ?? null, after, limit + 1);
    // An older object knows no pages, and answers with all that it lists.
    const keys = found.filter((key) => after === null || nameOf(key) > nameOf(after));
    const page = keys.slice(0, limit);
    const last = keys.length > limit ? page.at(-1)! : null;
    return ok({
      items: page.map(toKeyState),
      nextCursor: last && writeCursor("keys", [last.kind, last.value]),
    } satisfies Page<KeyState>);
  },
});

export const pauseKey = route({
  method: "put",
  path: PATH,
  roles: OPERATORS,
  summary: "Close a key for a time: no job of it starts, those of other keys do",
  params: keyParams,
  body: { schema: pauseKeyBody },
  answers,
  errors: [...errors, "unsupported_media_type", "payload_too_large"],
  handle: (call) => close(call, parseDuration(call.body.for), call.body.reason ?? null),
});

export const openKey = route({
  method: "delete",
  path: PATH,
  roles: OPERATORS,
  summary: "Open a closed key",
  params: keyParams,
  answers,
  errors,
  handle: (call) => close(call, 0, null),
});

/** Keys are listed in the order of these. */
const nameOf = ({ kind, value }: KeyName): string => `${kind}:${value}`;

interface KeyCall extends Services {
  params: { queue: string; kind: string; value: string };
  request: Request;
}

async function close(call: KeyCall, forMs: number, reason: string | null): Promise<Answer> {
  const { queue, kind, value } = call.params;
  const strange = refuseUndeclared(call.config, queue) ?? refuseBroken(call.request);
  if (strange) return strange;
  const reply = await call.stub(queue).pauseKey(kind, value, forMs, reason);
  return reply.ok ? ok(toKeyState(reply.key)) : reply;
}

/** The router leaves what it cannot decode as it is: that would be another key. */
function refuseBroken(request: Request) {
  try {
    decodeURIComponent(new URL(request.url).pathname);
    return null;
  } catch {
    return refuse("invalid_request", "The path is not percent-encoded UTF-8.");
  }
}

function toKeyState({ rateLimit, paused, ...key }: KeyReport): KeyState {
  return {
    ...key,
    rateLimit: rateLimit && showRate(rateLimit),
    paused: paused && { until: new Date(paused.until).toISOString(), reason: paused.reason },
  };
}
