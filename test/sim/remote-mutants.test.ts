import { it } from "vitest";
import type { ExchangeInput } from "../../client/wire.ts";
import type { Books } from "../../durable-objects/engine/books.ts";
import type { Hooks, Host } from "./host.ts";
import { expectCaught, type Mutant, rewritten } from "./mutant.ts";
import { ALL } from "./staff.ts";
import type { World } from "./world.ts";

/** Every gate seems to be free when something is about to be handed out. */
function openToHandouts(): Hooks {
  let known: Books | null = null;
  return {
    withoutBooks: true,
    after: (books) => {
      known = books;
    },
    sockets: {
      alive: (_session, truth) => {
        for (const gate of known?.gates.values() ?? []) gate.holders = 0;
        return truth;
      },
    },
  };
}

/** A worker counts as holding all that it was given, whether that reached it or not. */
function believed(input: ExchangeInput, host: Host): ExchangeInput {
  if (!host.incarnation?.engine.read(0, () => true)) return input;
  const rows = host.storage.sql.exec("SELECT seq, fence FROM jobs WHERE session = ?", input.session);
  const settled = new Set(input.settle.map(({ seq }) => seq));
  const holding = rows
    .map(({ seq, fence }): [number, number] => [Number(seq), Number(fence)])
    .filter(([seq]) => !settled.has(seq));
  return { ...input, holding };
}

/** What is handed out leaves the want as large as it was. */
function insatiable(): Hooks {
  let wants = new Map<string, number>();
  return {
    after: ({ standing }, cause) => {
      for (const [session, want] of standing) {
        const own = cause?.kind === "exchange" && cause.input.session === session;
        if (!own) standing.set(session, { ...want, want: Math.max(want.want, wants.get(session) ?? 0) });
      }
      wants = new Map([...standing].map(([session, { want }]) => [session, want]));
    },
  };
}

/** What is handed out is not in the tables, as if it had been sent before a commit that failed. */
function uncommitted(): Hooks {
  let handing = false;
  return {
    withoutBooks: true,
    sockets: {
      alive: (_session, truth) => {
        handing = truth;
        return truth;
      },
    },
    sql: (query) => {
      const claims = handing && query.includes("UPDATE jobs SET state = 'running'");
      if (claims) handing = false;
      return claims ? `${query.replace(/;\s*$/, "")} AND 0` : query;
    },
  };
}

/** Every two minutes one comes that waits for what is rare, and is not heard any more. */
function fallSilent({ sites: [site], clock }: World): void {
  const tasks = new Map([...ALL].filter(([name]) => name === "nobody"));
  const come = (left: number): void => {
    const worker = site!.staff.hire({ name: `silent${left}`, tasks, slots: 2, sockets: true });
    clock.in(5_000, () => {
      worker.dead = true;
    });
    if (left > 0) clock.in(120_000, () => come(left - 1));
  };
  clock.in(1_000, () => come(20));
}

const REMOTE_MUTANTS: Mutant[] = [
  {
    what: "a handout that meets no gate",
    breaks: ["limits", "concurrency"],
    features: "remote,limits",
    hooks: openToHandouts,
  },
  {
    what: "a push that was lost and is not told again",
    breaks: ["told"],
    features: "remote",
    hooks: () => ({ exchange: believed }),
  },
  { what: "a want that is never met", breaks: ["handouts"], features: "remote", hooks: insatiable },
  {
    what: "a worker that counts as alive for ever",
    breaks: ["handouts"],
    features: "remote",
    hooks: () => ({ sockets: { alive: () => true } }),
    prepare: fallSilent,
  },
  {
    what: "a worker that counts as dead",
    breaks: ["handouts"],
    features: "remote",
    hooks: () => ({ sockets: { alive: () => false } }),
  },
  {
    what: "wants that a wake forgets",
    breaks: ["handouts", "work-conserving"],
    features: "remote",
    hooks: () => ({ sockets: { standing: () => [] } }),
  },
  {
    what: "handouts that are not in the tables",
    breaks: ["one-holder", "told"],
    features: "remote",
    hooks: uncommitted,
  },
  {
    what: "no ticket while somebody stands, who may know none of it",
    breaks: ["work-conserving"],
    features: "remote",
    hooks: () => ({
      withoutBooks: true,
      after: ({ standing, channels }) => {
        if (standing.size > 0) channels.short.ticketsAt = [Number.MAX_SAFE_INTEGER];
      },
    }),
  },
  {
    what: "an alarm that comes again at once",
    breaks: ["idle"],
    features: "remote",
    hooks: rewritten(
      "SELECT wake_at FROM jobs WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1",
      "SELECT 1 AS wake_at",
    ),
  },
];

it.each(REMOTE_MUTANTS)("catches $what", expectCaught);
