/**
 * Live views of a job and of a queue: as server-sent events, made here, or over a WebSocket, which is handed on to the
 * queue's object. Either way the object sleeps while nothing happens.
 *
 * @module
 */
import { z } from "zod";
import type { JobEvent, Streamed } from "../../client/types.ts";
import type { JobRecord } from "../../client/wire.ts";
import { eventsSince, readCursor, seenOf, type Told } from "../../durable-objects/engine/events.ts";
import { JOB_READERS, READERS } from "../caller.ts";
import { queueSettings } from "../config.ts";
import { eventStream, FIRST_TEXT, STREAM_HEADERS, toText } from "../event-stream.ts";
import { formatJobId, type JobAddress } from "../job.ts";
import { isFinal } from "../listing.ts";
import { type Refused, refuse } from "../problem.ts";
import { undeclared } from "../resolve.ts";
import { jobParams, queueParams } from "../schemas.ts";
import { isUpgrade, noMore, upgraded } from "./connect.ts";
import { absent, addressOf, findJob } from "./jobs.ts";
import { type Answer, type Raw, route, type Services } from "./route.ts";

type Asked = Services & { request: Request };

const QUEUE_CURSOR = /^\d{1,16}$/;

const query = z.strictObject({
  after: z.string().optional().describe("The id of the latest event that was seen: the stream goes on after it."),
});
const headers = z.object({ "last-event-id": z.string().optional().describe("The same; goes before `after`.") });
const answers = {
  200: {
    description:
      "Each event has a name, an id, and as data the event as JSON. A comment comes every 15 s. Who reads nothing for 30 s is dropped.",
    media: "text/event-stream",
  },
  101: {
    description:
      "With `Upgrade: websocket`: each message is `{ cursor, event }`. Send the text `ping` every 20 s, answered `pong`: who is sent much and is not heard for 30 s is dropped (4009). A browser offers the subprotocols `millrace` and `bearer.<token>`.",
  },
};

export const jobEvents = route({
  method: "get",
  path: "/v1/jobs/{id}/events",
  roles: JOB_READERS,
  summary: "A job as it goes along: state, log, progress, result. Ends after the result",
  params: jobParams,
  query,
  headers,
  answers: { ...answers, 204: { description: "All of it has been seen, with the result." } },
  errors: ["not_found"],
  async handle(call) {
    const { id } = call.params;
    const address = addressOf(call.config, id);
    if (!address.ok) return address;
    const after = afterOf(call);
    const told = after === null ? null : readCursor(after);
    if (after !== null && told === null) return badCursor(after);
    if (call.caller.role === "producer" || told?.ended) {
      const record = await findJob(call, address);
      if (record === null) return absent(id);
      // A browser opens a stream again that has ended, until it is told that there is no more.
      const isAll = told?.ended && record.fence === told.fence && isFinal(record.state);
      if (isAll && !isUpgrade(call.request)) return { ok: true, status: 204 };
    }
    return watch(call, address, after, told);
  },
});

export const queueEvents = route({
  method: "get",
  path: "/v1/queues/{queue}/events",
  roles: READERS,
  summary: "A queue as it goes along: events of its jobs, and counts; a gap where more happens than is told",
  params: queueParams,
  query,
  headers,
  answers,
  errors: ["not_found"],
  async handle(call) {
    const { queue } = call.params;
    const after = afterOf(call);
    if (after !== null && !QUEUE_CURSOR.test(after)) return badCursor(after);
    if (queueSettings(call.config, queue) === null) return refuse("not_found", undeclared(call.config, queue));
    const { status, webSocket } = await call.upgrade(queue, after === null ? "/watch" : `/watch?after=${after}`);
    if (webSocket) return live(call, webSocket);
    if (status !== 404) return noMore(queue);
    return refuse("not_found", `Queue "${queue}" is declared, and has not been used yet.`);
  },
});

/** Told by the object while it has the job; else from the history, whose jobs have ended. */
async function watch(call: Asked, address: JobAddress, after: string | null, told: Told | null): Promise<Answer> {
  const { queue, partition, seq } = address;
  const id = formatJobId(queue, partition, seq);
  // Once more where the job came back between two looks.
  for (let looks = 0; looks < 2; looks++) {
    const path = `/watch?job=${seq}${after === null ? "" : `&after=${after}`}`;
    const { status, webSocket } = await call.upgrade(queue, path);
    if (webSocket) return live(call, webSocket);
    if (status !== 404) return noMore(queue);
    const record = await findJob(call, address, true);
    if (record === null) return absent(id);
    if (isFinal(record.state)) return past(call, id, told, record);
  }
  return noMore(queue);
}

function live(call: Asked, webSocket: WebSocket): Raw {
  if (isUpgrade(call.request)) return upgraded(call, webSocket);
  if (call.request.method !== "HEAD") return stream(eventStream(webSocket));
  webSocket.accept();
  webSocket.close(1000);
  return stream(null);
}

function past(call: Asked, id: string, told: Told | null, record: JobRecord): Raw {
  const events: Streamed<JobEvent>[] = eventsSince(told, seenOf(id, record));
  if (!isUpgrade(call.request)) return stream(FIRST_TEXT + events.map(toText).join(""));
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  for (const event of events) server.send(JSON.stringify(event));
  server.close(1000, "ended");
  return upgraded(call, client);
}

function stream(body: BodyInit | null): Raw {
  return { ok: true, response: new Response(body, { headers: STREAM_HEADERS }) };
}

/** A browser that comes back says by the header where it was, and by the address where it began. */
function afterOf({ request, query }: { request: Request; query: { after?: string | undefined } }): string | null {
  return request.headers.get("last-event-id") || query.after || null;
}

function badCursor(after: string): Refused {
  const detail = `"${after.toWellFormed().slice(0, 100)}" is not the id of an event of this stream: begin anew, without it.`;
  return refuse("invalid_request", detail, [{ path: "after", message: "is not the id of an event of this stream" }]);
}
