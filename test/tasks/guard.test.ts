import { describe, expect, it } from "vitest";
import { createGuard } from "../../worker/tasks/guard.ts";
import { hostKind } from "../../worker/tasks/hosts.ts";
import { LOOPBACK } from "../../worker/tasks/http.ts";
import { GUARD_CASES } from "./guard-cases.ts";

for (const [what, { allow, self, urls }] of Object.entries(GUARD_CASES)) {
  describe(`guard: ${what}`, () => {
    const guard = createGuard(allow, self);
    it.each(urls)("%s", (url, verdict) => {
      const { url: allowed, problem } = guard(url);
      if (verdict === true) expect(problem ?? allowed?.protocol).toMatch(/^https?:$/);
      else expect(problem ?? `allowed as ${allowed?.href}`).toMatch(verdict);
    });
  });
}

describe("guard: patterns", () => {
  it.each([
    "",
    "example.com",
    "ftp://example.com",
    "https://",
    "https://*example.com",
    "https://a.*.example.com",
    "https://*.",
    "https://example.com:x",
    "https://example.com:99999",
    "https://user@example.com",
    "https://example.com/a*b",
    "https://example.com/?q=*",
    "https://exam ple.com",
    "https://example.com\\x",
    "*",
  ])("refuses %j", (pattern) => {
    expect(() => createGuard([pattern])).toThrow(/is not a pattern; write scheme/);
  });

  it("reads hosts in any spelling", () => {
    expect(createGuard(["HTTPS://BÜCHER.Example.ORG"])("https://xn--bcher-kva.example.org/").url).toBeDefined();
    expect(createGuard(["http://0x7f.1:*"])("http://127.0.0.1:80/").url).toBeDefined();
  });

  it.each(["", "https://jobs.example.com", "jobs.example.com/path", "a b"])("refuses %j as an own address", (own) => {
    expect(() => createGuard([], [own])).toThrow(/is not a host/);
  });

  it("has a list for development that opens this machine and nothing else", () => {
    const guard = createGuard(LOOPBACK);
    for (const host of ["127.0.0.1:1", "localhost:80", "[::1]:9"]) expect(guard(`http://${host}/`).url).toBeDefined();
    for (const host of ["10.0.0.1", "example.com", "169.254.169.254"]) {
      expect(guard(`http://${host}/`).problem).toBeDefined();
    }
  });

  it("keeps the query out of its words", () => {
    expect(createGuard([])("https://example.com/a?token=secret").problem).not.toContain("secret");
  });
});

describe("guard: spellings made at random", () => {
  const random = generator(20_261_122);
  const below = (n: number) => Math.floor(random() * n);
  const wide = createGuard(["https://*:*", "http://*:*"]);

  it("finds the same host in every spelling of an IPv4 address", () => {
    for (let i = 0; i < 3_000; i++) {
      const bytes = [below(256), below(256), below(256), below(256)];
      const plain = bytes.join(".");
      expect([plain, hostKind(new URL(`http://${spellV4(bytes, below)}/`).hostname)]).toEqual([
        plain,
        referenceKind(bytes),
      ]);
    }
  });

  it("never lets an address inside an IPv6 one through", () => {
    for (let i = 0; i < 2_000; i++) {
      const v4 = [below(256), below(256), below(256), below(256)].join(".");
      const prefix = ["::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::"][below(5)];
      expect(wide(`https://[${prefix}${v4}]/`).problem).toBeDefined();
    }
  });

  it("never throws, and allows only what URL parses to an http(s) URL with a public host", () => {
    const parts = [
      "https",
      "http",
      "://",
      ":",
      "/",
      "@",
      "\\",
      "127.0.0.1",
      "localhost",
      "example.com",
      "[::1]",
      "%00",
    ];
    const more = [".", "..", "0x7f", "#", "?", " ", "\t", "é", "\ud800", "[", "]", "10.0.0.1", "8080", "*", "%2e", "a"];
    const all = [...parts, ...more];
    let allowed = 0;
    for (let i = 0; i < 20_000; i++) {
      const length = below(6);
      const tail = Array.from({ length }, () => all[below(all.length)]).join("");
      const { url } = wide(below(2) === 0 ? `https://${tail}` : tail);
      if (url === undefined) continue;
      allowed++;
      expect(url.protocol).toMatch(/^https?:$/);
      expect(url.username + url.password).toBe("");
      expect(hostKind(url.hostname)).toBeNull();
    }
    expect(allowed).toBeGreaterThan(100);
  });
});

/** One of the ways in which URL parsers read these four bytes. */
function spellV4(bytes: number[], below: (n: number) => number): string {
  const [a, b, c, d] = bytes as [number, number, number, number];
  const groups = [
    [a, b, c, d],
    [a, b, c * 256 + d],
    [a, (b * 256 + c) * 256 + d],
    [((a * 256 + b) * 256 + c) * 256 + d],
  ];
  const spell = (n: number) =>
    [String(n), `0x${n.toString(16)}`, `0X${n.toString(16).toUpperCase()}`, `0${n.toString(8)}`][below(4)];
  return groups[below(4)]!.map(spell).join(".") + (below(4) === 0 ? "." : "");
}

/** Written apart from the code under test: by comparisons, not by ranges. */
function referenceKind([a, b, c, d]: number[]): string | null {
  if (a === 0) return "unspecified";
  if (a === 127) return "loopback";
  if (a === 10 || (a === 172 && b! >= 16 && b! <= 31) || (a === 192 && b === 168)) return "private";
  if (a === 100 && b! >= 64 && b! <= 127) return "shared";
  if (a === 169 && b === 254) return "link-local";
  if (a === 168 && b === 63 && c === 129 && d === 16) return "metadata";
  if (a! >= 224) return a! >= 240 ? "reserved" : "multicast";
  if (a === 192 && b === 0 && (c === 0 || c === 2)) return "reserved";
  if ((a === 192 && b === 88 && c === 99) || (a === 198 && (b === 18 || b === 19))) return "reserved";
  return (a === 198 && b === 51 && c === 100) || (a === 203 && b === 0 && c === 113) ? "reserved" : null;
}

/** mulberry32: small, seeded, good enough to make inputs. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
