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
  ...["keys", "cost", "orderingKey", "fairKey", "deadline", "unique"].map(
    (later): Case => [`the later option ${later}`, { body: one({ [later]: {} }) }, /is not built yet/],
  ),
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
  ...["rateLimit", "tasks", "limits", "fairness", "ageing"].map(
    (later): Case => [`the later setting ${later}`, patch({ [later]: {} }), /is not built yet/],
  ),
  ...[null, [], "x", { reason: 5 }, { reason: "" }, { reason: "r".repeat(501) }, { why: "x" }].map(
    (body): Case => [`pause with ${JSON.stringify(body)?.slice(0, 30)}`, { path: "/v1/queues/q-bad/pause", body }],
  ),
  ["resume with a reason", { path: "/v1/queues/q-bad/resume", body: { reason: "x" } }],
  ["cancel with a body", { path: "/v1/jobs/q-bad:0:1/cancel", body: { force: true } }],
  ["retry with a list", { path: "/v1/jobs/q-bad:0:1/retry", body: [] }],
];

const ALL = { NOT_JSON, NOT_A_JOB, BAD_FIELDS, OTHER_FIELDS, HEADERS, BAD_PATHS, BAD_QUERIES, BAD_SETTINGS };

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
  });
});

it("made nothing of all that", async () => {
  expect(Object.values(ALL).flat().length).toBeGreaterThan(200);
  expect(await jobsIn("q-bad")).toBe(before);
  expect(await jobsIn("default")).toBe(0);
});
