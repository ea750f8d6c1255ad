/**
 * Sockets of remote workers. A text frame is one exchange; what a session wanted and did not get is pushed when there
 * is work. One socket speaks for one session, and a session has one socket: its newest.
 *
 * @module
 */
import type { ErrorCode } from "../client/types.ts";
import type { ExchangeInput, ExchangeReply, Handout } from "../client/wire.ts";
import type { StandingWant } from "./engine/ports.ts";
import type { ShellPorts, SocketPort } from "./ports.ts";
import { type Grant, type Remote, readGrant, type Where } from "./remote.ts";
import { type Attachment, attachmentOf, CLOSE, type Sockets } from "./sockets.ts";

const FRAME_MIB = 8;
/** Frames of one socket that may wait for those before them: a client has one exchange in flight. */
const FRAMES_WAITING = 8;
const REFUSED_MAX = 20;
/** Of the attachment's JSON: the platform keeps 16 KiB. */
const ATTACHMENT_CHARS = 14_000;

/** What is kept with the socket of a worker. */
interface Kept {
  kind: "worker";
  grant: Grant;
  session: string | null;
  /** What the session wants by its latest exchange; null: there was none. */
  standing: StandingWant | null;
  refused: number;
}

interface Connection extends Omit<Kept, "kind"> {
  socket: WebSocket;
  /** Ends when the frames that came so far are answered. */
  turn: Promise<void>;
  waiting: number;
  /** The exchange whose answer is not sent yet, and what is pushed for it: told in this order. */
  answering: number | null;
  held: string[];
  closed: boolean;
}

/** What of the queue its sockets need. */
export interface QueueOfSockets {
  exchange(input: ExchangeInput): Promise<ExchangeReply>;
  /** What a session wants by the books. */
  standing(input: ExchangeInput): StandingWant | null;
  /** The session's socket is gone. */
  leave(session: string): void;
}

export interface WorkerSocketPorts {
  where: Where;
  sockets: Sockets;
  remote: Remote;
  log: ShellPorts["log"];
}

export class WorkerSockets implements SocketPort {
  readonly #ports: WorkerSocketPorts;
  /** Null until somebody asks: an object that wakes for something else may not need them. */
  #connections: { bySocket: Map<WebSocket, Connection>; bySession: Map<string, Connection> } | null = null;
  #framesRefused = 0;

  constructor(ports: WorkerSocketPorts) {
    this.#ports = ports;
  }

  /** Answers the upgrade of a worker, whose grant stands in the header. */
  accept(header: string | null): Response {
    const grant = readGrant(header);
    const blank = { kind: "worker", grant, session: null, standing: null, refused: 0 } as const;
    if (JSON.stringify(blank).length > ATTACHMENT_CHARS) {
      return new Response(tooLong("A token names", grant.tasks), { status: 400 });
    }
    // It joins the others with its first frame.
    return this.#ports.sockets.accept(blank);
  }

  /** Takes a frame. Frames of one socket are answered one after the other. Never rejects. */
  message(socket: WebSocket, frame: string | ArrayBuffer, queue: QueueOfSockets): Promise<void> {
    const connection = this.#connectionOf(socket);
    if (!connection) return Promise.resolve();
    this.#ports.sockets.heard(socket);
    if (connection.waiting >= FRAMES_WAITING) {
      this.#refuse(
        connection,
        queue,
        "conflict",
        `More than ${FRAMES_WAITING} frames wait: send one, and await its answer`,
      );
      return connection.turn;
    }
    connection.waiting += 1;
    connection.turn = connection.turn.then(async () => {
      connection.waiting -= 1;
      if (!connection.closed) await this.#answer(connection, frame, queue);
    });
    return connection.turn;
  }

  /** A socket was closed by the other side, or broke. */
  gone(socket: WebSocket, queue: QueueOfSockets): void {
    // One that is not known here was never told of to the books either.
    const connection = this.#connections?.bySocket.get(socket);
    if (connection) this.#forget(connection, queue);
  }

  alive(session: string): boolean {
    const connection = this.#load().bySession.get(session);
    return connection !== undefined && this.#ports.sockets.isAlive(connection.socket);
  }

  standing(): StandingWant[] {
    return [...this.#load().bySession.values()].flatMap(({ standing }) => standing ?? []);
  }

  tell(handouts: Handout[], standing: ReadonlyMap<string, StandingWant>): string[] {
    return handouts.filter((handout) => !this.#push(handout, standing)).map(({ session }) => session);
  }

  silence(sessions: string[]): void {
    for (const session of sessions) {
      const connection = this.#load().bySession.get(session);
      if (connection) this.#drop(connection, CLOSE.silent, "silent");
    }
  }

  figures() {
    const { sockets } = this.#ports;
    return {
      framesRefused: this.#framesRefused,
      socketsDropped: sockets.dropped,
      sockets: { workers: sockets.count("worker"), watchers: sockets.count("watcher") },
    };
  }

  async #answer(connection: Connection, frame: string | ArrayBuffer, queue: QueueOfSockets): Promise<void> {
    const { remote, where, sockets, log } = this.#ports;
    if (typeof frame !== "string") {
      const detail = "A frame is text, the JSON of an exchange: this one is binary";
      return this.#refuse(connection, queue, "unsupported_media_type", detail);
    }
    if (isTooLong(frame)) {
      const detail = `A frame has at most ${FRAME_MIB} MiB: settle fewer jobs in one exchange`;
      return this.#refuse(connection, queue, "payload_too_large", detail);
    }
    let done = false;
    let answer: string;
    try {
      answer = await remote.exchange(where, connection.grant, frame, async (input) => {
        const reply = this.#admit(connection, input) ?? (await queue.exchange(input));
        done = reply.ok;
        if (reply.ok) this.#keep(connection, queue.standing(input));
        return reply;
      });
    } catch (error) {
      done = true;
      log("error", "frame_failed", { queue: where.queue, error: String(error) });
      answer = remote.problem("internal", "The exchange failed: send it again under the same n");
    }
    if (!done) this.#noteRefused(connection);
    const texts = [answer, ...connection.held];
    Object.assign(connection, { answering: null, held: [] });
    if (!connection.closed && !texts.every((text) => sockets.send(connection.socket, text)))
      this.#forget(connection, queue);
    this.#closeRefused(connection, queue);
  }

  /** Makes the socket that of the exchange's session; answers why it cannot be. */
  #admit(connection: Connection, input: ExchangeInput): ExchangeReply | null {
    const { session, n } = input;
    if (connection.session !== null && connection.session !== session) {
      const detail = `This socket speaks for session ${connection.session}: open another for ${JSON.stringify(session)}`;
      return { ok: false, code: "conflict", detail };
    }
    const standing = { session, n, want: input.want, tasks: input.worker.tasks ?? null, worker: input.worker.name };
    if (JSON.stringify({ grant: connection.grant, standing }).length > ATTACHMENT_CHARS - 200) {
      return { ok: false, code: "invalid_request", detail: tooLong("A worker names", standing.tasks) };
    }
    connection.answering = n;
    connection.session = session;
    const { bySession } = this.#load();
    const before = bySession.get(session);
    if (before === connection) return null;
    bySession.set(session, connection);
    if (before) {
      connection.standing = before.standing;
      this.#unbind(before);
      this.#ports.sockets.close(before.socket, CLOSE.replaced, "replaced");
    }
    return null;
  }

  #push(handout: Handout, standing: ReadonlyMap<string, StandingWant>): boolean {
    const connection = this.#load().bySession.get(handout.session);
    if (!connection) return false;
    const { remote, where, sockets, log } = this.#ports;
    try {
      const text = remote.push(where, handout);
      this.#keep(connection, standing.get(handout.session) ?? null);
      if (connection.answering === handout.n) {
        connection.held.push(text);
        return true;
      }
      if (sockets.send(connection.socket, text)) return true;
    } catch (error) {
      // The jobs are granted again with the session's next exchange.
      log("error", "push_failed", { queue: where.queue, error: String(error) });
      sockets.drop(connection.socket, CLOSE.broken, "push failed");
    }
    this.#unbind(connection);
    return false;
  }

  #refuse(connection: Connection, queue: QueueOfSockets, code: ErrorCode, detail: string): void {
    this.#noteRefused(connection);
    const told = this.#ports.sockets.send(connection.socket, this.#ports.remote.problem(code, detail));
    if (!told) this.#forget(connection, queue);
    this.#closeRefused(connection, queue);
  }

  #noteRefused(connection: Connection): void {
    this.#framesRefused += 1;
    connection.refused += 1;
    this.#keep(connection, connection.standing);
  }

  #closeRefused(connection: Connection, queue: QueueOfSockets): void {
    if (connection.closed || connection.refused < REFUSED_MAX) return;
    this.#ports.sockets.drop(connection.socket, CLOSE.refused, `${REFUSED_MAX} frames were refused`);
    this.#forget(connection, queue);
  }

  #drop(connection: Connection, code: number, reason: string): void {
    this.#unbind(connection);
    this.#ports.sockets.drop(connection.socket, code, reason);
  }

  /** A session that loses its socket wants nothing more by it. */
  #forget(connection: Connection, queue: QueueOfSockets): void {
    if (this.#unbind(connection)) queue.leave(connection.session!);
  }

  /** True when it was the socket of its session. */
  #unbind(connection: Connection): boolean {
    const { bySocket, bySession } = this.#load();
    connection.closed = true;
    bySocket.delete(connection.socket);
    const { session } = connection;
    return session !== null && bySession.get(session) === connection && bySession.delete(session);
  }

  /** Notes with the socket what a wake must know of it. */
  #keep(connection: Connection, standing: StandingWant | null): void {
    connection.standing = standing;
    if (connection.closed) return;
    const { socket, grant, session, refused } = connection;
    this.#ports.sockets.keep(socket, { kind: "worker", grant, session, standing, refused } satisfies Kept);
  }

  #connectionOf(socket: WebSocket): Connection | null {
    const { bySocket } = this.#load();
    const known = bySocket.get(socket) ?? this.#rebuilt(socket);
    if (known) bySocket.set(socket, known);
    return known;
  }

  #load() {
    if (this.#connections) return this.#connections;
    const found = this.#ports.sockets.tagged("worker").flatMap((socket) => this.#rebuilt(socket) ?? []);
    this.#connections = {
      bySocket: new Map(found.map((connection) => [connection.socket, connection])),
      bySession: new Map(found.flatMap((one) => (one.session === null ? [] : [[one.session, one]]))),
    };
    return this.#connections;
  }

  #rebuilt(socket: WebSocket): Connection | null {
    const attachment = attachmentOf(socket) as (Attachment & Kept) | null;
    if (!attachment) return null;
    const { grant, session, standing, refused } = attachment;
    const fresh = { turn: Promise.resolve(), waiting: 0, answering: null, held: [], closed: false };
    return { socket, grant, session, standing, refused, ...fresh };
  }
}

function isTooLong(frame: string): boolean {
  const bytes = FRAME_MIB * 2 ** 20;
  return frame.length > bytes || (frame.length * 3 > bytes && new TextEncoder().encode(frame).length > bytes);
}

function tooLong(who: string, tasks: string[] | null): string {
  return `${who} ${tasks?.length ?? 0} tasks, too many characters in all: give it fewer tasks or shorter names`;
}
