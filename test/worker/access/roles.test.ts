import { beforeAll, describe, expect, it } from "vitest";
import type { Role } from "../../../client/types.ts";
import { ROUTES } from "../../../worker/app.ts";
import { ok, route } from "../../../worker/routes/route.ts";
import { answer, ask, migrated, problem } from "../api/support.ts";
import { askAs, made } from "./support.ts";

migrated();

const ROLES = ["admin", "operator", "producer", "worker", "viewer"] as const satisfies Role[];

/** Who may call what. A new route is written down here too. */
const MAY: Record<string, readonly Role[]> = {
  "POST /v1/queues/{queue}/jobs": ["admin", "operator", "producer"],
  "POST /v1/jobs": ["admin", "operator", "producer"],
  "GET /v1/jobs": ["admin", "operator", "viewer"],
  "GET /v1/jobs/{id}": ["admin", "operator", "viewer", "producer"],
  "GET /v1/jobs/{id}/explain": ["admin", "operator", "viewer", "producer"],
  "GET /v1/jobs/{id}/events": ["admin", "operator", "viewer", "producer"],
  "GET /v1/jobs/{id}/logs": ["admin", "operator", "viewer", "producer"],
  "POST /v1/jobs/{id}/cancel": ["admin", "operator"],
  "POST /v1/jobs/{id}/retry": ["admin", "operator"],
  "DELETE /v1/jobs/{id}": ["admin", "operator"],
  "GET /v1/queues": ["admin", "operator", "viewer"],
  "GET /v1/queues/{queue}": ["admin", "operator", "viewer"],
  "GET /v1/queues/{queue}/events": ["admin", "operator", "viewer"],
  "POST /v1/queues/{queue}/pause": ["admin", "operator"],
  "POST /v1/queues/{queue}/resume": ["admin", "operator"],
  "PATCH /v1/queues/{queue}/config": ["admin", "operator"],
  "GET /v1/queues/{queue}/limits": ["admin", "operator", "viewer"],
  "PUT /v1/queues/{queue}/limits/{kind}/{value}/pause": ["admin", "operator"],
  "DELETE /v1/queues/{queue}/limits/{kind}/{value}/pause": ["admin", "operator"],
  "POST /v1/queues/{queue}/drain": ["admin", "operator"],
  "POST /v1/queues/{queue}/purge": ["admin", "operator"],
  "DELETE /v1/queues/{queue}": ["admin", "operator"],
  "POST /v1/operations": ["admin", "operator"],
  "GET /v1/operations": ["admin", "operator", "viewer"],
  "GET /v1/operations/{id}": ["admin", "operator", "viewer"],
  "DELETE /v1/operations/{id}": ["admin", "operator"],
  "GET /v1/errors": ["admin", "operator", "viewer"],
  "GET /v1/queues/{queue}/schedules": ["admin", "operator", "viewer"],
  "GET /v1/queues/{queue}/schedules/{name}": ["admin", "operator", "viewer"],
  "PUT /v1/queues/{queue}/schedules/{name}": ["admin", "operator"],
  "DELETE /v1/queues/{queue}/schedules/{name}": ["admin", "operator"],
  "POST /v1/queues/{queue}/schedules/{name}/run": ["admin", "operator"],
  "POST /v1/queues/{queue}/schedules/{name}/pause": ["admin", "operator"],
  "POST /v1/queues/{queue}/schedules/{name}/resume": ["admin", "operator"],
  "POST /v1/queues/{queue}/schedules/{name}/backfill": ["admin", "operator"],
  "GET /v1/history/summary": ["admin", "operator", "viewer"],
  "GET /metrics": ["admin", "operator", "viewer"],
  "POST /v1/queues/{queue}/exchange": ["admin", "worker"],
  "GET /v1/queues/{queue}/connect": ["admin", "worker"],
  "POST /v1/tokens": ["admin"],
  "GET /v1/tokens": ["admin"],
  "DELETE /v1/tokens/{id}": ["admin"],
  "GET /v1/audit": ["admin"],
  "GET /openapi.json": ROLES,
};

const PARAMS: Record<string, string> = {
  queue: "q-roles",
  id: "q-roles:0:999",
  name: "nightly",
  kind: "tenant",
  value: "acme",
};

/** A path of the route that says nothing of any job or queue that others use. */
const pathOf = (template: string) =>
  template
    .replace("tokens/{id}", "tokens/tok-000000000-ffffffffffffffff")
    .replaceAll(/\{(\w+)\}/g, (_, name) => PARAMS[name]!);

const nameOf = ({ method, path }: { method: string; path: string }) => `${method.toUpperCase()} ${path}`;

describe("every route", () => {
  it("is in the table of roles, and in the contract", async () => {
    const served = ROUTES.map(nameOf);
    expect(Object.keys(MAY).sort()).toEqual([...served, "GET /openapi.json"].sort());
    const { paths } = await answer<{ paths: Record<string, object> }>(await ask("/openapi.json"));
    const told = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => nameOf({ method, path })),
    );
    expect(told.sort()).toEqual([...Object.keys(MAY), "GET /healthz"].sort());
  });

  it("names its roles, or does not compile", () => {
    const about = {
      method: "get",
      path: "/x",
      summary: "",
      answers: {},
      errors: [],
      handle: async () => ok(null),
    } as const;
    expect(route({ ...about, errors: [], roles: ["admin"] }).roles).toEqual(["admin"]);
    // @ts-expect-error: who may call it?
    expect(route({ ...about, errors: [] }).roles).toBeUndefined();
    // @ts-expect-error: there is no such role
    expect(route({ ...about, errors: [], roles: ["root"] }).roles).toEqual(["root"]);
  });
});

const tokens = new Map<Role, string>();
beforeAll(async () => {
  for (const role of ROLES) tokens.set(role, (await made({ role })).token);
});

describe.each(ROLES)("%s", (role) => {
  it.each(Object.keys(MAY))("%s", async (name) => {
    const [method, template] = name.split(" ") as [string, string];
    const response = await askAs(tokens.get(role)!, pathOf(template), { method });
    if (MAY[name]!.includes(role)) {
      // It may be refused for what it asks for, but not for who asks.
      expect([401, 403]).not.toContain(response.status);
      await response.body?.cancel();
      return;
    }
    const { detail } = await problem(response, 403, "forbidden");
    expect(detail).toContain(`this one is of role ${role}`);
    for (const needed of MAY[name]!) expect(detail).toContain(needed);
  });

  it("GET /healthz, which needs no token", async () => {
    expect((await askAs(tokens.get(role)!, "/healthz")).status).toBe(200);
  });
});

it("the server's own token may do all of it", async () => {
  for (const name of Object.keys(MAY)) {
    const [method, template] = name.split(" ") as [string, string];
    const response = await ask(pathOf(template), { method });
    expect([401, 403], name).not.toContain(response.status);
    await response.body?.cancel();
  }
});

it("nobody does anything without one", async () => {
  for (const name of Object.keys(MAY)) {
    const [method, template] = name.split(" ") as [string, string];
    await problem(await ask(pathOf(template), { method, headers: { authorization: null } }), 401, "unauthorized");
  }
});
