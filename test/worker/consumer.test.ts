import { describe, expect, it, vi } from "vitest";
import type { Job } from "../../client/index.ts";
import { env, freshWorld, until } from "../object/support.ts";
import { mill } from "../support/runtime-worker.ts";
import { BEHAVIOURS, held, seen } from "../support/tasks.ts";

// Everything here is real: the object, the ticket through a local Cloudflare Queue, the consumer, the session.
freshWorld();

const FINAL = ["completed", "dead", "cancelled"];
const client = () => mill.client(env);

/** The job once an attempt of it has ended. */
async function ended(id: string): Promise<Job> {
  let job!: Job;
  await until(async () => {
    job = await client().job(id).get();
    return FINAL.includes(job.state) || job.attempts.length > 0;
  }, 15_000);
  return job;
}

const inMinutes = (job: Job): number => Math.round((Date.parse(job.runAt) - Date.now()) / 60_000);

interface Expected {
  state: Job["state"];
  reason?: Job["reason"];
  result?: unknown;
  error?: { name?: string; message: unknown };
}

const failed = (message: unknown, name = "Error"): Expected => ({
  state: "scheduled",
  reason: "retrying",
  error: { name, message },
});
const completed = (result: unknown): Expected => ({ state: "completed", reason: null, result });
const unheld: Expected = {
  state: "dead",
  reason: "non_retryable",
  error: { name: "ResultError", message: expect.any(String) },
};
const timedOut: Expected = failed("The attempt took longer than its timeout of 1000 ms", "TimeoutError");

const EXPECTED: { [how: string]: Expected } = {
  "throws an Error": failed("broken", "TypeError"),
  "throws a string": failed("just text"),
  "throws undefined": failed("thrown: undefined"),
  "throws null": failed("thrown: null"),
  "throws a cyclic cause": failed("a"),
  "throws a frozen error": failed("cold"),
  "throws a hostile Proxy": failed(expect.stringContaining("cannot be shown")),
  "throws a mirror": failed(expect.any(String)),
  "throws a symbol": failed("thrown: Symbol(why)"),
  "throws a BigInt": failed("thrown: 10"),
  "throws an error of a megabyte": failed(expect.stringMatching(/^x{4096}$/)),
  "rejects late": failed("late"),
  "is not to be retried": {
    state: "dead",
    reason: "non_retryable",
    error: { name: "NonRetryableError", message: "gone for good" },
  },
  "asks to be tried later": failed("to be tried again after 7m", "RetryAfterError"),

  "returns nothing": completed(null),
  "returns null": completed(null),
  "returns a BigInt": unheld,
  "returns a cycle": unheld,
  "returns a function": completed(null),
  "returns a symbol": completed(null),
  "returns a hostile Proxy": failed("not to be read"),
  "returns a mirror": completed(null),
  "returns a Map and a Date": completed({ map: {}, at: "1970-01-01T00:00:00.000Z" }),
  "returns too much": { state: "completed", reason: "result_too_large", result: null },
  "returns what turns bad": completed({ fine: true }),
  "returns what serialises once": completed("once"),
  "returns half a character": completed("\ud800"),
  "returns a thenable": completed("built"),

  snoozes: { state: "scheduled", reason: "snoozed" },
  "cancels itself": { state: "cancelled", error: { name: "Cancelled", message: "not wanted" } },
  "cancels itself without end": { state: "cancelled", error: { message: expect.stringMatching(/^x{4096}$/) } },
  "cancels itself with nonsense": { state: "cancelled", error: { message: "1" } },

  "never returns": timedOut,
  "ignores its signal": timedOut,
  "throws after its timeout": timedOut,

  "says nonsense of its progress": completed("said"),
  "logs nonsense": completed("logged"),
  "changes what it was given": completed("changed"),
};

it("has an expectation for each behaviour", () => {
  expect(Object.keys(EXPECTED)).toEqual(Object.keys(BEHAVIOURS));
});

describe("a handler that", () => {
  it.each(Object.keys(EXPECTED))("%s has an outcome, and its neighbours go on", async (how) => {
    vi.spyOn(console, "info").mockImplementation(() => {});
    seen.length = 0;
    const [bad, ...neighbours] = await Promise.all([
      client().enqueue("misbehave", { how }),
      ...[1, 2, 3].map((n) => client().enqueue("echo", { n })),
    ]);
    const job = await ended(bad!.id);
    expect(job).toMatchObject({ ...EXPECTED[how], attempt: job.state === "scheduled" && job.failures ? 2 : 1 });
    expect(job.attempts).toMatchObject([{ attempt: 1, fence: 1, worker: expect.stringMatching(/^consumer-/) }]);
    for (const [index, neighbour] of neighbours.entries()) {
      expect(await ended(neighbour!.id)).toMatchObject({ state: "completed", result: { n: index + 1 } });
    }
    if (how === "asks to be tried later") expect(inMinutes(job)).toBe(7);
    if (how === "snoozes") expect(inMinutes(job)).toBe(5);
    if (how === "throws an Error") expect(inMinutes(job)).toBe(1);
    // It may have been cut off by then, with its session.
    if (how === "ignores its signal") expect(seen[0]).toEqual({ what: "aborted", reason: "TimeoutError" });
  });

  it("all of them at once leave nobody behind", async () => {
    vi.spyOn(console, "info").mockImplementation(() => {});
    const hows = Object.keys(EXPECTED);
    const jobs = await client().enqueueMany(
      "misbehave",
      hows.map((how) => ({ how })),
      { queue: "all" },
    );
    const good = await client().enqueueMany("echo", hows, { queue: "all" });
    for (const [index, { id }] of jobs.entries()) {
      expect(await ended(id), hows[index]).toMatchObject(EXPECTED[hows[index]!]!);
    }
    for (const { id } of good) expect((await ended(id)).state).toBe("completed");
    expect((await client().queue("all").get()).counts.running).toBe(0);
  });
});

describe("the payload at run time", () => {
  it.each([
    [
      "choosy",
      { state: "dead", error: { name: "InvalidInput", message: expect.stringContaining("colour: is out of fashion") } },
    ],
    ["broken-schema", { state: "scheduled", error: { message: "the schema is broken" } }],
  ] as const)("that %s does not take any more", async (task, expected) => {
    const job = await client().enqueue(task, { colour: "mauve" }, { delay: "100ms" });
    held.accept = false;
    const after = await ended(job.id).finally(() => {
      held.accept = true;
    });
    expect(after).toMatchObject(expected);
  });
});

describe("a task's own backoff", () => {
  it.each([
    ["fine", 61_000],
    ["throw", 60_000],
    ["nonsense", 60_000],
    ["endless", 60_000],
  ])("that is %s", async (what, leastMs) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const { id } = await client().enqueue("own-backoff", what);
    const job = await ended(id);
    const delayMs = Date.parse(job.runAt) - Date.parse(job.attempts[0]!.finishedAt!);
    expect(delayMs).toBeGreaterThanOrEqual(leastMs);
    expect(delayMs).toBeLessThanOrEqual(leastMs * 1.1);
    expect(job).toMatchObject({ state: "scheduled", failures: 1, error: { message: what } });
  });

  it("does not go before the job's policy", async () => {
    const { id } = await client().enqueue("own-backoff", "fine", {
      backoff: { type: "fixed", delay: "3h", jitter: 0 },
    });
    expect(inMinutes(await ended(id))).toBe(180);
  });
});
