/**
 * A watcher's socket as server-sent events. The Worker stands between: it writes what the object tells at the pace of
 * the reader, and keeps the connection alive, so that the object may sleep.
 *
 * @module
 */
import type { JobEvent, QueueEvent, Streamed } from "../client/types.ts";
import { CLOSE } from "../durable-objects/queue-object.ts";

/** A comment goes out so often, for whatever stands between; and a `ping` to the object, which does not wake it. */
const COMMENT_MS = 15_000;
/** A reader that takes nothing for so long is dropped. */
const UNREAD_MS = 30_000;
/** After so long a browser opens a stream again that has ended. */
const RETRY_MS = 2_000;

export const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

/** Events in the form of the HTML standard, with the cursor as their id. */
export function toText({ cursor, event }: Streamed<JobEvent | QueueEvent>): string {
  return `event: ${event.event}\nid: ${cursor}\ndata: ${JSON.stringify(event)}\n\n`;
}

export const FIRST_TEXT = `retry: ${RETRY_MS}\n\n`;

/** What a test may shorten. */
export interface Times {
  commentMs: number;
  unreadMs: number;
}

/** The body of a response that tells what comes over the socket, until either side ends. */
export function eventStream(
  socket: WebSocket,
  { commentMs, unreadMs }: Times = { commentMs: COMMENT_MS, unreadMs: UNREAD_MS },
): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let waiting = FIRST_TEXT;
  let writing = false;
  /** The object has nothing more to tell. */
  let told = false;
  let over = false;

  const end = (code: number, reason: string): void => {
    if (over) return;
    over = true;
    clearInterval(comments);
    socket.close(code, reason);
  };
  const write = async (): Promise<void> => {
    if (writing || over) return;
    writing = true;
    while (waiting !== "") {
      const text = waiting;
      waiting = "";
      const timer = setTimeout(() => {
        end(CLOSE.unread, "does not read");
        void writer.abort(new Error("The stream was not read")).catch(() => {});
      }, unreadMs);
      try {
        await writer.write(encoder.encode(text));
      } catch {
        return end(1000, "left");
      } finally {
        clearTimeout(timer);
      }
    }
    writing = false;
    if (!told) return;
    end(1000, "ended");
    await writer.close().catch(() => {});
  };
  const say = (text: string): void => {
    waiting += text;
    void write();
  };

  const comments = setInterval(() => {
    // Whoever does not read gives no sign of life.
    if (writing) return;
    socket.send("ping");
    say(":\n\n");
  }, commentMs);
  writer.closed.catch(() => end(1000, "left"));
  socket.addEventListener("message", ({ data }) => {
    if (data !== "pong") say(toText(JSON.parse(String(data))));
  });
  for (const kind of ["close", "error"] as const) {
    socket.addEventListener(kind, () => {
      told = true;
      void write();
    });
  }
  socket.accept();
  void write();
  return readable;
}
