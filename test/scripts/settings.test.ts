import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readable } from "../../scripts/local/output.ts";
import { parsePort } from "../../scripts/local/port.ts";
import { adminToken, makeToken } from "../../scripts/local/token.ts";

describe("the admin token", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-token-"));
    file = join(folder, ".dev.vars");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("is made once, into a file that only its owner may read", () => {
    const { token, made } = adminToken({}, file);
    expect(made).toBe(true);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(adminToken({}, file)).toEqual({ token, made: false });
  });

  it("leaves what else is in the file", () => {
    writeFileSync(file, "STRIPE_KEY=a$b#c\nMILLRACE_TOKEN=");
    const { token } = adminToken({}, file);
    expect(readFileSync(file, "utf8")).toBe(`STRIPE_KEY=a$b#c\nMILLRACE_TOKEN=\nMILLRACE_TOKEN=${token}\n`);
    expect(adminToken({}, file)).toEqual({ token, made: false });
  });

  it("comes from the environment first, and is then written nowhere", () => {
    const token = makeToken();
    expect(adminToken({ MILLRACE_TOKEN: token }, file)).toEqual({ token, made: false });
    expect(() => statSync(file)).toThrow("ENOENT");
  });

  it.each(["x".repeat(31), "", `${"x".repeat(31)} x`, "é".repeat(40)])("is refused as %j", (token) => {
    expect(() => adminToken({ MILLRACE_TOKEN: token }, file)).toThrow("Cannot use MILLRACE_TOKEN from the environment");
  });

  it("names the file in which a token is too short", () => {
    writeFileSync(file, "MILLRACE_TOKEN=short\n");
    expect(() => adminToken({}, file)).toThrow(`Cannot use MILLRACE_TOKEN from ${file}: it has 5 characters`);
  });
});

describe("PORT", () => {
  it("has a default", () => expect([parsePort(undefined, 8787), parsePort("", 8787)]).toEqual([8787, 8787]));
  it("is a number", () => expect(parsePort("1234", 8787)).toBe(1234));
  it.each(["0", "65536", "-1", "1e3", "80 ", "0x50"])("is refused as %j", (value) => {
    expect(() => parsePort(value, 8787)).toThrow(`Cannot read PORT: it is "${value}"`);
  });
});

describe("wrangler's output", () => {
  it.each([
    "[wrangler:info] GET /healthz 200 OK (3ms)",
    "⎔ Starting local server...",
    " ⛅️ wrangler 4.156.2",
    "env.DB (millrace)                       D1 Database               local",
    "\u001b[33m▲ \u001b[43;33m[\u001b[43;30mWARNING\u001b[43;33m]\u001b[0m Scheduled Workers are not automatically triggered during local development.",
    "",
  ])("hides %j", (line) => expect(readable(line)).toBeNull());

  it.each([
    '{"level":"info","message":"started"}',
    "[wrangler:error] Error: boom",
    "    at Object.fetch (index.ts:6:37)",
  ])("shows %j", (line) => expect(readable(line)).toBe(line));

  it("shows the Worker's JSON errors without ornament", () => {
    expect(readable('\u001b[31m✘ \u001b[0m[ERROR] {"level":"error"}')).toBe('{"level":"error"}');
  });
});
