import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type AnyTaskDeclaration, createClient, defineTask, type Job } from "../../client/index.ts";
import { type EnqueueInput, type Entry, type ExchangeInput, type QueueRpc, recordOf } from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { get } from "../../durable-objects/engine/inspect.ts";
import { ROOT } from "../../scripts/root.ts";
import { createBindingClient } from "../../worker/client.ts";
import { readConfig } from "../../worker/config.ts";
import { exchangeByRpc } from "../../worker/exchange.ts";
import { toJob } from "../../worker/job.ts";
import { resolveJobs } from "../../worker/resolve.ts";
import { ticketOf } from "../../worker/tickets.ts";
import { nodeStorage } from "../support/node-storage.ts";

const FIXTURES = join(ROOT, "test", "fixtures");
const NOW = 1_795_323_600_000;
const WHERE = { queue: "work", partition: 0, channel: null };

/** The same with fields that this code does not know, at every level: what a newer other end would send. */
function fromTheFuture(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromTheFuture);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([key, inner]) => [key, fromTheFuture(inner)]);
  return { ...Object.fromEntries(fields), ofTheFuture: { deep: [1] } };
}

const tasks = ["mail", "report", "encode", "of-old"].map((name) => defineTask({ name, queue: "work" }));
const config = readConfig({ tasks });

describe.each(readdirSync(FIXTURES))("what %s says", (release) => {
  const wire = JSON.parse(readFileSync(join(FIXTURES, release, "wire.json"), "utf8"));
  const both: [string, (sample: unknown) => never][] = [
    ["as it was", (sample) => sample as never],
    ["with fields of the future", (sample) => fromTheFuture(sample) as never],
  ];

  describe.each(both)("%s", (_, as) => {
    it("is enqueued by the object", () => {
      const engine = new Engine({ queue: "work", partition: 0, storage: nodeStorage(), settings: {} });
      const input: EnqueueInput = as(wire.enqueueInput);
      const { result } = engine.write(NOW, (tx) => enqueue(tx, input));
      expect(result).toMatchObject({ ok: true, jobs: wire.enqueueReply.jobs.map(({ state }: Job) => ({ state })) });
      const record = engine.read(NOW, (tx) => get(tx, 1));
      expect(record).toMatchObject({ task: "report", payload: "[1,2,3]", priority: 9, state: "ready" });
    });

    it("is exchanged by the object", () => {
      const engine = new Engine({ queue: "work", partition: 0, storage: nodeStorage(), settings: {} });
      engine.write(NOW, (tx) => enqueue(tx, wire.enqueueInput));
      const claim: ExchangeInput = {
        ...(as(wire.exchange.input) as ExchangeInput),
        n: 1,
        holding: [],
        settle: [],
        want: 1,
      };
      const first = engine.write(NOW, (tx) => exchange(tx, { ...claim, progress: [] })).result;
      expect(first).toMatchObject({ ok: true, n: 1, lost: [], refused: [] });
      // Its own settles name jobs that this object never gave out: refused alone, and the exchange goes on.
      const { settle, holding }: ExchangeInput = as(wire.exchange.input);
      const known = wire.exchange.input.settle.length;
      const second = engine.write(NOW, (tx) => exchange(tx, { ...claim, n: 2, settle, holding })).result;
      expect(second).toMatchObject({ ok: true, refused: Array(known).fill({ code: "not_held" }) });
    });

    it("is understood by the Worker, as an answer to its enqueue", async () => {
      const stub = () => ({ enqueue: async () => as(wire.enqueueReply) }) as unknown as QueueRpc;
      const client = createBindingClient<AnyTaskDeclaration[]>({
        config,
        stub,
        token: "t",
        keys: () => Promise.reject(new Error("unused")),
        fetch: () => Promise.reject(new Error("unused")),
      });
      const jobs = await client.enqueueMany("mail", wire.enqueueReply.jobs);
      expect(jobs.map(({ id }) => id)).toEqual(
        wire.enqueueReply.jobs.map(({ seq }: { seq: number }) => `work:0:${seq}`),
      );
    });

    it("is understood by the consumer, as an answer to its exchange", async () => {
      for (const sample of ["exchange", "exchangeGrants"]) {
        const stub = { exchange: async () => as(wire[sample].reply) } as unknown as QueueRpc;
        const { request, response } = wire[`${sample}Http`];
        expect(await exchangeByRpc(stub, WHERE, request, config)).toMatchObject(response);
      }
      expect(wire.exchangeGrantsHttp.response.jobs).toHaveLength(1);
    });

    it("is understood as a ticket", () => {
      expect(ticketOf(as(wire.ticketMessage))).toEqual({ queue: "work", partition: 0, channel: "short" });
    });

    it("is understood as jobs that ended", () => {
      const records: string[] = wire.historyBatch.records;
      const ended = records.flatMap((text) => (JSON.parse(text) as Entry[]).map(recordOf));
      for (const record of ended) expect(toJob("work", 0, as(record)).state).toMatch(/completed|dead|cancelled/);
      expect(ended.length).toBeGreaterThan(0);
      expect(toJob("work", 0, as(wire.record))).toMatchObject(wire.apiJobs.items[0]);
    });

    it("is understood by the SDK, as answers of the API", async () => {
      const answers: Response[] = [];
      const client = createClient({ url: "http://old.test", token: "t", fetch: async () => answers.shift()! });
      const json = (value: unknown, status = 200) =>
        answers.push(
          new Response(JSON.stringify(as(value)), { status, headers: { "content-type": "application/json" } }),
        );
      json(wire.apiJobs);
      const listed: Job[] = [];
      for await (const job of client.jobs({ queue: "work" })) listed.push(job);
      expect(listed).toMatchObject(wire.apiJobs.items);
      const completed = wire.apiJobs.items.find(({ state }: Job) => state === "completed");
      json(completed);
      expect(await client.job(completed.id).result()).toEqual(completed.result);
      json({ ...wire.apiProblem, status: 422, title: "There is no such task", type: "about:blank" }, 422);
      await expect(client.enqueue("mial")).rejects.toMatchObject({ code: "unknown_task", status: 422 });
    });
  });

  it("is still accepted as a request of the API, which is strict: a field that is not known is refused", async () => {
    const ask = { queue: "work", actor: null, parsed: true, now: NOW };
    const accepted = await resolveJobs(config, { ...ask, jobs: wire.apiEnqueue.jobs });
    expect(accepted.ok).toBe(true);
    for (const [index, job] of wire.apiEnqueue.jobs.entries()) {
      const jobs = wire.apiEnqueue.jobs.with(index, { ...job, ofTheFuture: 1 });
      const refused = await resolveJobs(config, { ...ask, jobs });
      expect(refused).toMatchObject({ ok: false, code: "invalid_request" });
      expect(refused.ok || refused.errors).toMatchObject([{ path: `jobs[${index}].ofTheFuture` }]);
    }
  });
});
