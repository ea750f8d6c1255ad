import { vi } from "vitest";
import { parseDuration } from "../../client/duration.ts";
import type { AnyTaskDeclaration } from "../../client/task.ts";
import type { ConnectFrame, ExchangeRequest, ExchangeResponse, JobOptions, NewJob } from "../../client/types.ts";
import type { ExchangeReply, Handout, JobRecord } from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { get } from "../../durable-objects/engine/inspect.ts";
import * as operate from "../../durable-objects/engine/operate.ts";
import type { Tx } from "../../durable-objects/engine/ports.ts";
import { leave } from "../../durable-objects/engine/standing.ts";
import { wake } from "../../durable-objects/engine/wake.ts";
import { type Config, readConfig } from "../../worker/config.ts";
import { exchange as exchangeOver } from "../../worker/exchange.ts";
import { mayHold } from "../../worker/hold.ts";
import { createRemote } from "../../worker/remote.ts";
import { resolveJobs } from "../../worker/resolve.ts";
import { nodeStorage } from "../support/node-storage.ts";

export const URL_OF_REMOTE = "http://millrace.test/jobs";
const GRANT = { tasks: null, queues: null, name: null };

/** What is wrong with the network, and what of it comes next. */
export interface Network {
  /** Nothing gets through, and what was open breaks. */
  down: boolean;
  /** What was open stays so, and carries nothing. */
  hole: boolean;
  /** Something on the way takes no WebSocket. */
  noSockets: boolean;
  /** What comes next is answered with this status, by whatever way. */
  refuse: number | null;
  /** So many answers are lost with their connection, once all is done. */
  loseAnswers: number;
  /** So many exchanges are lost with their connection, before anything is done. */
  loseRequests: number;
  doublePushes: boolean;
  /** One way. */
  latencyMs: number;
}

/** What went over the line, in order. */
export interface Seen {
  way: "websocket" | "poll";
  session: string;
  n: number;
  request: ExchangeRequest & { wait?: string };
}

/** Queues with the real engine behind fakes of `WebSocket` and `fetch`, by vitest's clock (`vi.useFakeTimers()` first). */
export function openRemote(tasks: readonly AnyTaskDeclaration[]) {
  const network: Network = {
    down: false,
    hole: false,
    noSockets: false,
    refuse: null,
    loseAnswers: 0,
    loseRequests: 0,
    doublePushes: false,
    latencyMs: 1,
  };
  const seen: Seen[] = [];
  const sockets: FakeSocket[] = [];
  const config = readConfig({ tasks, queues: { "*": { delivery: "pull" }, pushed: {} } });
  const queues = new Map<string, QueueHost>();
  const host = (name: string): QueueHost => {
    let found = queues.get(name);
    if (!found) {
      found = new QueueHost(name, config, network, seen);
      queues.set(name, found);
    }
    return found;
  };

  class Socket extends FakeSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, network, host);
      sockets.push(this);
    }
  }
  vi.stubGlobal("WebSocket", Socket);

  async function answer(request: Request): Promise<Response> {
    const [, name] = /\/v1\/queues\/([^/]+)\/exchange$/.exec(request.url) ?? [];
    await later(network.latencyMs);
    if (network.down) throw new TypeError("the network is down");
    if (network.hole) await untilAborted(request.signal);
    if (network.refuse) return problem(network.refuse);
    if (!name) return problem(request.url.endsWith("/connect") ? 400 : 404);
    if (network.loseRequests > 0) {
      network.loseRequests -= 1;
      throw new TypeError("the connection broke");
    }
    const done = await host(name).post(await request.text(), request.signal);
    await later(network.latencyMs);
    if (network.down || network.loseAnswers-- > 0) throw new TypeError("the connection broke");
    network.loseAnswers = 0;
    return new Response(done.text, { status: done.status, headers: { "content-type": "application/json" } });
  }
  vi.stubGlobal("fetch", answer);

  return {
    network,
    seen,
    sockets,
    /** Breaks what is open. */
    cut() {
      for (const socket of sockets) socket.break(1006);
    },
    async add(task: string, count = 1, options: JobOptions & { queue?: string } = {}): Promise<number[]> {
      const { queue = "work", ...rest } = options;
      const jobs = Array.from({ length: count }, (_, n) => ({ ...rest, task, payload: { n } }) as NewJob);
      const resolved = await resolveJobs(config, { queue, jobs, actor: null });
      if (!resolved.ok) throw new Error(resolved.detail);
      const reply = host(queue).write((tx) => enqueue(tx, { ...resolved, requestId: null, idempotency: null }));
      if (!reply.ok) throw new Error(reply.detail);
      return reply.jobs.map(({ seq }) => seq);
    },
    cancel: (seq: number, queue = "work") => host(queue).write((tx) => operate.cancel(tx, seq)),
    job: (seq: number, queue = "work") => host(queue).job(seq),
  };
}

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

function problem(status: number): Response {
  const code =
    status === 401 ? "unauthorized" : status === 403 ? "forbidden" : status === 409 ? "conflict" : "not_found";
  return new Response(JSON.stringify({ status, code, detail: `refused with ${status}` }), { status });
}

type Push = (frame: string) => void;

/** One queue's object: the engine, its alarm, and who can be told. */
class QueueHost {
  readonly name: string;
  readonly #engine: Engine;
  readonly #config: Config;
  readonly #network: Network;
  readonly #seen: Seen[];
  readonly #remote: ReturnType<typeof createRemote>;
  readonly #told = new Map<string, Push>();
  #alarm: { at: number; timer?: ReturnType<typeof setTimeout> } = { at: Number.POSITIVE_INFINITY };

  constructor(name: string, config: Config, network: Network, seen: Seen[]) {
    this.name = name;
    this.#config = config;
    this.#network = network;
    this.#seen = seen;
    this.#remote = createRemote(config);
    const storage = nodeStorage();
    const options = { queue: name, partition: 0, storage, settings: {}, pushes: () => false, random: () => 0 };
    this.#engine = new Engine({ ...options, alive: (session) => this.#told.has(session) });
  }

  write<Result>(verb: (tx: Tx) => Result): Result {
    const { result, effects } = this.#engine.write(Date.now(), verb);
    if (effects.wakeAt !== null && effects.wakeAt < this.#alarm.at) this.#arm(effects.wakeAt);
    for (const handout of effects.handouts) this.#push(handout);
    return result;
  }

  #arm(at: number): void {
    clearTimeout(this.#alarm.timer);
    const ring = () => {
      this.#alarm.at = Number.POSITIVE_INFINITY;
      this.write(wake);
    };
    this.#alarm = { at, timer: setTimeout(ring, Math.max(5, at - Date.now())) };
  }

  job(seq: number): JobRecord {
    const record = this.#engine.read(Date.now(), (tx) => get(tx, seq));
    if (record === null || record === "deleted") throw new Error(`There is no job ${seq}`);
    return record;
  }

  /** One exchange of a session that `push` tells, if it can be told. */
  async exchange(text: string, way: Seen["way"], push: Push | null) {
    const request = JSON.parse(text) as Seen["request"];
    const { session, n } = request;
    this.#seen.push({ way, session, n, request });
    if (push) this.#told.set(session, push);
    const run = async (input: never): Promise<ExchangeReply> => this.write((tx) => exchange(tx, input));
    const via = { queue: this.name, partition: 0, channel: null, may: GRANT, standing: push !== null, run };
    return exchangeOver(this.#config, via, request);
  }

  leave(push: Push): void {
    for (const [session, own] of this.#told) {
      if (own !== push) continue;
      this.#told.delete(session);
      this.write((tx) => leave(tx, session));
    }
  }

  /** An answer that says nothing is held until there is something to tell, as the Worker holds it. */
  async post(text: string, signal: AbortSignal): Promise<{ status: number; text: string }> {
    if (this.name === "pushed") return { status: 409, text: await problem(409).text() };
    const asked = JSON.parse(text) as Seen["request"];
    const { wait, want, gather } = asked;
    const holds = wait !== undefined && want + (gather?.want ?? 0) > 0;
    let told: (frame: string) => void = () => {};
    const push: Push = (frame) => told(frame);
    const done = await this.exchange(text, "poll", holds ? push : null);
    if (!done.ok) return { status: 400, text: JSON.stringify({ status: 400, ...done }) };
    let { response } = done;
    if (holds && mayHold(asked, response)) {
      await new Promise<void>((resolve) => {
        setTimeout(resolve, parseDuration(wait));
        signal.addEventListener("abort", () => resolve());
        told = (frame) => {
          const { jobs, cancel } = JSON.parse(frame) as ExchangeResponse;
          response = { ...response, jobs, cancel };
          resolve();
        };
      });
    }
    this.leave(push);
    return { status: 200, text: JSON.stringify(response) };
  }

  #push(handout: Handout): void {
    const frame = this.#remote.push({ queue: this.name, partition: 0 }, handout);
    this.#told.get(handout.session)?.(frame);
    if (this.#network.doublePushes) this.#told.get(handout.session)?.(frame);
  }
}

/** What the SDK uses of a WebSocket. */
class FakeSocket extends EventTarget {
  readonly protocols: string[];
  readonly #network: Network;
  readonly #host: QueueHost | null;
  readonly #push: Push = (frame) => this.#deliver(frame);
  /** Frames arrive in order. */
  #inbound = Promise.resolve();
  #state: "connecting" | "open" | "closed" = "connecting";
  pings = 0;

  constructor(url: string, protocols: string[], network: Network, host: (name: string) => QueueHost) {
    super();
    this.protocols = protocols;
    this.#network = network;
    const [, name] = /^ws:\/\/millrace\.test\/jobs\/v1\/queues\/([^/]+)\/connect$/.exec(url) ?? [];
    this.#host = name ? host(name) : null;
    void later(2 * network.latencyMs).then(() => this.#connect());
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  #connect(): void {
    const { down, noSockets, refuse, hole } = this.#network;
    if (this.#state !== "connecting" || hole) return;
    if (down || noSockets || refuse || !this.#host || this.#host.name === "pushed") {
      this.#fail();
      return;
    }
    this.#state = "open";
    this.dispatchEvent(new Event("open"));
  }

  #fail(): void {
    this.#state = "closed";
    this.dispatchEvent(new Event("error"));
    this.dispatchEvent(Object.assign(new Event("close"), { code: 1006, reason: "" }));
  }

  send(text: string): void {
    if (this.#state !== "open") throw new Error("It is not open");
    this.#inbound = this.#inbound.then(() => this.#receive(text));
  }

  async #receive(text: string): Promise<void> {
    const network = this.#network;
    await later(network.latencyMs);
    if (this.#state !== "open" || network.hole) return;
    if (network.down) return this.break(1006);
    if (text === "ping") {
      this.pings += 1;
      return this.#deliver("pong");
    }
    if (network.loseRequests > 0) {
      network.loseRequests -= 1;
      return this.break(1006);
    }
    const done = await this.#host!.exchange(text, "websocket", this.#push);
    if (network.loseAnswers > 0) {
      network.loseAnswers -= 1;
      return this.break(1006);
    }
    const { n } = JSON.parse(text);
    const frame: ConnectFrame = done.ok
      ? { type: "answer", ...done.response }
      : { type: "problem", n, problem: { type: "", title: "", status: done.code === "conflict" ? 409 : 400, ...done } };
    this.#deliver(JSON.stringify(frame));
  }

  #deliver(frame: string): void {
    void later(this.#network.latencyMs).then(() => {
      if (this.#state !== "open" || this.#network.hole) return;
      this.dispatchEvent(new MessageEvent("message", { data: frame }));
    });
  }

  /** Ended by the other side, or by the network. */
  break(code: number, reason = ""): void {
    if (this.#state !== "open") return;
    this.#state = "closed";
    this.#host?.leave(this.#push);
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }

  close(): void {
    this.break(1000);
    this.#state = "closed";
  }
}

/** Lets time go by, with all that comes of it. */
export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
