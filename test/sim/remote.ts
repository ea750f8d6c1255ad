import { parseDuration } from "../../client/duration.ts";
import { MillraceError } from "../../client/errors.ts";
import { SlotPool } from "../../client/pool.ts";
import type { Call } from "../../client/request.ts";
import { Stay } from "../../client/stay.ts";
import type { AnyTask } from "../../client/task.ts";
import type { ExchangeRequest, ExchangeResponse } from "../../client/types.ts";
import { exchange } from "../../worker/exchange.ts";
import { parseExchange } from "../../worker/exchange-read.ts";
import { hold, mayHold } from "../../worker/hold.ts";
import { statusOf } from "../../worker/problem.ts";
import type { ClientEnd, Link } from "./links.ts";
import { Process } from "./process.ts";
import type { Site } from "./site.ts";
import { CONFIG } from "./sockets.ts";

/** What a worker is started with. */
export interface Terms {
  name: string;
  tasks: ReadonlyMap<string, AnyTask>;
  slots: number;
  /** False: it polls. */
  sockets: boolean;
}

/** A remote worker: the real loop, in a process that may die or freeze at any wait. */
export class RemoteWorker extends Process {
  readonly #site: Site;
  readonly #links = new Set<Link>();
  readonly #stay: Stay;
  #sessions = 0;

  constructor(site: Site, terms: Terms) {
    super(site.clock);
    this.#site = site;
    const { clock, random, note, queue } = site;
    const worker = { name: terms.name, runtime: "sim", tasks: [...terms.tasks.keys()] };
    const line = {
      url: "http://sim",
      token: "token",
      queue,
      send: (call: Call) => this.#send(call) as Promise<never>,
      makeSocket: terms.sockets ? () => this.#connect() as unknown as WebSocket : null,
      socketOnly: false,
    };
    this.#stay = new Stay(worker, new SlotPool(terms.slots), line, {
      tasks: terms.tasks,
      env: { random, sleep: (ms: number) => this.sleep(ms) },
      maxResultBytes: 128 * 1024,
      now: () => clock.wall(),
      random: () => random.next(),
      newId: () => `${terms.name}.${++this.#sessions}`,
      timer: (ms, fire) => this.timer(ms, fire),
      log: () => {},
      told: (_level, event, fields) => note(`${terms.name} ${event} ${JSON.stringify(fields)}`),
    });
  }

  /** Resolves when it has stopped. */
  run(): Promise<void> {
    return this.#stay.run();
  }

  /** Claims no more, and is gone soon after `ms`. */
  stop(ms: number): void {
    this.timer(0, () => this.#stay.stop(this.#site.clock.wall() + ms));
  }

  crash(): void {
    this.dead = true;
    for (const link of this.#links) link.cut(this.#site.random.chance(0.3));
  }

  #connect(): ClientEnd {
    const link = this.#site.link((run) => this.timer(0, run));
    this.#links.add(link);
    return link.client;
  }

  /** A request of the worker that polls, which may be lost on the way there or back. */
  #send({ body, answerInMs, signal }: Call): Promise<ExchangeResponse> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new MillraceError(why, { code: "network", retryable: true }));
      const gone = new AbortController();
      const cancel = this.timer(answerInMs ?? 30_000, () => {
        gone.abort();
        fail("no answer came in time");
      });
      signal?.addEventListener("abort", () => {
        cancel();
        gone.abort();
        reject(signal.reason);
      });
      const end = (run: () => void): void => {
        this.timer(0, () => {
          cancel();
          run();
        });
      };
      this.#site.network
        .call(() => poll(this.#site, String(body), gone.signal))
        .then(
          (response) => end(() => resolve(response)),
          (error) => end(() => (error instanceof MillraceError ? reject(error) : fail(String(error)))),
        );
    });
  }
}

/** What the Worker does of a request that polls. */
async function poll(site: Site, text: string, gone: AbortSignal): Promise<ExchangeResponse> {
  const { clock, queue } = site;
  const parsed = parseExchange(text);
  if (!parsed.ok) throw new Error(parsed.detail);
  const via = {
    queue,
    partition: 0,
    channel: null,
    may: { tasks: null, queues: null },
    standing: false,
    run: (input: Parameters<Site["exchange"]>[0]) => site.exchange(structuredClone(site.withFollowUps(input))),
  };
  const done = await exchange(CONFIG, via, parsed.value, () => clock.wall());
  if (!done.ok) {
    const status = statusOf(done.code);
    throw new MillraceError(done.detail, { code: done.code, status, retryable: status >= 500 });
  }
  const asked = parsed.value as ExchangeRequest;
  const waitMs = done.wait === null ? 0 : parseDuration(done.wait);
  if (waitMs === 0 || !mayHold(asked, done.response)) return done.response;
  const open = async (): Promise<WebSocket | null> => {
    const { client } = site.link((run) => run());
    const opened = await new Promise<boolean>((resolve) => {
      client.addEventListener("open", () => resolve(true));
      client.addEventListener("close", () => resolve(false));
      clock.in(30_000, () => resolve(false));
    });
    return opened ? (client as unknown as WebSocket) : null;
  };
  return hold({ open, timer: (ms, fire) => clock.in(ms, fire), gone }, asked, done.response, waitMs);
}
