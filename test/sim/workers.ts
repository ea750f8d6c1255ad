import { runSession } from "../../client/session.ts";
import type { ExchangeInput, ExchangeReply, QueueRpc, Ticket, WireOutcome } from "../../client/wire.ts";
import { readConfig } from "../../worker/config.ts";
import { exchangeByRpc } from "../../worker/exchange.ts";
import { KINDS } from "./demand.ts";
import { Process } from "./process.ts";
import type { Site } from "./site.ts";
import { simTasks } from "./tasks.ts";

const TASKS = simTasks();
const CONFIG = readConfig({ tasks: [...TASKS.values()], queues: { "*": {} } });

/** One invocation of the consumer: the real loop, in a process that may die or freeze at any wait. */
export class Consumer extends Process {
  readonly id: string;
  over = false;
  readonly #site: Site;
  readonly #ticket: Ticket;

  constructor(site: Site, id: string, ticket: Ticket) {
    super(site.clock);
    this.#site = site;
    this.id = id;
    this.#ticket = ticket;
  }

  async run(): Promise<void> {
    const { clock } = this.#site;
    const stub = { exchange: (input: ExchangeInput) => this.#exchange(input) } as unknown as QueueRpc;
    await runSession(
      {
        id: this.id,
        worker: { name: "consumer", runtime: "sim", ...this.#site.named },
        claimForMs: 20_000,
        claimJobs: 2_000,
        stayMs: 14 * 60_000,
      },
      {
        tasks: TASKS,
        env: { random: this.#site.random, sleep: (ms: number) => this.sleep(ms) },
        maxResultBytes: 128 * 1024,
        exchange: (request) => exchangeByRpc(stub, this.#ticket, request, CONFIG, () => clock.wall()),
        now: () => clock.wall(),
        timer: (ms, fire) => this.timer(ms, fire),
        log: () => {},
      },
    );
    this.over = true;
  }

  #exchange(asked: ExchangeInput): Promise<ExchangeReply> {
    const site = this.#site;
    const input = site.withFollowUps(asked);
    return this.#here(site.network.call(() => site.exchange(structuredClone(input))));
  }

  #here<Value>(answer: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      answer.then(
        (value) => this.timer(0, () => resolve(value)),
        (error) => this.timer(0, () => reject(error)),
      );
    });
  }
}

/** A worker that keeps to no rule: forgets what it holds, settles twice, late, or what is not its own. */
export class Rogue {
  readonly #site: Site;
  readonly #ids: string[];
  readonly #n = new Map<string, number>();
  readonly #seen: [seq: number, fence: number][] = [];

  constructor(site: Site, name: string) {
    this.#site = site;
    this.#ids = [`${name}-a`, `${name}-b`];
  }

  async act(): Promise<void> {
    const { random, network } = this.#site;
    const session = random.pick(this.#ids);
    const last = this.#n.get(session) ?? 0;
    const n = Math.max(1, last + random.pick([1, 1, 1, 1, 0, -1]));
    this.#n.set(session, Math.max(last, n));
    const some = () => this.#seen.filter(() => random.chance(0.4)).slice(-8);
    const input: ExchangeInput = {
      session,
      n,
      worker: { name: "rogue", runtime: "sim", ...(random.chance(0.3) ? { tasks: ["quick", "works", "fails"] } : {}) },
      channel: random.pick([null, "short" as const, "long" as const]),
      holding: some(),
      settle: some().map(([seq, fence]) =>
        this.#outcome(seq, random.chance(0.6) ? fence : fence + random.pick([-1, 1])),
      ),
      progress: some().map(([seq, fence]) => ({ seq, fence, progress: { percent: 1, note: null } })),
      want: random.pick([0, 2, 6, 6]),
      ...(this.#site.features.takes && random.chance(0.3)
        ? { gather: { tasks: ["many", "quick"], want: random.int(0, 4), backInMs: random.pick([0, 500, 60_000]) } }
        : {}),
    };
    const reply = await network.call(() => this.#site.exchange(structuredClone(input)));
    if (!reply.ok) return;
    for (const [seq, , , , fence] of JSON.parse(reply.jobs) as [number, 0, 0, 0, number][])
      this.#seen.push([seq, fence]);
  }

  #outcome(seq: number, fence: number): WireOutcome {
    const { random, features, ledger, queues, clock } = this.#site;
    const enqueue = ledger.draw(random, features, queues, clock.wall());
    const kind = random.pick(KINDS);
    const error = { name: "Rogue", message: "x".repeat(random.pick([1, 600])), stack: null };
    return random.pick<WireOutcome>([
      { seq, fence, outcome: "completed", result: '"rogue"' },
      { seq, fence, outcome: "completed", ...(enqueue ? { enqueue } : {}) },
      { seq, fence, outcome: "failed", error },
      { seq, fence, outcome: "failed", error, retryInMs: random.int(0, 9_000) },
      { seq, fence, outcome: "dead", error },
      {
        seq,
        fence,
        outcome: "snoozed",
        forMs: random.int(0, 9_000),
        ...(features.closures ? { rateLimited: { kind, forMs: random.pick([1, 3_000, 60_000]) } } : {}),
      },
      { seq, fence, outcome: "released" },
      { seq, fence, outcome: "released", started: false },
      { seq, fence, outcome: "declined", code: "unknown_task" },
      { seq, fence, outcome: "cancelled", reason: "rogue" },
    ]);
  }
}
