import { expect, it } from "vitest";
import type { ExchangeInput } from "../../client/wire.ts";
import { drawFeatures } from "./features.ts";
import type { Hooks, Host } from "./host.ts";
import type { Invariant } from "./violation.ts";
import { World } from "./world.ts";

const SEEDS = 40;
const STEPS = 100;

interface Mutant {
  what: string;
  /** Which guarantee must be seen to break. */
  breaks: Invariant[];
  /** What jobs ask for in these runs, by name. Absent: nothing that a core would not have. */
  features?: string;
  hooks?: () => Hooks;
  prepare?: (world: World) => void;
}

/** Changes one statement of the engine; fails when the engine has no such statement any more. */
function rewritten(find: string, replace: string): () => Hooks {
  return () => ({ withoutBooks: true, sql: (query) => query.replace(find, replace) });
}

function rowOf(host: Host, seq: number) {
  return host.storage.sql.exec("SELECT session, fence FROM jobs WHERE seq = ? AND session IS NOT NULL", seq)[0];
}

/** Settles count for whatever attempt the session holds. */
function withoutFence(input: ExchangeInput, host: Host): ExchangeInput {
  if (!host.incarnation?.engine.read(0, () => true)) return input;
  const settle = input.settle.map((outcome) => {
    const row = rowOf(host, outcome.seq);
    return row?.session === input.session ? { ...outcome, fence: Number(row.fence) } : outcome;
  });
  return { ...input, settle };
}

/** A settle counts for whoever holds the job at this fence. */
function withoutSession(input: ExchangeInput, host: Host): ExchangeInput {
  if (!host.incarnation?.engine.read(0, () => true)) return input;
  for (const outcome of input.settle) {
    const row = rowOf(host, outcome.seq);
    if (!row || row.session === input.session || row.fence !== outcome.fence) continue;
    const session = String(row.session);
    const [holder] = host.storage.sql.exec("SELECT n, held FROM sessions WHERE id = ?", session);
    const held = JSON.parse(String(holder!.held)) as [number, number][];
    const holding = held.filter(([seq]) => seq !== outcome.seq).map(([seq, fence]): [number, number] => [seq, fence]);
    return { ...input, session, n: Number(holder!.n) + 1, holding, settle: [outcome], want: 0 };
  }
  return input;
}

const MUTANTS: Mutant[] = [
  { what: "no fence in the guard", breaks: ["fence"], hooks: () => ({ exchange: withoutFence }) },
  { what: "no session in the guard", breaks: ["fence"], hooks: () => ({ exchange: withoutSession }) },
  {
    what: "ids from the live jobs alone",
    breaks: ["ids", "durable"],
    hooks: rewritten("(SELECT high_water FROM outbox ORDER BY id DESC LIMIT 1) AS gone", "0 AS gone"),
  },
  {
    what: "a finished job that is not in the outbox",
    breaks: ["durable"],
    hooks: () => ({
      sql: (query) =>
        query.includes("INSERT INTO outbox") && query.includes("RETURNING count")
          ? query
              .replace(
                "json_group_array(json_array(jobs.seq, jobs.fence",
                "json_remove(json_group_array(json_array(jobs.seq, jobs.fence",
              )
              .replace("jobs.cancel_requested_at))),", "jobs.cancel_requested_at))), '$[0]'),")
          : query,
    }),
  },
  {
    what: "a flush that deletes too much",
    breaks: ["history", "rollup"],
    hooks: rewritten(
      "DELETE FROM outbox WHERE id < ?",
      "DELETE FROM outbox WHERE id < (SELECT max(id) FROM outbox) AND ? IS NOT NULL",
    ),
  },
  {
    what: "an alarm that is not set again",
    breaks: ["armed", "work-conserving"],
    hooks: () => {
      let sets = 0;
      return { ignoresAlarm: () => sets++ % 3 === 2 };
    },
  },
  {
    what: "a retry that brings back an old form",
    breaks: ["fence", "read", "durable"],
    hooks: rewritten("ORDER BY o.id DESC LIMIT 1", "ORDER BY o.id LIMIT 1"),
  },
  {
    what: "a lapse that does not count",
    breaks: ["lapses"],
    hooks: rewritten("lapses = v.lapses", "lapses = jobs.lapses"),
  },
  {
    what: "a session that goes without its jobs",
    breaks: ["one-holder", "told", "armed", "concurrency"],
    hooks: rewritten("SELECT * FROM sessions", "SELECT * FROM sessions WHERE n % 2 = 0"),
  },
  {
    what: "request ids that are not read again after a restart",
    breaks: ["once"],
    hooks: rewritten("SELECT seq, created_at, request FROM jobs WHERE seq < ?", "$& AND 0"),
  },
  {
    what: "counts that are added twice",
    breaks: ["rollup"],
    prepare: (world) => {
      world.sites[0]!.history.countsAlways = true;
    },
  },
  {
    what: "a claim that knows no priority",
    breaks: ["order"],
    hooks: rewritten("ORDER BY priority DESC, rank, seq LIMIT", "ORDER BY rank, seq LIMIT"),
  },
  {
    what: "jobs that are promoted early",
    breaks: ["never-early"],
    hooks: rewritten("WHERE wake_at <= ? ORDER BY wake_at", "WHERE wake_at <= ? + 700 ORDER BY wake_at"),
  },
  {
    what: "an outbox that is trimmed with gaps",
    breaks: ["read", "fence"],
    hooks: () => ({
      sql: (query) =>
        query
          .replace("ELSE requests IS NOT NULL AND created_at > ?2 END", "ELSE 0 * ?2 END")
          .replace("DELETE FROM outbox WHERE id < ?", "$& AND (requests IS NULL OR created_at <= unixepoch() * 0)"),
    }),
  },
];

it.each(MUTANTS)("catches $what", async ({ breaks, features = "none", hooks, prepare }) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const world = new World({
      seed,
      steps: STEPS,
      features: drawFeatures(seed, features),
      hooks: hooks?.() ?? {},
      ...(prepare ? { prepare } : {}),
    });
    const { violation } = await world.run();
    if (!violation) continue;
    expect(breaks, violation.message).toContain(violation.invariant);
    return;
  }
  expect.unreachable(`no violation in ${SEEDS} seeds`);
});
