import { describe, expect, it } from "vitest";
import type { QueueRpc } from "../../../client/wire.ts";
import type { HistoryReads } from "../../../worker/history-reads.ts";
import {
  answer,
  appWith,
  ask,
  DEPS,
  db,
  deployed,
  enqueue,
  type Fetch,
  migrated,
  problem,
  stubOf,
  TOKEN,
} from "./support.ts";

migrated();

const job = { task: "any", delay: "1h" };

describe("who may call", () => {
  const status = async (authorization: string | null, fetch?: Fetch) =>
    (await ask("/v1/queues", { headers: { authorization }, fetch })).status;

  it.each([
    ["the token", `Bearer ${TOKEN}`, 200],
    ["in another case of the scheme", `bearer ${TOKEN}`, 200],
    ["nothing", null, 401],
    ["an empty header", "", 401],
    ["no scheme", TOKEN, 401],
    ["another scheme", `Basic ${TOKEN}`, 401],
    ["an empty token", "Bearer ", 401],
    ["a wrong token", `Bearer ${"x".repeat(TOKEN.length)}`, 401],
    ["the token cut", `Bearer ${TOKEN.slice(0, -1)}`, 401],
    ["the token and more", `Bearer ${TOKEN}x`, 401],
    ["two tokens", `Bearer ${TOKEN} ${TOKEN}`, 401],
    ["a very long one", `Bearer ${"x".repeat(10_000)}`, 401],
  ])("%s", async (_, authorization, expected) => {
    expect(await status(authorization)).toBe(expected);
    expect(await status(authorization, deployed)).toBe(expected);
  });

  it("says so in a problem, before anything else of the request is looked at", async () => {
    const bare = { headers: { authorization: null } };
    for (const path of ["/v1/queues", "/v1/nowhere", "/metrics", "/openapi.json", "/v1/jobs/bad id", "/"]) {
      const refused = await ask(path, bare);
      expect(refused.headers.get("www-authenticate")).toMatch(/^Bearer/);
      await problem(refused, 401, "unauthorized");
    }
    await problem(await ask("/v1/queues/q-auth/jobs", { body: job, ...bare }), 401, "unauthorized");
  });

  it.each([undefined, "", "short", "x".repeat(31)])("nobody, with %j configured", async (token) => {
    const fetch = appWith({ token: () => token });
    for (const given of [undefined, "", token]) {
      const headers = { authorization: given === undefined ? null : `Bearer ${given}` };
      const refused = await ask("/v1/queues", { headers, fetch });
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      await problem(refused, 503, "not_configured");
    }
    expect((await ask("/healthz", { headers: { authorization: null }, fetch })).status).toBe(200);
  });
});

describe("paths and methods", () => {
  it("404 for paths that are none", async () => {
    for (const path of ["/", "/v1", "/v1/", "/v2/jobs", "/v1/queues/", "/v1/jobs/a:0:1/x", "/V1/jobs", "//v1/jobs"]) {
      await problem(await ask(path), 404, "not_found");
    }
  });

  it.each([
    ["PUT", "/v1/jobs", "POST, GET, HEAD"],
    ["PUT", "/v1/queues/a", "GET, DELETE, HEAD"],
    ["GET", "/v1/queues/a/jobs", "POST"],
    ["PATCH", "/v1/jobs/a:0:1", "GET, DELETE, HEAD"],
    ["OPTIONS", "/v1/queues", "GET, HEAD"],
    ["POST", "/healthz", "GET, HEAD"],
    ["POST", "/v1/queues/a/config", "PATCH"],
  ])("405 for %s %s", async (method, path, allow) => {
    const refused = await ask(path, { method });
    expect(refused.headers.get("allow")).toBe(allow);
    await problem(refused, 405, "method_not_allowed");
  });

  it.each([["POST", "/v1/hooks/github"]])("400 for %s %s, which comes later", async (method, path) => {
    expect((await problem(await ask(path, { method }), 400, "invalid_request")).detail).toContain("not built yet");
  });

  it("answers HEAD as GET without a body", async () => {
    const head = await ask("/v1/queues", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  it("404 for queues that are not declared, and names those that are", async () => {
    const refused = [
      await ask("/v1/queues/elsewhere/jobs", { body: job }),
      await ask("/v1/jobs", { body: { ...job, queue: "elsewhere" } }),
      await ask("/v1/queues/elsewhere"),
      await ask("/v1/queues/elsewhere/pause", { method: "POST" }),
      await ask("/v1/queues/elsewhere/config", { method: "PATCH", body: {} }),
      await ask("/v1/jobs?queue=elsewhere"),
    ];
    for (const response of refused) {
      expect((await problem(response, 404, "not_found")).detail).toContain("q-*");
    }
  });

  it("serves below a base path, whether or not a router has stripped it", async () => {
    const fetch = appWith({ config: { ...DEPS.config, basePath: "/jobs" } });
    for (const path of ["/jobs/v1/queues", "/v1/queues"]) expect((await ask(path, { fetch })).status).toBe(200);
    await problem(await ask("/jobsv1/queues", { fetch }), 404, "not_found");
    await problem(await ask("/jobs", { fetch }), 404, "not_found");
  });
});

describe("bodies", () => {
  const path = "/v1/queues/q-bodies/jobs";

  it.each([
    ["application/json", 201],
    ["Application/JSON; charset=UTF-8", 201],
    ["application/vnd.api+json", 201],
    ["text/plain", 415],
    ["application/x-www-form-urlencoded", 415],
    ["application/json; charset=latin1", 415],
    ["application/jsonp", 415],
    [null, 415],
  ])("Content-Type %s: %d", async (type, status) => {
    const response = await ask(path, {
      raw: new TextEncoder().encode(JSON.stringify(job)),
      headers: { "content-type": type },
    });
    if (status === 201) await answer(response, 201);
    else await problem(response, 415, "unsupported_media_type");
  });

  it("415 for a compressed one", async () => {
    await problem(
      await ask(path, { body: job, headers: { "content-encoding": "gzip" } }),
      415,
      "unsupported_media_type",
    );
  });

  const mebibyte = new Uint8Array(1024 * 1024).fill(0x20);
  const stream = (mebibytes: number) => {
    let left = mebibytes;
    return new ReadableStream({
      pull(controller) {
        if (left-- > 0) controller.enqueue(mebibyte);
        else controller.close();
      },
    });
  };

  it("413 over 8 MiB, counted as it streams in", async () => {
    await problem(await ask(path, { raw: stream(9) }), 413, "payload_too_large");
    await problem(await ask(path, { raw: " ".repeat(8 * 1024 * 1024 + 1) }), 413, "payload_too_large");
    await problem(await ask(path, { raw: stream(8) }), 400, "invalid_request");
  });

  it("413 for a payload over 128 KiB, in bytes", async () => {
    const fits = { ...job, payload: "x".repeat(128 * 1024 - 2) };
    expect((await ask(path, { body: fits })).status).toBe(201);
    for (const payload of ["x".repeat(128 * 1024 - 1), "é".repeat(64 * 1024)]) {
      const refused = await ask(path, { body: { jobs: [job, { ...job, payload }] } });
      expect((await problem(refused, 413, "payload_too_large")).errors![0]!.path).toBe("jobs[1].payload");
    }
    const roomy = appWith({ config: { ...DEPS.config, maxPayloadBytes: 512 * 1024 } });
    expect((await ask(path, { body: { ...job, payload: "x".repeat(500_000) }, fetch: roomy })).status).toBe(201);
  });

  it("422 for an unknown task, with the name that was probably meant", async () => {
    const near = await problem(await ask(path, { body: { task: "greeet" } }), 422, "unknown_task");
    expect(near.detail).toContain('"greet"');
    const far = await problem(await ask(path, { body: { jobs: [job, { task: "zzzzzz" }] } }), 422, "unknown_task");
    expect(far.errors).toEqual([{ path: "jobs[1].task", message: "is not known" }]);
    await problem(await ask(path, { body: { task: "constructor" } }), 422, "unknown_task");
  });

  it("takes __proto__ in a payload for a name like any other", async () => {
    const raw = '{"task":"any","delay":"1h","payload":{"__proto__":{"a":1},"b":1,"b":2}}';
    const { id } = await answer<{ id: string }>(await ask(path, { raw }), 201);
    const text = await (await ask(`/v1/jobs/${id}`)).text();
    expect(text).toContain('"payload":{"__proto__":{"a":1},"b":2}');
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });

  it("takes what looks like half a surrogate pair and is none", async () => {
    const payload = { a: "\\ud800", "😀": "\u0000\u2028" };
    const { id } = await enqueue("q-bodies", { ...job, payload });
    expect((await answer<{ payload: unknown }>(await ask(`/v1/jobs/${id}`))).payload).toEqual(payload);
  });
});

describe("request ids", () => {
  it.each(["abc-123", "01J.x_y", "a".repeat(64)])("keeps %s", async (id) => {
    expect((await ask("/v1/queues", { headers: { "x-request-id": id } })).headers.get("x-request-id")).toBe(id);
  });

  it.each(["a b", "a".repeat(65), "<script>", ""])("replaces %j", async (id) => {
    const given = (await ask("/v1/nowhere", { headers: { "x-request-id": id } })).headers.get("x-request-id");
    expect(given).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("when a part fails", () => {
  const outage = Object.assign(new Error("Network connection lost."), { retryable: true });
  const secret = new Error("SECRET in /src/worker.ts:1:2");
  const failing = (error: Error) =>
    new Proxy({}, { get: () => () => Promise.reject(error) }) as QueueRpc & HistoryReads;
  const paths = ["/v1/jobs?queue=q-fail", "/v1/jobs/q-fail:0:1", "/v1/queues/q-fail"];

  it("503 for an object that is out of reach, with Retry-After", async () => {
    const fetch = appWith({ stub: () => failing(outage) });
    for (const path of paths) {
      const refused = await ask(path, { fetch });
      expect(refused.headers.get("retry-after")).toBe("1");
      await problem(refused, 503, "unavailable");
    }
    await problem(await ask("/v1/queues/q-fail/jobs", { body: job, fetch }), 503, "unavailable");
  });

  it("503 for a database that is out of reach, where only it knows", async () => {
    const fetch = appWith({
      history: () => failing(new Error("D1_ERROR: D1 DB is overloaded. Requests queued for too long.")),
    });
    for (const path of ["/v1/jobs", "/v1/queues", "/v1/jobs/q-fail:0:1", "/metrics", "/v1/history/summary"]) {
      await problem(await ask(path, { fetch }), 503, "unavailable");
    }
    await answer(await ask("/v1/queues/q-fail/jobs", { body: job, fetch }), 201);
    await answer(await ask("/v1/queues/q-fail", { fetch }));
    await answer(await ask("/v1/queues/q-fail/pause", { method: "POST", fetch }));
  });

  it.each([
    ["a table", "/v1/queues", "ALTER TABLE queues RENAME TO gone", "ALTER TABLE gone RENAME TO queues"],
    ["a column", "/v1/jobs", "ALTER TABLE history RENAME task TO gone", "ALTER TABLE history RENAME gone TO task"],
  ])("503 that names the command where D1 lacks %s", async (_what, path, take, giveBack) => {
    await db.exec(take);
    try {
      const command =
        /^(Not all is well\. )?D1 lacks migrations: run `npx wrangler d1 migrations apply <database>` with --local/;
      for (const one of [path, "/healthz"]) {
        const { detail } = await problem(await ask(one, { fetch: appWith() }), 503, "unavailable");
        expect(detail).toMatch(command);
      }
    } finally {
      await db.exec(giveBack);
    }
  });

  it("500 for a mistake of ours, logged with the request's id and told to nobody", async () => {
    const lines: { event: string; fields: Record<string, unknown> }[] = [];
    const fetch = appWith({
      stub: () => failing(secret),
      log: (_level, event, fields) => lines.push({ event, fields }),
    });
    const headers = { "x-request-id": "find-me" };
    const refused = await problem(await ask("/v1/queues/q-fail", { fetch, headers }), 500, "internal");
    expect(JSON.stringify(refused)).not.toMatch(/SECRET|worker\.ts/);
    expect(refused.detail).toContain("find-me");
    expect(lines).toEqual([
      {
        event: "request_failed",
        fields: expect.objectContaining({ requestId: "find-me", status: 500, error: secret }),
      },
    ]);
  });

  it("does not log what is the caller's", async () => {
    const lines: string[] = [];
    const fetch = appWith({ log: (_level, event) => lines.push(event) });
    await ask("/v1/nowhere", { fetch });
    await ask("/v1/queues/q-fail/jobs", { raw: "{", fetch });
    await ask("/v1/queues", { fetch });
    expect(lines).toEqual([]);
  });

  it("passes on the object's own refusals", async () => {
    const stub = new Proxy(stubOf("q-fail"), {
      get: () => async () => ({ ok: false, code: "unavailable", detail: "It kept changing: try again" }),
    });
    const refused = await ask("/v1/jobs/q-fail:0:1/cancel", { method: "POST", fetch: appWith({ stub: () => stub }) });
    expect(refused.headers.get("retry-after")).toBe("1");
    await problem(refused, 503, "unavailable");
  });
});
