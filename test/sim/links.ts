import type { StandingWant } from "../../durable-objects/engine/ports.ts";
import type { SocketHost } from "../../durable-objects/sockets.ts";
import type { Clock } from "./clock.ts";
import type { Faults } from "./history.ts";
import type { Random } from "./random.ts";

/** What a connection goes through. */
export interface Wires {
  clock: Clock;
  random: Random;
  faults: Faults;
  note(text: string): void;
}

/** The object as the platform calls it. */
export interface Callee {
  /** Takes the upgrade; false: it was not answered, or refused. */
  accept(end: ServerEnd): Promise<boolean>;
  /** False: the object went before it was done with it. */
  message(end: ServerEnd, text: string): Promise<boolean>;
  closed(end: ServerEnd, clean: boolean): void;
}

/** What is kept with a socket; the platform takes 16 KiB. */
const ATTACHMENT_CHARS = 16_384;
const LOST = 1006;

/** The object's end, as the platform keeps it while the object is not in memory. */
export class ServerEnd {
  readyState: number = WebSocket.CONNECTING;
  tags: string[] = [];
  /** When the last ping was answered, by the wall clock; null: there was none. */
  pingedAt: Date | null = null;
  /** When anything came last. */
  heardAt = 0;
  /** When the latest came that the object remembers for sure: it may go with a message in its hands. */
  takenAt = 0;
  /** Grows with what is kept. */
  version = 0;
  readonly #link: Link;
  #attachment = "null";

  constructor(link: Link) {
    this.#link = link;
  }

  serializeAttachment(attachment: unknown): void {
    const text = JSON.stringify(attachment);
    if (text.length > ATTACHMENT_CHARS) throw new Error(`An attachment of ${text.length} characters`);
    this.#attachment = text;
    this.version += 1;
  }

  deserializeAttachment(): unknown {
    return JSON.parse(this.#attachment);
  }

  send(text: string): void {
    if (this.readyState !== WebSocket.OPEN) throw new TypeError("Can't call WebSocket send() after close().");
    this.#link.down(text);
  }

  close(code: number, reason: string): void {
    if (this.readyState >= WebSocket.CLOSED) return;
    this.readyState = WebSocket.CLOSED;
    this.#link.closeDown(code, reason);
  }
}

type Listener = (event: { data?: string; code?: number; reason?: string }) => void;

/** The other end: as much of a `WebSocket` as clients use. */
export class ClientEnd {
  readyState: number = WebSocket.CONNECTING;
  readonly #link: Link;
  readonly #listeners: [string, Listener][] = [];

  constructor(link: Link) {
    this.#link = link;
  }

  addEventListener(name: string, listener: Listener): void {
    this.#listeners.push([name, listener]);
  }

  accept(): void {}

  send(text: string): void {
    if (this.readyState === WebSocket.OPEN) this.#link.up(text);
  }

  close(): void {
    if (this.readyState >= WebSocket.CLOSING) return;
    this.readyState = WebSocket.CLOSING;
    this.#link.closeUp();
  }

  tell(name: "open" | "message" | "error" | "close", event: Parameters<Listener>[0] = {}): void {
    for (const [its, listener] of this.#listeners) if (its === name) listener(event);
  }
}

/** A connection: each direction keeps its order, loses what is under way by itself, and learns of the end when it does. */
export class Link {
  readonly server: ServerEnd;
  readonly client: ClientEnd;
  readonly #wires: Wires;
  readonly #callee: Callee;
  /** Runs what comes to the client in its process. */
  readonly #inClient: (run: () => void) => void;
  readonly #at = { up: 0, down: 0 };
  /** Nothing sent from now on arrives. */
  #cut = false;
  /** What was under way when it was cut is lost too. */
  readonly #lost = { up: false, down: false };

  constructor(wires: Wires, callee: Callee, inClient: (run: () => void) => void) {
    this.#wires = wires;
    this.#callee = callee;
    this.#inClient = inClient;
    this.server = new ServerEnd(this);
    this.client = new ClientEnd(this);
    this.#open();
  }

  #open(): void {
    const { random, faults } = this.#wires;
    const fate = random.chance(0.15 * faults.level)
      ? random.weighted({ refused: 3, silent: 1, unanswered: 1 })
      : "well";
    this.#carry("up", async () => {
      if (fate === "refused") return this.#carry("down", () => this.#refuse());
      if (fate === "silent") return;
      const accepted = await this.#callee.accept(this.server).catch(() => false);
      if (fate === "unanswered") return;
      this.#carry("down", () => {
        if (!accepted) return this.#refuse();
        if (this.client.readyState !== WebSocket.CONNECTING) return;
        this.client.readyState = WebSocket.OPEN;
        this.client.tell("open");
      });
    });
  }

  #refuse(): void {
    this.client.tell("error");
    this.#endClient(LOST, "");
  }

  up(text: string): void {
    this.#mayBreak();
    this.#carry("up", () => this.#arrive(text));
  }

  /** The platform answers pings, and wakes nobody. */
  #arrive(text: string): void {
    const { server } = this;
    const { clock } = this.#wires;
    if (server.readyState !== WebSocket.OPEN) return;
    const { time } = clock;
    server.heardAt = time;
    if (text === "ping") {
      server.takenAt = time;
      server.pingedAt = new Date(clock.wall());
      this.down("pong");
      return;
    }
    void this.#callee.message(server, text).then((taken) => {
      if (taken) server.takenAt = Math.max(server.takenAt, time);
    });
  }

  down(text: string): void {
    this.#mayBreak();
    this.#carry("down", () => {
      if (this.client.readyState === WebSocket.OPEN) this.client.tell("message", { data: text });
    });
  }

  closeUp(): void {
    this.#carry("up", () => this.#endServer(true));
  }

  closeDown(code: number, reason: string): void {
    this.#carry("down", () => this.#endClient(code, reason));
  }

  /** The connection breaks. `silent`: nobody is told. */
  cut(silent: boolean): void {
    if (this.#cut) return;
    const { random, clock, note } = this.#wires;
    note(silent ? "a connection went dead" : "a connection was lost");
    this.#lost.up = random.chance(0.5);
    this.#lost.down = random.chance(0.5);
    this.#cut = true;
    if (silent) return;
    const late = (): number => random.pick([0, 5, 1_000, 30_000, 120_000]);
    clock.in(late(), () => this.#endServer(false));
    clock.in(late(), () => this.#inClient(() => this.#endClient(LOST, "")));
  }

  #mayBreak(): void {
    const { random, faults } = this.#wires;
    if (random.chance(0.012 * faults.level)) this.cut(random.chance(0.4));
  }

  #carry(way: "up" | "down", deliver: () => void): void {
    if (this.#cut) return;
    const { clock, random, faults } = this.#wires;
    const slow = random.chance(0.03 * faults.level);
    const at = Math.max(this.#at[way], clock.time + random.int(0, slow ? 8_000 : 10));
    this.#at[way] = at;
    clock.in(at - clock.time, () => {
      if (this.#lost[way]) return;
      if (way === "up") deliver();
      else this.#inClient(deliver);
    });
  }

  #endServer(clean: boolean): void {
    const accepted = this.server.readyState !== WebSocket.CONNECTING;
    if (this.server.readyState === WebSocket.CLOSED) return;
    this.server.readyState = clean && accepted ? WebSocket.CLOSING : WebSocket.CLOSED;
    if (accepted) this.#callee.closed(this.server, clean);
  }

  #endClient(code: number, reason: string): void {
    if (this.client.readyState === WebSocket.CLOSED) return;
    this.client.readyState = WebSocket.CLOSED;
    this.client.tell("close", { code, reason });
  }
}

/** The connections to one object. They outlast it. */
export class Links {
  readonly #links = new Set<Link>();
  /** What was kept with an end when it was looked at last. */
  readonly #looked = new WeakMap<ServerEnd, { version: number; want: StandingWant | null }>();

  add(link: Link): void {
    this.#links.add(link);
  }

  /** The ends that the object has accepted, and that are not known to be closed. */
  ends(tag?: string): ServerEnd[] {
    for (const link of this.#links) if (link.server.readyState === WebSocket.CLOSED) this.#links.delete(link);
    return [...this.#links]
      .map(({ server }) => server)
      .filter(({ tags, readyState }) => readyState !== WebSocket.CONNECTING && (!tag || tags.includes(tag)));
  }

  /** All of them break, as when an object is reset by a deploy. */
  cutAll(): void {
    for (const link of this.#links) link.cut(false);
  }

  /** What sessions want by what is kept with their sockets, and when each was heard. */
  standing(): Map<string, { want: StandingWant; heardAt: number; takenAt: number }> {
    const found = new Map<string, { want: StandingWant; heardAt: number; takenAt: number }>();
    for (const end of this.ends("worker")) {
      const want = this.#wantOf(end);
      if (want) found.set(want.session, { want, heardAt: end.heardAt, takenAt: end.takenAt });
    }
    return found;
  }

  /** Another text whenever another thing is kept with a socket. */
  get state(): string {
    return this.ends("worker")
      .map(({ version }) => version)
      .join();
  }

  #wantOf(end: ServerEnd): StandingWant | null {
    const looked = this.#looked.get(end);
    if (looked?.version === end.version) return looked.want;
    const kept = (end.deserializeAttachment() ?? {}) as { standing?: StandingWant | null };
    const want = kept.standing ?? null;
    this.#looked.set(end, { version: end.version, want });
    return want;
  }

  /** As the object sees them. */
  host(): SocketHost {
    return {
      getWebSockets: (tag?: string) => this.ends(tag),
      getWebSocketAutoResponseTimestamp: ({ pingedAt }: ServerEnd) => pingedAt,
      getTags: ({ tags }: ServerEnd) => tags,
    } as unknown as SocketHost;
  }
}
