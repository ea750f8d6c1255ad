/**
 * The way from a remote worker to one queue: a WebSocket, over which the queue can speak first, or, where none gets
 * through, requests whose answers the server holds back until there is something to say.
 *
 * @module
 */
import { formatDuration } from "./duration.ts";
import { isMillraceError, MillraceError } from "./errors.ts";
import type { Send } from "./request.ts";
import { type MakeSocket, Socket, type SocketPorts } from "./socket.ts";
import type { ExchangePush, ExchangeRequest, ExchangeResponse } from "./types.ts";

/** The server holds an answer for at most 30 s. */
export const HOLD_MS_MAX = 25_000;
/** Beyond the time for which an answer is held. */
const ANSWER_MS = 15_000;
/** After a refused handshake: whatever stood in the way may be gone. */
const SOCKET_AGAIN_MS = 180_000;
/** What a refused handshake cannot tell, and no repetition mends. */
const FINAL = [401, 403, 404, 409];

export type Transport = "websocket" | "poll";

/** An answer, and how it came: over a socket the queue pushes what was wanted beyond it, until the epoch is another. */
export interface Answered {
  response: ExchangeResponse;
  transport: Transport;
  epoch: number;
}

export interface LineOptions {
  /** Of the API, without `/v1`. */
  url: string;
  token: string;
  queue: string;
  /** Sends once. */
  send: Send;
  /** Null: there are none here. */
  makeSocket: MakeSocket | null;
  /** True: nothing but the WebSocket. */
  socketOnly: boolean;
}

export interface LineListener {
  pushed(push: ExchangePush): void;
  /** The socket was opened behind an exchange's back, or lost; `why` in the second case. */
  changed(why: string | null): void;
}

export class Line {
  readonly #options: LineOptions;
  readonly #ports: SocketPorts;
  readonly #listener: LineListener;
  readonly #path: string;
  #socket: Socket | null = null;
  #opening: Promise<Socket | null> | null = null;
  /** When a handshake was refused while requests went through; null: never, or not known yet. */
  #refusedAt: number | null = null;
  #held: AbortController | null = null;
  #gone = new AbortController();
  #closed = false;
  /** Grows with each socket that was opened or lost: what the queue knew to be wanted over the one before is void. */
  epoch = 0;

  constructor(options: LineOptions, ports: SocketPorts, listener: LineListener) {
    this.#options = options;
    this.#ports = ports;
    this.#listener = listener;
    this.#path = `/v1/queues/${options.queue}`;
  }

  /**
   * One exchange. Without a socket the answer may be held for `holdMs`, while there is nothing to tell. Rejects with a
   * `MillraceError` when it was refused, or it or its answer was lost: the same may be sent again.
   */
  async exchange(request: ExchangeRequest, holdMs: number): Promise<Answered> {
    const gone = this.#gone.signal;
    const socket = await this.#connect();
    if (gone.aborted) throw new MillraceError("The exchange was given up", { code: "network", retryable: true });
    const { epoch } = this;
    if (socket) return { response: await socket.exchange(request), transport: "websocket", epoch };
    if (this.#options.socketOnly) await this.#fail();
    const response = await this.#ask(request, holdMs);
    if (this.#options.makeSocket) this.#refusedAt ??= this.#ports.now();
    return { response, transport: "poll", epoch };
  }

  /** Lets an answer come that is held back. */
  interrupt(): void {
    this.#held?.abort();
  }

  /** For another session: what went before is of no interest. */
  reset(): void {
    this.#gone.abort();
    this.#gone = new AbortController();
    this.#held?.abort();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  close(): void {
    this.#closed = true;
    this.reset();
  }

  /** The socket, opened if need be. After a refused handshake requests go on while another is tried, now and then. */
  async #connect(): Promise<Socket | null> {
    if (this.#socket?.isOpen) return this.#socket;
    if (this.#options.makeSocket === null) return null;
    if (this.#refusedAt === null) return this.#open();
    if (this.#ports.now() - this.#refusedAt >= SOCKET_AGAIN_MS) {
      this.#refusedAt = this.#ports.now();
      void this.#open().then((socket) => {
        if (socket) this.#listener.changed(null);
      });
    }
    return null;
  }

  #open(): Promise<Socket | null> {
    this.#opening ??= this.#tryOpen().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #tryOpen(): Promise<Socket | null> {
    const { url, token, makeSocket } = this.#options;
    const address = `${url.replace(/^http/, "ws")}${this.#path}/connect`;
    let opened: Socket | null = null;
    try {
      const webSocket = makeSocket!(address, ["millrace", `bearer.${token}`]);
      opened = await Socket.open(webSocket, this.#ports, {
        pushed: (push) => this.#socket === opened && this.#listener.pushed(push),
        closed: (why) => this.#lost(opened, why),
      });
    } catch {
      return null;
    }
    if (this.#closed) {
      opened.close();
      return null;
    }
    this.#socket = opened;
    this.#refusedAt = null;
    this.epoch += 1;
    return opened;
  }

  #lost(socket: Socket | null, why: string): void {
    if (socket === null || this.#socket !== socket) return;
    this.#socket = null;
    this.epoch += 1;
    this.#listener.changed(why);
  }

  /** A refused handshake does not say why: a plain request does. */
  async #fail(): Promise<never> {
    const call = { method: "GET", path: `${this.#path}/connect`, signal: this.#gone.signal } as const;
    const error = await this.#options.send(call).then(
      () => null,
      (refused) => refused,
    );
    if (isMillraceError(error) && (FINAL.includes(error.status) || error.code === "network")) throw error;
    const message = `No WebSocket to ${this.#options.url}${this.#path}/connect could be opened`;
    throw new MillraceError(message, { code: "network", retryable: true });
  }

  async #ask(request: ExchangeRequest, holdMs: number): Promise<ExchangeResponse> {
    const gone = this.#gone.signal;
    if (holdMs === 0) return this.#post(request, 0, gone);
    const held = new AbortController();
    this.#held = held;
    try {
      return await this.#post(request, holdMs, held.signal);
    } catch (error) {
      if (!held.signal.aborted || gone.aborted) throw error;
      // The same exchange again: what its answer told, and may be lost now, is told again.
      return await this.#post(request, 0, gone);
    } finally {
      this.#held = null;
    }
  }

  #post(request: ExchangeRequest, holdMs: number, signal: AbortSignal): Promise<ExchangeResponse> {
    return this.#options.send({
      method: "POST",
      path: `${this.#path}/exchange`,
      body: JSON.stringify(holdMs > 0 ? { ...request, wait: formatDuration(holdMs) } : request),
      answerInMs: holdMs + ANSWER_MS,
      signal,
    });
  }
}
