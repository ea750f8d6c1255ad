import { it } from "vitest";
import type { ExchangeInput } from "../../client/wire.ts";
import type { Hooks, Host } from "./host.ts";
import { expectCaught, type Mutant, rewritten } from "./mutant.ts";

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

/** What follows from a completion leaves before the completion is there. */
function sentEarly(input: ExchangeInput, host: Host): ExchangeInput {
  for (const { seq, fence, enqueue = [] } of input.settle) {
    for (const { queue, partition, templates, jobs } of enqueue) {
      if (queue === host.deps.queue) continue;
      const source = `${host.deps.queue}:0:${seq}/${fence}/early`;
      host.deps.deliver(queue, partition, [[source, JSON.stringify({ templates, jobs })]]).catch(() => {});
    }
  }
  return input;
}

/** Shares grow when jobs arrive, and not when they are served. */
function stampedAtEnqueue(): Hooks {
  let shares = new Map<string, number>();
  return {
    withoutBooks: true,
    after: ({ flows }, cause) => {
      if (cause?.kind === "exchange") {
        for (const [key, flow] of flows) flow.share = Math.min(flow.share, shares.get(key) ?? 0);
      }
      const input = cause?.kind === "enqueue" ? cause.input : null;
      for (const [template] of input?.jobs ?? []) {
        const { priority, fairKey } = input!.templates[template]!;
        const flow = flows.get(fairKey == null ? `${priority}` : `${priority} ${fairKey}`);
        if (flow) flow.share += 1;
      }
      shares = new Map([...flows].map(([key, { share }]) => [key, share]));
    },
  };
}

/** Every third end of a job leaves its gates as full as they were. */
function leakedSlots(): Hooks {
  let ends = 0;
  return {
    withoutBooks: true,
    after: ({ gates }, cause) => {
      for (const { outcome } of cause?.kind === "exchange" ? cause.input.settle : []) {
        if (outcome !== "completed" || ends++ % 3 !== 2) continue;
        for (const gate of gates.values()) if (gate.limit.concurrency !== undefined) gate.holders += 1;
      }
    },
  };
}

const MUTANTS: Mutant[] = [
  { what: "no fence in the guard", breaks: ["fence", "durable"], hooks: () => ({ exchange: withoutFence }) },
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
              .replace(/(jobs\.cancel_requested_at\),\s[^\n]*)\)\),\n/, "$1)), '$[0]'),\n")
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
  {
    what: "a slot that is not given back",
    breaks: ["work-conserving", "limits"],
    features: "limits",
    hooks: leakedSlots,
  },
  {
    what: "a gate that opens and opens no lane",
    breaks: ["work-conserving", "order"],
    features: "limits,rates,closures",
    hooks: () => ({
      withoutBooks: true,
      after: ({ opened }) => {
        opened.add = () => opened;
      },
    }),
  },
  {
    what: "tokens that a restart gives back",
    breaks: ["rate"],
    features: "rates",
    hooks: rewritten("SELECT key, full_at FROM buckets", "$& WHERE 0"),
  },
  {
    what: "a closed key that a restart opens",
    breaks: ["closed-keys"],
    features: "closures",
    hooks: rewritten("SELECT key, since, until, reason FROM closures", "$& WHERE 0"),
  },
  { what: "shares that grow at enqueue", breaks: ["fair-share"], features: "fairness,limits", hooks: stampedAtEnqueue },
  {
    what: "an ordering key that lets two go",
    breaks: ["ordering"],
    features: "ordering",
    hooks: rewritten(
      "jobs.seq = (SELECT h.seq FROM jobs AS h WHERE h.ordering = k.value ORDER BY h.ordering_rank, h.seq LIMIT 1)",
      "jobs.seq IN (SELECT h.seq FROM jobs AS h WHERE h.ordering = k.value ORDER BY h.ordering_rank, h.seq LIMIT 2)",
    ),
  },
  {
    what: "an ordering key that nobody passes on",
    breaks: ["ordering"],
    features: "ordering",
    hooks: rewritten("WHERE jobs.ordering IS NOT NULL OR u.key IS NOT NULL", "WHERE u.key IS NOT NULL"),
  },
  {
    what: "a unique key that two jobs have",
    breaks: ["unique", "durable", "once"],
    features: "unique",
    hooks: rewritten("u.key = k.value LEFT JOIN", "u.key = k.value AND u.seq % 2 = 0 LEFT JOIN"),
  },
  {
    what: "a unique key that stays with a job that has ended",
    breaks: ["unique", "durable", "once", "check"],
    features: "unique",
    hooks: () => ({
      withoutBooks: true,
      sql: (query) =>
        query
          .replace("coalesce(jobs.state, u.ended)", "coalesce(jobs.state, u.ended, 'running')")
          .replace("DELETE FROM uniques WHERE key IN (SELECT value FROM json_each(?))", "$& AND 0"),
    }),
  },
  {
    what: "a deadline that a retry forgets",
    breaks: ["deadline"],
    features: "deadlines",
    hooks: rewritten(
      "created_at, expires_at, options\n     FROM json_each(?1) AS e",
      "created_at, expires_at, json_remove(options, '$.deadlineAt') AS options\n     FROM json_each(?1) AS e",
    ),
  },
  {
    what: "a follow-up job that is sent before the settle",
    breaks: ["follow-ups", "durable"],
    features: "followUps",
    hooks: () => ({ exchange: sentEarly }),
  },
  {
    what: "a follow-up job that is taken each time that it comes",
    breaks: ["follow-ups", "durable"],
    features: "followUps",
    hooks: rewritten("SELECT body_hash, answer FROM idempotency WHERE key = ?", "$& AND key NOT LIKE 'follow-up %'"),
  },
  {
    what: "an instant that is computed from now",
    breaks: ["schedules"],
    features: "schedules",
    prepare: (world) => {
      const { hooks } = world.sites[0]!.host.deps;
      const late = (): number => world.clock.wall() % 1_000;
      hooks.sql = (query) =>
        query.replace("SET next_at = ?, fires_at = ?", `SET next_at = ? + ${late()}, fires_at = ? + ${late()}`);
    },
  },
];

it.each(MUTANTS)("catches $what", expectCaught);
