/**
 * Makes the fixtures of a release: `node test/upgrade/make.ts v2`. To be run once, by the code of that release, before
 * it is released; afterwards fixtures are never made anew, because they are what is out there.
 *
 * - `queue.sqlite`: the storage of a queue with jobs in every state, sessions, an outbox, keys and settings.
 * - `books.json`: what that code answers about it, and at what time.
 * - `wire.json`: what Worker, object, consumer and clients of that release say to each other.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineTask } from "../../client/index.ts";
import type { ExchangeRequest, LogLine, NewJob, Outcome, Unique } from "../../client/types.ts";
import type { EnqueueInput, ExchangeInput, JobRecord, QueueRpc, ScheduleInput } from "../../client/wire.ts";
import { Engine } from "../../durable-objects/engine/engine.ts";
import { enqueue } from "../../durable-objects/engine/enqueue.ts";
import { exchange } from "../../durable-objects/engine/exchange.ts";
import { describe, get } from "../../durable-objects/engine/inspect.ts";
import { pauseKey } from "../../durable-objects/engine/keys.ts";
import * as operate from "../../durable-objects/engine/operate.ts";
import { beginFlush, confirmFlush, nextFlush } from "../../durable-objects/engine/outbox.ts";
import type { Tx } from "../../durable-objects/engine/ports.ts";
import * as schedules from "../../durable-objects/engine/schedules.ts";
import { wake } from "../../durable-objects/engine/wake.ts";
import { ROOT } from "../../scripts/root.ts";
import { readConfig } from "../../worker/config.ts";
import { exchangeByRpc } from "../../worker/exchange.ts";
import { toJob } from "../../worker/job.ts";
import { refuse } from "../../worker/problem.ts";
import { resolveJobs } from "../../worker/resolve.ts";
import { nodeStorage } from "../support/node-storage.ts";

const release = process.argv[2];
if (!/^v\d+$/.test(release ?? "")) throw new Error("Name the release: node test/upgrade/make.ts v1");
const folder = join(ROOT, "test", "fixtures", release!);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

/** 2026-11-22T05:00:00Z */
let now = 1_795_323_600_000;
const storage = nodeStorage(join(folder, "queue.sqlite"));
const engine = new Engine({ queue: "work", partition: 0, storage, settings: {}, random: () => 0.5 });
const run = <Result>(verb: (tx: Tx) => Result): Result => engine.write(now, verb).result;
const later = (ms: number): void => {
  now += ms;
  run(wake);
};

const config = readConfig({
  tasks: [
    ...["mail", "report", "encode", "of-old"].map((name) => defineTask({ name, timeout: "20s", queue: "work" })),
    defineTask({ name: "notify", queue: "elsewhere" }),
  ],
});
const wire: Record<string, unknown> = {};

/** What the Worker makes of a request. */
async function resolve(jobs: NewJob[]) {
  const resolved = await resolveJobs(config, { queue: "work", jobs, actor: null, parsed: true, now });
  if (!resolved.ok) throw new Error(JSON.stringify(resolved));
  return resolved;
}

/** The same, and what the engine makes of that. */
async function add(jobs: NewJob[], about: Partial<EnqueueInput> = {}, sample?: string): Promise<number[]> {
  const resolved = await resolve(jobs);
  const input = { templates: resolved.templates, jobs: resolved.jobs, requestId: null, idempotency: null, ...about };
  const reply = run((tx) => enqueue(tx, input));
  if (!reply.ok) throw new Error(reply.detail);
  if (sample) Object.assign(wire, { enqueueInput: input, enqueueReply: reply, apiEnqueue: { jobs } });
  return reply.jobs.map(({ seq }) => seq);
}

const workers = new Map<string, number>();

/** What a consumer says in one exchange, in both of its forms. */
async function exchangeAs(session: string, ask: Partial<ExchangeRequest>, sample?: string) {
  const n = (workers.get(session) ?? 0) + 1;
  workers.set(session, n);
  const request: ExchangeRequest = {
    ...{ session, n, worker: { name: `consumer-${session}`, runtime: "workerd" } },
    ...{ holding: [], settle: [], progress: [], want: 0, ...ask },
  };
  const stub = {
    async exchange(input: ExchangeInput) {
      const reply = run((tx) => exchange(tx, input));
      if (sample) wire[sample] = { input, reply };
      return reply;
    },
  } as unknown as QueueRpc;
  const response = await exchangeByRpc(stub, { queue: "work", partition: 0, channel: null }, request, config);
  if (sample) wire[`${sample}Http`] = { request, response };
  return response.jobs;
}

function flush(): void {
  engine.read(now, (tx) => {
    beginFlush(tx);
    tx.books.outbox.rolledUpto ??= 0;
  });
  const next = engine.read(now, nextFlush);
  if (!next) return;
  const { upto, records, deletes, rollup } = next;
  wire.historyBatch = { queue: "work", partition: 0, records, deletes, rollup };
  run((tx) => confirmFlush(tx, upto, rollup ? rollup.upto : (tx.books.outbox.rolledUpto ?? 0)));
}

const error = { name: "TypeError", message: "no such thing", stack: "TypeError: no such thing\n    at work" };
const line = (message: string): LogLine => ({
  at: new Date(now).toISOString(),
  level: "info",
  message,
  fields: { of: 5 },
});
const heldBy = (jobs: { id: string; fence: number }[]) => jobs.map(({ id, fence }): [string, number] => [id, fence]);

// What has ended: completed with large and small results, dead, cancelled, deleted, reopened, result only.
await add(Array.from({ length: 8 }, (_, n) => ({ task: "mail", payload: { n, text: "ä€👋" }, tags: ["old"] })));
const first = await exchangeAs("s1", { want: 8 });
await exchangeAs("s1", {
  logs: first.slice(5, 7).map(({ id, fence }) => ({ id, fence, lines: [line("about to end")] })),
  settle: first.map(({ id, fence }, index): Outcome => {
    if (index === 6) return { id, fence, outcome: "dead", error };
    if (index === 7) return { id, fence, outcome: "cancelled", reason: "not wanted" };
    return { id, fence, outcome: "completed", result: index === 0 ? "x".repeat(17_000) : { n: index } };
  }),
});
later(1_000);
const [gone, dead] = [2, 7].map((seq) => engine.read(now, (tx) => get(tx, seq)) as JobRecord);
flush();
run((tx) => operate.reopen(tx, dead!));
run((tx) => operate.remove(tx, 2, gone!));
flush();
await add([{ task: "report", payload: "large" }]);
const [large] = await exchangeAs("s1", { want: 1, worker: { name: "reporter", runtime: "deno", tasks: ["report"] } });
await exchangeAs("s1", {
  settle: [{ id: large!.id, fence: large!.fence, outcome: "completed", result: "y".repeat(17_000) }],
});
// Its counts wait for company, so that of a sent row the names stay.
flush();
run((tx) => operate.configure(tx, {}, { historyCompleted: "none" }));
await add([{ task: "mail", payload: "kept for ten minutes" }]);
// The first was reopened: its old end is in the history, so its new one goes there too.
const [failing, toBeResult] = await exchangeAs("s2", { want: 2 });
await exchangeAs("s2", {
  settle: [
    { id: toBeResult!.id, fence: toBeResult!.fence, outcome: "completed", result: "answered" },
    { id: failing!.id, fence: failing!.fence, outcome: "failed", error, retryInMs: 3_600_000 },
  ],
});
run((tx) => operate.configure(tx, {}, { historyCompleted: null, slots: 3, leaseMs: 60_000 }));

// What has not: ready, scheduled, expiring, repeating, lapsed, declined, snoozed, running under a live and a dead session.
await add([1, 2].map((n) => ({ task: "encode", payload: { kills: n } })));
await exchangeAs("s3", { want: 2 });
later(61_000);
const [, , , unwanted] = await add(
  [
    {
      task: "report",
      payload: [1, 2, 3],
      priority: 9,
      tags: ["a", "b"],
      meta: { tenant: "acme", deep: { x: [null] } },
    },
    { task: "report", payload: null, delay: "2h", expiresIn: "1d", timeout: "5m", maxAttempts: 3 },
    { task: "mail", payload: "✉", backoff: { type: "exponential", base: "10s", max: "1h", jitter: 0 } },
    { task: "mail", runAt: "2026-12-24T18:00:00+01:00", backoff: { type: "fixed", delay: "5m" } },
    { task: "of-old", payload: {}, priority: 100 },
  ],
  { requestId: "3f0c3c2e-7a57-4c5e-9a53-9d1f6f0f7a11" },
  "enqueue",
);
await add([{ task: "mail", payload: "by key" }], { idempotency: { key: "token\nroute\nkey-1", bodyHash: "abc" } });
await add(Array.from({ length: 6 }, (_, n) => ({ task: "encode", payload: { n }, priority: 200 })));
const jobs = await exchangeAs("s4", { want: 7 });
const [declined, ...held] = jobs.reverse();
const [snoozed, failed, cancelling, ...kept] = held;
await exchangeAs(
  "s4",
  {
    holding: heldBy([cancelling!, ...kept]),
    settle: [
      { id: declined!.id, fence: declined!.fence, outcome: "declined", code: "unknown_task" },
      { id: snoozed!.id, fence: snoozed!.fence, outcome: "snoozed", forMs: 600_000 },
      { id: failed!.id, fence: failed!.fence, outcome: "failed", error },
    ],
    progress: [{ id: kept[0]!.id, fence: kept[0]!.fence, progress: { percent: 40, note: "two of five" } }],
    logs: [kept[0]!, failed!].map(({ id, fence }) => ({ id, fence, lines: [line("two of five are done")] })),
  },
  "exchange",
);
run((tx) => operate.cancel(tx, Number(cancelling!.id.split(":")[2])));
await exchangeAs("s5", { want: 1 });
later(30_000);
const granted = await exchangeAs("s4", { holding: heldBy([cancelling!, ...kept]), want: 1 }, "exchangeGrants");
now += 40_000;

// Keys that limit, with a bucket and one that is closed; lines; unique keys of a job that waits and of one that ended;
// deadlines; follow-up jobs here and on their way elsewhere; a schedule.
const tenant = { concurrency: 2, rateLimit: { limit: 5, perMs: 60_000, burst: 5 } };
run((tx) => operate.configure(tx, {}, { limits: { tenant } }));
run((tx) => pauseKey(tx, "tenant", "slow", 3_600_000, "asked to"));
const taken = { key: "once", states: ["waiting", "running", "dead"], ttl: "7d" } satisfies Unique;
await add([
  { task: "mail", payload: "limited", keys: { tenant: "acme" }, cost: { tenant: 3 }, fairKey: "acme", priority: 300 },
  { task: "mail", payload: "in no time", deadline: "2d", unique: taken, priority: 300 },
]);
const [limited, ended] = await exchangeAs("s6", { want: 2 });
await exchangeAs("s6", {
  settle: [
    {
      ...{ id: limited!.id, fence: limited!.fence, outcome: "completed" },
      enqueue: [
        { task: "notify", payload: { of: limited!.id } },
        { task: "mail", payload: "afterwards", delay: "5m" },
      ],
    },
    { id: ended!.id, fence: ended!.fence, outcome: "dead", error },
  ],
});
await add([
  ...["slow", "acme", "zenith"].map((name) => ({ task: "mail", keys: { tenant: name }, fairKey: name })),
  ...[1, 2, 3].map((n) => ({ task: "report", payload: n, orderingKey: "customer-7" })),
  { task: "mail", orderingKey: "customer-7", delay: "1h", deadline: "2d" },
  { task: "mail", payload: "latest", unique: { key: "digest", onConflict: "debounce", wait: "10m", maxWait: "1h" } },
]);
const { templates } = await resolve([{ task: "report" }]);
const everyDay = { cron: "30 2 * * *", everyMs: null, timezone: "Europe/Berlin", startAt: null, endAt: null };
const schedule: ScheduleInput = {
  ...{
    spec: JSON.stringify({ task: "report", cron: everyDay.cron, timezone: everyDay.timezone, paused: true }),
    ...everyDay,
  },
  ...{
    template: templates[0]!,
    payload: null,
    overlap: "skip",
    catchUpWindowMs: 0,
    catchUpMax: 1,
    jitterMs: 0,
    paused: true,
  },
};
const put = run((tx) => schedules.put(tx, "nightly", schedule));
if (!put.ok) throw new Error(put.detail);

run((tx) => operate.cancel(tx, unwanted!));
run((tx) => operate.pause(tx, "deploying"));

const description = engine.read(now, (tx) => describe(tx, null))!;
const top = engine.read(now, (tx) => tx.books.nextSeq - 1)!;
const records = Array.from({ length: top }, (_, index) => engine.read(now, (tx) => get(tx, index + 1)));
const live = records.filter((record): record is JobRecord => record !== null && record !== "deleted");
Object.assign(wire, {
  ticketMessage: { kind: "millrace-ticket", queue: "work", partition: 0, channel: "short" },
  record: live[0],
  description,
  apiJobs: { items: live.map((record) => toJob("work", 0, record)), nextCursor: null },
  apiProblem: refuse("unknown_task", 'There is no task "mial". Did you mean "mail"?'),
});
const { metrics: _, ...books } = description;
writeFileSync(
  join(folder, "books.json"),
  `${JSON.stringify({ now, books, records, session: { id: "s4", n: workers.get("s4"), holding: heldBy([cancelling!, ...kept, ...granted]) } }, null, 1)}\n`,
);
writeFileSync(join(folder, "wire.json"), `${JSON.stringify(wire, null, 1)}\n`);
storage.db.exec("VACUUM");
storage.db.close();
console.log(`Made ${folder}: ${JSON.stringify(description.counts)}`);
