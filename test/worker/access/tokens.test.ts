import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { describe, expect, it, vi } from "vitest";
import type { Page, TokenInfo } from "../../../client/types.ts";
import { createRevocations } from "../../../worker/tokens/revocations.ts";
import { answer, appWith, ask, db, deployed, migrated, problem, TOKEN } from "../api/support.ts";
import { askAs, keyringOf, made, now, signed } from "./support.ts";

migrated();

const PATH = "/v1/queues/q-tokens/schedules";

async function refusal(token: string, fetch?: Parameters<typeof ask>[1]): Promise<string> {
  const { detail } = await problem(await askAs(token, PATH, fetch), 401, "unauthorized");
  expect(detail).not.toContain(token.slice(0, 20));
  return detail;
}

describe("a token", () => {
  it("is made once, and taken by any isolate that has the key", async () => {
    const { token, id, expiresAt } = await made({ role: "viewer" });
    expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(89.9 * 86_400_000);
    expect(id).toMatch(/^tok-/);
    expect((await askAs(token, PATH)).status).toBe(200);
    expect((await askAs(token, PATH, { fetch: deployed })).status).toBe(200);
  });

  it("is 401 when it is forged, and says so", async () => {
    const token = await signed();
    expect((await askAs(token, PATH)).status).toBe(200);
    const [head, , signature] = token.split(".") as [string, string, string];
    const [, other] = (await signed({ role: "admin" })).split(".") as [string, string, string];
    expect(await refusal(`${head}.${other}.${signature}`)).toContain("forged");
    expect(await refusal(`${token.slice(0, -2)}AA`)).toContain("forged");
    const foreign = await keyringOf({ signing: "another key, of more than 32 characters" });
    expect(await refusal(await signed({}, {}, foreign))).toContain("a key that this server does not have");
    const { current } = await keyringOf();
    expect(await refusal(await signed({}, { kid: current.id }, foreign))).toContain("forged");
    expect(await refusal(await signed({}, { kid: undefined }))).toContain("a key that this server does not have");
  });

  it("is 401 with alg none, with another algorithm, and as no token at all", async () => {
    const plain = (value: object) => btoa(JSON.stringify(value)).replaceAll("=", "").replaceAll("+", "-");
    const [, body, signature] = (await signed()).split(".") as [string, string, string];
    const { current } = await keyringOf();
    for (const rest of ["", signature]) {
      const none = `${plain({ alg: "none", kid: current.id })}.${body}.${rest}`;
      expect(await refusal(none)).toContain("HS256");
    }
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    const own = await new SignJWT({ role: "admin" })
      .setProtectedHeader({ alg: "ES256", kid: current.id, jwk: await exportJWK(publicKey) })
      .sign(privateKey);
    expect(await refusal(own)).toContain("HS256");
    for (const bad of ["a.b.c", "..", "x", `${"e".repeat(40)}.${"x".repeat(40)}.`, `${TOKEN}x`]) await refusal(bad);
    expect(await refusal("x".repeat(4_097))).toContain("4097 characters");
    expect(await refusal(`${await signed()}${"x".repeat(4_096)}`)).toContain("none has over 4096");
  });

  it.each([
    [{ exp: now() - 10 }, "has expired"],
    [{ nbf: now() + 600 }, "is not valid yet"],
    [{ iat: now() + 600, exp: now() + 900 }, "is not valid yet"],
    [{ iat: now() - 401 * 86_400 }, "has expired"],
    [{ exp: undefined }, 'has no "exp"'],
    [{ iat: undefined }, 'has no "iat"'],
    [{ jti: undefined }, 'has no "jti"'],
    [{ role: undefined }, 'has no "role"'],
    [{ name: undefined }, 'has no "name"'],
    [{ iss: "somebody" }, 'its "iss" is another'],
    [{ aud: "somebody" }, 'its "aud" is another'],
    [{ role: "root" }, 'a "role" that is not valid'],
    [{ queues: "mail" }, 'a "queues" that is not valid'],
    [{ queues: [] }, 'a "queues" that is not valid'],
    [{ tenants: ["a"] }, "more than this server understands"],
  ])("is 401 with %j", async (claims, why) => {
    expect(await refusal(await signed(claims))).toContain(why);
  });

  it("is taken from a subprotocol of a WebSocket, and of nothing else; never from the URL", async () => {
    const token = await signed();
    const offer = { authorization: null, "sec-websocket-protocol": `millrace, bearer.${token}` };
    expect((await ask(PATH, { headers: { ...offer, upgrade: "websocket" } })).status).toBe(200);
    const broken = { ...offer, "sec-websocket-protocol": `bearer.${token}x`, upgrade: "websocket" };
    await problem(await ask(PATH, { headers: broken }), 401, "unauthorized");
    await problem(await ask(PATH, { headers: offer }), 401, "unauthorized");
    const inUrl = await ask(`${PATH}?token=${token}&access_token=${token}`, { headers: { authorization: null } });
    await problem(inUrl, 401, "unauthorized");
  });
});

describe("keys", () => {
  const [OLD, NEW] = ["the old key, of more than 32 characters", "the new key, of more than 32 characters"];
  const appOf = (secrets: { token?: string; signing?: string; previous?: string }) =>
    appWith({ token: () => secrets.token ?? TOKEN, keys: () => keyringOf(secrets) });

  it("are changed in two steps, and no token of the one before is lost", async () => {
    const before = appOf({ signing: OLD });
    const between = appOf({ signing: NEW, previous: OLD });
    const after = appOf({ signing: NEW });
    const old = await made({ role: "viewer" }, { fetch: before });
    const fresh = await made({ role: "viewer" }, { fetch: between });
    for (const fetch of [before, between]) expect((await askAs(old.token, PATH, { fetch })).status).toBe(200);
    for (const fetch of [between, after]) expect((await askAs(fresh.token, PATH, { fetch })).status).toBe(200);
    expect(await refusal(old.token, { fetch: after })).toContain("does not have");
    expect(await refusal(fresh.token, { fetch: before })).toContain("does not have");
  });

  it("are derived from the server's token, which may stand as the key before", async () => {
    const derived = appOf({});
    const { token } = await made({ role: "viewer" }, { fetch: derived });
    const moved = appOf({ token: "another admin token of the same server", signing: NEW, previous: TOKEN });
    expect((await askAs(token, PATH, { fetch: moved })).status).toBe(200);
    expect(await refusal(token, { fetch: appOf({ signing: NEW }) })).toContain("does not have");
  });

  it("that are too short sign and take nothing; the server's own token goes on working", async () => {
    const { createKeyring } = await import("../../../worker/tokens/keys.ts");
    const keys = () => createKeyring()({ token: TOKEN, signing: "short", previous: undefined });
    const fetch = appWith({ keys });
    expect((await ask(PATH, { fetch })).status).toBe(200);
    const body = { name: "x", role: "viewer" };
    const { detail } = await problem(await ask("/v1/tokens", { fetch, body }), 503, "not_configured");
    expect(detail).toContain("MILLRACE_SIGNING_KEY has fewer than 32 characters");
    await problem(await askAs(await signed(), PATH, { fetch }), 503, "not_configured");
  });
});

describe("POST /v1/tokens", () => {
  const refused = async (body: object) => {
    const { errors, detail } = await problem(await ask("/v1/tokens", { body }), 400, "invalid_request");
    return errors?.[0] ?? { path: "", message: detail };
  };

  it.each([
    [{ role: "viewer" }, "name", "is missing"],
    [{ name: "a\nb", role: "viewer" }, "name", "control character"],
    [{ name: "x", role: "root" }, "role", "is one of admin"],
    [{ name: "x", role: "viewer", queue: "mail" }, "queue", 'did you mean "queues"?'],
    [{ name: "x", role: "viewer", queues: [] }, "queues", "1 to 100"],
    [{ name: "x", role: "viewer", queues: ["Mail"] }, "queues[0]", "pattern"],
    [{ name: "x", role: "viewer", queues: ["a*b*c*d*e*f"] }, "queues[0]", "at most 4 stars"],
    [{ name: "x", role: "viewer", jobs: ["mail:0:01"] }, "jobs[0]", "id of a job"],
    [{ name: "x", role: "producer", options: ["speed"] }, "options[0]", "is one of priority"],
    [{ name: "x", role: "producer", pin: [] }, "pin", "is an object"],
    [{ name: "x", role: "producer", pin: { a: "x".repeat(2_050) } }, "pin", "2048 bytes"],
    [{ name: "x", role: "producer", rate: { limit: 1 } }, "rate.per", "is missing"],
    [{ name: "x", role: "producer", expiresIn: "401d" }, "expiresIn", "400d"],
    [{ name: "x", role: "producer", expiresIn: 5 }, "expiresIn", "duration"],
    [{ name: "x", role: "admin", queues: ["mail"] }, "queues", "does not go with role admin"],
    [{ name: "x", role: "operator", tasks: ["mail"] }, "tasks", "does not go with role operator"],
    [{ name: "x", role: "worker", jobs: ["mail:0:1"] }, "jobs", "does not go with role worker"],
    [{ name: "x", role: "viewer", pin: { a: 1 } }, "pin", "does not go with role viewer"],
  ])("400 for %j", async (body, path, message) => {
    expect(await refused(body)).toEqual({ path, message: expect.stringContaining(message) });
  });

  it("400 for one that would be too long to be sent", async () => {
    const tasks = Array.from({ length: 60 }, (_, n) => `${"a-task-with-quite-a-name".repeat(3)}-${n}`);
    expect((await refused({ name: "x", role: "producer", tasks })).message).toContain("has at most 4096");
  });

  it("lists what was made, newest first, in pages, and never the token", async () => {
    const first = await made({ name: "first", role: "producer", queues: ["q-*"], rate: { limit: 5, per: "1s" } });
    const second = await made({ name: "second", role: "operator", expiresIn: "1d" });
    const page = await answer<Page<TokenInfo>>(await ask("/v1/tokens?limit=1"));
    expect(page.items).toMatchObject([{ id: second.id, name: "second", role: "operator", revokedAt: null }]);
    const rest = await answer<Page<TokenInfo>>(await ask(`/v1/tokens?limit=1&cursor=${page.nextCursor}`));
    expect(rest.items[0]).toEqual({
      ...{ id: first.id, name: "first", role: "producer", queues: ["q-*"], rate: { limit: 5, per: "1s" } },
      ...{ options: [], actor: first.id, revokedAt: null, expiresAt: first.expiresAt, createdAt: expect.any(String) },
    });
    const all = await (await ask("/v1/tokens?limit=200")).text();
    for (const { token } of [first, second]) expect(all).not.toContain(token.split(".")[2]!);
    const { results } = await db.prepare("SELECT * FROM tokens").all();
    expect(JSON.stringify(results)).not.toContain(second.token.split(".")[2]!);
    await problem(await ask("/v1/tokens?cursor=x"), 400, "invalid_request");
  });

  it("lists none that has expired, though no sweep has been there yet", async () => {
    const lasting = await made({ role: "viewer" });
    const brief = await made({ role: "viewer", expiresIn: "1s" });
    const ids = async () => {
      const { items } = await answer<Page<TokenInfo>>(await ask("/v1/tokens?limit=2"));
      return items.map(({ id }) => id);
    };
    expect(await ids()).toEqual([brief.id, lasting.id]);
    await new Promise((resolve) => setTimeout(resolve, Date.parse(brief.expiresAt) - Date.now() + 50));
    expect((await ids())[0]).toBe(lasting.id);
  });

  it("takes a rate by the hour at the longest; one that was made with a longer rate is still valid", async () => {
    expect((await made({ role: "producer", rate: { limit: 1, per: "1h" } })).id).toMatch(/^tok-/);
    const [rate, body] = [
      { limit: 1, per: "61m" },
      { name: "x", role: "producer" },
    ];
    expect(await refused({ ...body, rate })).toMatchObject({
      ...{ path: "rate.per", message: expect.stringContaining("more than 1h") },
    });
    const claims = { role: "producer", options: [], actor: "a", rate: { limit: 1, per: "31d" } };
    const older = { body: { task: "any" } };
    expect((await askAs(await signed(claims), "/v1/queues/q-tokens/jobs", older)).status).toBe(201);
  });

  it("503 while D1 is down: no token that nobody could list", async () => {
    const history = () => {
      throw new Error("D1_ERROR: Network connection lost");
    };
    const body = { name: "x", role: "viewer" };
    await problem(await ask("/v1/tokens", { body, fetch: appWith({ history }) }), 503, "unavailable");
  });
});

describe("a revoked token", () => {
  it("is 401 at once where it was revoked, and stays so", async () => {
    const { token, id } = await made({ role: "viewer" });
    expect((await askAs(token, PATH)).status).toBe(200);
    for (let times = 0; times < 2; times++)
      expect((await ask(`/v1/tokens/${id}`, { method: "DELETE" })).status).toBe(204);
    expect(await refusal(token)).toContain("revoked");
    const { items } = await answer<Page<TokenInfo>>(await ask("/v1/tokens?limit=200"));
    expect(items.find((one) => one.id === id)!.revokedAt).toMatch(/Z$/);
    expect(await refusal(token, { fetch: appWith() })).toContain("revoked");
  });

  it("need not be one that was noted; a malformed id is 400", async () => {
    const id = "tok-000000000-00000000000000aa";
    const token = await signed({ jti: id });
    expect((await askAs(token, PATH)).status).toBe(200);
    expect((await ask(`/v1/tokens/${id}`, { method: "DELETE" })).status).toBe(204);
    expect(await refusal(token)).toContain("revoked");
    const { items } = await answer<Page<TokenInfo>>(await ask("/v1/tokens?limit=200"));
    expect(items.map((one) => one.id)).not.toContain(id);
    await problem(await ask("/v1/tokens/mine", { method: "DELETE" }), 400, "invalid_request");
  });

  it("stops within a minute everywhere, and is not forgotten while D1 is down", async () => {
    let [clock, down] = [1_000_000, false];
    const inD1 = new Set<string>();
    const logged: string[] = [];
    const list = createRevocations(
      (_level, event) => logged.push(event),
      () => clock,
    );
    const load = async () => {
      if (down) throw new Error("D1 is down");
      return [...inD1];
    };
    const isRevoked = (id: string) => list.isRevoked(id, load);
    expect(await isRevoked("a")).toBe(false);
    inD1.add("a");
    clock += 60_000;
    expect(await isRevoked("a")).toBe(true);
    down = true;
    inD1.delete("a");
    for (let minute = 0; minute < 3; minute++) {
      for (let times = 0; times < 6; times++) {
        clock += 10_000;
        expect(await isRevoked("a")).toBe(true);
        expect(await isRevoked("b")).toBe(false);
      }
    }
    expect(logged).toEqual(Array(3).fill("revocations_unread"));
    list.add("b");
    expect(await isRevoked("b")).toBe(true);
    down = false;
    inD1.add("b");
    clock += 60_000;
    expect([await isRevoked("a"), await isRevoked("b")]).toEqual([false, true]);
    clock += 60_000;
    expect(await isRevoked("b")).toBe(true);
  });

  it("waits for no answer of D1 longer than a moment", async () => {
    const list = createRevocations(() => {});
    const startedAt = Date.now();
    const slow = list.isRevoked("a", () => new Promise(() => {}));
    expect(await slow).toBe(false);
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  it("comes through nowhere while the list is read: an isolate that is new, or was idle, does not go by what it has", async () => {
    let clock = 1_000_000;
    const inD1 = ["a"];
    const list = createRevocations(
      () => {},
      () => clock,
    );
    const load = async () => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      return [...inD1];
    };
    const both = (id: string) => Promise.all([list.isRevoked(id, load), list.isRevoked(id, load)]);
    expect(await both("a")).toEqual([true, true]);
    inD1.push("b");
    clock += 3_600_000;
    expect(await both("b")).toEqual([true, true]);
    // One that was read half a minute ago will do while one request reads it anew.
    clock += 30_000;
    const never = vi.fn(load);
    const reading = list.isRevoked("a", load);
    expect(await list.isRevoked("a", never)).toBe(true);
    expect(never).not.toHaveBeenCalled();
    await reading;
  });
});

it("D1 down stops nobody who has a token", async () => {
  const { token } = await made({ role: "producer" });
  const history = () => {
    throw new Error("D1_ERROR: Network connection lost");
  };
  const fetch = appWith({ history });
  const body = { task: "any" };
  expect((await askAs(token, "/v1/queues/q-down/jobs", { fetch, body })).status).toBe(201);
});
