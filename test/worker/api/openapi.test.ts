import { beforeAll, expect, it } from "vitest";
import { answer, ask, enqueue, migrated } from "./support.ts";

migrated();

interface Operation {
  operationId: string;
  summary: string;
  security?: object[];
  parameters?: { name: string; in: string; required?: boolean; schema: object }[];
  requestBody?: { required?: boolean; content: { [media: string]: { schema: object } } };
  responses: {
    [status: string]: { description: string; content?: { [media: string]: { schema?: object; example?: object } } };
  };
}
interface Document {
  openapi: string;
  info: { title: string; version: string };
  servers: { url: string }[];
  security: object[];
  paths: { [path: string]: { [method: string]: Operation } };
  components: { schemas: { [name: string]: object }; securitySchemes: { [name: string]: object } };
}

/** API.md, "Core". */
const CORE: [method: string, path: string, success: string][] = [
  ["post", "/v1/queues/{queue}/jobs", "201"],
  ["post", "/v1/jobs", "201"],
  ["get", "/v1/jobs", "200"],
  ["get", "/v1/jobs/{id}", "200"],
  ["post", "/v1/jobs/{id}/cancel", "200"],
  ["post", "/v1/jobs/{id}/retry", "200"],
  ["delete", "/v1/jobs/{id}", "204"],
  ["get", "/v1/queues", "200"],
  ["get", "/v1/queues/{queue}", "200"],
  ["post", "/v1/queues/{queue}/pause", "200"],
  ["post", "/v1/queues/{queue}/resume", "200"],
  ["patch", "/v1/queues/{queue}/config", "200"],
  ["get", "/v1/queues/{queue}/limits", "200"],
  ["put", "/v1/queues/{queue}/limits/{kind}/{value}/pause", "200"],
  ["delete", "/v1/queues/{queue}/limits/{kind}/{value}/pause", "200"],
  ["get", "/v1/jobs/{id}/explain", "200"],
  ["post", "/v1/queues/{queue}/drain", "202"],
  ["post", "/v1/queues/{queue}/purge", "202"],
  ["delete", "/v1/queues/{queue}", "202"],
  ["post", "/v1/operations", "202"],
  ["get", "/v1/operations", "200"],
  ["get", "/v1/operations/{id}", "200"],
  ["delete", "/v1/operations/{id}", "200"],
  ["get", "/v1/errors", "200"],
  ["put", "/v1/queues/{queue}/schedules/{name}", "201"],
  ["get", "/v1/queues/{queue}/schedules", "200"],
  ["get", "/v1/queues/{queue}/schedules/{name}", "200"],
  ["post", "/v1/queues/{queue}/schedules/{name}/run", "201"],
  ["post", "/v1/queues/{queue}/schedules/{name}/pause", "200"],
  ["post", "/v1/queues/{queue}/schedules/{name}/resume", "200"],
  ["post", "/v1/queues/{queue}/schedules/{name}/backfill", "200"],
  ["delete", "/v1/queues/{queue}/schedules/{name}", "204"],
  ["post", "/v1/queues/{queue}/exchange", "200"],
  ["get", "/v1/queues/{queue}/connect", "101"],
  ["get", "/v1/history/summary", "200"],
  ["get", "/metrics", "200"],
  ["get", "/healthz", "200"],
  ["get", "/openapi.json", "200"],
  ["post", "/v1/tokens", "201"],
  ["get", "/v1/tokens", "200"],
  ["delete", "/v1/tokens/{id}", "204"],
  ["get", "/v1/audit", "200"],
  ["get", "/v1/jobs/{id}/events", "200"],
  ["get", "/v1/jobs/{id}/logs", "200"],
  ["get", "/v1/queues/{queue}/events", "200"],
];

let document: Document;
beforeAll(async () => {
  document = await answer<Document>(await ask("/openapi.json"));
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

it("describes the core, and only that", () => {
  const described = operations().map(({ method, path }) => `${method} ${path}`);
  expect(described.sort()).toEqual(CORE.map(([method, path]) => `${method} ${path}`).sort());
  expect(document.openapi).toBe("3.1.0");
  expect(document.info.version).toBe("1.2.3");
});

it("names parameters, bodies, answers and problems of each call", () => {
  expect(document.components.securitySchemes).toEqual({ token: { type: "http", scheme: "bearer" } });
  expect(document.security).toEqual([{ token: [] }]);
  const ids = operations().map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const [method, path, success] of CORE) {
    const operation = document.paths[path]![method]!;
    const inPath = (operation.parameters ?? []).filter((parameter) => parameter.in === "path");
    expect(inPath.map(({ name }) => name)).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
    expect(inPath.every(({ required }) => required)).toBe(true);
    expect(Object.keys(operation.responses)).toContain(success);
    const takesBody = /^(post|put|patch)$/.test(method) || `${method} ${path}` === "delete /v1/queues/{queue}";
    expect(operation.requestBody !== undefined).toBe(takesBody);
    for (const [status, { content }] of Object.entries(operation.responses)) {
      if (Number(status) < 400) continue;
      const { schema, example } = content!["application/problem+json"]!;
      expect(schema).toEqual({ $ref: "#/components/schemas/Problem" });
      expect(example).toMatchObject({ status: Number(status) });
    }
    const open = path === "/healthz";
    expect(operation.security).toEqual(open ? [] : undefined);
    if (!open)
      expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(["400", "401", "403", "500", "503"]));
  }
});

it("points at nothing that is not there", () => {
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
    ([, name]) => name!,
  );
  expect(new Set(refs)).toContain("Job");
  for (const name of refs) expect(Object.keys(document.components.schemas)).toContain(name);
});

it("says the same of jobs as the answers do", async () => {
  const { id } = await enqueue("q-contract", { task: "any", delay: "1h" });
  const { properties, required } = document.components.schemas.Job as { properties: object; required: string[] };
  const answered = Object.keys(await answer<object>(await ask(`/v1/jobs/${id}`)));
  expect(Object.keys(properties)).toEqual(answered);
  const always = answered.filter((field) => field !== "payload" && field !== "result");
  expect(required).toEqual(expect.arrayContaining(always));
});

it("limits what it says it limits", () => {
  const { properties } = document.components.schemas.NewJob as {
    properties: { [name: string]: Record<string, unknown> };
  };
  expect(properties.priority).toMatchObject({ type: "integer", minimum: -32_768, maximum: 32_767 });
  expect(properties.maxAttempts).toMatchObject({ minimum: 1, maximum: 100 });
  expect(properties.tags).toMatchObject({ type: "array", maxItems: 16 });
  expect(properties.task).toMatchObject({ type: "string", pattern: expect.stringContaining("{0,127}") });
  expect(properties.delay).toMatchObject({ type: "string", pattern: expect.stringContaining("ms|s|m|h|d") });
});

it("reaches every call that it describes", async () => {
  const { id } = await enqueue("q-reach", { task: "any", delay: "1h" });
  const bodies: { [path: string]: object } = {
    "/v1/queues/{queue}/jobs": { task: "any", delay: "1h" },
    "/v1/jobs": { task: "any", delay: "1h" },
    "/v1/queues/{queue}/config": {},
    "/v1/queues/{queue}/limits/{kind}/{value}/pause": { for: "1m" },
    "/v1/queues/{queue}/schedules/{name}": { task: "any", cron: "@daily" },
    "/v1/queues/{queue}/schedules/{name}/backfill": { from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z" },
    "/v1/queues/{queue}/drain": { confirm: "q-reach", states: ["blocked"] },
    "/v1/queues/{queue}/purge": { confirm: "q-reach", states: ["cancelled"] },
    "/v1/queues/{queue}/exchange": { session: "s", n: 1, worker: { name: "w", runtime: "r" }, holding: [], want: 0 },
    "/v1/operations": { action: "retry", filter: { queue: "q-reach" }, dryRun: true },
    "/v1/tokens": { name: "reach", role: "viewer" },
    "delete /v1/queues/{queue}": { confirm: "q-reach-empty" },
  };
  const queues: { [call: string]: string } = {
    "delete /v1/queues/{queue}": "q-reach-empty",
    "post /v1/queues/{queue}/exchange": "pull-reach",
    "get /v1/queues/{queue}/connect": "pull-reach",
  };
  // Of a queue that is deleted nothing may wait.
  await answer(await ask("/v1/queues/q-reach-empty/pause", { method: "POST" }));
  const operation = await answer<{ id: string }>(await ask("/v1/operations", { body: bodies["/v1/operations"] }), 202);
  const last = ([method]: [string, string, string]) => (method === "delete" ? 1 : 0);
  for (const [method, path, success] of [...CORE].sort((a, b) => last(a) - last(b))) {
    const changes = method !== "get" && method !== "delete";
    const body = bodies[`${method} ${path}`] ?? (changes ? bodies[path] : undefined);
    const queue = queues[`${method} ${path}`] ?? "q-reach";
    const at = path
      .replace("operations/{id}", `operations/${operation.id}`)
      .replace("tokens/{id}", "tokens/tok-000000000-00000000000000cc")
      .replace("{id}", id)
      .replace("{queue}", queue)
      .replace("{kind}/{value}", "tenant/acme")
      .replace("{name}", "nightly");
    const headers: Record<string, string> = success === "101" ? { upgrade: "websocket" } : {};
    const response = await ask(at, { method: method.toUpperCase(), body, headers });
    expect(`${method} ${path} ${response.status}`).toBe(`${method} ${path} ${success}`);
    const media = response.headers.get("content-type")?.split(";")[0];
    const content = document.paths[path]![method]!.responses[success]!.content;
    expect(Object.keys(content ?? {})).toEqual(
      media === undefined || path === "/openapi.json" ? Object.keys(content ?? {}) : [media],
    );
  }
});
