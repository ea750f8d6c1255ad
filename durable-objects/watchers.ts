/**
 * Sockets of those who watch a job or the queue. Each is told how things are, then what changes; all that a wake must
 * know of one is how far it has been told. Where nothing changes, nobody is in memory.
 *
 * @module
 */
import { eventsSince, readCursor, type Seen } from "./engine/events.ts";
import { isForgotten } from "./engine/forget.ts";
import type { Tx } from "./engine/ports.ts";
import { isFinal } from "./engine/states.ts";
import { type Changes, countsOf, nobodyWatches, see } from "./engine/watch.ts";
import type { ShellPorts, WatcherPort } from "./ports.ts";
import { type Attachment, attachmentOf, CLOSE, type Sockets } from "./sockets.ts";

/** What is kept with the socket of a watcher. */
interface Kept {
  kind: "watcher";
  /** Null: it watches the queue. */
  job: number | null;
  /** Of the last event that it was told of its job. */
  cursor: string | null;
}

/** What is to be said to all who have been told as much, and how far they are then. */
interface Frames {
  texts: string[];
  chars: number;
  cursor: string | null;
}

/** What is sent waits in memory. With one change so much is sent at once; who is left out is closed, and comes again. */
const TOLD_CHARS = 16 * 2 ** 20;

type Look = <Result>(look: (tx: Tx) => Result) => Result | null;

const QUEUE_TAG = "queue";
const tagOf = (seq: number): string => `job:${seq}`;

export class Watchers implements WatcherPort {
  readonly watched = nobodyWatches();
  readonly #sockets: Sockets;
  readonly #log: ShellPorts["log"];

  constructor(sockets: Sockets, log: ShellPorts["log"]) {
    this.#sockets = sockets;
    this.#log = log;
    for (const socket of sockets.tagged("watcher")) this.#count(keptOf(socket)!.job, 1);
  }

  /**
   * Answers an upgrade that asks for `job`, a number, or for the queue; `after` is the cursor to go on from. 404: the
   * object has no such job (the history may), or the queue was never used. The tags of `bearer` say whose token it is.
   */
  accept(asked: URLSearchParams, look: Look, bearer: string[]): Response {
    const job = asked.get("job");
    const after = asked.get("after");
    return job === null
      ? this.#acceptQueue(after !== null, look, bearer)
      : this.#acceptJob(Number(job), after, look, bearer);
  }

  tell({ jobs, queue }: Changes): void {
    const room = { chars: TOLD_CHARS };
    try {
      for (const [seq, seen] of jobs) {
        const frames = new Map<string | null, Frames>();
        for (const socket of this.#sockets.tagged(tagOf(seq))) this.#tellJob(socket, seq, seen, frames, room);
      }
      if (queue.length === 0) return;
      const texts = queue.map((event) => JSON.stringify(event));
      for (const socket of this.#sockets.tagged(QUEUE_TAG)) this.#send(socket, null, texts);
    } catch (error) {
      this.#log("error", "watchers_failed", { error: String(error) });
    }
  }

  /** A socket was closed by the other side, or broke. One of another kind is left alone. */
  gone(socket: WebSocket, code: number): void {
    const kept = keptOf(socket);
    if (!kept) return;
    // The Worker between has a reader that does not read.
    if (code === CLOSE.unread) this.#sockets.dropped += 1;
    this.#end(socket, kept.job, code === CLOSE.unauthorized ? code : 1000, "");
  }

  #acceptJob(seq: number, after: string | null, look: Look, bearer: string[]): Response {
    const seen = look((tx) => see(tx, seq));
    if (!seen) return new Response("There is no such job", { status: 404 });
    const kept: Kept = { kind: "watcher", job: seq, cursor: after };
    return this.#sockets.accept({ ...kept }, [tagOf(seq), ...bearer], (socket) => {
      this.#count(seq, 1);
      this.#tellJob(socket, seq, seen, new Map(), { chars: TOLD_CHARS });
    });
  }

  #acceptQueue(resumed: boolean, look: Look, bearer: string[]): Response {
    const first = look((tx) => (isForgotten(tx) ? null : { cursor: String(tx.now), event: countsOf(tx) }));
    if (!first) return new Response("There is no such queue", { status: 404 });
    // What happened meanwhile was not noted for anybody.
    const gap = { cursor: first.cursor, event: { event: "gap", reason: "resumed" } };
    const kept: Kept = { kind: "watcher", job: null, cursor: null };
    return this.#sockets.accept({ ...kept }, [QUEUE_TAG, ...bearer], (socket) => {
      this.#count(null, 1);
      const texts = (resumed ? [gap, first] : [first]).map((event) => JSON.stringify(event));
      this.#send(socket, null, texts);
    });
  }

  #tellJob(
    socket: WebSocket,
    seq: number,
    seen: Seen | null,
    known: Map<string | null, Frames>,
    room: { chars: number },
  ): void {
    if (!seen) {
      this.#end(socket, seq, CLOSE.deleted, "deleted");
      return;
    }
    const { cursor } = keptOf(socket)!;
    const frames = known.get(cursor) ?? framesSince(cursor, seen);
    known.set(cursor, frames);
    room.chars -= frames.chars;
    if (room.chars < 0) {
      this.#end(socket, seq, CLOSE.later, "too much at once: come again");
      return;
    }
    if (!this.#send(socket, seq, frames.texts)) return;
    if (isFinal(seen.state)) this.#end(socket, seq, 1000, "ended");
    else if (frames.cursor !== cursor) {
      this.#sockets.keep(socket, { kind: "watcher", job: seq, cursor: frames.cursor } satisfies Kept);
    }
  }

  #send(socket: WebSocket, job: number | null, texts: string[]): boolean {
    const sent = texts.every((text) => this.#sockets.send(socket, text));
    if (!sent) this.#end(socket, job, CLOSE.broken, "");
    return sent;
  }

  #end(socket: WebSocket, job: number | null, code: number, reason: string): void {
    this.#count(job, -1);
    this.#sockets.close(socket, code, reason);
  }

  #count(job: number | null, by: 1 | -1): void {
    if (job === null) {
      this.watched.queue += by;
      return;
    }
    const watchers = (this.watched.jobs.get(job) ?? 0) + by;
    if (watchers > 0) this.watched.jobs.set(job, watchers);
    else this.watched.jobs.delete(job);
  }
}

function framesSince(cursor: string | null, seen: Seen): Frames {
  const events = eventsSince(cursor === null ? null : readCursor(cursor), seen);
  const texts = events.map((event) => JSON.stringify(event));
  const chars = texts.reduce((sum, { length }) => sum + length, 0);
  return { texts, chars, cursor: events.at(-1)?.cursor ?? cursor };
}

function keptOf(socket: WebSocket): (Attachment & Kept) | null {
  const kept = attachmentOf(socket);
  return kept?.kind === "watcher" ? (kept as Attachment & Kept) : null;
}
