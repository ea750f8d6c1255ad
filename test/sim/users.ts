import type { EnqueueInput, JobTemplate } from "../../client/wire.ts";
import type { Site } from "./site.ts";
import { TASK_NAMES } from "./tasks.ts";

const MINUTE = 60_000;

/** How often each operation is done, beside the others. */
export const MIX = {
  enqueue: 40,
  cancel: 8,
  retry: 8,
  remove: 4,
  pause: 1,
  resume: 3,
  configure: 3,
  poke: 2,
  get: 8,
  list: 3,
  describe: 2,
  rogue: 24,
  evict: 8,
  crash: 3,
  freeze: 3,
  skew: 1,
} as const;

export type Operation = keyof typeof MIX;

/** What people and their programs do to a queue. */
export class Users {
  readonly #site: Site;
  #requests = 0;

  constructor(site: Site) {
    this.#site = site;
  }

  async act(operation: Exclude<Operation, "rogue" | "evict" | "crash" | "freeze" | "skew">): Promise<void> {
    const site = this.#site;
    const { random, model, network, host } = site;
    const other = { kind: "other" } as const;
    switch (operation) {
      case "enqueue":
        return this.#enqueue();
      case "pause":
        await host.call(other, (shell) => shell.pause("sim"));
        return;
      case "resume":
        await host.call(other, (shell) => shell.resume());
        return;
      case "configure": {
        const patch = random.pick([
          { concurrency: random.int(1, 4) },
          { concurrency: null },
          { maxSessions: random.int(1, 3) },
          { maxSessions: null, leaseMs: random.pick([5_000, 30_000, null]) },
          { historyCompleted: random.pick(["none" as const, "all" as const]) },
          { slots: random.int(1, 8) },
        ]);
        await host.call(other, (shell) => shell.configure(patch));
        return;
      }
      case "poke":
        return site.poke();
      case "describe": {
        await network.call(() => host.call(other, (shell) => shell.describe()));
        return;
      }
      case "list":
        return this.#list();
      case "get":
        return this.#get();
      default: {
        const seq = this.#someJob();
        model.begin(operation, seq);
        await network.call(() => host.call(other, (shell) => shell[operation](seq) as Promise<unknown>));
      }
    }
  }

  #someJob(): number {
    const { random, model } = this.#site;
    if (random.chance(0.05)) return model.maxSeq + random.int(1, 5);
    return random.int(Math.max(1, model.maxSeq - random.pick([3, 20, 1000])), Math.max(1, model.maxSeq));
  }

  async #get(): Promise<void> {
    const { model, network, host, history } = this.#site;
    const seq = this.#someJob();
    await network.call(() =>
      host.call({ kind: "other" }, async (shell) => {
        const { changes } = model;
        const row = history.rows.get(seq);
        const answer = await shell.get(seq);
        if (model.changes === changes) model.checkRead(seq, answer, (end) => row?.fence === end.fence);
      }),
    );
  }

  async #list(): Promise<void> {
    const { model, network, host } = this.#site;
    const input = { beforeSeq: null, limit: 200, states: null, task: null, tag: null, from: null, to: null };
    await network.call(() =>
      host.call({ kind: "other" }, async (shell) => {
        const { changes } = model;
        const { items, scannedTo } = await shell.list(input);
        if (model.changes !== changes) return;
        for (const item of items) model.checkRead(item.seq, item, () => true);
        const listed = new Set(items.map((item) => item.seq));
        model.expect(listed.size === items.length, "read", () => "a job is listed twice");
        for (const { seq, live } of model.living.values()) {
          const there = listed.has(seq) || (scannedTo !== null && seq < scannedTo);
          model.expect(there || !live, "read", () => `job ${seq} is live, and is not listed`);
        }
      }),
    );
  }

  async #enqueue(): Promise<void> {
    const { random, network, host, model, clock } = this.#site;
    const id = `r${this.#requests++}`;
    const input = this.#input(id);
    // As the SDK does it: the same request again until an answer comes, for two minutes at most.
    const giveUpAt = clock.time + 2 * MINUTE;
    for (let tries = 0; tries < 4 && clock.time < giveUpAt - 100_000; tries++) {
      try {
        const reply = await network.call(() =>
          host.call({ kind: "enqueue", input: structuredClone(input) }, (shell) =>
            shell.enqueue(structuredClone(input)),
          ),
        );
        if (!reply.ok) return model.fail("once", `request ${id} was refused: ${reply.detail}`);
        const seqs = reply.jobs.map((job) => job.seq);
        const made = input.idempotency ? model.keys.get(input.idempotency.key) : model.requests.get(id);
        const same = JSON.stringify(made?.seqs) === JSON.stringify(seqs);
        model.expect(same, "once", () => `request ${id} made ${made?.seqs} and is answered with ${seqs}`);
        for (const seq of seqs)
          model.expect(model.jobs.has(seq), "durable", () => `job ${seq} is answered, and not there`);
        return;
      } catch {
        await clock.sleep(random.int(100, 2_000));
      }
    }
  }

  #input(id: string): EnqueueInput {
    const { random } = this.#site;
    const templates = Array.from({ length: random.int(1, 3) }, () => this.#template());
    const count = random.weighted({ one: 6, few: 3, many: 1 });
    const jobs = { one: 1, few: random.int(2, 5), many: random.int(6, 25) }[count];
    const key = random.chance(0.1) ? `key-${random.int(1, 6)}` : null;
    return {
      templates,
      jobs: Array.from({ length: jobs }, () => [
        random.int(0, templates.length - 1),
        random.pick([null, "1", '"ü\\u0000"']),
      ]),
      requestId: id,
      idempotency: key === null ? null : { key, bodyHash: "same" },
    };
  }

  #template(): JobTemplate {
    const { random, clock } = this.#site;
    const start = random.weighted({ now: 6, delay: 3, at: 1 });
    const backoff = random.pick([
      null,
      { type: "fixed" as const, delay: "100ms" as const },
      { type: "exponential" as const, base: "1s" as const, max: "30s" as const, jitter: 1 },
    ]);
    return {
      task: random.chance(0.02) ? "nobody" : random.pick(TASK_NAMES.slice(0, -1)),
      priority: random.pick([0, 0, 0, 1, -1, 5]),
      runAt: start === "at" ? clock.wall() + random.int(-5_000, 60_000) : null,
      delayMs: start === "delay" ? random.pick([1, 500, 5_000, 60_000, 600_000]) : 0,
      maxAttempts: random.int(1, 4),
      backoff,
      ownBackoff: backoff !== null,
      timeoutMs: random.pick([1_000, 2_000, 10_000, 20_000, 40_000]),
      expiresInMs: random.chance(0.15) ? random.pick([1, 1_000, 20_000, 300_000]) : null,
      tags: random.chance(0.2) ? ["tag"] : [],
      meta: null,
      actor: null,
      version: null,
      traceparent: null,
    };
  }
}
