import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Ctx } from "../../client/context.ts";
import { isNonRetryable, retryAfterMs } from "../../client/thrown.ts";
import type { Json } from "../../client/types.ts";
import { type HttpResult, http, LOOPBACK } from "../../worker/tasks/http.ts";
import { type Answer, startReceiver } from "./receiver.ts";

const task = http({ allow: LOOPBACK });
let receiver: Awaited<ReturnType<typeof startReceiver>>;

beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.close());
beforeEach(() => receiver.answers((_, response) => response.end()));

function unused(): never {
  throw new Error("the http task has no keys");
}

function ctx(over: { signal?: AbortSignal; attempt?: number; reopenedFence?: number } = {}): Ctx {
  const { signal = new AbortController().signal, attempt = 1, reopenedFence = 0 } = over;
  const log = { info() {}, warn() {}, error() {} };
  const job = {
    id: "hooks:0:7",
    queue: "hooks",
    createdAt: new Date(),
    tags: [],
    meta: {},
    actor: null,
    reopenedFence,
  };
  return {
    job,
    attempt,
    fence: 3,
    signal,
    env: {},
    scheduledFor: null,
    log,
    progress() {},
    enqueue() {},
    rateLimited: () => unused(),
  };
}

/** Checks the payload as the queue does, and runs it. */
async function perform(payload: Json, context = ctx()): Promise<HttpResult> {
  const checked = await task.input!["~standard"].validate(payload);
  if (checked.issues) throw new Error(`refused: ${JSON.stringify(checked.issues)}`);
  return (await task.run(checked.value, context)) as HttpResult;
}

/** Runs it and gives what was thrown. */
async function failure(payload: Json, context = ctx()): Promise<Error> {
  return perform(payload, context).then(
    (result) => expect.unreachable(`completed: ${JSON.stringify(result)}`),
    (error: Error) => error,
  );
}

describe("http: what is sent", () => {
  it("posts JSON by default, with the headers that tell a receiver about the job", async () => {
    await perform({ url: `${receiver.url}/hook?x=1#part`, body: { a: [1, "é"] } }, ctx({ attempt: 4 }));
    const [{ method, url, headers, body }] = receiver.received as [(typeof receiver.received)[0]];
    expect([method, url, body]).toEqual(["POST", "/hook?x=1", '{"a":[1,"é"]}']);
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "idempotency-key": "hooks:0:7/0",
      "x-millrace-job": "hooks:0:7",
      "x-millrace-attempt": "4",
    });
  });

  it("keeps the idempotency key through attempts and changes it when the job is reopened", async () => {
    for (const over of [{ attempt: 1 }, { attempt: 2 }, { attempt: 1, reopenedFence: 9 }]) {
      await perform({ url: receiver.url }, ctx(over));
    }
    expect(receiver.received.map(({ headers }) => headers["idempotency-key"])).toEqual([
      "hooks:0:7/0",
      "hooks:0:7/0",
      "hooks:0:7/9",
    ]);
  });

  it.each<[Json, string, string | undefined]>([
    ["plain", "plain", "text/plain;charset=UTF-8"],
    ["", "", "text/plain;charset=UTF-8"],
    [0, "0", "application/json"],
    [false, "false", "application/json"],
    [[], "[]", "application/json"],
    [null, "", undefined],
  ])("sends the body %j", async (body, sent, type) => {
    await perform({ url: receiver.url, body });
    expect(receiver.received[0]).toMatchObject({ body: sent });
    expect(receiver.received[0]!.headers["content-type"]).toBe(type);
  });

  it("sends the method and headers that it is given", async () => {
    const headers = { "Content-Type": "application/x-ndjson", Authorization: "Bearer t", "X-Empty": "" };
    await perform({ url: receiver.url, method: "PUT", headers, body: { a: 1 } });
    expect(receiver.received[0]).toMatchObject({
      method: "PUT",
      headers: { "content-type": "application/x-ndjson", authorization: "Bearer t", "x-empty": "" },
    });
  });

  it.each(["GET", "HEAD", "PATCH", "DELETE", "OPTIONS"])("sends %s without a body", async (method) => {
    expect((await perform({ url: receiver.url, method })).status).toBe(200);
    expect(receiver.received[0]).toMatchObject({ method, body: "" });
  });
});

describe("http: what is kept of a 2xx", () => {
  it("keeps status, headers and body, without cookies and credentials", async () => {
    receiver.answers((_, response) => {
      response.writeHead(201, {
        "X-Trace": "t1",
        "Set-Cookie": ["a=1", "b=2"],
        "WWW-Authenticate": "Basic",
        "Proxy-Authenticate": "Basic",
        "Authentication-Info": "x",
        Authorization: "Bearer leaked",
      });
      response.end("made");
    });
    const result = await perform({ url: receiver.url });
    expect(result).toMatchObject({ status: 201, body: "made", headers: { "x-trace": "t1" } });
    expect(Object.keys(result.headers).filter((name) => /cookie|auth/.test(name))).toEqual([]);
  });

  it("keeps the first 8 KiB of headers", async () => {
    receiver.answers((_, response) => {
      for (let i = 0; i < 10; i++) response.setHeader(`a-${i}`, "x".repeat(1_000));
      response.end();
    });
    const { headers } = await perform({ url: receiver.url });
    expect(Object.keys(headers)).toContain("a-7");
    expect(JSON.stringify(headers).length).toBeLessThan(9 * 1024);
  });

  it("keeps an empty body of a 204", async () => {
    receiver.answers((_, response) => response.writeHead(204).end());
    expect(await perform({ url: receiver.url })).toMatchObject({ status: 204, body: "" });
  });

  it.each([
    ["ASCII", "a".repeat(20_000), 16_384],
    ["two bytes a character, at an odd offset", `a${"é".repeat(10_000)}`, 16_383],
    ["four bytes a character", `abc${"😀".repeat(5_000)}`, 16_383],
    ["exactly the limit", "a".repeat(16_384), 16_384],
    ["less", "äöü", 6],
  ])("cuts at 16 KiB without breaking a character: %s", async (_, text, bytes) => {
    receiver.answers((_, response) => response.end(text));
    const { body } = await perform({ url: receiver.url });
    expect(Buffer.byteLength(body)).toBe(bytes);
    expect(text.startsWith(body)).toBe(true);
  });

  it("keeps characters that arrive in pieces", async () => {
    const bytes = Buffer.from("x😀y");
    receiver.answers(async (_, response) => {
      for (const byte of bytes) await new Promise((sent) => response.write(Buffer.from([byte]), sent));
      response.end();
    });
    expect((await perform({ url: receiver.url })).body).toBe("x😀y");
  });

  it("shows bytes that are no text as replacement characters, within the limit", async () => {
    receiver.answers((_, response) => response.end(Buffer.alloc(20_000, 0xff)));
    const { body } = await perform({ url: receiver.url });
    expect(Buffer.byteLength(body)).toBeLessThanOrEqual(16_384);
    expect(new Set(body)).toEqual(new Set(["\ufffd"]));
  });

  it("reads no more than it needs of a body without end, and hangs up", async () => {
    let hungUp: () => void = () => {};
    const closed = new Promise<void>((resolve) => {
      hungUp = resolve;
    });
    receiver.answers((_, response) => {
      const pour = () => {
        while (!response.destroyed && response.write("z".repeat(65_536)));
      };
      response.on("drain", pour).on("close", hungUp);
      pour();
    });
    expect((await perform({ url: receiver.url })).body).toBe("z".repeat(16_384));
    await closed;
  });
});

describe("http: what fails", () => {
  const status =
    (code: number, headers: { [name: string]: string } = {}): Answer =>
    (_, response) =>
      response.writeHead(code, headers).end("because");

  it.each([408, 425, 429, 500, 502, 503, 504, 599])("%i is tried again by the job's own policy", async (code) => {
    receiver.answers(status(code));
    const error = await failure({ url: `${receiver.url}/a?token=secret` });
    expect(error.message).toMatch(new RegExp(`POST .*/a was answered ${code}; .* begins: because`));
    expect(error.message).not.toContain("secret");
    expect([isNonRetryable(error), retryAfterMs(error)]).toEqual([false, null]);
  });

  it.each([
    ["7", 7_000],
    ["0", 1_000],
    ["999999999999999999999", 86_400_000],
    [() => new Date(Date.now() + 600_000).toUTCString(), 600_000],
    ["Wed, 21 Oct 2015 07:28:00 GMT", 1_000],
    ["soon", null],
    ["-5", null],
    ["1.5", null],
    ["", null],
  ])("Retry-After: %s", async (header, expected) => {
    receiver.answers(status(503, { "retry-after": typeof header === "string" ? header : header() }));
    const waitMs = retryAfterMs(await failure({ url: receiver.url }));
    if (expected === null) return expect(waitMs).toBeNull();
    expect(Math.abs(waitMs! - expected)).toBeLessThanOrEqual(typeof header === "string" ? 0 : 5_000);
  });

  it.each([300, 304, 400, 401, 403, 404, 410, 422, 451])("%i makes the job dead and says so", async (code) => {
    receiver.answers(status(code));
    const error = await failure({ url: receiver.url });
    expect(isNonRetryable(error)).toBe(true);
    expect(error.message).toContain(`was answered ${code}`);
  });

  it.each([301, 302, 303, 307, 308])("a redirect (%i) is never followed", async (code) => {
    receiver.answers(status(code, { location: "/elsewhere" }));
    const error = await failure({ url: receiver.url });
    expect(isNonRetryable(error)).toBe(true);
    expect(error.message).toMatch(/redirects are not followed/);
    expect(error.message).toContain("to /elsewhere");
    expect(receiver.received.map(({ url }) => url)).toEqual(["/"]);
  });

  it("a connection that is cut before or in the body is tried again", async () => {
    receiver.answers((_, response) => response.destroy());
    const before = await failure({ url: receiver.url });
    receiver.answers((_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    });
    const within = await failure({ url: receiver.url });
    for (const error of [before, within]) {
      expect(error.message).toMatch(/got no full answer: ./);
      expect(isNonRetryable(error)).toBe(false);
    }
  });

  it("a port on which nobody listens is tried again, and says why", async () => {
    const other = await startReceiver();
    await other.close();
    const error = await failure({ url: other.url });
    expect(error.message).toMatch(/ECONNREFUSED/);
    expect(isNonRetryable(error)).toBe(false);
  });

  it.each<[string, Answer]>([
    ["no status", () => {}],
    ["no end of the body", (_, response) => void response.writeHead(200).write("x")],
  ])("its own timeout ends a request with %s", async (_, answer) => {
    receiver.answers(answer);
    const error = await failure({ url: receiver.url, timeout: "100ms" });
    expect(error.message).toMatch(/not answered in full within 100ms/);
    expect(isNonRetryable(error)).toBe(false);
  });

  it("a refusal counts although its body never ends", async () => {
    receiver.answers((_, response) => void response.writeHead(404).write("x"));
    expect(isNonRetryable(await failure({ url: receiver.url, timeout: "200ms" }))).toBe(true);
  });

  it("the attempt's signal ends a request with the signal's reason", async () => {
    const over = new AbortController();
    receiver.answers(() => over.abort(new Error("cancelled")));
    expect((await failure({ url: receiver.url }, ctx({ signal: over.signal }))).message).toBe("cancelled");
  });

  it("a URL that the configuration no longer allows makes the job dead without a request", async () => {
    const stricter = http({ allow: ["https://*.example.com"] });
    const request = { url: receiver.url, method: "POST", timeout: "30s" } as const;
    const error = await Promise.resolve(stricter.run(request, ctx())).catch((thrown: Error) => thrown);
    expect(isNonRetryable(error)).toBe(true);
    expect(receiver.received).toEqual([]);
  });
});

it("sends through an injected fetch, with redirects left alone", async () => {
  const calls: [string, RequestInit][] = [];
  const fake = http({
    allow: ["https://*"],
    fetch: async (url, init) => {
      calls.push([url, init]);
      return new Response("ok");
    },
  });
  const request = { url: "https://EXAMPLE.com:443/a", method: "POST", timeout: "30s" } as const;
  expect(await fake.run(request, ctx())).toMatchObject({ status: 200, body: "ok" });
  expect(calls[0]![0]).toBe("https://example.com/a");
  expect(calls[0]![1]).toMatchObject({ redirect: "manual", method: "POST" });
});
