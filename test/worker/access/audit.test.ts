import { describe, expect, it, vi } from "vitest";
import { type Client, createClient } from "../../../client/client.ts";
import type { AuditEntry, Operation, Page } from "../../../client/types.ts";
import { createBindingClient } from "../../../worker/client.ts";
import { answer, appWith, ask, DEPS, db, migrated, problem, stubOf, TOKEN } from "../api/support.ts";
import { askAs, entries, keyringOf, latest, made } from "./support.ts";

migrated();

describe("the audit log", () => {
  it("has each change by an operator, made or refused, and no body", async () => {
    const { token, id } = await made({ role: "operator", name: "Ada", queues: ["q-audit"] });
    const paused = await askAs(token, "/v1/queues/q-audit/pause", {
      body: { reason: "a secret reason" },
      headers: { "x-request-id": "r-1" },
    });
    expect(paused.status).toBe(200);
    await askAs(token, "/v1/queues/q-other/purge", { body: { confirm: "q-other" } });
    await askAs(token, "/v1/queues/q-audit/jobs", { body: { task: "any", payload: "a secret payload" } });
    await askAs(token, "/v1/queues/q-audit");
    await askAs(token, "/v1/queues/q-audit/drain", { body: { confirm: "no" } });
    const by = (await entries()).filter(({ tokenId }) => tokenId === id);
    expect(by.map(({ action, status }) => [action, status])).toEqual([
      ["POST /v1/queues/q-audit/jobs", 201],
      ["POST /v1/queues/q-other/purge", 403],
      ["POST /v1/queues/q-audit/pause", 200],
    ]);
    expect(by.at(-1)).toEqual({
      ...{ id: expect.any(String), at: expect.stringMatching(/Z$/), who: "Ada", tokenId: id, role: "operator" },
      ...{ action: "POST /v1/queues/q-audit/pause", status: 200, requestId: "r-1" },
    });
    const { results } = await db.prepare("SELECT * FROM audit").all();
    expect(JSON.stringify(results)).not.toContain("secret");
    expect(JSON.stringify(results)).not.toContain(token);
  });

  it("has changes with the server's own token, but not what that enqueues", async () => {
    await ask("/v1/queues/q-audit/resume", { method: "POST" });
    expect(await latest()).toMatchObject({ who: "admin", tokenId: null, role: "admin" });
    const before = await entries();
    await ask("/v1/queues/q-audit/jobs", { body: { task: "any" } });
    expect(await entries()).toEqual(before);
  });

  it("has what a viewer tried, and not what producers do all day, nor who was not known", async () => {
    const viewer = await made({ role: "viewer", name: "Bob" });
    await problem(await askAs(viewer.token, "/v1/tokens", { body: {} }), 403, "forbidden");
    expect(await latest()).toMatchObject({ who: "Bob", role: "viewer", action: "POST /v1/tokens", status: 403 });
    const producer = await made({ role: "producer" });
    const before = await entries();
    await askAs(producer.token, "/v1/queues/q-audit/jobs", { body: { task: "any" } });
    await askAs(producer.token, "/v1/queues/q-audit/pause", { method: "POST" });
    await askAs("nobody", "/v1/queues/q-audit/pause", { method: "POST" });
    await askAs(viewer.token, "/v1/tokens");
    expect(await entries()).toEqual(before);
  });

  it("says to what, where the path does not: an operation and its filter, a token, a queue", async () => {
    const { token } = await made({ role: "operator", queues: ["q-audit"] });
    const action = async (path: string, body: object) => {
      const { id } = await answer<Operation>(await askAs(token, path, { body }), 202);
      const said = (await latest())!.action;
      expect(said).toContain(` ${id} `);
      return said.replace(id, "ID");
    };
    const filter = { queue: "q-audit", state: "dead", tag: "vip" };
    expect(await action("/v1/operations", { action: "retry", filter })).toBe(
      'POST /v1/operations ID retry {"queue":"q-audit","state":"dead","tag":"vip"}',
    );
    expect(await action("/v1/operations", { action: "delete", filter, dryRun: true })).toBe(
      'POST /v1/operations ID delete (dry run) {"queue":"q-audit","state":"dead","tag":"vip"}',
    );
    expect(await action("/v1/queues/q-audit/drain", { confirm: "q-audit", states: ["ready"] })).toBe(
      'POST /v1/queues/q-audit/drain ID cancel {"queue":"q-audit","state":"ready"}',
    );
    await answer(await askAs(token, "/v1/jobs", { body: { queue: "q-audit", jobs: [{ task: "any" }] } }), 201);
    expect(await latest()).toMatchObject({ action: "POST /v1/jobs queue q-audit", status: 201 });
    const { id } = await made({ role: "viewer" });
    expect(await latest()).toMatchObject({ action: `POST /v1/tokens ${id} viewer`, status: 201 });
  });

  it("says it of what was refused too, and of what broke off", async () => {
    const { token } = await made({ role: "operator", queues: ["q-audit"] });
    const asked = { action: "retry", filter: { queue: "q-other" } };
    await problem(await askAs(token, "/v1/operations", { body: asked }), 403, "forbidden");
    expect(await latest()).toMatchObject({ action: 'POST /v1/operations retry {"queue":"q-other"}', status: 403 });
    await problem(await askAs(token, "/v1/jobs", { body: { task: "any", queue: "q-other" } }), 403, "forbidden");
    expect(await latest()).toMatchObject({ action: "POST /v1/jobs queue q-other", status: 403 });
    await problem(
      await askAs(token, "/v1/jobs", { body: { task: "greet", payload: { name: "x" } } }),
      403,
      "forbidden",
    );
    expect(await latest()).toMatchObject({ action: "POST /v1/jobs queue greetings", status: 403 });
    const create = () => Promise.reject(new Error("D1_ERROR: Network connection lost"));
    const history = () => ({ ...DEPS.history({}), tokens: { ...DEPS.history({}).tokens, create } });
    const body = { name: "x", role: "viewer" };
    await problem(await ask("/v1/tokens", { body, fetch: appWith({ history }) }), 503, "unavailable");
    expect(await latest()).toMatchObject({ action: expect.stringMatching(/^POST \/v1\/tokens tok-\S+ viewer$/) });
  });

  it("cuts what is long, wherever that ends", async () => {
    const state = Array(300).fill("dead").join(",");
    const body = { action: "retry", filter: { queue: "q-audit", state } };
    const { id } = await answer<Operation>(await ask("/v1/operations", { body }), 202);
    const { action } = (await latest())!;
    expect(action).toMatch(new RegExp(`^POST /v1/operations ${id} retry \\{"queue":"q-audit","state":"dead,`));
    expect(action.length).toBeLessThan(1_100);
  });

  it("has tokens made and revoked, by their ids", async () => {
    const { id, token } = await made({ role: "viewer" });
    await ask(`/v1/tokens/${id}`, { method: "DELETE" });
    const [revoked, create] = await entries();
    expect(revoked).toMatchObject({ action: `DELETE /v1/tokens/${id}`, status: 204 });
    expect(create).toMatchObject({ action: `POST /v1/tokens ${id} viewer`, status: 201 });
    expect(JSON.stringify([revoked, create])).not.toContain(token);
  });

  it("pages, and goes by time", async () => {
    const all = await entries();
    expect(all.length).toBeGreaterThan(4);
    const paged: AuditEntry[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const path = `/v1/audit?limit=2${cursor && `&cursor=${cursor}`}`;
      const page: Page<AuditEntry> = await answer(await ask(path));
      paged.push(...page.items);
      cursor = page.nextCursor;
    }
    expect(paged).toEqual(all);
    const [from, to] = [all.at(-2)!.at, all[0]!.at];
    const between = await entries(`&from=${from}&to=${to}`);
    expect(between).toEqual(all.filter(({ at }) => at >= from && at < to));
    expect(await entries("&from=2000-01-01T00:00:00Z&to=2000-01-02T00:00:00Z")).toEqual([]);
    await problem(await ask("/v1/audit?from=yesterday"), 400, "invalid_request");
  });

  it("that cannot be written stops nobody, and is in the log", async () => {
    const log = vi.fn();
    const broken = () => Promise.reject(new Error("D1_ERROR: Network connection lost"));
    const history = () => ({ ...DEPS.history({}), audit: { ...DEPS.history({}).audit, note: broken } });
    const fetch = appWith({ log, history });
    const { status } = await ask("/v1/queues/q-audit/pause", { method: "POST", fetch });
    expect(status).toBe(200);
    expect(log).toHaveBeenCalledWith(
      ...["error", "audit_unwritten", expect.objectContaining({ who: "admin", action: expect.any(String) })],
    );
  });
});

describe("the SDK", () => {
  const fetch = appWith({ root: "code" });
  const clients: Record<string, Client> = {
    "over HTTP": createClient({ url: "https://millrace.test", token: TOKEN, fetch }),
    "by binding": createBindingClient({ config: DEPS.config, stub: stubOf, fetch, token: TOKEN, keys: keyringOf }),
  };

  it.each(Object.entries(clients))(
    "%s: makes, lists and revokes tokens, and reads the audit log",
    async (_, client) => {
      const { token, id } = await client.tokens.create({ name: "x", role: "viewer", expiresIn: "1h" });
      const own = createClient({ url: "https://millrace.test", token, fetch });
      expect(await Array.fromAsync(own.queues())).toBeInstanceOf(Array);
      await expect(own.tokens.create({ name: "y", role: "admin" })).rejects.toMatchObject({ code: "forbidden" });
      const listed = await Array.fromAsync(client.tokens.list());
      expect(listed.find((one) => one.id === id)).toMatchObject({ name: "x", role: "viewer" });
      await client.tokens.revoke(id);
      await expect(Array.fromAsync(own.queues())).rejects.toMatchObject({ code: "unauthorized" });
      const [last] = await Array.fromAsync(client.audit({ from: new Date(Date.now() - 60_000) }));
      expect(last).toMatchObject({ who: "code", action: `DELETE /v1/tokens/${id}` });
    },
  );

  it("mints a token without a row, for a day at most, that can be revoked", async () => {
    const client = createBindingClient({ config: DEPS.config, stub: stubOf, fetch, token: TOKEN, keys: keyringOf });
    const before = (await Array.fromAsync(client.tokens.list())).length;
    const minted = await client.mintToken({ name: "page", role: "producer", actor: "ada" });
    expect(Date.parse(minted.expiresAt) - Date.now()).toBeGreaterThan(3_590_000);
    expect(Date.parse(minted.expiresAt) - Date.now()).toBeLessThanOrEqual(3_600_000);
    const page = createClient({ url: "https://millrace.test", token: minted.token, fetch });
    const job = await page.enqueue("any", null, { queue: "q-minted" });
    expect(await job.get()).toMatchObject({ actor: "ada" });
    expect(await Array.fromAsync(client.tokens.list())).toHaveLength(before);
    await client.tokens.revoke(minted.id);
    await expect(job.get()).rejects.toMatchObject({ code: "unauthorized" });
    await expect(client.mintToken({ name: "x", role: "viewer", expiresIn: "25h" })).rejects.toMatchObject({
      ...{ code: "invalid_request", message: expect.stringContaining("1d") },
    });
    await expect(client.mintToken({ name: "x", role: "viewer", tasks: ["any"] })).rejects.toThrow(/role viewer/);
  });

  it("mints nothing where the environment has no key, and says so", async () => {
    const { createMillrace } = await import("../../../worker/millrace.ts");
    const mill = createMillrace({ tasks: [] });
    await expect(mill.client({}).mintToken({ name: "x", role: "viewer" })).rejects.toMatchObject({
      ...{ code: "not_configured", message: expect.stringContaining("MILLRACE_SIGNING_KEY") },
    });
    const { token } = await mill.client({ MILLRACE_TOKEN: TOKEN }).mintToken({ name: "x", role: "viewer" });
    expect((await askAs(token, "/v1/queues")).status).toBe(200);
  });
});

it("/metrics counts what this isolate refused, by code", async () => {
  const fetch = appWith();
  const { token } = await made({ role: "viewer" });
  for (let times = 0; times < 2; times++) await askAs(token, "/v1/tokens", { fetch });
  await ask("/v1/queues", { fetch, headers: { authorization: "Bearer x" } });
  const text = await (await ask("/metrics", { fetch })).text();
  expect(text).toContain('millrace_requests_refused_total{code="forbidden"} 2\n');
  expect(text).toContain('millrace_requests_refused_total{code="unauthorized"} 1\n');
  expect(text).toMatch(/# HELP millrace_requests_refused_total .*isolate/);
});
