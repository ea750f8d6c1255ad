/**
 * The object's WebSockets, of workers and of watchers. They hibernate: while nothing is said, the object is not in
 * memory and its sockets stay open, each with its attachment. The text `ping` is answered by the platform, which does
 * not wake the object, and counts as a sign of life.
 *
 * @module
 */
import { validUntil } from "./bearers.ts";

/** What the platform keeps with a socket while the object is not in memory; at most 16 KiB. */
export interface Attachment {
  kind: "worker" | "watcher";
  /** When the other side was heard last before this was written, or the socket was accepted. */
  heardAt: number;
}

/** The same as its owner gives it, with what else the owner must know. */
interface Noted {
  kind: Attachment["kind"];
  [field: string]: unknown;
}

/** What of the platform's sockets is used. */
export type SocketHost = Pick<
  DurableObjectState,
  | "acceptWebSocket"
  | "getTags"
  | "getWebSockets"
  | "getWebSocketAutoResponse"
  | "setWebSocketAutoResponse"
  | "getWebSocketAutoResponseTimestamp"
>;

/** Close codes of the object. 1008: it sent what cannot be read, again and again. 1013: it is told the rest when it comes again. */
export const CLOSE = {
  refused: 1008,
  broken: 1011,
  later: 1013,
  replaced: 4000,
  unauthorized: 4001,
  deleted: 4004,
  silent: 4008,
  unread: 4009,
} as const;

/** A socket is alive while it was heard so lately; clients send `ping` every 20 s. */
const ALIVE_MS = 50_000;
/** One that is sent more than this, and is not heard for so long, does not read. */
const UNREAD_MESSAGES = 256;
const UNREAD_BYTES = 2 ** 20;
const UNREAD_MS = 30_000;
/** What is sent waits in memory until it is read: beyond this nobody is waited for. */
const UNREAD_BYTES_MAX = 8 * 2 ** 20;

/** What was sent to a socket since it was heard. */
interface Unread {
  heardAt: number;
  messages: number;
  bytes: number;
}

export class Sockets {
  readonly #host: SocketHost;
  readonly #now: () => number;
  readonly #unread = new WeakMap<WebSocket, Unread>();
  /** Closed since the object was loaded because of what they did or did not do. */
  dropped = 0;

  constructor(host: SocketHost, now: () => number) {
    this.#host = host;
    this.#now = now;
  }

  /**
   * Answers an upgrade. `tags` (at most 9) are what `tagged` finds the socket by, beside its kind; `opened` may send
   * what the other side hears first.
   */
  accept(attachment: Noted, tags: string[] = [], opened?: (socket: WebSocket) => void): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    if (this.#host.getWebSocketAutoResponse() === null) {
      this.#host.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    }
    try {
      this.#host.acceptWebSocket(server, [attachment.kind, ...tags]);
    } catch (error) {
      return new Response(`The queue takes no more sockets: ${error}`, { status: 503 });
    }
    server.serializeAttachment({ ...attachment, heardAt: this.#now() } satisfies Attachment);
    opened?.(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** The token that it was opened with has expired. Never throws. */
  isOver(socket: WebSocket): boolean {
    try {
      return this.#now() >= validUntil(this.#host.getTags(socket));
    } catch {
      // It is gone.
      return false;
    }
  }

  /** Writes what a wake must know of a socket. */
  keep(socket: WebSocket, attachment: Noted): void {
    socket.serializeAttachment({ ...attachment, heardAt: this.heardAt(socket) } satisfies Attachment);
  }

  count(kind: Attachment["kind"]): number {
    return this.#host.getWebSockets(kind).length;
  }

  /** The open sockets with a tag. After a wake the platform makes them anew: 2,000 of them take about 15 ms, once. */
  tagged(tag: string): WebSocket[] {
    return this.#host.getWebSockets(tag).filter((socket) => attachmentOf(socket) !== null);
  }

  /** Notes that the other side sent something other than a ping. */
  heard(socket: WebSocket): void {
    this.#unread.set(socket, { heardAt: this.#now(), messages: 0, bytes: 0 });
  }

  /** When the other side sent something last, a ping or more. */
  heardAt(socket: WebSocket): number {
    const known = this.#unread.get(socket)?.heardAt ?? attachmentOf(socket)?.heardAt ?? 0;
    return Math.max(known, this.#host.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0);
  }

  isAlive(socket: WebSocket): boolean {
    return this.#now() - this.heardAt(socket) <= ALIVE_MS && !this.isOver(socket);
  }

  /** Sends; false when the socket is gone, or was dropped because it does not read or may not any more. Never throws. */
  send(socket: WebSocket, text: string): boolean {
    if (this.isOver(socket)) {
      this.drop(socket, CLOSE.unauthorized, "its token has expired");
      return false;
    }
    const unread = this.#unreadOf(socket);
    const much = unread.messages >= UNREAD_MESSAGES || unread.bytes >= UNREAD_BYTES;
    const late = this.#now() - unread.heardAt > UNREAD_MS;
    if ((much && late) || unread.bytes >= UNREAD_BYTES_MAX) {
      this.drop(socket, CLOSE.unread, "does not read");
      return false;
    }
    unread.messages += 1;
    unread.bytes += text.length;
    try {
      socket.send(text);
      return socket.readyState === WebSocket.OPEN;
    } catch {
      return false;
    }
  }

  /** Closes a socket for what it did or did not do. */
  drop(socket: WebSocket, code: number, reason: string): void {
    this.dropped += 1;
    this.close(socket, code, reason);
  }

  /** Closes a socket; from here on it is not among those with a tag. Never throws. */
  close(socket: WebSocket, code: number, reason: string): void {
    try {
      socket.serializeAttachment(null);
      socket.close(code, reason);
    } catch {
      // It is gone.
    }
  }

  /** Answers the other side's close, which the platform leaves to the object. */
  end(socket: WebSocket): void {
    if (socket.readyState !== WebSocket.CLOSED) this.close(socket, 1000, "");
  }

  /** Counts afresh where something was heard since. */
  #unreadOf(socket: WebSocket): Unread {
    const heardAt = this.heardAt(socket);
    let unread = this.#unread.get(socket);
    if (!unread || heardAt > unread.heardAt) {
      unread = { heardAt, messages: 0, bytes: 0 };
      this.#unread.set(socket, unread);
    }
    return unread;
  }
}

/** Null: the object has closed the socket. */
export function attachmentOf(socket: WebSocket): Attachment | null {
  return socket.deserializeAttachment() as Attachment | null;
}
