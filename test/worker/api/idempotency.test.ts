import { expect, it } from "vitest";
import { createClient } from "../../../client/client.ts";
import { answer, appWith, ask, jobsIn, migrated, problem, TOKEN } from "./support.ts";

migrated();

const job = { task: "any", delay: "1h", payload: 1 };
const keyed = (key: string) => ({ headers: { "idempotency-key": key } });

it("answers the same call with the first answer, and makes nothing", async () => {
  const path = "/v1/queues/q-key/jobs";
  const first = await ask(path, { body: { jobs: [job, job] }, ...keyed("k1") });
  expect(first.headers.get("idempotency-replayed")).toBeNull();
  const made = await answer<{ jobs: unknown[] }>(first, 201);
  const again = await ask(path, { body: { jobs: [job, job] }, ...keyed("k1") });
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect(await answer(again, 201)).toEqual(made);
  expect(await jobsIn("q-key")).toBe(2);
});

it("refuses the same key for another body, byte for byte", async () => {
  const path = "/v1/queues/q-key2/jobs";
  await answer(await ask(path, { body: job, ...keyed("k") }), 201);
  const other = JSON.stringify(job).replace(":1}", ": 1}");
  await problem(await ask(path, { raw: other, ...keyed("k") }), 422, "idempotency_mismatch");
  await answer(await ask(path, { body: job, ...keyed("K") }), 201);
  expect(await jobsIn("q-key2")).toBe(2);
});

it("keeps keys apart by queue, route and token", async () => {
  const body = { ...job, queue: "q-key3" };
  await answer(await ask("/v1/queues/q-key3/jobs", { body: job, ...keyed("k") }), 201);
  await answer(await ask("/v1/jobs", { body, ...keyed("k") }), 201);
  await answer(await ask("/v1/queues/q-key4/jobs", { body: job, ...keyed("k") }), 201);
  const token = "another-token-of-more-than-32-characters";
  const headers = { ...keyed("k").headers, authorization: `Bearer ${token}` };
  const fetch = appWith({ token: () => token });
  await answer(await ask("/v1/queues/q-key3/jobs", { body: job, headers, fetch }), 201);
  expect(await jobsIn("q-key3")).toBe(3);
  expect(await jobsIn("q-key4")).toBe(1);
});

it("makes nothing of a key when the call is refused, so that it can be sent again corrected", async () => {
  const path = "/v1/queues/q-key5/jobs";
  await problem(await ask(path, { body: { ...job, priority: "x" }, ...keyed("k") }), 400, "invalid_request");
  await answer(await ask(path, { body: job, ...keyed("k") }), 201);
});

it("makes nothing twice of a request that the SDK repeats", async () => {
  const headers = { "millrace-request-id": "req_1-a" };
  const first = await answer(await ask("/v1/queues/q-req/jobs", { body: job, headers }), 201);
  expect(await answer(await ask("/v1/queues/q-req/jobs", { body: job, headers }), 201)).toEqual(first);
  const two = { jobs: [job, job] };
  await problem(await ask("/v1/queues/q-req/jobs", { body: two, headers }), 409, "conflict");
  expect(await jobsIn("q-req")).toBe(1);
});

it("serves the SDK, whose answers get lost", async () => {
  const own = appWith();
  let lose = true;
  const client = createClient({
    url: "https://millrace.test",
    token: TOKEN,
    async fetch(request) {
      const response = await own(request);
      lose = !lose;
      if (!lose) throw new TypeError("the answer was lost");
      return response;
    },
  });
  const made = await client.enqueueMany("any", [1, 2, 3], { queue: "q-sdk", delay: "1h" });
  const one = await client.enqueue("any", 4, { queue: "q-sdk", delay: "1h", idempotencyKey: "once" });
  expect(await jobsIn("q-sdk")).toBe(4);
  const payloads: unknown[] = [];
  for await (const each of client.jobs({ queue: "q-sdk", pageSize: 2 })) payloads.push(each.payload);
  expect(payloads).toEqual([4, 3, 2, 1]);
  await one.cancel();
  await expect(one.result({ timeout: "5s" })).rejects.toMatchObject({ job: { state: "cancelled" } });
  await made[0]!.delete();
  await client.queue("q-sdk").pause();
  await client.queue("q-sdk").configure({ concurrency: 2 });
  await client.queue("q-sdk").resume();
  const queue = await client.queue("q-sdk").get();
  expect(queue).toMatchObject({ paused: false, counts: { scheduled: 2 }, config: { concurrency: { value: 2 } } });
  const names: string[] = [];
  for await (const each of client.queues()) names.push(each.name);
  expect(names).toContain("q-sdk");
});
