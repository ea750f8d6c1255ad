import { describe, expect, it } from "vitest";
import type { EnqueuedJob, Job, Operation, Page, QueueSummary, Role, TokenRequest } from "../../../client/types.ts";
import { ROUTES } from "../../../worker/app.ts";
import { answer, claim, enqueue, getJob, jobsIn, migrated, problem, work } from "../api/support.ts";
import { askAs, made } from "./support.ts";

migrated();

async function tokenOf(request: Omit<TokenRequest, "name">): Promise<string> {
  return (await made(request)).token;
}

const jobsOf = (queue: string) => `/v1/queues/${queue}/jobs`;
const forbidden = async (response: Response) => problem(response, 403, "forbidden");

describe("queues", () => {
  const RESTRICTED: Partial<Record<Role, string>> = {};
  const roleFor = (roles: readonly Role[]) => roles.find((role) => role !== "admin" && role !== "producer");

  async function restricted(role: Role): Promise<string> {
    RESTRICTED[role] ??= await tokenOf({ role, queues: ["q-mine", "tenant-*"] });
    return RESTRICTED[role];
  }

  const open = ROUTES.filter(({ path, roles }) => path.includes("{queue}") && roles.length > 0);
  it.each(open.map((one) => [`${one.method.toUpperCase()} ${one.path}`, one] as const))(
    "%s of another queue is 403",
    async (_name, { method, path, roles }) => {
      const token = await restricted(roleFor(roles) ?? "producer");
      const of = (queue: string) =>
        path.replace("{queue}", queue).replace("{name}", "n").replace("{kind}", "k").replace("{value}", "v");
      const sent = { method: method.toUpperCase(), ...(method === "post" ? { raw: "{}" } : {}) };
      const { detail } = await forbidden(await askAs(token, of("q-theirs"), sent));
      expect(detail).toContain("q-mine, tenant-*");
      const own = await askAs(token, of("q-mine"), sent);
      expect(own.status).not.toBe(403);
      await own.body?.cancel();
    },
  );

  const ofJobs = ROUTES.filter(({ path }) => path.startsWith("/v1/jobs/{id}"));
  it.each(ofJobs.map((one) => [`${one.method.toUpperCase()} ${one.path}`, one] as const))(
    "%s of a job of another queue is 403, whether there is one or not",
    async (_name, { method, path, roles }) => {
      const token = await restricted(roleFor(roles)!);
      const { id } = await enqueue("q-theirs", { task: "any", delay: "1h" });
      for (const job of [id, "q-theirs:0:999999", "q-nowhere:0:1"]) {
        const { detail } = await forbidden(
          await askAs(token, path.replace("{id}", job), { method: method.toUpperCase() }),
        );
        expect(detail).not.toContain("There is no job");
      }
      expect((await getJob(id)).state).toBe("scheduled");
    },
  );

  it("without a queue there is nothing to see: it must name one", async () => {
    const viewer = await restricted("viewer");
    for (const path of ["/v1/jobs", "/v1/jobs?state=dead", "/v1/errors", "/v1/history/summary", "/metrics"]) {
      expect((await forbidden(await askAs(viewer, path))).detail).toContain("name one of these queues");
    }
    for (const path of ["/v1/jobs", "/v1/errors", "/v1/history/summary"]) {
      expect((await askAs(viewer, `${path}?queue=q-mine`)).status).toBe(200);
      await forbidden(await askAs(viewer, `${path}?queue=q-theirs`));
      await forbidden(await askAs(viewer, `${path}?queue=tenant`));
    }
  });

  it("lists of queues show those of the token", async () => {
    for (const queue of ["q-mine", "q-theirs", "tenant-a"]) await enqueue(queue, { task: "any", delay: "1h" });
    const { items } = await answer<Page<QueueSummary>>(await askAs(await restricted("viewer"), "/v1/queues?limit=200"));
    expect(items.map(({ name }) => name)).toEqual(["q-mine", "tenant-a"]);
  });

  it("the body of an enqueue, or the task's own queue, goes no further than the path", async () => {
    const token = await tokenOf({ role: "producer", queues: ["q-mine"] });
    const before = await jobsIn("q-theirs");
    await forbidden(await askAs(token, "/v1/jobs", { body: { task: "any", queue: "q-theirs" } }));
    await forbidden(await askAs(token, "/v1/jobs", { body: { task: "greet", payload: { name: "x" } } }));
    await forbidden(await askAs(token, jobsOf("q-theirs"), { body: { task: "any" } }));
    const many = { jobs: [{ task: "any" }], queue: "q-theirs" };
    await forbidden(await askAs(token, "/v1/jobs", { body: many }));
    expect(await jobsIn("q-theirs")).toBe(before);
    expect((await askAs(token, "/v1/jobs", { body: { task: "any", queue: "q-mine" } })).status).toBe(201);
  });

  it("operations stay within them: beginning, looking, stopping, listing", async () => {
    const operator = await restricted("operator");
    const begin = (filter: object, token = operator) =>
      askAs(token, "/v1/operations", { body: { action: "cancel", filter, dryRun: true } });
    await forbidden(await begin({ queue: "q-theirs" }));
    await forbidden(await askAs(operator, "/v1/operations", { body: { action: "retry", filter: { state: "dead" } } }));
    const mine = await answer<Operation>(await begin({ queue: "q-mine" }), 202);
    const admin = await tokenOf({ role: "admin" });
    const theirs = await answer<Operation>(await begin({ queue: "q-theirs" }, admin), 202);
    expect((await askAs(operator, `/v1/operations/${mine.id}`)).status).toBe(200);
    await forbidden(await askAs(operator, `/v1/operations/${theirs.id}`));
    await forbidden(await askAs(operator, `/v1/operations/${theirs.id}`, { method: "DELETE" }));
    const { items } = await answer<Page<Operation>>(await askAs(operator, "/v1/operations?limit=200"));
    expect(items.map(({ id }) => id)).toEqual([mine.id]);
  });
});

describe("jobs", () => {
  it("a viewer looks at those that it names, and at nothing else", async () => {
    const [mine, other] = [await enqueue("q-few", { task: "any" }), await enqueue("q-few", { task: "any" })];
    const token = await tokenOf({ role: "viewer", jobs: [mine.id] });
    for (const path of ["", "/explain"]) {
      expect((await askAs(token, `/v1/jobs/${mine.id}${path}`)).status).toBe(200);
      for (const id of [other.id, "q-few:0:999999"]) await forbidden(await askAs(token, `/v1/jobs/${id}${path}`));
      await problem(await askAs(token, `/v1/jobs/q-few:0:0x${path}`), 400, "invalid_request");
    }
    const wholes = [
      "/v1/jobs?queue=q-few",
      "/v1/queues/q-few",
      "/v1/queues",
      "/v1/errors",
      "/metrics",
      "/v1/operations",
    ];
    for (const path of wholes) {
      const response = await askAs(token, path);
      if (path === "/v1/operations") expect(await answer(response)).toMatchObject({ items: [] });
      else expect((await forbidden(response)).detail).toContain("a few jobs by their ids");
    }
    expect((await askAs(token, "/openapi.json")).status).toBe(200);
  });
});

describe("a producer", () => {
  it("sees the jobs of its own actor, live and from history; those of others are not there", async () => {
    const ada = await tokenOf({ role: "producer", actor: "ada", options: ["delay"] });
    const again = await tokenOf({ role: "producer", actor: "ada" });
    const bob = await tokenOf({ role: "producer", actor: "bob" });
    const { id } = await answer<EnqueuedJob>(await askAs(ada, jobsOf("q-actor"), { body: { task: "any" } }), 201);
    const nobodys = await enqueue("q-actor", { task: "any", delay: "1h" });
    for (const state of ["ready", "completed"]) {
      if (state === "completed") await work("q-actor");
      for (const token of [ada, again]) {
        const job = await answer<Job>(await askAs(token, `/v1/jobs/${id}`));
        expect(job).toMatchObject({ state, actor: "ada" });
        expect((await askAs(token, `/v1/jobs/${id}/explain`)).status).toBe(200);
      }
      for (const path of ["", "/explain", "?wait=20s"]) {
        const unknown = await problem(await askAs(bob, `/v1/jobs/q-actor:0:777${path}`), 404, "not_found");
        for (const other of [id, nobodys.id]) {
          const startedAt = Date.now();
          const hidden = await problem(await askAs(bob, `/v1/jobs/${other}${path}`), 404, "not_found");
          expect(Date.now() - startedAt).toBeLessThan(5_000);
          expect({ ...hidden, detail: hidden.detail.replace(other, "q-actor:0:777") }).toEqual(unknown);
        }
      }
    }
  });

  it("is its own actor where none is named, and may not say who it is", async () => {
    const { token, id } = await made({ role: "producer" });
    const job = await answer<EnqueuedJob>(await askAs(token, jobsOf("q-actor"), { body: { task: "any" } }), 201);
    expect((await getJob(job.id)).actor).toBe(id);
    const body = { task: "any", actor: "ada" };
    await problem(await askAs(token, jobsOf("q-actor"), { body }), 400, "invalid_request");
  });

  it("an operator's actor stands with its jobs, and hides none from it", async () => {
    const token = await tokenOf({ role: "operator", actor: "ops" });
    const job = await answer<EnqueuedJob>(await askAs(token, jobsOf("q-actor"), { body: { task: "any" } }), 201);
    expect(await answer<Job>(await askAs(token, `/v1/jobs/${job.id}`))).toMatchObject({ actor: "ops" });
    const other = await enqueue("q-actor", { task: "any", delay: "1h" });
    expect((await askAs(token, `/v1/jobs/${other.id}`)).status).toBe(200);
  });

  it("enqueues the tasks that it names", async () => {
    const token = await tokenOf({ role: "producer", tasks: ["any"] });
    const post = (body: object) => askAs(token, jobsOf("q-tasks"), { body });
    expect((await post({ task: "any" })).status).toBe(201);
    const { errors } = await forbidden(await post({ jobs: [{ task: "any" }, { task: "tuned" }] }));
    expect(errors).toEqual([{ path: "jobs[1].task", message: expect.stringContaining("may enqueue: any") }]);
    // Not told which tasks there are.
    expect((await forbidden(await post({ task: "anyy" }))).detail).not.toContain("any?");
    expect(await jobsIn("q-tasks")).toBe(1);
  });

  it("gives the options that it may, none by default; an idempotency key always", async () => {
    const none = await tokenOf({ role: "producer" });
    const some = await tokenOf({ role: "producer", options: ["delay", "meta"] });
    const post = (token: string, job: object, headers = {}) =>
      askAs(token, jobsOf("q-options"), { body: { task: "any", ...job }, headers });
    const OPTIONS = {
      ...{ priority: 1, runAt: "2026-01-01T00:00:00Z", delay: "1h", maxAttempts: 1, timeout: "1s", expiresIn: "1h" },
      ...{ backoff: { type: "fixed", delay: "1s" }, tags: [], meta: {}, keys: { a: "b" }, cost: { a: 1 } },
      ...{ orderingKey: "k", fairKey: "k", deadline: "1h", unique: { key: "k" } },
    };
    for (const [option, value] of Object.entries(OPTIONS)) {
      const { errors } = await forbidden(await post(none, { [option]: value }));
      expect(errors).toEqual([{ path: option, message: expect.stringContaining("may give none") }]);
    }
    const { errors } = await forbidden(await post(some, { delay: "1h", priority: 3 }));
    expect(errors).toEqual([{ path: "priority", message: expect.stringContaining("delay, meta") }]);
    expect((await post(some, { delay: "1h", meta: { a: 1 } })).status).toBe(201);
    await problem(await post(none, { speed: 1 }), 400, "invalid_request");
    const key = { "idempotency-key": "once" };
    const first = await answer<EnqueuedJob>(await post(none, {}, key), 201);
    const second = await post(none, {}, key);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
    expect(await answer<EnqueuedJob>(second, 201)).toEqual(first);
    // The key of another token is another key.
    expect((await answer<EnqueuedJob>(await post(some, {}, key), 201)).id).not.toBe(first.id);
  });

  it("has its pinned fields filled in, and may not give others", async () => {
    const pin = { user: "ada", where: { list: [1, { a: null }] }, ["__proto__"]: "x" };
    Object.defineProperty(pin, "__proto__", { value: "x", enumerable: true });
    const token = await tokenOf({ role: "producer", pin });
    const post = (raw: string) => askAs(token, jobsOf("q-pin"), { raw });
    const payloadOf = async (raw: string) => {
      const { id } = await answer<EnqueuedJob>(await post(raw), 201);
      return JSON.stringify((await getJob(id)).payload);
    };
    const filled = '"user":"ada","where":{"list":[1,{"a":null}]},"__proto__":"x"';
    expect(await payloadOf('{"task":"any"}')).toBe(`{${filled}}`);
    expect(await payloadOf('{"task":"any","payload":{"n":1}}')).toBe(`{"n":1,${filled}}`);
    const same = '{"task":"any","payload":{"where":{"list":[1,{"a":null}]},"user":"ada"}}';
    expect(JSON.parse(await payloadOf(same))).toMatchObject({ user: "ada" });
    for (const [payload, path] of [
      ['{"user":"bob"}', "payload.user"],
      ['{"user":null}', "payload.user"],
      ['{"user":["ada"]}', "payload.user"],
      ['{"where":{"list":[1,{"a":null,"b":1}]}}', "payload.where"],
      ['{"where":{"list":[1]}}', "payload.where"],
      ['{"__proto__":"y"}', "payload.__proto__"],
      ["null", "payload"],
      ["[]", "payload"],
      ['"ada"', "payload"],
    ]) {
      const { errors } = await forbidden(await post(`{"jobs":[{"task":"any"},{"task":"any","payload":${payload}}]}`));
      expect(errors![0]!.path).toBe(`jobs[1].${path}`);
    }
    expect(await jobsIn("q-pin")).toBe(3);
  });

  it("enqueues at its rate into each queue, and is told when to come again", async () => {
    const token = await tokenOf({ role: "producer", rate: { limit: 3, per: "1m" } });
    const post = (queue: string, count: number) =>
      askAs(token, jobsOf(queue), { body: { jobs: Array(count).fill({ task: "any" }) } });
    expect((await post("q-rate", 2)).status).toBe(201);
    const early = await post("q-rate", 2);
    expect(Number(early.headers.get("retry-after"))).toBeGreaterThan(15);
    expect(Number(early.headers.get("retry-after"))).toBeLessThanOrEqual(20);
    await problem(early, 429, "rate_limited");
    expect((await post("q-rate", 1)).status).toBe(201);
    expect((await post("q-rate-2", 3)).status).toBe(201);
    // More at once than it may ever: no waiting helps.
    expect((await forbidden(await post("q-rate-3", 4))).detail).toContain("at most 3 jobs at once");
    expect(await jobsIn("q-rate")).toBe(3);
  });

  it("changes nothing of a job that is not its own, by whatever it sends", async () => {
    const { id } = await enqueue("q-safe", { task: "any" });
    const token = await tokenOf({ role: "producer" });
    for (const [method, path] of [
      ["POST", "/cancel"],
      ["POST", "/retry"],
      ["DELETE", ""],
    ] as const) {
      await forbidden(await askAs(token, `/v1/jobs/${id}${path}`, { method }));
    }
    expect((await claim("q-safe")).jobs).toHaveLength(1);
  });
});
