/**
 * One WebSocket to a queue: exchanges go out and are answered, and the queue speaks between answers.
 *
 * @module
 */
import { MillraceError } from "./errors.ts";
import type { ConnectFrame, ExchangePush, ExchangeRequest, ExchangeResponse } from "./types.ts";
import type { Timer } from "./waiter.ts";

/** A sign of life; the platform answers `pong` without waking the queue. */
const PING_MS = 20_000;
/** Nothing was heard for so long: the other side is gone, whatever the network says. */
const SILENT_MS = 45_000;
/** For the handshake, and for the answer to an exchange: a third and half of a usual lease, so that another way can be tried within it. */
const OPEN_MS = 10_000;
const ANSWER_MS = 15_000;

/** Makes a WebSocket; the global one in production. */
export type MakeSocket = (url: string, protocols: string[]) => WebSocket;

export interface SocketPorts {
  now(): number;
  timer: Timer;
}

export interface SocketListener {
  pushed(push: ExchangePush): void;
  /** Called once, when an open socket is of no more use. */
  closed(why: string): void;
}

interface Asked {
  n: number;
  resolve(response: ExchangeResponse): void;
  reject(error: unknown): void;
  cancelTimer(): void;
}

export class Socket {
  readonly #socket: WebSocket;
  readonly #ports: SocketPorts;
  readonly #listener: SocketListener;
  #heardAt: number;
  #asked: Asked | null = null;
  #open = false;
  #cancelPing = (): void => {};

  /** Rejects when the handshake is refused or takes too long; why cannot be told here. */
  static async open(socket: WebSocket, ports: SocketPorts, listener: SocketListener): Promise<Socket> {
    const made = new Socket(socket, ports, listener);
    await made.#opened();
    return made;
  }

  private constructor(socket: WebSocket, ports: SocketPorts, listener: SocketListener) {
    this.#socket = socket;
    this.#ports = ports;
    this.#listener = listener;
    this.#heardAt = ports.now();
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** One exchange. Rejects when the socket closes before the answer, and with a `MillraceError` when it is refused. */
  exchange(request: ExchangeRequest): Promise<ExchangeResponse> {
    return new Promise((resolve, reject) => {
      if (!this.#open) return reject(lost("it is closed"));
      const cancelTimer = this.#ports.timer(ANSWER_MS, () => this.#drop(`no answer within ${ANSWER_MS / 1_000} s`));
      this.#asked = { n: request.n, resolve, reject, cancelTimer };
      this.#socket.send(JSON.stringify(request));
    });
  }

  close(): void {
    this.#end(null);
    this.#socket.close(1000);
  }

  #opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancelTimer = this.#ports.timer(OPEN_MS, () => refuse(`no handshake within ${OPEN_MS / 1_000} s`));
      const refuse = (why: string) => {
        cancelTimer();
        if (this.#open) return;
        reject(lost(why));
        this.#socket.close();
      };
      this.#socket.addEventListener("open", () => {
        cancelTimer();
        this.#open = true;
        this.#heardAt = this.#ports.now();
        this.#ping();
        resolve();
      });
      this.#socket.addEventListener("message", ({ data }) => this.#hear(data));
      this.#socket.addEventListener("error", () => refuse("the handshake failed"));
      this.#socket.addEventListener("close", ({ code, reason }) => {
        refuse("the handshake failed");
        this.#end(`closed with ${reason ? `${code}, ${reason}` : code}`);
      });
    });
  }

  #ping(): void {
    this.#cancelPing = this.#ports.timer(PING_MS, () => {
      if (this.#ports.now() - this.#heardAt >= SILENT_MS) return this.#drop(`silent for ${SILENT_MS / 1_000} s`);
      this.#socket.send("ping");
      this.#ping();
    });
  }

  #hear(data: unknown): void {
    if (!this.#open) return;
    this.#heardAt = this.#ports.now();
    if (data === "pong") return;
    const frame = parse(data);
    if (frame?.type === "push") this.#listener.pushed(frame);
    else if (frame?.type === "answer") this.#answer(frame.n)?.resolve(frame);
    else if (frame?.type === "problem") this.#answer(frame.n)?.reject(toError(frame));
    else this.#drop("it said what is no frame of Millrace");
  }

  /** Who asked for this answer; null: nobody any more. A problem that names no exchange is about the one in flight. */
  #answer(n: number | null): Asked | null {
    const asked = this.#asked;
    if (!asked || (n !== null && n !== asked.n)) return null;
    asked.cancelTimer();
    this.#asked = null;
    return asked;
  }

  #drop(why: string): void {
    this.#end(why);
    this.#socket.close();
  }

  /** `why` is null where nobody needs to be told. */
  #end(why: string | null): void {
    if (!this.#open) return;
    this.#open = false;
    this.#cancelPing();
    this.#answer(null)?.reject(lost(why ?? "it was closed"));
    if (why !== null) this.#listener.closed(why);
  }
}

function parse(data: unknown): ConnectFrame | null {
  try {
    return JSON.parse(data as string) as ConnectFrame;
  } catch {
    return null;
  }
}

function toError({ problem }: ConnectFrame & { type: "problem" }): MillraceError {
  const { code, status, detail } = problem;
  return new MillraceError(`The exchange was refused: ${status} ${code}: ${detail}`, {
    code,
    status,
    retryable: status === 429 || status >= 500,
  });
}

function lost(why: string): MillraceError {
  return new MillraceError(`The WebSocket to the queue was lost: ${why}`, { code: "network", retryable: true });
}
