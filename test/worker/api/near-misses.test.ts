import { expect, it } from "vitest";
import { pick, type Random, randomOf } from "./random.ts";
import { ask, migrated } from "./support.ts";

migrated();

const ROUNDS = 2_000;
/** A failure prints its seed and round. */
const SEED = 20_261_123;

const RATE = { limit: 1, per: "1s", burst: 4 };
const UNIQUE = { key: "k", states: ["waiting", "running", "dead"], ttl: "1h", onConflict: "return" };
const QUEUE = "/v1/queues/q-near";
/** Requests that are accepted, or refused for one thing only. */
const REQUESTS: readonly [method: string, path: string, body: object][] = [
  [
    "POST",
    "/v1/operations",
    {
      action: "retry",
      filter: { queue: "q-near", state: "dead", tag: "a", from: "2026-11-22T05:39:00Z" },
      rate: { limit: 5, per: "1s" },
      canary: { count: 2, minSuccess: 0.5 },
      dryRun: true,
    },
  ],
  [
    "POST",
    "/v1/operations",
    { action: "reschedule", filter: { queue: "q-near" }, args: { delay: "1s" }, dryRun: true },
  ],
  ["POST", `${QUEUE}/drain`, { confirm: "another", states: ["ready"] }],
  ["POST", `${QUEUE}/purge`, { confirm: "another", states: ["dead"] }],
  ["DELETE", QUEUE, { confirm: "another" }],
  ["PUT", `${QUEUE}/limits/tenant/acme/pause`, { for: "1s", reason: "x" }],
  [
    "PUT",
    `${QUEUE}/schedules/one`,
    {
      cron: "*/5 * * * *",
      timezone: "Europe/Berlin",
      task: "any",
      options: { priority: 1, unique: { key: "a", states: ["waiting"] } },
      overlap: "skip",
      catchUp: { window: "1h", max: 1 },
      jitter: "1s",
      startAt: "2026-11-22T05:39:00Z",
      paused: true,
    },
  ],
  ["POST", `${QUEUE}/schedules/one/backfill`, { from: "2026-11-21T05:39:00Z", to: "2026-11-21T05:49:00Z" }],
  ["POST", `${QUEUE}/schedules/one/pause`, { reason: "x" }],
  [
    "PATCH",
    `${QUEUE}/config`,
    {
      rateLimit: RATE,
      ageing: { per: "1m", priority: 1 },
      tasks: { any: { concurrency: 4, rateLimit: RATE } },
      limits: { tenant: { concurrency: 3, values: { acme: { rateLimit: RATE } } } },
      fairness: { weights: { a: 2 } },
    },
  ],
  [
    "POST",
    `${QUEUE}/jobs`,
    { task: "any", keys: { a: "b" }, cost: { a: 2 }, orderingKey: "x", fairKey: "y", deadline: "1h", unique: UNIQUE },
  ],
];
const NAMES = [
  "queue",
  "state",
  "per",
  "limit",
  "values",
  "states",
  "options",
  "runAt",
  "__proto__",
  "constructor",
  "x",
];
const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, 1.5, 1e21, 1e308, "", "x", "1s", "0s", "400d", "9999999999999999d", "dead", "waiting", "any"],
  ...["@daily", "* * * * *", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "constructor", "\u0000", "a".repeat(300)],
  ...[[], {}, ["dead"], [null], { toString: 1 }, [{ toString: 1 }], { a: { toString: 1 } }],
];

/** The request's body, another in one place. */
function otherwise(random: Random, body: object): object {
  const made = structuredClone(body);
  for (let at: object = made; ; ) {
    const names = Object.keys(at);
    const name = names.length > 0 && random() < 0.8 ? pick(random, names) : pick(random, NAMES);
    const member: unknown = Object.hasOwn(at, name) ? at[name as keyof typeof at] : null;
    if (typeof member !== "object" || member === null || random() < 0.3) {
      Object.defineProperty(at, name, { value: pick(random, VALUES), enumerable: true });
      return made;
    }
    at = member;
  }
}

it("answers requests that are wrong in one place without a 5xx", async () => {
  const random = randomOf(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const [method, path, body] = pick(random, REQUESTS);
    const raw = JSON.stringify(otherwise(random, body));
    const response = await ask(path, { method, raw });
    await response.body?.cancel();
    const shown = `seed ${SEED}, round ${round}: ${method} ${path} ${raw.slice(0, 500)} -> ${response.status}`;
    expect(response.status, shown).toBeLessThan(500);
  }
});
