import { beforeEach, describe, expect, it } from "vitest";
import type { ConnectFrame, LeasedJob } from "../../client/types.ts";
import { freshWorld } from "../object/support.ts";
import { connect } from "./remote-connection.ts";
import { answer, ask, enqueue, getJob, problem, settled, worker } from "./remote-support.ts";

// Each of these is refused with words that name the place, over HTTP and as a frame, and nothing is changed.
freshWorld();

const BASE = { session: "s-1", n: 1, worker: { name: "w", runtime: "test" }, holding: [], want: 1 };
const JOB = { id: "pull-bad:0:1", fence: 1 };
const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
const says = (fields: object) => JSON.stringify({ ...BASE, ...fields });
const without = (field: keyof typeof BASE) => says({ [field]: undefined });

type Case = [name: string, text: string, wrong: RegExp];

const NOT_AN_EXCHANGE: Case[] = [
  ["nothing", "", /is empty/],
  ["a word", "hello", /not JSON/],
  ["half of it", says({}).slice(0, -1), /not JSON/],
  ["null", "null", /is an exchange/],
  ["a number", "5", /is an exchange/],
  ["a list", `[${says({})}]`, /is an exchange/],
  ["deep lists", nested(100_000), /is an exchange/],
  ["an infinite number", `{"settle":[{"result":1e999}],${says({}).slice(1)}`, /1\.8e308/],
];

const NAMES = ["", " ", "a b", "ä", "a\u0000", "\ud800", "a".repeat(129), 5, null, {}, []];
const COUNTS = [0, -1, 1.5, "1", null, true, 2 ** 53, {}, []];

const HEADS: Case[] = [
  ...(["session", "n", "worker", "want", "holding"] as const).map((field): Case => {
    return [`no ${field}`, without(field), new RegExp(`"path":"${field}".*is missing`)];
  }),
  ...NAMES.map((session): Case => [`session ${shown(session)}`, says({ session }), /"path":"session"/]),
  ...COUNTS.map((n): Case => [`n ${shown(n)}`, says({ n }), /"path":"n"/]),
  ...[-1, 501, 0.5, "5", null, {}].map((want): Case => [`want ${shown(want)}`, says({ want }), /"path":"want"/]),
  ...["5", "31s", "soon", 5, {}].map((wait): Case => [`wait ${shown(wait)}`, says({ wait }), /"path":"wait"/]),
  ...[null, "w", [], {}, { name: "w" }, { runtime: "r" }, { name: 5, runtime: "r" }].map((one): Case => {
    return [`worker ${shown(one)}`, says({ worker: one }), /"path":"worker/];
  }),
  ...["", "x".repeat(129), "\ud800"].map((name): Case => {
    return [`worker.name ${shown(name)}`, says({ worker: { name, runtime: "r" } }), /"path":"worker\.name"/];
  }),
  ...["a", [5], ["a b"], [null], Array(1_001).fill("a")].map((tasks): Case => {
    return [`worker.tasks ${shown(tasks)}`, says({ worker: { ...BASE.worker, tasks } }), /"path":"worker\.tasks/];
  }),
  ["a gathering that is none", says({ gather: { tasks: ["a"], want: 1 } }), /"path":"gather\.backInMs"/],
  [
    "more than may be wanted in all",
    says({ want: 500, gather: { tasks: ["a"], want: 1, backInMs: 1 } }),
    /at most 500/,
  ],
];

const IDS = [
  "",
  "x",
  "pull-bad:0:0",
  "pull-bad:0:01",
  "pull-bad:0:1e3",
  "pull-bad:0:-1",
  "pull-bad:0:",
  "pull-bad:1",
  5,
];
const MORE_IDS = [null, {}, [], "pull-bad:0:9007199254740993", "pull-bad:0: 1", "PULL:0:1", "constructor", "__proto__"];
const FENCES = [null, "1", 1.5, -1, 2 ** 53, {}, undefined];

const HOLDINGS: Case[] = [
  ...[null, {}, "x", 5].map((holding): Case => [`holding ${shown(holding)}`, says({ holding }), /"path":"holding"/]),
  ["too much held", says({ holding: Array(2_001).fill([JOB.id, 1]) }), /at most 2000: got 2001/],
  ...[null, {}, "x", [], [JOB.id], [JOB.id, 1, 2]].map((pair): Case => {
    return [`a pair ${shown(pair)}`, says({ holding: [[JOB.id, 1], pair] }), /"path":"holding\[1\]"/];
  }),
  ...[...IDS, ...MORE_IDS].map(
    (id): Case => [`held ${shown(id)}`, says({ holding: [[id, 1]] }), /"holding\[0\]\[0\]"/],
  ),
  ...FENCES.map((fence): Case => [`held at ${fence}`, says({ holding: [[JOB.id, fence]] }), /"holding\[0\]\[1\]"/]),
];

const LISTS: Case[] = (["settle", "progress", "logs"] as const).flatMap((list): Case[] => [
  ...["x", {}, 5].map(
    (value): Case => [`${list} ${shown(value)}`, says({ [list]: value }), new RegExp(`"path":"${list}"`)],
  ),
  ...[null, 5, "x", []].map((member): Case => {
    return [`${list} of ${shown(member)}`, says({ [list]: [member] }), new RegExp(`"path":"${list}\\[0\\]"`)];
  }),
  ...IDS.map((id): Case => {
    return [
      `${list} of ${shown(id)}`,
      says({ [list]: [{ id, fence: 1 }] }),
      new RegExp(`"path":"${list}\\[0\\]\\.id"`),
    ];
  }),
  ...FENCES.map((fence): Case => {
    return [
      `${list} at ${fence}`,
      says({ [list]: [{ ...JOB, fence }] }),
      new RegExp(`"path":"${list}\\[0\\]\\.fence"`),
    ];
  }),
]);

const LINE = { at: "2026-11-22T05:39:00.123Z", level: "info", message: "m", fields: null };
const INSIDE: Case[] = [
  ["too many settles", says({ settle: Array(1_001).fill({ ...JOB, outcome: "released" }) }), /at most 1000: got 1001/],
  [
    "a bad last settle",
    says({ settle: [...Array(999).fill({ ...JOB, outcome: "released" }), {}] }),
    /settle\[999\]\.id/,
  ],
  ["no progress", says({ progress: [JOB] }), /progress\[0\]\.progress"/],
  [
    "text as percent",
    says({ progress: [{ ...JOB, progress: { percent: "4" } }] }),
    /progress\[0\]\.progress\.percent"/,
  ],
  ["a number as note", says({ progress: [{ ...JOB, progress: { note: 4 } }] }), /progress\[0\]\.progress\.note"/],
  ["no lines", says({ logs: [JOB] }), /logs\[0\]\.lines"/],
  ...Object.entries({ at: "now", level: "debug", message: 5, fields: "x" }).map(([field, value]): Case => {
    const lines = [LINE, { ...LINE, [field]: value }];
    return [
      `a line's ${field}`,
      says({ logs: [{ ...JOB, lines }] }),
      new RegExp(`logs\\[0\\]\\.lines\\[1\\]\\.${field}"`),
    ];
  }),
];

const ALL: Case[] = [...NOT_AN_EXCHANGE, ...HEADS, ...HOLDINGS, ...LISTS, ...INSIDE];

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "undefined").slice(0, 30);
}

describe("an exchange that makes no sense as a whole", () => {
  let id = "";
  beforeEach(async () => {
    id = await enqueue("pull-bad");
  });

  it("is refused over HTTP, by a problem that names what is wrong", async () => {
    for (const [name, raw, wrong] of ALL) {
      const response = await ask("/v1/queues/pull-bad/exchange", { raw });
      const text = JSON.stringify(await problem(response, 400, "invalid_request"));
      expect(text, name).toMatch(wrong);
    }
    expect(await getJob(id)).toMatchObject({ state: "ready", attempts: [] });
    // Nothing is known of the session: its first exchange is its first.
    const { jobs } = await answer<{ jobs: LeasedJob[] }>(await ask("/v1/queues/pull-bad/exchange", { body: BASE }));
    expect(jobs).toMatchObject([{ id, fence: 1 }]);
  });

  it("is refused as a frame, in the same words", async () => {
    for (let at = 0; at < ALL.length; at += 10) {
      const socket = await connect("pull-bad");
      for (const [name, text, wrong] of ALL.slice(at, at + 10)) {
        socket.send(text);
        const frame = (await socket.next()) as Extract<ConnectFrame, { type: "problem" }>;
        expect(frame, name).toMatchObject({ type: "problem", problem: { status: 400, code: "invalid_request" } });
        expect(JSON.stringify(frame.problem), name).toMatch(wrong);
      }
      socket.close();
    }
    expect(await getJob(id)).toMatchObject({ state: "ready", attempts: [] });
  });

  it("is told the number of the exchange that it is, where that can be told", async () => {
    const socket = await connect("pull-bad");
    socket.send(says({ n: 7, holding: 5 }));
    expect(await socket.next()).toMatchObject({ type: "problem", n: 7 });
    socket.send("{");
    expect(await socket.next()).toMatchObject({ type: "problem", n: null });
    socket.send(says({ n: 1 }));
    expect(await socket.next()).toMatchObject({ type: "answer", n: 1, jobs: [{ id, fence: 1 }] });
  });

  it("is refused where it is too large, or no text", async () => {
    const large = says({ future: "x".repeat(8 * 1024 * 1024) });
    await problem(await ask("/v1/queues/pull-bad/exchange", { raw: large }), 413, "payload_too_large");
    const broken = new Uint8Array([0x7b, 0xff, 0x7d]);
    await problem(await ask("/v1/queues/pull-bad/exchange", { raw: broken }), 400, "invalid_request");
  });
});

describe("an outcome that makes no sense", () => {
  const ENDINGS: object[] = [
    ...[{ outcome: undefined }, { outcome: null }, { outcome: 5 }, { outcome: "done" }, { outcome: "constructor" }],
    ...[{ outcome: "failed" }, { outcome: "failed", error: null }, { outcome: "failed", error: "x" }],
    ...[{ outcome: "failed", error: { name: "E" } }, { outcome: "dead" }, { outcome: "dead", error: { message: 5 } }],
    { outcome: "failed", error: { message: "m" }, retryIn: 5 },
    { outcome: "failed", error: { message: "m" }, retryIn: "soon" },
    { outcome: "failed", error: { message: "m" }, retryInMs: -1 },
    { outcome: "failed", error: { message: "m" }, retryInMs: "5" },
    ...[{ outcome: "snoozed" }, { outcome: "snoozed", for: 5 }, { outcome: "snoozed", for: "-5s" }],
    ...[
      { outcome: "snoozed", forMs: -5 },
      { outcome: "snoozed", forMs: null },
    ],
    { outcome: "snoozed", for: "5s", rateLimited: "k" },
    { outcome: "snoozed", for: "5s", rateLimited: { kind: 5, for: "5s" } },
    { outcome: "snoozed", for: "5s", rateLimited: { kind: "k" } },
  ];

  it("is refused alone, and the job stays held", async () => {
    for (let n = 0; n < ENDINGS.length + 1; n++) await enqueue("pull-bad", n);
    const { exchange } = worker("pull-bad");
    const { jobs } = await exchange({ want: ENDINGS.length + 1 });
    const settle = jobs.map((job, at) => settled(job, ENDINGS[at]));
    const { refused } = await exchange({ settle });
    const bad = jobs.slice(0, ENDINGS.length);
    expect(refused).toEqual(bad.map(({ id, fence }) => ({ id, fence, code: "invalid_outcome" })));
    expect((await getJob(jobs.at(-1)!.id)).state).toBe("completed");
    for (const { id } of bad) expect(await getJob(id)).toMatchObject({ state: "running", attempts: [] });
    expect(await exchange({ settle: bad.map((job) => settled(job)) })).toMatchObject({ refused: [], jobs: [] });
  });
});
