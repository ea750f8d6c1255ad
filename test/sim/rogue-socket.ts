import type { ConnectFrame, ExchangeRequest, Outcome } from "../../client/types.ts";
import type { ClientEnd } from "./links.ts";
import type { Site } from "./site.ts";

type Seen = [id: string, fence: number];

/** A worker that keeps to no rule over a WebSocket: two sockets speak for one session, old numbers, frames that are none. */
export class RogueSocket {
  readonly #site: Site;
  readonly #sessions: string[];
  readonly #n = new Map<string, number>();
  readonly #sockets: ClientEnd[] = [];
  readonly #seen: Seen[] = [];

  constructor(site: Site, name: string) {
    this.#site = site;
    this.#sessions = [`${name}-a`, `${name}-b`];
  }

  act(): void {
    const { random } = this.#site;
    const open = this.#sockets.filter(({ readyState }) => readyState === WebSocket.OPEN);
    if (open.length === 0 || random.chance(0.1)) this.#open();
    else this.#speak(random.pick(open), random.pick(open));
  }

  #speak(socket: ClientEnd, other: ClientEnd): void {
    const { random } = this.#site;
    const what = random.weighted({ exchange: 12, twice: 2, ping: 3, nonsense: 1, close: 1 });
    const text = {
      exchange: () => JSON.stringify(this.#request()),
      ping: () => "ping",
      nonsense: () => random.pick(["", "{", "null", '{"session":1}', "[]"]),
    }[what === "twice" || what === "close" ? "exchange" : what]();
    if (what === "close") socket.close();
    else socket.send(text);
    if (what === "twice") other.send(random.chance(0.5) ? text : JSON.stringify(this.#request()));
  }

  /** It is gone for good. */
  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  #open(): void {
    const socket = this.#site.link((run) => run()).client;
    this.#sockets.push(socket);
    socket.addEventListener("message", ({ data }) => {
      if (data === "pong") return;
      const frame = JSON.parse(data!) as ConnectFrame;
      if (frame.type !== "problem") this.#seen.push(...frame.jobs.map(({ id, fence }): Seen => [id, fence]));
    });
  }

  #request(): ExchangeRequest {
    const { random } = this.#site;
    const session = random.pick(this.#sessions);
    const last = this.#n.get(session) ?? 0;
    const n = Math.max(1, last + random.pick([1, 1, 1, 1, 0, -1]));
    this.#n.set(session, Math.max(last, n));
    const some = (): Seen[] => this.#seen.filter(() => random.chance(0.4)).slice(-8);
    return {
      session,
      n,
      worker: { name: "rogue", runtime: "sim", ...(random.chance(0.3) && { tasks: ["quick", "works", "fails"] }) },
      holding: some(),
      settle: some().map(([id, fence]) => this.#outcome(id, random.chance(0.6) ? fence : fence + 1)),
      progress: some().map(([id, fence]) => ({ id, fence, progress: { percent: 1, note: null } })),
      want: random.pick([0, 1, 3, 6]),
    };
  }

  #outcome(id: string, fence: number): Outcome {
    const { random } = this.#site;
    return random.pick<Outcome>([
      { id, fence, outcome: "completed", result: "rogue" },
      { id, fence, outcome: "failed", error: { name: "Rogue", message: "x", stack: null } },
      { id, fence, outcome: "released" },
      { id, fence, outcome: "released", started: false },
      { id, fence, outcome: "snoozed", forMs: random.int(1, 9_000) },
      { id, fence, outcome: "cancelled", reason: "rogue" },
    ]);
  }
}
