import { describe, expect, it } from "vitest";
import { createClient } from "../../../client/index.ts";
import { appWith, ask, enqueue, migrated, TOKEN } from "../api/support.ts";
import { deadJobs, inHistory, live } from "./support.ts";

migrated();

const client = createClient({ url: "https://millrace.test", token: TOKEN, fetch: appWith() });

describe("the client", () => {
  it("groups errors, and redrives one group", async () => {
    await deadJobs("q-sdk", 6, {}, "no user 17");
    await deadJobs("q-sdk", 2, {}, "the vendor is down");
    const { items, complete } = await client.errors({ queue: "q-sdk", limit: 10 });
    expect(complete).toBe(true);
    expect(items).toMatchObject([
      { name: "Error", count: 6, tasks: ["any"] },
      { message: "the vendor is down", count: 2 },
    ]);
    const { fingerprint } = items[0]!;
    const found = [];
    for await (const job of client.jobs({ queue: "q-sdk", fingerprint })) found.push(job);
    expect(found.map(({ error }) => error)).toEqual(
      Array(6).fill({ name: "Error", message: "no user 17", stack: null, fingerprint }),
    );
    const op = await client.redrive({ queue: "q-sdk", fingerprint }, { rate: { limit: 1_000, per: "1s" } });
    expect(await op.done({ timeout: "20s" })).toMatchObject({ id: op.id, state: "completed", matched: 6, changed: 6 });
    expect(await live("q-sdk")).toHaveLength(6);
    // By then they are in line again.
    expect((await (await client.redrive({ queue: "q-sdk", fingerprint })).done()).matched).toBe(0);
  });

  it("operates, waits for the end no longer than asked, stops, lists", async () => {
    await enqueue("q-ops", { task: "any", delay: "1h" });
    const at = new Date(Date.now() + 60_000);
    const op = await client.operate({
      action: "reschedule",
      filter: { queue: "q-ops", state: ["scheduled", "retrying"], from: new Date(0) },
      args: { runAt: at },
    });
    expect(await op.done()).toMatchObject({ changed: 1, args: { runAt: at.toISOString() } });
    expect((await client.job("q-ops:0:1").get()).runAt).toBe(at.toISOString());

    await deadJobs("q-ops-slow", 5);
    const slow = await client.redrive({ queue: "q-ops-slow" }, { rate: { limit: 1, per: "1d" } });
    await expect(slow.done({ timeout: "300ms" })).rejects.toMatchObject({ code: "timeout", retryable: true });
    expect(await slow.stop()).toMatchObject({ state: "stopped" });
    expect(await client.operation(slow.id).done()).toMatchObject({ state: "stopped", changed: 1 });
    const ids = [];
    for await (const { id } of client.operations()) ids.push(id);
    expect(ids.slice(0, 2)).toEqual([slow.id, op.id]);
  });

  it("redrives nothing where the filter came out empty", async () => {
    await deadJobs("q-sdk-all", 2);
    await expect(client.redrive({})).rejects.toMatchObject({ code: "invalid_request" });
    expect(await live("q-sdk-all")).toEqual([]);
  });

  it("empties queues by their names only", async () => {
    await deadJobs("q-sdk-empty", 3);
    const id = (await enqueue("q-sdk-empty", { task: "any", delay: "1h" })).id;
    const queue = client.queue("q-sdk-empty");
    await expect(queue.purge({ confirm: "q-sdk" })).rejects.toMatchObject({ status: 400 });
    await expect(queue.delete({ confirm: "q-sdk-empty" })).rejects.toMatchObject({ code: "conflict" });
    expect(await (await queue.drain({ confirm: "q-sdk-empty" })).done()).toMatchObject({ changed: 1 });
    expect(await client.job(id).get()).toMatchObject({ state: "cancelled" });
    expect(await (await queue.purge({ confirm: "q-sdk-empty", states: ["dead"] })).done()).toMatchObject({
      changed: 3,
    });
    expect(await (await queue.delete({ confirm: "q-sdk-empty" })).done()).toMatchObject({ state: "completed" });
    expect(await inHistory("q-sdk-empty")).toBe(0);
    expect((await ask("/v1/queues/q-sdk-empty")).status).toBe(404);
  });
});
