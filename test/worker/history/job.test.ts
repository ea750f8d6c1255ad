import { describe, expect, it } from "vitest";
import type { AttemptTuple, JobRecord } from "../../../client/wire.ts";
import { formatJobId, parseJobId, toJob } from "../../../worker/job.ts";
import { NOW, record } from "./support.ts";

const AT = new Date(NOW).toISOString();

describe("a record as a job", () => {
  it("has every field of the contract", () => {
    const attempt: AttemptTuple = [1, 2, NOW, NOW, "failed", "w", { name: "E", message: "no" }];
    const job = toJob("emails", 0, {
      ...record({ seq: 4711, failures: 1, attempts: JSON.stringify([attempt]), progress: '{"percent":4,"note":null}' }),
      error: '{"name":"E","message":"no","stack":null}',
      options: JSON.stringify({
        ...{ maxAttempts: 5, tags: ["x"], meta: { a: 1 }, actor: "me", version: "v1" },
        ...{ keys: { tenant: "acme" }, orderingKey: "o", fairKey: "f", deadlineAt: NOW },
        ...{ unique: { key: "u" }, schedule: { name: "nightly", instant: NOW }, parent: "a:0:1" },
      }),
    });
    expect(job).toEqual({
      id: "emails:0:4711",
      queue: "emails",
      task: "greet",
      state: "completed",
      reason: null,
      payload: { name: "Ada" },
      result: true,
      progress: { percent: 4, note: null },
      priority: 0,
      attempt: 2,
      failures: 1,
      lapses: 0,
      maxAttempts: 5,
      fence: 2,
      error: { name: "E", message: "no", stack: null },
      attempts: [
        {
          attempt: 1,
          fence: 2,
          startedAt: AT,
          finishedAt: AT,
          outcome: "failed",
          worker: "w",
          error: { name: "E", message: "no" },
        },
      ],
      createdAt: AT,
      runAt: AT,
      startedAt: new Date(NOW + 10).toISOString(),
      finishedAt: new Date(NOW + 20).toISOString(),
      cancelRequestedAt: null,
      tags: ["x"],
      meta: { a: 1 },
      actor: "me",
      schedule: "nightly",
      parent: "a:0:1",
      version: "v1",
      keys: { tenant: "acme" },
      orderingKey: "o",
      fairKey: "f",
      uniqueKey: "u",
      deadline: AT,
    });
  });

  it("has null for what is not there", () => {
    const unfinished = record({
      seq: 1,
      state: "ready",
      payload: null,
      result: null,
      startedAt: null,
      finishedAt: null,
    });
    expect(toJob("q", 0, unfinished)).toMatchObject({
      payload: null,
      result: null,
      progress: null,
      error: null,
      attempts: [],
      startedAt: null,
      finishedAt: null,
      meta: {},
    });
  });

  it.each([
    ["a new job", { state: "ready", failures: 0 }, 1],
    ["a job that waits for its third try", { state: "scheduled", failures: 2 }, 3],
    ["a job that completed at its third try", { state: "completed", failures: 2 }, 3],
    ["a job that used up its tries", { state: "dead", failures: 8, attempts: "[[8,2,0,0,null,null,null]]" }, 8],
    ["the same without its notes", { state: "dead", failures: 8 }, 8],
    ["a job that died at its second try", { state: "dead", failures: 2, attempts: "[[2,2,0,0,null,null,null]]" }, 2],
    ["a reopened job", { state: "ready", failures: 0, attempts: "[[8,2,0,0,null,null,null]]" }, 1],
  ] as [string, Partial<JobRecord>, number][])("numbers the attempt of %s", (_, fields, attempt) => {
    expect(toJob("q", 0, record({ seq: 1, ...fields })).attempt).toBe(attempt);
  });
});

describe("job ids", () => {
  it("go both ways", () => {
    for (const [queue, partition, seq] of [
      ["emails", 0, 4711],
      ["a.b_c-d", 12, Number.MAX_SAFE_INTEGER],
    ] as const) {
      expect(parseJobId(formatJobId(queue, partition, seq))).toEqual({ queue, partition, seq });
    }
  });

  it.each([
    "",
    "emails",
    "emails:0",
    "emails:0:",
    "emails:0:0",
    "emails:0:01",
    "emails:00:1",
    "emails:-1:1",
    "emails:0:-1",
    "emails:0:1.5",
    "emails:0:1e3",
    "Emails:0:1",
    "-x:0:1",
    "emails:0:1 ",
    " emails:0:1",
    "emails:0:1\n",
    "e:0:1:2",
    "e:0:9007199254740993",
    `${"x".repeat(129)}:0:1`,
    "ü:0:1",
    "e:0:١",
  ])("%j is none", (text) => {
    expect(parseJobId(text)).toBeNull();
  });
});
