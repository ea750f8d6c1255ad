import { expect, it } from "vitest";
import { createClient, defineTask, type MillraceError } from "../../client/index.ts";
import { type Fault, startServer } from "./faulty-server.ts";

const TOKEN = "token-of-thirty-two-characters-or-more";
const mail = defineTask({ name: "mail", queue: "mail" });

it("sends one job with its options, to the queue its task declares", async () => {
  await using server = await startServer();
  const client = createClient({ url: `${server.url}/`, token: TOKEN });
  const job = await client.enqueue(mail, { to: "a" }, { runAt: new Date(0), tags: ["x"], priority: 5 });
  expect(job).toMatchObject({ id: "q:0:1", state: "ready", outcome: "created" });
  const [sent] = server.received;
  expect(sent?.path).toBe("/v1/queues/mail/jobs");
  expect(sent?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  expect(sent?.body).toEqual({
    task: "mail",
    payload: { to: "a" },
    runAt: "1970-01-01T00:00:00.000Z",
    tags: ["x"],
    priority: 5,
  });
});

it("coalesces the calls of one tick, by queue where it is known and by task where not", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const jobs = await Promise.all([
    client.enqueue(mail, 1),
    client.enqueue("a", 2),
    client.enqueue("b", 3),
    client.enqueue("a", 4),
    client.enqueue("other", 5, { queue: "mail" }),
  ]);
  expect(new Set(jobs.map((job) => job.id)).size).toBe(5);
  const sent = server.received.map(({ path, body }) => [path, (body as { jobs?: unknown[] }).jobs?.length ?? 1]);
  expect(sent.sort()).toEqual([
    ["/v1/jobs", 1],
    ["/v1/jobs", 2],
    ["/v1/queues/mail/jobs", 2],
  ]);
});

it("answers each coalesced call with its own job", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const jobs = await Promise.all(Array.from({ length: 2_500 }, (_, n) => client.enqueue(mail, n)));
  expect(server.received.map(({ body }) => (body as { jobs: unknown[] }).jobs.length)).toEqual([1_000, 1_000, 500]);
  jobs.forEach((job, n) => {
    expect(server.made[Number(job.id.split(":")[2]) - 1]?.payload).toBe(n);
  });
});

it("keeps a bad call from failing those it was coalesced with", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const ends = await Promise.allSettled(
    Array.from({ length: 100 }, (_, n) =>
      client.enqueue(n === 13 ? "nope" : "mail", { n, bad: n === 77 }, { queue: "mail" }),
    ),
  );
  const failed = ends.flatMap((end, n) => (end.status === "rejected" ? [[n, end.reason.code]] : []));
  expect(failed).toEqual([
    [13, "unknown_task"],
    [77, "invalid_request"],
  ]);
  expect(server.made.length).toBe(98);
  expect(server.received.length).toBeLessThan(35);
});

it("keeps a unique key that is held from failing calls that it was coalesced with", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const reject = (key: string) => ({ unique: { key, onConflict: "reject" } }) as const;
  const first = await client.enqueue(mail, 0, reject("a"));
  const ends = await Promise.allSettled(
    Array.from({ length: 100 }, (_, n) => client.enqueue(mail, n, n % 30 === 7 ? reject("a") : reject(`own-${n}`))),
  );
  const failed = ends.flatMap((end, n) => (end.status === "rejected" ? [[n, end.reason.code, end.reason.status]] : []));
  expect(failed).toEqual([7, 37, 67, 97].map((n) => [n, "conflict", 409]));
  expect(server.made.length).toBe(97);
  expect(first.outcome).toBe("created");
});

it("tells what a unique key made of a job, alone and among many", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const options = { unique: { key: "a" }, keys: { tenant: "t" }, cost: { tenant: 2 }, deadline: new Date(60_000) };
  const first = await client.enqueue(mail, 0, options);
  expect(await client.enqueue(mail, 1, options)).toMatchObject({ id: first.id, outcome: "returned" });
  expect((await client.enqueueMany(mail, [2, 3], options)).map(({ outcome }) => outcome)).toEqual([
    "returned",
    "returned",
  ]);
  expect(server.made).toEqual([{ task: "mail", payload: 0, ...options, deadline: "1970-01-01T00:01:00.000Z" }]);
});

it.each<[string, Fault[]]>([
  ["dropped connections", ["drop", "drop"]],
  ["answers lost after the jobs were made", ["lose-answer", "cut-answer", "lose-answer"]],
  ["503 and 429", [{ status: 503 }, { status: 429 }]],
  ["a proxy's 502 and 504", [{ status: 502 }, { status: 504 }]],
])("makes every job exactly once in spite of %s", async (_, faults) => {
  await using server = await startServer();
  server.faults.push(...faults);
  const client = createClient({ url: server.url });
  const jobs = await Promise.all([client.enqueue(mail, 1), client.enqueue(mail, 2)]);
  expect(jobs.map((job) => job.id)).toEqual(["q:0:1", "q:0:2"]);
  expect(server.made.length).toBe(2);
  expect(server.received.length).toBe(faults.length + 1);
  const ids = new Set(server.received.map(({ headers }) => headers["millrace-request-id"]));
  expect(ids.size).toBe(1);
  expect([...ids][0]).toMatch(/^[0-9a-f]{32}$/);
});

it("gives every enqueue an id of its own", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  await client.enqueue(mail, 1);
  await client.enqueue(mail, 1);
  expect(server.made.length).toBe(2);
});

it("waits as long as Retry-After says", async () => {
  await using server = await startServer();
  server.faults.push({ status: 429, headers: { "retry-after": "1" } });
  await createClient({ url: server.url }).enqueue(mail, 1);
  const [first, second] = server.received;
  expect(second!.at - first!.at).toBeGreaterThanOrEqual(990);
});

it("gives up in time, and says what happened", async () => {
  await using server = await startServer();
  server.faults.push(...Array<Fault>(50).fill({ status: 503 }));
  const client = createClient({ url: server.url, retryFor: "500ms" });
  const error = await client.enqueue(mail, 1).catch((e) => e);
  expect(error).toMatchObject({ name: "MillraceError", code: "unavailable", status: 503, retryable: true });
  expect(server.received.length).toBeGreaterThan(1);
  expect(server.received.at(-1)!.at - server.received[0]!.at).toBeLessThanOrEqual(510);

  server.faults.splice(0, 50, { status: 429, headers: { "retry-after": "3600" } });
  const before = server.received.length;
  await expect(client.enqueue(mail, 1)).rejects.toMatchObject({ code: "rate_limited", retryable: true });
  expect(server.received.length).toBe(before + 1);
});

it("does not repeat what stays refused", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const error: MillraceError = await client.enqueue("nope", 1).catch((e) => e);
  expect(error).toMatchObject({ code: "unknown_task", status: 422, retryable: false, requestId: "req-1" });
  expect(error.message).toContain("jobs.0 is bad");
  server.faults.push({ status: 503, body: JSON.stringify({ code: "not_configured", detail: "no token" }) });
  await expect(client.enqueue(mail, 1)).rejects.toMatchObject({ code: "not_configured", retryable: false });
  server.faults.push({ status: 200, body: "<h1>Welcome</h1>" });
  await expect(client.enqueue(mail, 1)).rejects.toMatchObject({ code: "invalid_response" });
  server.faults.push({ status: 400, body: '{"code":7,"errors":"many"}' });
  await expect(client.enqueue(mail, 1)).rejects.toMatchObject({ code: "invalid_response", status: 400 });
  server.faults.push({ status: 200, body: "{}" });
  await expect(client.enqueue(mail, 1)).rejects.toMatchObject({ code: "invalid_response" });
  expect(server.received.length).toBe(5);
});

it("does not send a coalesced batch again in parts when it was not refused for what it holds", async () => {
  await using server = await startServer();
  server.faults.push("lose-answer", { status: 403 });
  const client = createClient({ url: server.url });
  const ends = await Promise.allSettled([client.enqueue(mail, 1), client.enqueue(mail, 2)]);
  expect(ends.map((end) => end.status)).toEqual(["rejected", "rejected"]);
  expect(server.made.length).toBe(2);
});

it("splits many payloads by count and by bytes, in order", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const handles = await client.enqueueMany(
    mail,
    Array.from({ length: 2_001 }, (_, n) => n),
    { tags: ["bulk"] },
  );
  expect(handles.length).toBe(2_001);
  expect(server.made.map((job) => job.payload)).toEqual(Array.from({ length: 2_001 }, (_, n) => n));
  expect(server.received.length).toBe(3);

  const large = "ü".repeat(60 * 1024);
  await client.enqueueMany(mail, Array<string>(100).fill(large));
  expect(server.received.length).toBe(5);
  for (const { bytes } of server.received) expect(bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
  expect(await client.enqueueMany(mail, [])).toEqual([]);
  await expect(client.enqueueMany(mail, { to: "x" } as never)).rejects.toThrow("iterable");
  expect(server.received.length).toBe(5);
});

it("sends an idempotency key with a call of its own", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  await Promise.all([client.enqueue(mail, 1), client.enqueue(mail, 2, { idempotencyKey: "order-7" })]);
  const keys = server.received.map(({ headers, body }) => [headers["idempotency-key"], body]);
  expect(keys).toContainEqual(["order-7", { task: "mail", payload: 2 }]);
  expect(keys).toContainEqual([undefined, { task: "mail", payload: 1 }]);
  await client.enqueueMany(mail, Array<number>(1_001).fill(0), { idempotencyKey: "k" });
  expect(server.received.slice(2).map(({ headers }) => headers["idempotency-key"])).toEqual(["k", "k/1"]);
});

it("refuses what JSON cannot hold before anything is sent", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  for (const bad of [1n, { deep: [1n] }, cyclic, () => 1, Symbol("x")]) {
    await expect(client.enqueue("mail", bad as never)).rejects.toThrow(TypeError);
  }
  await expect(client.enqueueMany("mail", [1, 2n as never])).rejects.toThrow(/index 1.*"mail".*JSON/);
  await expect(client.enqueue("mail", 1, { runAt: new Date("never") })).rejects.toThrow(RangeError);
  await expect(client.enqueue("mail", 1, { deadline: new Date("never") })).rejects.toThrow(RangeError);
  expect(server.received).toEqual([]);
  await client.enqueue("mail", { a: undefined, b: 1 });
  await client.enqueue("mail");
  expect(server.received.map(({ body }) => body)).toEqual([{ task: "mail", payload: { b: 1 } }, { task: "mail" }]);
});

it("stops when its signal says so, waiting or not", async () => {
  await using server = await startServer();
  const client = createClient({ url: server.url });
  const gone = new Error("gone");
  await expect(client.enqueue(mail, 1, { signal: AbortSignal.abort(gone) })).rejects.toBe(gone);
  expect(server.received).toEqual([]);
  for (const fault of ["hang", { status: 503, headers: { "retry-after": "60" } }] satisfies Fault[]) {
    server.faults.push(fault);
    const before = server.received.length;
    const stop = new AbortController();
    const sent = client.enqueue(mail, 1, { signal: stop.signal });
    await expect.poll(() => server.received.length).toBe(before + 1);
    stop.abort(gone);
    await expect(sent).rejects.toBe(gone);
  }
});
