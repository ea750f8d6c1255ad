import type { ExchangeInput, ExchangeReply, Handout } from "../../client/wire.ts";
import type { StandingWant } from "../../durable-objects/engine/ports.ts";
import type { ShellPorts, SocketPort } from "../../durable-objects/ports.ts";
import { writeGrant } from "../../durable-objects/remote.ts";
import type { QueueShell } from "../../durable-objects/shell.ts";
import { Sockets } from "../../durable-objects/sockets.ts";
import { type QueueOfSockets, WorkerSockets } from "../../durable-objects/worker-sockets.ts";
import { readConfig } from "../../worker/config.ts";
import { createRemote } from "../../worker/remote.ts";
import type { Callee, Links, ServerEnd } from "./links.ts";
import { simTasks } from "./tasks.ts";

export const CONFIG = readConfig({ tasks: [...simTasks().values()], queues: { "*": { delivery: "both" } } });

/** Of a worker that may do anything. */
const GRANT = writeGrant({ tasks: null, queues: null, name: null });

/** Where mutants take hold. */
export interface SocketHooks {
  alive?(session: string, truth: boolean): boolean;
  standing?(truth: StandingWant[]): StandingWant[];
}

/** Whatever is accepted belongs to the end that asks. */
class SimSockets extends Sockets {
  asking: ServerEnd | null = null;
  readonly #now: () => number;

  constructor(links: Links, now: () => number) {
    super(links.host(), now);
    this.#now = now;
  }

  override accept(...[attachment, tags = []]: Parameters<Sockets["accept"]>): Response {
    const end = this.asking!;
    end.tags = [attachment.kind, ...tags];
    end.readyState = WebSocket.OPEN;
    end.serializeAttachment({ ...attachment, heardAt: this.#now() });
    return { status: 101 } as Response;
  }
}

export interface OfficePorts {
  queue: string;
  links: Links;
  now(): number;
  log: ShellPorts["log"];
  hooks: SocketHooks;
  /** Carries out one exchange of a session, whose frame came by a socket. */
  exchange(shell: QueueShell, input: ExchangeInput): Promise<ExchangeReply>;
  /** Handouts leave the object. */
  told(handouts: Handout[]): void;
}

/** What one object has of its sockets: the real thing, over simulated connections. */
export class Office {
  readonly port: SocketPort;
  readonly #sockets: SimSockets;
  readonly #workers: WorkerSockets;
  readonly #ports: OfficePorts;

  constructor(ports: OfficePorts) {
    const { queue, links, now, log, hooks, told } = ports;
    this.#ports = ports;
    this.#sockets = new SimSockets(links, now);
    const where = { queue, partition: 0 };
    const workers = new WorkerSockets({ where, sockets: this.#sockets, remote: createRemote(CONFIG, now), log });
    this.#workers = workers;
    this.port = {
      alive: (session) => hooks.alive?.(session, workers.alive(session)) ?? workers.alive(session),
      standing: () => hooks.standing?.(workers.standing()) ?? workers.standing(),
      tell(handouts, standing) {
        told(handouts);
        return workers.tell(handouts, standing);
      },
      silence: (sessions) => workers.silence(sessions),
      figures: () => workers.figures(),
    };
  }

  accept(end: ServerEnd): boolean {
    if (end.readyState !== WebSocket.CONNECTING) return false;
    this.#sockets.asking = end;
    return this.#workers.accept(GRANT).status === 101;
  }

  message(shell: QueueShell, end: ServerEnd, text: string): Promise<void> {
    return this.#workers.message(end as unknown as WebSocket, text, this.#queue(shell));
  }

  closed(shell: QueueShell, end: ServerEnd, clean: boolean): void {
    this.#workers.gone(end as unknown as WebSocket, this.#queue(shell));
    if (clean) this.#sockets.end(end as unknown as WebSocket);
  }

  #queue(shell: QueueShell): QueueOfSockets {
    return {
      exchange: (input) => this.#ports.exchange(shell, input),
      standing: (input) => shell.standing(input),
      leave: (session) => shell.leave(session),
    };
  }
}

/** The object behind a host, as connections call it. */
export function calleeOf(host: {
  ready(): Promise<{ dead: boolean; shell: QueueShell; office: Office | null }>;
  broken(error: unknown): void;
}): Callee {
  const call = async (run: (shell: QueueShell, office: Office) => Promise<void> | void): Promise<boolean> => {
    const incarnation = await host.ready().catch(() => null);
    // The object went before it took the call.
    if (!incarnation) return false;
    try {
      await run(incarnation.shell, incarnation.office!);
    } catch (error) {
      host.broken(error);
    }
    return !incarnation.dead;
  };
  return {
    accept: async (end) => (await host.ready()).office!.accept(end),
    message: (end, text) => call((shell, office) => office.message(shell, end, text)),
    closed: (end, clean) => void call((shell, office) => office.closed(shell, end, clean)),
  };
}
