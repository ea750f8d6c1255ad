import type { ScheduleInput } from "../../client/wire.ts";
import { PLAIN } from "../support/template.ts";
import { drawTemplate } from "./demand.ts";
import type { Cause } from "./host.ts";
import { CRONS } from "./schedules.ts";
import type { Site } from "./site.ts";

type Change = Extract<Cause, { kind: "schedule" }>;

/** What people and deploys do to schedules. */
export class Planners {
  readonly #site: Site;

  constructor(site: Site) {
    this.#site = site;
  }

  async act(): Promise<void> {
    const { random, network, host, features, clock } = this.#site;
    if (!features.schedules) return;
    const verbs = { put: 6, deploy: 3, remove: 2, run: 2, pause: 2, resume: 3, backfill: 3 };
    const verb = random.weighted<keyof typeof verbs>(verbs);
    if (verb === "deploy") return this.#deploy();
    const name = random.pick(["s1", "s2", "s2", "late", "shared"]);
    const change: Change = { kind: "schedule", verb, name };
    if (verb === "put") change.input = this.#input(name);
    if (verb === "backfill") {
      change.from = clock.wall() - random.int(0, 600_000);
      change.to = change.from + random.int(-1_000, 300_000);
    }
    await network.call(() => host.call(structuredClone(change), (shell) => this.#carryOut(shell, change)));
  }

  #carryOut(shell: Parameters<Parameters<Site["host"]["call"]>[1]>[0], change: Change): Promise<unknown> {
    const { verb, name, input, from, to } = change;
    switch (verb) {
      case "put":
        return shell.putSchedule(name, structuredClone(input!));
      case "remove":
        return shell.removeSchedule(name);
      case "run":
        return shell.runSchedule(name);
      case "pause":
      case "resume":
        return shell.pauseSchedule(name, verb === "pause", "sim");
      case "backfill":
        return shell.backfill(name, from!, to!);
    }
  }

  /** New code, with other schedules; the old object goes. */
  #deploy(): void {
    const { random, host } = this.#site;
    const names = ["c1", "c2", "shared"].filter(() => random.chance(0.4));
    const kept = this.#site.code?.inputs;
    const inputs = new Map(
      names.map((name) => [name, (random.chance(0.5) && kept?.get(name)) || this.#input(name)] as const),
    );
    this.#site.code = inputs.size === 0 ? null : { version: `v${random.int(1, 1_000_000)}`, inputs };
    host.evict();
  }

  /** What is spread keeps its times, and makes up for all that was missed: how late it was is its own affair. */
  #input(name: string): ScheduleInput {
    const { random, features, clock } = this.#site;
    const spread = name === "late";
    const now = clock.wall();
    const series = random.chance(0.5) ? random.pick(CRONS) : null;
    const template = drawTemplate(random, { ...features, unique: false, ordering: false }, now);
    return {
      spec: "{}",
      cron: spread ? null : (series?.cron ?? null),
      everyMs: spread ? 90_000 : series ? null : random.pick([10_000, 45_000, 300_000, 3_600_000]),
      timezone: series && !spread ? series.timezone : "UTC",
      template: spread ? { ...LATE, meta: null } : { ...template, runAt: null, delayMs: 0 },
      payload: spread ? null : random.pick([null, "1"]),
      overlap: spread ? "allow" : random.pick(["allow", "allow", "skip", "buffer-one", "cancel-other"]),
      catchUpWindowMs: spread ? 86_400_000 : random.pick([0, 120_000, 3_600_000]),
      catchUpMax: spread ? 1_000 : random.pick([0, 1, 3]),
      jitterMs: spread ? 40_000 : 0,
      startAt: spread || random.chance(0.7) ? null : now + random.int(-600_000, 120_000),
      endAt: spread || random.chance(0.7) ? null : now + random.int(120_001, 900_000),
      paused: false,
    };
  }
}

const LATE = { ...PLAIN, task: "quick", maxAttempts: 1, timeoutMs: 1_000 };
