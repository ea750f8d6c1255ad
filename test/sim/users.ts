import type { BulkInput, EnqueueInput, KeyReport, SettingsPatch } from "../../client/wire.ts";
import type { QueueShell } from "../../durable-objects/shell.ts";
import { drawTemplate, drawValue, KINDS } from "./demand.ts";
import { checkExplained, checkLogs } from "./explained.ts";
import type { Cause } from "./host.ts";
import { ATTEMPT_MS_MOST } from "./ledger.ts";
import type { Expected } from "./model.ts";
import { Planners } from "./planners.ts";
import type { Site } from "./site.ts";

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
  limit: 6,
  pauseKey: 5,
  keys: 2,
  bulk: 5,
  schedule: 7,
  poke: 2,
  get: 8,
  list: 3,
  explain: 4,
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
      case "limit":
        await host.call(other, (shell) => shell.configure(this.#limits()));
        return;
      case "pauseKey":
        return this.#pauseKey();
      case "keys":
        return this.#keys();
      case "bulk":
        return this.#bulk();
      case "schedule":
        return new Planners(this.#site).act();
      case "poke":
        return site.poke();
      case "describe": {
        await network.call(() => host.call(other, (shell) => shell.describe()));
        return;
      }
      case "list":
        return this.#list();
      case "explain":
        return this.#explain();
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
        const answer = await shell.get(seq, true);
        if (answer !== null && answer !== "deleted") checkLogs(model, answer);
        if (model.changes === changes) model.checkRead(seq, answer, (end) => row?.fence === end.fence);
      }),
    );
  }

  async #explain(): Promise<void> {
    const { model, network, host } = this.#site;
    const seq = this.#someJob();
    await network.call(() =>
      host.call({ kind: "other" }, async (shell) => {
        const { changes } = model;
        const answer = await shell.explain(seq);
        if (model.changes === changes) checkExplained(this.#site, seq, answer.ok ? answer.explanation : null);
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
    const { random, network, clock } = this.#site;
    const id = `r${this.#requests++}`;
    const input = this.#input(id);
    // As the SDK does it: the same request again until an answer comes, for two minutes at most.
    const giveUpAt = clock.time + 2 * MINUTE;
    for (let tries = 0; tries < 4 && clock.time < giveUpAt - 100_000; tries++) {
      try {
        return await network.call(() => this.#ask(id, input));
      } catch {
        await clock.sleep(random.int(100, 2_000));
      }
    }
  }

  async #ask(id: string, input: EnqueueInput): Promise<void> {
    const { host, model } = this.#site;
    const cause: Cause = { kind: "enqueue", input: structuredClone(input) };
    const reply = await host.call(cause, (shell) => shell.enqueue(structuredClone(input)));
    if (!cause.expected) return model.fail("once", `request ${id} ran no transaction`);
    const told = reply.ok ? reply.jobs.map(({ seq, outcome }) => ({ seq, outcome })) : null;
    const { or } = cause.expected;
    const expected = or && isSame(or, told) ? or : cause.expected;
    if (expected === or) model.askedAnew(id, or);
    if (!reply.ok) {
      return model.expect(expected.refused && reply.code === "conflict", "unique", () => `${id}: ${reply.detail}`);
    }
    model.expect(!expected.refused, "unique", () => `request ${id} was to be refused, and was not`);
    const right = JSON.stringify(expected.answers);
    model.expect(
      isSame(expected, told),
      "once",
      () => `request ${id} came to ${right}, and is answered with ${JSON.stringify(told)}`,
    );
    for (const { seq } of reply.jobs) {
      model.expect(model.jobs.has(seq), "durable", () => `job ${seq} is answered, and not there`);
    }
  }

  #input(id: string): EnqueueInput {
    const { random, features, clock } = this.#site;
    const at = clock.wall() + (this.#site.delivery === "push" ? 0 : ATTEMPT_MS_MOST);
    const templates = Array.from({ length: random.int(1, 3) }, () => drawTemplate(random, features, at));
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

  /** Limits of one gate, of some kind or of all. */
  #limits(): SettingsPatch {
    const { random, features } = this.#site;
    const limit = () => ({
      ...(features.limits ? { concurrency: random.pick([null, 1, 2, 3]) } : {}),
      ...(features.rates
        ? {
            rateLimit: random.pick([
              null,
              {
                limit: random.int(1, 6),
                perMs: random.pick([1_000, 3_000, 10_000, 60_000]),
                burst: random.pick([1, 2, 5]),
              },
            ]),
          }
        : {}),
    });
    const kind = random.pick(KINDS);
    const patches: SettingsPatch[] = [
      limit(),
      { tasks: { [random.pick(["quick", "works", "flaky", "nobody"])]: limit() } },
      { limits: { [kind]: limit() } },
      { limits: { [kind]: { values: { [drawValue(random, kind)]: random.pick([null, limit(), limit()]) } } } },
      { limits: { [kind]: null } },
      { tasks: null },
    ];
    if (features.fairness) {
      patches.push({ weights: { [`f${random.int(1, 4)}`]: random.pick([null, 0.5, 2, 4]) } }, { weights: null });
    }
    if (features.ageing) {
      patches.push({
        ageing: random.pick([null, { perMs: random.pick([1_000, 30_000]), priority: random.int(1, 3) }]),
      });
    }
    return random.pick(patches);
  }

  /** One thing done to several jobs, as they were found or changed since. */
  async #bulk(): Promise<void> {
    const { random, network, host, model, features, clock } = this.#site;
    if (!features.bulk) return;
    const action = random.pick(["cancel", "retry", "delete", "reschedule", "setPriority"] as const);
    const seqs = new Set(Array.from({ length: random.int(1, 12) }, () => this.#someJob()));
    const jobs = [...seqs].map((seq): [number, number] => {
      const job = model.jobs.get(seq);
      return [seq, (job ? model.maxFence(job) : 0) + (random.chance(0.1) ? random.pick([-1, 1]) : 0)];
    });
    for (const seq of seqs) model.begin(action === "delete" ? "remove" : action, seq);
    const input: BulkInput = {
      action,
      jobs,
      states: random.pick([null, null, ["ready", "scheduled"], ["blocked"], ["dead", "cancelled"], ["retrying"]]),
      runAt: action === "reschedule" ? clock.wall() + random.int(-5_000, 120_000) : null,
      priority: action === "setPriority" ? random.int(-2, 6) : null,
    };
    const answers = await network.call(() =>
      host.call({ kind: "other" }, (shell) => shell.bulk(structuredClone(input))),
    );
    const right = answers.length === jobs.length;
    model.expect(right, "told", () => `${answers.length} answers tell of ${jobs.length} jobs`);
  }

  async #pauseKey(): Promise<void> {
    const { random, network, host, features } = this.#site;
    if (!features.closures) return;
    const of = random.pick(KINDS);
    const value = drawValue(random, of);
    const forMs = random.pick([0, 0, 1, random.int(1, 60_000), random.int(1, 600_000)]);
    await network.call(() =>
      host.call({ kind: "pauseKey", of, value, forMs }, (shell) => shell.pauseKey(of, value, forMs, "sim")),
    );
  }

  /** What keys are said to be must be what is. */
  async #keys(): Promise<void> {
    const { random, network, host, model } = this.#site;
    const kind = random.pick([null, ...KINDS]);
    await network.call(() =>
      host.call({ kind: "other" }, async (shell) => {
        const { changes } = model;
        const listed = await keysOf(shell, kind);
        if (model.changes !== changes) return;
        for (const { kind: of, value, holders, paused } of listed) {
          const gate = model.limits.gate(`key:${of}:${value}`);
          const right = gate.holders === holders && (paused?.until ?? gate.closedUntil) === gate.closedUntil;
          model.expect(
            right,
            "limits",
            () => `${gate.name} has ${gate.holders} holders, and is answered with ${holders}`,
          );
        }
        for (const gate of model.limits.gates()) {
          const shown = listed.some(({ kind: of, value }) => gate.name === `key:${of}:${value}`);
          const its = gate.name.startsWith(kind === null ? "key:" : `key:${kind}:`) && gate.holders > 0;
          model.expect(shown || !its, "limits", () => `${gate.name} has ${gate.holders} holders, and is not listed`);
        }
      }),
    );
  }
}

/** Read in pages so short that most begin behind a key. */
async function keysOf(shell: QueueShell, kind: string | null): Promise<KeyReport[]> {
  const keys: KeyReport[] = [];
  for (;;) {
    const page = await shell.keys(kind, keys.at(-1), 2);
    keys.push(...page);
    if (page.length < 2) return keys;
  }
}

function isSame({ refused, answers }: Expected, told: Expected["answers"] | null): boolean {
  return told === null ? refused : !refused && JSON.stringify(told) === JSON.stringify(answers);
}
