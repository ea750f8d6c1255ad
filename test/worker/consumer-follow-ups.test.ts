import { describe, expect, it } from "vitest";
import type { Job } from "../../client/index.ts";
import { env, freshWorld, type Stub, until } from "../object/support.ts";
import { mill } from "../support/runtime-worker.ts";
import { seen } from "../support/tasks.ts";

freshWorld();

const client = () => mill.client(env);
const job = (id: string): Promise<Job> => client().job(id).get();
const object = (queue: string): Stub => env.MILLRACE.getByName(`${queue}:0`) as unknown as Stub;

async function jobsOf(queue: string): Promise<Job[]> {
  const jobs: Job[] = [];
  for await (const one of client().jobs({ queue })) jobs.push(one);
  return jobs.reverse();
}

describe("follow-up jobs", () => {
  it("arrive once, in the own queue and in another, with their parent, and run", async () => {
    const { id } = await client().enqueue(
      "parent",
      [{ payload: "here", queue: "home" }, { payload: "there" }, { payload: "far", queue: "away" }],
      { queue: "home" },
    );
    await until(async () => (await job(id)).state === "completed");
    for (const [queue, payload] of [
      ["home", "here"],
      ["children", "there"],
      ["away", "far"],
    ] as const) {
      await until(async () => (await jobsOf(queue)).some((one) => one.task === "child" && one.state === "completed"));
      const made = (await jobsOf(queue)).filter(({ task }) => task === "child");
      expect(made).toMatchObject([{ parent: id, payload, result: payload, attempt: 1 }]);
    }
    const description = await object("home").describe();
    expect(description!.metrics).toMatchObject({ followUpsDelivered: 2, followUpsRefused: 0 });
  });

  it("that are refused make the attempt a failure, and nothing else", async () => {
    const { id } = await client().enqueue("parent", [{ payload: "fine" }, { payload: "x", queue: "No Queue" }]);
    await until(async () => (await job(id)).failures === 1);
    expect(await job(id)).toMatchObject({
      state: "scheduled",
      error: { name: "FollowUpError", message: expect.stringContaining("Follow-up job 2 of 2") },
    });
    expect(await jobsOf("children")).toEqual([]);
  });
});

describe("a task that takes many", () => {
  it("is given them in one call, and each ends on its own", async () => {
    seen.length = 0;
    const made = await client().enqueueMany("many", [1, 2, "fails", 4, 5, 6, 7, 8, 9, 10], { queue: "gathered" });
    const [first, , failing] = made;
    await until(async () => (await job(first!.id)).state === "completed");
    await until(async () => (await job(failing!.id)).failures === 1);
    expect(seen.filter(({ what }) => what === "took")).toHaveLength(1);
    expect(await job(first!.id)).toMatchObject({ result: { took: 10, input: 1 }, attempts: [{ attempt: 1 }] });
    expect(await job(failing!.id)).toMatchObject({ state: "scheduled", error: { message: "of its own" } });
  });

  it("waits for those that come within its time, though each comes alone", async () => {
    seen.length = 0;
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      ids.push((await client().enqueue("many", n, { queue: "trickle" })).id);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    for (const id of ids) await until(async () => (await job(id)).state === "completed");
    const calls = seen.filter(({ what }) => what === "took");
    expect(calls.flatMap(({ inputs }) => inputs as number[]).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(calls.length).toBeLessThan(5);
  });
});
