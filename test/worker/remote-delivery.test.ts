import { describe, expect, it } from "vitest";
import { env, freshWorld, until } from "../object/support.ts";
import { mill } from "../support/runtime-worker.ts";
import { answer, ask, enqueue, getJob, problem, settled, worker } from "./remote-support.ts";

// Tickets, consumers and the remote worker are real: each runs what the queue's delivery gives it.
freshWorld();

const completed = (id: string) => until(async () => (await getJob(id)).state === "completed");
const explain = (id: string) => ask(`/v1/jobs/${id}/explain`).then((response) => answer<{ gates: object[] }>(response));

describe("delivery", () => {
  it("both: consumers run the tasks that they have handlers for, remote workers what they name", async () => {
    const heavy = await enqueue("both-a", "heavy");
    const light = await enqueue("both-a", "light", { task: "echo" });
    await completed(light);
    expect((await getJob(light)).attempts).toMatchObject([{ worker: expect.stringMatching(/^consumer-/) }]);
    expect(await getJob(heavy)).toMatchObject({ state: "ready", reason: null, attempts: [] });
    expect((await explain(heavy)).gates).toMatchObject([{ gate: "no_worker" }]);

    const { exchange } = worker("both-a");
    const { jobs } = await exchange({ want: 5, worker: { name: "hand", runtime: "test", tasks: ["elsewhere"] } });
    expect(jobs).toMatchObject([{ id: heavy, timeoutMs: 7_200_000 }]);
    await exchange({ settle: [settled(jobs[0]!)] });
    expect((await getJob(heavy)).attempts).toMatchObject([{ worker: "hand" }]);
  });

  it("pull: no consumer comes, whatever handlers the Worker has", async () => {
    const waits = await enqueue("pull-a", 1, { task: "echo" });
    const runs = await enqueue("tickets", 1, { task: "echo" });
    await completed(runs);
    expect(await getJob(waits)).toMatchObject({ state: "ready", attempts: [] });
    const { jobs } = await worker("pull-a").exchange({ want: 1 });
    expect(jobs).toMatchObject([{ id: waits, task: "echo" }]);
  });

  it("is told with the queue", async () => {
    for (const [queue, delivery] of [
      ["pull-a", "pull"],
      ["both-a", "both"],
      ["mail", "push"],
    ] as const) {
      await answer(await ask(`/v1/queues/${queue}/pause`, { method: "POST" }));
      expect(await answer(await ask(`/v1/queues/${queue}`))).toMatchObject({ delivery });
    }
  });
});

describe("an attempt of over 13 minutes", () => {
  const TOO_LONG = [{ path: "timeout", message: expect.stringMatching(/over 13m.*remote workers.*"pull"/) }];
  const post = (queue: string, job: object) => ask(`/v1/queues/${queue}/jobs`, { body: job });

  it("is for remote workers: refused wherever a consumer would run it", async () => {
    const refused = async (queue: string, job: object) =>
      expect((await problem(await post(queue, job), 400, "invalid_request")).errors).toEqual(TOO_LONG);
    await refused("default", { task: "elsewhere" });
    await refused("default", { task: "echo", timeout: "14m" });
    await refused("both-a", { task: "echo", timeout: "14m" });
    const list = { jobs: [{ task: "echo" }, { task: "echo", timeout: "781s" }] };
    const { errors } = await problem(await post("both-a", list), 400, "invalid_request");
    expect(errors).toMatchObject([{ path: "jobs[1].timeout" }]);

    for (const [queue, job] of [
      ["pull-a", { task: "elsewhere" }],
      ["pull-a", { task: "echo", timeout: "7d" }],
      ["both-a", { task: "elsewhere", timeout: "14m" }],
      ["both-a", { task: "echo", timeout: "13m", delay: "1h" }],
      ["default", { task: "elsewhere", timeout: "13m", delay: "1h" }],
    ] as const) {
      await answer(await post(queue, job), 201);
    }
    expect((await worker("pull-a").exchange({ want: 5 })).jobs.map(({ timeoutMs }) => timeoutMs)).toEqual([
      7_200_000, 604_800_000,
    ]);
  });

  it("is refused of a schedule and of a follow-up job alike", async () => {
    const put = (queue: string) =>
      ask(`/v1/queues/${queue}/schedules/nightly`, { method: "PUT", body: { task: "elsewhere", cron: "@daily" } });
    expect((await problem(await put("default"), 400, "invalid_request")).errors).toMatchObject([
      { path: "options.timeout", message: expect.stringMatching(/over 13m/) },
    ]);
    await answer(await put("pull-a"), 201);

    const id = await enqueue("pull-a");
    const { exchange } = worker("pull-a");
    const { jobs } = await exchange({ want: 1 });
    await exchange({ settle: [settled(jobs[0]!, { enqueue: [{ task: "elsewhere", queue: "default" }] })] });
    const { error } = await getJob(id);
    expect(error).toMatchObject({ name: "FollowUpError", message: expect.stringMatching(/over 13m/) });
  });

  it("is refused by the client by binding too", async () => {
    const client = mill.client(env);
    await expect(client.enqueue("elsewhere", 1, { queue: "default" })).rejects.toMatchObject({ status: 400 });
    expect(await client.enqueue("elsewhere", 1)).toMatchObject({ id: expect.stringMatching(/^pull-elsewhere:0:/) });
  });
});
