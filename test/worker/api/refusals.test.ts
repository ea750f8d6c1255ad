import { beforeAll, describe, expect, it } from "vitest";
import { ask, enqueue, jobsIn, migrated, problem } from "./support.ts";

migrated();

const QUEUE = "/v1/queues/q-bad/jobs";
const one = (fields: object) => ({ task: "any", delay: "1h", ...fields });
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const bytes = (...values: number[]) => new Uint8Array(values);
const text = (job: string) => ({ raw: job });

type Case = [name: string, about: Parameters<typeof ask>[1] & { path?: string }, expected?: string | RegExp];

const NOT_JSON: Case[] = [
  ["nothing", { raw: "" }, /is empty/],
  ["spaces", text("   ")],
  ["a word", text("hello")],
  ["half an object", text('{"task":"any"')],
  ["a trailing comma", text('{"task":"any",}')],
  ["single quotes", text("{'task':'any'}")],
  ["a comment", text('{"task":"any"/*x*/}')],
  ["two documents", text('{"task":"any"}{"task":"any"}')],
  ["NaN", text('{"task":"any","payload":NaN}')],
  ["undefined", text('{"task":"any","payload":undefined}')],
  ["a raw line break in a string", text('{"task":"any","payload":"a\nb"}')],
  ["a bad escape", text('{"task":"any","payload":"\\x"}')],
  ["broken UTF-8", { raw: bytes(0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d) }, /UTF-8/],
  ["overlong UTF-8", { raw: bytes(0x22, 0xc0, 0x80, 0x22) }, /UTF-8/],
  ["a surrogate in UTF-8", { raw: bytes(0x22, 0xed, 0xa0, 0x80, 0x22) }, /UTF-8/],
  ["UTF-16", { raw: bytes(0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00) }, /UTF-8/],
  ["deep arrays", text(`{"task":"any","payload":${nested(200)}}`), /nests/],
  ["very deep arrays", text(nested(100_000)), /nests/],
  ["deep objects", text('{"a":'.repeat(50_000)), /nests/],
];

const NOT_A_JOB: Case[] = [
  ["null", { body: null }, /null/],
  ["a number", { body: 5 }, /number/],
  ["a string", { body: "any" }, /string/],
  ["true", { body: true }, /boolean/],
  ["a list", { body: [one({})] }, /is a list/],
  ["no jobs", { body: { jobs: [] } }, /1 to 1000/],
  ["jobs that are an object", { body: { jobs: {} } }, "jobs"],
  ["jobs that are null", { body: { jobs: null } }, "jobs"],
  ["jobs that are a string", { body: { jobs: "any" } }, "jobs"],
  ["too many jobs", { body: { jobs: Array(1_001).fill(one({})) } }, /1001/],
  ["jobs and a task", { body: { jobs: [one({})], task: "any" } }, "task"],
  ["a null among jobs", { body: { jobs: [one({}), null] } }, "jobs[1]"],
  ["a list among jobs", { body: { jobs: [one({}), one({}), []] } }, "jobs[2]"],
  ["a string among jobs", { body: { jobs: ["any"] } }, "jobs[0]"],
  ["a bad last one", { body: { jobs: [...Array(999).fill(one({})), one({ priority: 0.5 })] } }, "jobs[999].priority"],
  ["a queue in the body too", { body: one({ queue: "q-bad" }) }, "queue"],
  ["a queue in one of the jobs", { body: { jobs: [one({ queue: "q-bad" })] } }, "jobs[0].queue"],
];

const FIELDS: [field: string, values: unknown[]][] = [
  ["task", [null, 5, "", " ", "a b", "-a", "ä", "a".repeat(129), {}, [], "a\u0000"]],
  ["priority", [null, "1", 0.5, 32_768, -32_769, 1e300, {}, true]],
  ["runAt", [null, 0, 1e15, "", "tomorrow", "2026-11-22", "2026-11-22T05:39:00", "2026-02-30T00:00:00Z"]],
  ["runAt", ["2026-13-01T00:00:00Z", "2026-11-22T25:00:00Z", "9999-12-31T00:00:00Z", "2026-11-22T05:39:00+24:00"]],
  ["delay", [null, 5, "", "5", "s", "-5s", "1.5h", "5 m", "5w", "367d", "99999999999999999999d", "1e3s", {}]],
  ["maxAttempts", [null, 0, 101, 1.5, "3", -1]],
  ["backoff", [null, "1m", 5, {}, [], { type: "linear" }, { type: "fixed" }, { type: "exponential" }]],
  [
    "backoff",
    [
      { type: "fixed", delay: 5 },
      { type: "fixed", delay: "1m", jitter: 2 },
    ],
  ],
  [
    "backoff",
    [
      { type: "fixed", delay: "1m", max: "2m" },
      { type: "exponential", base: "1m", x: 1 },
    ],
  ],
  ["timeout", [null, 5, "999ms", "8d", "14m", "0s", ""]],
  ["expiresIn", [null, 5, "0ms", "9999d", "soon"]],
  ["tags", [null, "a", {}, [5], [""], ["a".repeat(65)], Array(17).fill("a"), [null], [["a"]]]],
  ["meta", [null, "a", [], 5, { a: "x".repeat(5_000) }]],
];
const BAD_FIELDS: Case[] = FIELDS.flatMap(([field, values]) =>
  values.map((value): Case => {
    const job = field === "runAt" ? { task: "any", runAt: value } : one({ [field]: value });
    return [`${field} ${JSON.stringify(value)?.slice(0, 40)}`, { body: job }, new RegExp(`"path":"${field}`)];
  }),
);

const OTHER_FIELDS: Case[] = [
  ["no task", { body: { payload: 1 } }, /is missing/],
  ["an unknown field", { body: one({ prioritty: 1 }) }, /did you mean \\"priority\\"/],
  ["__proto__", text('{"task":"any","__proto__":{"priority":1}}'), "__proto__"],
  ["constructor", { body: one({ constructor: 1 }) }, "constructor"],
  ["runAt and delay", { body: one({ runAt: "2026-12-01T00:00:00Z" }) }, /give one of them/],
  ["half a surrogate pair", text('{"task":"any","payload":"\\ud800"}'), /half of a surrogate/],
  ["half a pair in a name", text('{"task":"any","payload":{"a\\uDC00":1}}'), /half of a surrogate/],
  ["half a pair in a tag", text('{"task":"any","tags":["\\ud83d"]}'), /half of a surrogate/],
  ["half a pair in meta", text('{"task":"any","meta":{"a":["\\udfff x"]}}'), /half of a surrogate/],
  [
    "half a pair deep down",
    text('{"jobs":[{"task":"any"},{"task":"any","payload":[{"b":"\\uDBFF"}]}]}'),
    "jobs[1].payload[0].b",
  ],
  ["an infinite number", text('{"task":"any","payload":[1e999]}'), "payload[0]"],
  ["a payload that its task refuses", { body: { task: "greet", payload: { name: 5 } } }, "payload.name"],
  ["no payload where its task wants one", { body: { task: "greet" } }, '"path":"payload"'],
  [
    "a payload that its task refuses later",
    {
      body: {
        jobs: [
          { task: "later", payload: { n: 1 } },
          { task: "later", payload: { n: 11 } },
        ],
      },
    },
    "n is below 10",
  ],
];

const LONG = "k".repeat(256);
const manyKinds = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`kind${n}`, value]));
const FLOW_FIELDS: [path: string, job: object][] = [
  ...[null, "a", [], ["a"], 5].map((keys): [string, object] => ["keys", { keys }]),
  ...["", null, 5, {}, [], LONG].map((value): [string, object] => ["keys.tenant", { keys: { tenant: value } }]),
  ...["_a", "1a", "", "a:b", "a b", "é", "k".repeat(65)].map((kind): [string, object] => [
    `keys.${kind}`,
    { keys: { [kind]: "a" } },
  ]),
  ["keys", { keys: manyKinds(9, "a") }],
  ["cost", { keys: { a: "a" }, cost: manyKinds(1_000, 1) }],
  ["cost", { keys: { a: "a" }, cost: 5 }],
  ...[0, -1, 1.5, 1e300, 1_000_001, "3", null, {}].map((a): [string, object] => [
    "cost.a",
    { keys: { a: "a" }, cost: { a } },
  ]),
  ["cost.b", { keys: { a: "a" }, cost: { a: 1, b: 2 } }],
  ["cost.a", { cost: { a: 1 } }],
  ["cost.constructor", { keys: { a: "a" }, cost: { constructor: 2 } }],
  ...["orderingKey", "fairKey"].flatMap((field) =>
    ["", null, 5, {}, [], LONG].map((value): [string, object] => [field, { [field]: value }]),
  ),
  ...[null, 5, "", "0s", "999ms", "367d", "soon", {}, "2026-11-22", "2026-02-30T00:00:00Z"].map(
    (deadline): [string, object] => ["deadline", { deadline }],
  ),
  ["deadline", { deadline: "1999-12-31T23:59:59Z" }],
  ["deadline", { deadline: "9999-12-31T23:59:59Z" }],
  ["deadline", { delay: "1h", deadline: "1h" }],
  ["deadline", { delay: undefined, runAt: new Date(Date.now() + 7_200_000), deadline: "1h" }],
  ...[null, "a", [], 5].map((unique): [string, object] => ["unique", { unique }]),
  ...["", null, 5, LONG].map((key): [string, object] => ["unique.key", { unique: { key } }]),
  ["unique.key", { unique: {} }],
  ["unique.policy", { unique: { key: "a", policy: "reject" } }],
  ...[[], "running", null, Array(6).fill("running")].map((states): [string, object] => [
    "unique.states",
    { unique: { key: "a", states } },
  ]),
  ...["scheduled", "blocked", "ready", "retrying", "", null, 5, "Running"].map((state): [string, object] => [
    "unique.states[1]",
    { unique: { key: "a", states: ["running", state] } },
  ]),
  ...["completed", "dead", "cancelled"].map((state): [string, object] => [
    "unique.ttl",
    { unique: { key: "a", states: ["waiting", "running", state] } },
  ]),
  ...["0ms", 5, null, "367d"].map((ttl): [string, object] => ["unique.ttl", { unique: { key: "a", ttl } }]),
  ...["skip", null, 5, "Return"].map((onConflict): [string, object] => [
    "unique.onConflict",
    { unique: { key: "a", onConflict } },
  ]),
  ...["debounce", "throttle"].map((onConflict): [string, object] => [
    "unique.wait",
    { unique: { key: "a", onConflict } },
  ]),
  ...[undefined, "return", "reject", "replace"].map((onConflict): [string, object] => [
    "unique.wait",
    { unique: { key: "a", onConflict, wait: "1s" } },
  ]),
  ...["return", "reject", "replace", "throttle"].map((onConflict): [string, object] => [
    "unique.maxWait",
    { unique: { key: "a", onConflict, wait: onConflict === "throttle" ? "1s" : undefined, maxWait: "1m" } },
  ]),
  ["unique.maxWait", { unique: { key: "a", onConflict: "debounce", wait: "10s", maxWait: "9s" }, delay: undefined }],
  ["unique.ttl", { unique: { key: "a", onConflict: "throttle", wait: "1s", ttl: "1s" } }],
  ["unique.states", { unique: { key: "a", onConflict: "throttle", wait: "1s", states: ["running"] } }],
  ["unique.states", { unique: { key: "a", states: ["running"] } }],
  ["unique.states", { unique: { key: "a", onConflict: "replace", states: ["running", "dead"], ttl: "1h" } }],
  ["unique.states", { unique: { key: "a", states: ["waiting", "dead"], ttl: "1h" } }],
  ["delay", { unique: { key: "a", onConflict: "debounce", wait: "1s" }, delay: "1h" }],
  ["deadline", { unique: { key: "a", onConflict: "debounce", wait: "1h" }, deadline: "1h", delay: undefined }],
];
const BAD_FLOW: Case[] = [
  ...FLOW_FIELDS.map(
    ([path, fields]): Case => [
      `${path} in ${JSON.stringify(fields).slice(0, 80)}`,
      { body: { jobs: [one({}), one(fields)] } },
      `"path":"jobs[1].${path}"`,
    ],
  ),
  ["a thousand keys", { body: one({ keys: manyKinds(1_000, "a") }) }, "holds 1000 kinds: a job has at most 8"],
  ["__proto__ as a kind", text('{"task":"any","keys":{"__proto__":"a"}}'), '"path":"keys.__proto__"'],
  ["__proto__ as a cost", text('{"task":"any","keys":{"a":"a"},"cost":{"__proto__":1}}'), '"path":"cost.__proto__"'],
  ["__proto__ in unique", text('{"task":"any","unique":{"key":"a","__proto__":{}}}'), '"path":"unique.__proto__"'],
  ["half a pair in a key", text('{"task":"any","keys":{"a":"\\ud800"}}'), /half of a surrogate/],
  ["half a pair in a kind", text('{"task":"any","keys":{"a\\udc00":"a"}}'), /half of a surrogate/],
  ["half a pair in an ordering key", text('{"task":"any","orderingKey":"\\ud83d"}'), /half of a surrogate/],
  [
    "a state that is no text at all",
    { body: one({ unique: { key: "a", states: [{ toString: 1 }] } }) },
    "unique.states[0]",
  ],
  ["half a pair in a unique key", text('{"task":"any","unique":{"key":"\\ud83d"}}'), /half of a surrogate/],
  [
    "a state that waits",
    { body: one({ unique: { key: "a", states: ["ready"] } }) },
    /is \\"waiting\\": scheduled, blocked/,
  ],
  ["a misspelt option", { body: one({ uniqe: { key: "a" } }) }, /did you mean \\"unique\\"/],
];

const HEADERS: Case[] = [
  ["an empty Idempotency-Key", { body: one({}), headers: { "idempotency-key": "" } }, /1 to 255/],
  ["a long Idempotency-Key", { body: one({}), headers: { "idempotency-key": "k".repeat(256) } }, /255/],
  ["a long Millrace-Request-Id", { body: one({}), headers: { "millrace-request-id": "r".repeat(65) } }, /1 to 64/],
  ["a strange Millrace-Request-Id", { body: one({}), headers: { "millrace-request-id": "a b" } }, /1 to 64/],
];

const NAMES = ["A", "_a", "a b", "ä", "a*", "a".repeat(129), "%00", "%ff", "a%2Fb", "a:0", "..%2f"];
const BAD_PATHS: Case[] = [
  ...NAMES.map(
    (name): Case => [`the queue ${name.slice(0, 20)}`, { body: one({}), path: `/v1/queues/${name}/jobs` }, "queue"],
  ),
  ...[
    "x",
    "1",
    "q-bad",
    "q-bad:0",
    "q-bad:0:0",
    "q-bad:0:-1",
    "q-bad:0:01",
    "q-bad:00:1",
    "q-bad:0:1.5",
    "Q:0:1",
    "q-bad:0:99999999999999999999",
    "q-bad:0:1:2",
    "%ff",
    "%00",
    ":0:1",
  ].map((id): Case => [`the id ${id}`, { path: `/v1/jobs/${id}` }, /is not the id of a job/]),
];

const QUERIES = [
  ...["limit=0", "limit=201", "limit=-1", "limit=5.5", "limit=abc", "limit=", "limit=1e2", "limit=05"],
  ...["cursor=x", "cursor=%00", "cursor=eyJ9", "cursor=WyJxdWV1ZSJd", "cursor=", `cursor=${"a".repeat(1_001)}`],
  ...["state=gone", "state=", "state=dead,,cancelled", "state=Dead", "queue=A", "queue=", "task=", "task=a%20b"],
  ...["tag=", `tag=${"t".repeat(65)}`, "from=now", "to=2026-11-22", "from=", "tag=%ff", "tag=%E0%A4%A", "x=1"],
  ...["limit=1&limit=2", "queue=q-bad&queue=q-bad", "state=ready", "state=dead,running", "__proto__=1"],
];
const BAD_QUERIES: Case[] = [
  ...QUERIES.map((query): Case => [`?${query.slice(0, 40)}`, { path: `/v1/jobs?${query}` }]),
  ...["wait=31s", "wait=5", "wait=-1s", "wait=", "wait=1s&wait=1s", "x=1"].map(
    (query): Case => [`job ?${query}`, { path: `/v1/jobs/q-bad:0:1?${query}` }],
  ),
  ...["by=week", "from=2026-11-22T00:00:00Z&to=2026-11-21T00:00:00Z", "queue=A", "limit=5"].map(
    (query): Case => [`summary ?${query}`, { path: `/v1/history/summary?${query}` }],
  ),
  ["queues ?cursor of jobs", { path: "/v1/queues?cursor=WyJxdWV1ZSIsImEiLDFd" }],
  ["queue ?x", { path: "/v1/queues/q-bad?x=1" }],
  ["healthz ?x", { path: "/healthz?x=1" }],
  ["enqueue ?x", { path: `${QUEUE}?x=1`, body: one({}) }],
];

const patch = (body: unknown): Case[1] => ({ path: "/v1/queues/q-bad/config", method: "PATCH", body });
const BAD_SETTINGS: Case[] = [
  ...[null, [], 5, "x", { slots: 0 }, { slots: "6" }, { slots: 501 }, { concurrency: 0 }, { maxSessions: 1_001 }].map(
    (body): Case => [`settings ${JSON.stringify(body)}`, patch(body)],
  ),
  ...[{ lease: "4s" }, { lease: "11m" }, { lease: 30 }, { history: [] }, { history: { keep: "1s" } }, { slot: 6 }].map(
    (body): Case => [`settings ${JSON.stringify(body)}`, patch(body)],
  ),
  ["a setting in history", patch({ history: { kept: "1h" } }), "history.kept"],
  ...[null, [], "x", { reason: 5 }, { reason: "" }, { reason: "r".repeat(501) }, { why: "x" }].map(
    (body): Case => [`pause with ${JSON.stringify(body)?.slice(0, 30)}`, { path: "/v1/queues/q-bad/pause", body }],
  ),
  ["resume with a reason", { path: "/v1/queues/q-bad/resume", body: { reason: "x" } }],
  ["cancel with a body", { path: "/v1/jobs/q-bad:0:1/cancel", body: { force: true } }],
  ["retry with a list", { path: "/v1/jobs/q-bad:0:1/retry", body: [] }],
];

const ALL = { NOT_JSON, NOT_A_JOB, BAD_FIELDS, OTHER_FIELDS, BAD_FLOW, HEADERS, BAD_PATHS, BAD_QUERIES, BAD_SETTINGS };

let before = 0;
beforeAll(async () => {
  await enqueue("q-bad", { task: "any", delay: "1h" });
  before = await jobsIn("q-bad");
});

describe.each(Object.entries(ALL))("400 invalid_request: %s", (_, cases) => {
  it.each(cases)("%s", async (_name, { path = QUEUE, ...about }, expected) => {
    const refused = await problem(await ask(path, about), 400, "invalid_request");
    const said = JSON.stringify(refused);
    if (typeof expected === "string") expect(said).toContain(expected);
    else if (expected) expect(said).toMatch(expected);
    const each = (refused.errors ?? []).map((error) => JSON.stringify(error));
    expect(each, "nothing is said twice").toEqual([...new Set(each)]);
  });
});

it("made nothing of all that", async () => {
  expect(Object.values(ALL).flat().length).toBeGreaterThan(200);
  expect(await jobsIn("q-bad")).toBe(before);
  expect(await jobsIn("default")).toBe(0);
});
