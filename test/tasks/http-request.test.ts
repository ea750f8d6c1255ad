import { describe, expect, it } from "vitest";
import type { Json } from "../../client/types.ts";
import { http } from "../../worker/tasks/http.ts";

const url = "https://api.example.com/";
const { input } = http({ allow: ["https://*"] });

/** The paths and messages of what is wrong with a payload. */
async function problems(payload: unknown): Promise<string[]> {
  const { issues = [] } = await input!["~standard"].validate(payload);
  return issues.map(({ path = [], message }) => `${path.join(".")}: ${message}`);
}

describe("http: payloads", () => {
  it("fills in defaults, and leaves a checked payload as it is", async () => {
    const once = await input!["~standard"].validate({ url });
    expect(once).toEqual({ value: { url, method: "POST", timeout: "30s" } });
    expect(await input!["~standard"].validate((once as { value: unknown }).value)).toEqual(once);
  });

  it.each<[Json]>([
    [{ url, method: "GET" }],
    [{ url, method: "GET", body: null }],
    [{ url, method: "DELETE", body: { why: "x" } }],
    [{ url, headers: {}, body: "text", timeout: "5m" }],
    [{ url, headers: { "x-a": "tab\tand space", Cookie: "a=1", "content-type": "text/csv" } }],
  ])("takes %j", async (payload) => {
    expect(await problems(payload)).toEqual([]);
  });

  it.each<[unknown, RegExp]>([
    [undefined, /^: /],
    [null, /^: /],
    ["https://example.com", /^: /],
    [[], /^: /],
    [{}, /^url: /],
    [{ url: 1 }, /^url: /],
    [{ url: "http://example.com" }, /^url: .*no pattern/],
    [{ url: "https://10.0.0.1" }, /^url: .*private/],
    [{ url, extra: 1 }, /extra/],
    [{ url, method: "get" }, /^method: /],
    [{ url, method: "CONNECT" }, /^method: /],
    [{ url, method: "TRACE" }, /^method: /],
    [{ url, method: "GET /x HTTP/1.1\r\nHost: evil" }, /^method: /],
    [{ url, method: "GET", body: "x" }, /^body: a GET request has no body/],
    [{ url, method: "HEAD", body: {} }, /^body: /],
    [{ url, timeout: "0ms" }, /^timeout: .*"1ms" to "5m"/],
    [{ url, timeout: "6m" }, /^timeout: /],
    [{ url, timeout: "30" }, /^timeout: /],
    [{ url, timeout: 30 }, /^timeout: /],
    [{ url, timeout: null }, /^timeout: /],
    [{ url, headers: [] }, /^headers: /],
    [{ url, headers: { a: 1 } }, /^headers\.a: /],
    [{ url, headers: { "": "x" } }, /not a header name/],
    [{ url, headers: { "a b": "x" } }, /^headers\.a b: not a header name/],
    [{ url, headers: { "a:b": "x" } }, /not a header name/],
    [{ url, headers: { "a\r\nb": "x" } }, /not a header name/],
    [{ url, headers: { é: "x" } }, /not a header name/],
    [{ url, headers: { a: "x\r\nInjected: 1" } }, /^headers\.a: .*printable ASCII/],
    [{ url, headers: { a: "\0" } }, /printable ASCII/],
    [{ url, headers: { a: "ü" } }, /printable ASCII/],
    [{ url, headers: { "X-A": "1", "x-a": "2" } }, /^headers\.x-a: the same header twice/],
    [{ url, headers: { a: "x".repeat(17_000) } }, /^headers: .*at most 16384/],
  ])("refuses %j", async (payload, expected) => {
    expect((await problems(payload)).join("\n")).toMatch(expected);
  });

  it.each([
    "Host",
    "content-length",
    "Connection",
    "Keep-Alive",
    "Transfer-Encoding",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Real-IP",
    "CF-Connecting-IP",
    "CF-Worker",
    "Proxy-Authorization",
    "X-Millrace-Job",
    "x-millrace-anything",
    "Idempotency-Key",
  ])("refuses the header %s", async (name) => {
    expect(await problems({ url, headers: { [name]: "x" } })).toEqual([
      `headers.${name}: this header is set by Millrace or the connection; leave it out`,
    ]);
  });

  it("takes a deep body without running out of stack", async () => {
    let body: Json = null;
    for (let depth = 0; depth < 50_000; depth++) body = [body];
    expect(await problems({ url, body })).toEqual([]);
  });
});

it("says at once that a list of patterns is needed", () => {
  expect(() => http({} as never)).toThrow(/needs a list of URL patterns/);
  expect(() => http({ allow: "https://*" } as never)).toThrow(/needs a list/);
  expect(() => http({ allow: [1 as never] })).toThrow(TypeError);
});
