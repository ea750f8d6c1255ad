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

const ENCODER = new TextEncoder();

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
  let waiting = FIRST_TEXT;
  /** The reader waits for text. */
  let asked: (() => void) | null = null;
  /** Text waits for the reader; at the end of it there is none. */
  let unread: ReturnType<typeof setTimeout> | undefined;
  /** The object has nothing more to tell. */
  let told = false;
  let stream!: ReadableStreamDefaultController<Uint8Array>;

  const end = (code: number, reason: string): void => {
    clearInterval(comments);
    clearTimeout(unread);
    socket.close(code, reason);
  };
  const drop = (): void => {
    end(CLOSE.unread, "does not read");
    stream.error(new Error("The stream was not read"));
  };
  const say = (text: string): void => {
    waiting += text;
    if (asked === null) unread ??= setTimeout(drop, unreadMs);
    else asked();
    asked = null;
  };
  const comments = setInterval(() => {
    // Whoever does not read gives no sign of life.
    if (told || waiting !== "") return;
    socket.send("ping");
    say(":\n\n");
  }, commentMs);
  socket.addEventListener("message", ({ data }) => {
    if (data !== "pong") say(toText(JSON.parse(String(data))));
  });
  for (const kind of ["close", "error"] as const) {
    socket.addEventListener(kind, () => {
      told = true;
      say("");
    });
  }
  socket.accept();
  // Not a TransformStream: of one whose reader is gone the local runtime tells nobody.
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        stream = controller;
      },
      async pull(controller) {
        clearTimeout(unread);
        unread = undefined;
        if (waiting === "" && !told) {
          await new Promise<void>((resolve) => {
            asked = resolve;
          });
        }
        if (waiting !== "") controller.enqueue(ENCODER.encode(waiting));
        else {
          end(1000, "ended");
          controller.close();
        }
        waiting = "";
      },
      cancel: () => end(1000, "left"),
    },
    { highWaterMark: 0 },
  );
}
