import { expect, it } from "vitest";
import { pick, type Random, randomOf } from "./random.ts";
import { ask, enqueue, getJob, jobsIn, migrated } from "./support.ts";

migrated();

const ROUNDS = 1_500;
/** A failure prints its seed and round. */
const SEED = 20_261_122;

const NAMES = [
  "task",
  "jobs",
  "payload",
  "priority",
  "runAt",
  "delay",
  "meta",
  "tags",
  "queue",
  "backoff",
  "type",
  "keys",
  "unique",
];
const STRANGE = [
  "__proto__",
  "constructor",
  "toString",
  "",
  "a.b",
  "0",
  "\u0000",
  "é",
  "😀",
  "reason",
  "history",
  "lease",
];
const TEXTS = [
  "",
  "any ",
  "1h",
  "null",
  "\u2028",
  "a".repeat(300),
  "2026-11-22T05:39:00Z",
  "<script>",
  "'; DROP TABLE jobs",
];
const NUMBERS = [0, -0, -1, 1.5, 1e21, -1e308, 2 ** 53, 32_768, Number.MIN_VALUE];

function anyJson(random: Random, depth = 0): unknown {
  const kind = random() * (depth > 4 ? 5 : 8);
  if (kind < 1) return null;
  if (kind < 2) return random() < 0.5;
  if (kind < 3) return pick(random, NUMBERS);
  if (kind < 5) return pick(random, TEXTS);
  const size = Math.floor(random() * 5);
  if (kind < 6.5) return Array.from({ length: size }, () => anyJson(random, depth + 1));
  const made: Record<string, unknown> = Object.create(null);
  for (let n = 0; n < size; n++) made[pick(random, random() < 0.7 ? NAMES : STRANGE)] = anyJson(random, depth + 1);
  return made;
}

/** A valid job but for one thing. */
function nearMiss(random: Random): unknown {
  const job: Record<string, unknown> = { task: "greet", payload: { name: "x" }, priority: 1, tags: ["a"], meta: {} };
  const wrong: Record<string, readonly unknown[]> = {
    task: [null, 1, "", "gree", "greet ", ["greet"], {}],
    payload: [null, {}, { name: null }, { name: 1 }, [], "x", 0],
    priority: ["1", 1.5, 1e9, null, [], Number.MAX_VALUE],
    runAt: ["x", 0, null, "2026-99-99T00:00:00Z", {}, ["2026-11-22T05:39:00Z"]],
    delay: ["1", 1, null, "-1s", "1.5s", " 1s", "1S", "400d"],
    maxAttempts: [0, 101, "8", null, 1.1],
    backoff: [{}, "1m", null, { type: "fixed", delay: "1" }, { type: "exponential", base: "1m", jitter: -1 }],
    timeout: ["0s", 5, null, "14m", "1w"],
    expiresIn: ["0ms", "x", null, -1],
    tags: ["a", [1], [""], Array(17).fill("a"), null],
    meta: ["x", [], null, 1],
    keys: ["x", [], null, { a: 1 }, { "": "x" }, { a: "" }, { "a:b": "c" }],
    cost: [1, { a: 1 }, null, { a: -1 }],
    orderingKey: ["", 1, null, {}, "k".repeat(256)],
    fairKey: ["", 0, [], "k".repeat(256)],
    deadline: ["x", "0s", null, 1, "2000-01-01T00:00:00Z", "400d"],
    unique: ["x", {}, null, { key: "" }, { key: "a", states: [] }, { key: "a", wait: "1s" }, { key: "a", x: 1 }],
    [pick(random, ["Task", "prio", "uniq", "__proto__", "jobs", "x", "toString"])]: [{}, 1, null],
  };
  const field = pick(random, Object.keys(wrong));
  Object.defineProperty(job, field, { value: pick(random, wrong[field]!), enumerable: true, writable: true });
  if (random() < 0.1) delete job.task;
  if (random() < 0.6 || field === "jobs") return job;
  const list: unknown[] = Array.from({ length: Math.floor(random() * 20) }, () => ({
    task: "greet",
    payload: { name: "y" },
  }));
  list.splice(Math.floor(random() * (list.length + 1)), 0, job);
  return { jobs: list };
}

/** A text of JSON, some of it broken in one place. */
function broken(random: Random, text: string): string {
  if (random() < 0.5) return text;
  const at = Math.floor(random() * text.length);
  return (
    text.slice(0, at) +
    pick(random, ["", "\u0000", "{", '"', "\\", "\\ud800", "]", "1e999", "\ufeff"]) +
    text.slice(at + 1)
  );
}

const PATHS = [
  ["POST", "/v1/queues/q-any/jobs"],
  ["POST", "/v1/jobs"],
  ["PATCH", "/v1/queues/q-any/config"],
  ["POST", "/v1/queues/q-any/pause"],
  ["POST", "/v1/jobs/q-any:0:1/cancel"],
] as const;

async function refuses(what: string, path: string, about: Parameters<typeof ask>[1]): Promise<void> {
  const response = await ask(path, about);
  const said = await response.text();
  const shown = `${what}: ${about?.method} ${path} ${String(about?.raw).slice(0, 300)} -> ${response.status} ${said}`;
  expect(response.status, shown).toBeGreaterThanOrEqual(400);
  expect(response.status, shown).toBeLessThan(500);
  expect(JSON.parse(said), shown).toMatchObject({ code: expect.any(String), detail: expect.stringMatching(/.{10}/) });
}

it("answers near misses and broken texts of jobs with 4xx, and makes nothing of them", async () => {
  const random = randomOf(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    const path = pick(random, ["/v1/queues/q-any/jobs", "/v1/jobs"]);
    const text = JSON.stringify(nearMiss(random));
    await refuses(`near miss, seed ${SEED}, round ${round}`, path, { method: "POST", raw: text });
  }
  expect(await jobsIn("q-any")).toBe(0);
  expect(await jobsIn("greetings")).toBe(0);
  expect(await jobsIn("default")).toBe(0);
});

it("answers arbitrary JSON without a 5xx, and makes nothing of it", async () => {
  const random = randomOf(SEED + 1);
  for (let round = 0; round < ROUNDS; round++) {
    const [method, path] = pick(random, PATHS);
    const raw = broken(random, JSON.stringify(anyJson(random)));
    const response = await ask(path, { method, raw });
    const shown = `seed ${SEED + 1}, round ${round}: ${method} ${path} ${raw.slice(0, 300)} -> ${response.status}`;
    expect(response.status, shown).toBeLessThan(500);
    if (path.endsWith("/jobs")) expect(response.status, shown).toBeGreaterThanOrEqual(400);
  }
  expect(await jobsIn("q-any")).toBe(0);
  expect(await jobsIn("default")).toBe(0);
});

it("answers arbitrary paths and queries without a 5xx", async () => {
  const random = randomOf(SEED + 2);
  const parts = [
    "v1",
    "jobs",
    "queues",
    "q-any",
    "q-any:0:1",
    "%00",
    "%ff",
    "..",
    "é",
    "history",
    "summary",
    "config",
    "",
    ":id",
    "*",
  ];
  const values = [
    ...TEXTS,
    "dead",
    "1",
    "q-any",
    "%",
    "%zz",
    "WyJxdWV1ZSIsInEtYW55Iiw1XQ",
    "2026-11-22T05:39:00+02:00",
  ];
  const names = ["limit", "cursor", "state", "queue", "task", "tag", "from", "to", "wait", "by", "__proto__", ""];
  for (let round = 0; round < ROUNDS; round++) {
    const path = Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(random, parts)).join("/");
    const query = Array.from(
      { length: Math.floor(random() * 3) },
      () => `${pick(random, names)}=${pick(random, values)}`,
    );
    const method = pick(random, ["GET", "GET", "GET", "DELETE", "POST", "PUT"]);
    const response = await ask(`/${path}?${query.join("&")}`, { method });
    await response.body?.cancel();
    const shown = `seed ${SEED + 2}, round ${round}: ${method} /${path}?${query.join("&")} -> ${response.status}`;
    expect(response.status, shown).toBeLessThan(500);
  }
});

it("keeps arbitrary JSON as it was sent", async () => {
  const random = randomOf(SEED + 3);
  for (let round = 0; round < 100; round++) {
    const payload = anyJson(random);
    const { id } = await enqueue("q-kept", { task: "any", delay: "1h", payload });
    const kept = await getJob(id);
    expect(JSON.stringify(kept.payload), `seed ${SEED + 3}, round ${round}`).toBe(JSON.stringify(payload));
  }
});
