/**
 * Sockets of remote workers. A text frame is one exchange; what a session wanted and did not get is pushed when there
 * is work. One socket speaks for one session, and a session has one socket: its newest.
 *
 * @module
 */
import type { ErrorCode } from "../client/types.ts";
import type { ExchangeInput, ExchangeReply, Handout } from "../client/wire.ts";
import type { StandingWant } from "./engine/ports.ts";
import { standingWant } from "./engine/standing.ts";
import { refuseFrame, refuseToKeep } from "./frames.ts";
import type { ShellPorts, SocketPort } from "./ports.ts";
import { type Grant, type Remote, readGrant, type Where } from "./remote.ts";
import { type Attachment, attachmentOf, CLOSE, type Sockets } from "./sockets.ts";

/** Frames of one socket that may wait for those before them: a client has one exchange in flight. */
const FRAMES_WAITING = 8;
const REFUSED_MAX = 20;

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

  /** Answers the upgrade of a worker, whose grant stands in the header; the tags of `bearer` say whose token it is. */
  accept(header: string | null, bearer: string[] = []): Response {
    const grant = readGrant(header);
    const blank = { kind: "worker", grant, session: null, standing: null, refused: 0 } as const;
    const tooLong = refuseToKeep(blank, "A token names", grant.tasks);
    if (tooLong) return new Response(tooLong, { status: 400 });
    // It joins the others with its first frame.
    return this.#ports.sockets.accept(blank, bearer);
  }

  /** Takes a frame. Frames of one socket are answered one after the other. Never rejects. */
  message(socket: WebSocket, frame: string | ArrayBuffer, queue: QueueOfSockets): Promise<void> {
    const connection = this.#connectionOf(socket);
    if (!connection) return Promise.resolve();
    this.#ports.sockets.heard(socket);
    if (connection.waiting >= FRAMES_WAITING) {
      const detail = `More than ${FRAMES_WAITING} frames wait: send one, and await its answer`;
      this.#refuse(connection, queue, "conflict", detail);
      return connection.turn;
    }
    connection.waiting += 1;
    const answered = connection.turn.then(async () => {
      connection.waiting -= 1;
      if (!connection.closed) await this.#answer(connection, frame, queue);
    });
    connection.turn = answered.catch((error) => this.#failed("frame_failed", error));
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
    const { remote, where, sockets } = this.#ports;
    const refused = refuseFrame(frame);
    if (refused) return this.#refuse(connection, queue, ...refused);
    let done = false;
    let answer: string;
    try {
      answer = await remote.exchange(where, connection.grant, frame as string, async (input) => {
        const admitted = this.#admit(connection, input);
        // Who has closed meanwhile can be told nothing more.
        const reply = admitted ?? (await queue.exchange({ ...input, standing: !connection.closed }));
        done = reply.ok;
        if (reply.ok) this.#keep(connection, queue.standing(input));
        return reply;
      });
    } catch (error) {
      done = true;
      this.#failed("frame_failed", error);
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
    const standing = standingWant(input, input.want);
    const tooLong = refuseToKeep({ grant: connection.grant, standing }, "A worker names", standing.tasks);
    if (tooLong) return { ok: false, code: "invalid_request", detail: tooLong };
    const { bySession } = this.#load();
    const before = bySession.get(session);
    if (connection.closed) {
      const detail = `A newer socket speaks for session ${session}`;
      return before ? { ok: false, code: "conflict", detail } : null;
    }
    connection.answering = n;
    connection.session = session;
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
    const { remote, where, sockets } = this.#ports;
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
      this.#failed("push_failed", error);
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

  #failed(event: string, error: unknown): void {
    this.#ports.log("error", event, { queue: this.#ports.where.queue, error: String(error) });
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
