import { describe, expect, it } from "vitest";
import { readCors } from "../../../worker/middleware/cors.ts";
import { createMillrace } from "../../../worker/millrace.ts";
import { route } from "../../../worker/routes/route.ts";
import { appWith, ask, DEPS, migrated, problem } from "../api/support.ts";

migrated();

const PAGE = "https://app.example.com";
const appFor = (...origins: string[]) => appWith({ config: { ...DEPS.config, cors: readCors({ origins }) } });
const [none, exact, any] = [appFor(), appFor(PAGE, "http://localhost:5173"), appFor("*")];

const headersOf = ({ headers }: Response) => ({
  origin: headers.get("access-control-allow-origin"),
  exposed: headers.get("access-control-expose-headers"),
  vary: headers.get("vary"),
});
const EXPOSED = "X-Request-Id, Retry-After, Idempotency-Replayed";
const NOTHING = { origin: null, exposed: null, vary: null };
const UNNAMED = { ...NOTHING, vary: "Origin" };
const NAMED = { origin: PAGE, exposed: EXPOSED, vary: "Origin" };
const ANY = { origin: "*", exposed: EXPOSED, vary: null };

const CASES = [
  ["none", none, PAGE, NOTHING],
  ["named", exact, PAGE, NAMED],
  ["named", exact, null, UNNAMED],
  ["named", exact, `${PAGE}.evil.example`, UNNAMED],
  ["named", exact, "http://app.example.com", UNNAMED],
  ["named", exact, "https://app.example.com:8443", UNNAMED],
  ["named", exact, "null", UNNAMED],
  ["any", any, "https://whoever.example", ANY],
  ["any", any, null, ANY],
] as const;

describe.each(CASES)("origins %s, asked by %#", (_name, fetch, origin, expected) => {
  it(`from ${origin}`, async () => {
    const headers = { origin };
    for (const [path, more, status] of [
      ["/v1/queues", {}, 200],
      ["/v1/queues", { authorization: null }, 401],
      ["/v1/jobs/q-x:0:9", {}, 404],
      ["/nowhere", {}, 404],
      ["/healthz", { authorization: null }, 200],
    ] as const) {
      const response = await ask(path, { fetch, headers: { ...headers, ...more } });
      expect([response.status, headersOf(response)]).toEqual([status, expected]);
      expect(response.headers.get("access-control-allow-credentials")).toBeNull();
      await response.body?.cancel();
    }
  });

  it(`before a call from ${origin}, without a token`, async () => {
    const asks = { origin, "access-control-request-method": "POST", authorization: null };
    const response = await ask("/v1/queues/q-cors/jobs", { method: "OPTIONS", fetch, headers: asks });
    expect(headersOf(response)).toEqual(expected);
    const allowed = response.headers.get("access-control-allow-headers");
    if (expected.origin === null) expect(allowed).toBeNull();
    else {
      expect(response.status).toBe(204);
      const names = allowed!.toLowerCase().split(", ");
      const wanted = ["authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"];
      expect(names.sort()).toEqual([...wanted, "millrace-request-id"].sort());
      expect(response.headers.get("access-control-allow-methods")).toContain("DELETE");
      expect(response.headers.get("x-request-id")).toMatch(/./);
    }
    if (expected === NOTHING) await problem(response, 401, "unauthorized");
    else expect(await response.text()).toBe("");
  });
});

it("streams have the headers too", async () => {
  const { ROUTES } = await import("../../../worker/app.ts");
  const stream = route({
    method: "get",
    path: "/stream",
    roles: ["admin"],
    summary: "",
    answers: {},
    errors: [],
    handle: async () => ({ ok: true, response: new Response(new Blob(["data: 1\n\n"]).stream(), { status: 200 }) }),
  });
  ROUTES.push(stream);
  try {
    const response = await ask("/stream", { fetch: appFor(PAGE), headers: { origin: PAGE, "x-request-id": "mine" } });
    expect(headersOf(response)).toEqual(NAMED);
    expect(response.headers.get("x-request-id")).toBe("mine");
    expect(await response.text()).toBe("data: 1\n\n");
  } finally {
    ROUTES.splice(ROUTES.indexOf(stream), 1);
  }
});

describe("the config", () => {
  it("is checked when the Worker starts", () => {
    for (const origins of [
      ...[["https://a.example/"], ["https://a.example/x"], ["a.example"], ["https://A.example"], ["null"], [""]],
      ...[["https://a.example:443"], ["https://*.a.example"], ["*", "https://a.example"], [5], "https://a.example"],
    ]) {
      expect(() => createMillrace({ tasks: [], cors: { origins: origins as string[] } }), String(origins)).toThrow(
        /cors\.origins/,
      );
    }
    expect(() => createMillrace({ tasks: [], cors: { origins: [], credentials: true } as never })).toThrow(
      /credentials/,
    );
    for (const origins of [[], ["*"], ["http://localhost:5173", "https://a.example", "chrome-extension://abc"]])
      expect([...readCors({ origins })]).toEqual(origins);
    expect([...DEPS.config.cors]).toEqual([]);
  });
});
