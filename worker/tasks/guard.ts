/**
 * Where the `http` task may send requests.
 *
 * A Worker cannot see what a name resolves to, so this judges what is written in the URL: a public name that
 * points at a private address passes here (and then meets the platform's network, which has no route to
 * anybody's private network; a self-hosted runtime may have one). The list of patterns is the real fence: the
 * narrower it is, the less a name can do.
 *
 * @module
 */
import { hostKind, withoutDot } from "./hosts.ts";

/** What a guard says of a URL: the parsed form to send to, or why not. */
export type Verdict = { url: URL; problem?: undefined } | { url?: undefined; problem: string };

/** Judges one URL. Pure: the same URL gets the same verdict at enqueue and at run. */
export type Guard = (url: string) => Verdict;

interface Pattern {
  text: string;
  protocol: string;
  /** `*`, `*.` and a name, or a host. */
  host: string;
  /** null: any. */
  port: string | null;
  /** null: any; a trailing `*` stands for anything. */
  path: string | null;
}

const MAX_URL_CHARS = 8192;
const PATTERN = /^(https?):\/\/(\*|(?:\*\.)?[^\s/:*@?#[\]\\]+|\[[0-9a-f:.]+\])(?::(\*|\d{1,5}))?(\/[^\s?#*\\]*\*?)?$/i;
const DEFAULT_PORTS: { [protocol: string]: string } = { "https:": "443", "http:": "80" };

/** Patterns that allow this machine over plain http, for development. */
export const LOOPBACK: readonly string[] = ["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"];

/**
 * Makes the guard of an `http` task.
 *
 * A pattern is `scheme://host[:port][/path]`. Host: a name or address, `*.example.com` (every name below, not
 * `example.com` itself) or `*` (any public host). Port: the scheme's own when absent, `*` for any. Path: any when
 * absent, exact, or up to a trailing `*`. Plain http is allowed only by patterns that begin with `http://`.
 * Private, loopback, link-local and other hosts that are not public are allowed only by patterns that name them,
 * never by `*`; own addresses only by patterns that name host and port.
 *
 * @param allow patterns; none: nothing is allowed
 * @param self addresses of this deployment, `host` (every port) or `host:port`
 * @throws TypeError for what is not a pattern or not a host
 * @example createGuard(["https://*.example.com", "https://api.example.org/hooks/*"], ["jobs.example.com"])
 */
export function createGuard(allow: readonly string[], self: readonly string[] = []): Guard {
  const patterns = allow.map(parsePattern);
  const own = self.map(parseOwn);
  return (text) => {
    const url = parseUrl(text);
    if (typeof url === "string") return { problem: url };
    const host = withoutDot(url.hostname);
    const matching = patterns.filter((pattern) => matches(pattern, url, host));
    if (own.some((address) => isOwn(address, url, host)) && !matching.some((p) => p.host === host && p.port !== null)) {
      return refuse(url, "it is an address of this deployment itself", patterns);
    }
    const kind = hostKind(url.hostname);
    if (kind !== null && !matching.some((pattern) => pattern.host !== "*")) {
      return refuse(url, `${host} is not a public host (${kind})`, patterns);
    }
    return matching.length > 0 ? { url } : refuse(url, "no pattern of the configuration allows it", patterns);
  };
}

/** Writes a URL for messages, without its query: that may hold secrets. */
export function shown(url: URL): string {
  return url.origin + url.pathname;
}

function refuse(url: URL, why: string, patterns: Pattern[]): Verdict {
  const allowed = patterns.length === 0 ? "nothing" : patterns.map((pattern) => pattern.text).join(", ");
  return { problem: `${shown(url)} may not be requested: ${why}. http({ allow }) lists: ${allowed}` };
}

function parseUrl(text: string): URL | string {
  if (text.length > MAX_URL_CHARS) return `a URL of ${text.length} characters was given; it may have ${MAX_URL_CHARS}`;
  // The parser would drop tabs and line ends, and read a backslash as a slash: no honest URL needs that.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u0020\u007f\\]/.test(text)) return "a URL must not hold spaces, control characters or backslashes";
  if (!/^https?:\/\/[^/]/i.test(text) || !URL.canParse(text))
    return "an absolute URL that begins with https:// is needed";
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") {
    return "a URL must not hold a user name or password: send an Authorization header instead";
  }
  return url;
}

function matches(pattern: Pattern, url: URL, host: string): boolean {
  return (
    url.protocol === pattern.protocol &&
    (pattern.port === null || pattern.port === portOf(url)) &&
    matchesHost(pattern.host, host) &&
    (pattern.path === null || matchesPath(pattern.path, url.pathname))
  );
}

function matchesHost(pattern: string, host: string): boolean {
  if (pattern === "*") return true;
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) && host.length >= pattern.length : host === pattern;
}

function matchesPath(pattern: string, path: string): boolean {
  if (!pattern.endsWith("*")) return path === pattern;
  // The parser has resolved `..`; some servers climb at these too, out of the path that the pattern means.
  if (/%(25)*(2f|5c|2e)|\/\.{1,2};/i.test(path)) return false;
  return path.startsWith(pattern.slice(0, -1));
}

function portOf(url: URL): string {
  return url.port === "" ? DEFAULT_PORTS[url.protocol]! : url.port;
}

function isOwn(own: URL, url: URL, host: string): boolean {
  if (own.port !== "" && own.port !== portOf(url)) return false;
  return withoutDot(own.hostname) === host || (isThisMachine(own.hostname) && isThisMachine(url.hostname));
}

function isThisMachine(hostname: string): boolean {
  const kind = hostKind(hostname);
  return kind === "loopback" || kind === "unspecified" || hostname.startsWith("[::ffff:7f");
}

function parsePattern(text: string): Pattern {
  const parts = PATTERN.exec(text);
  if (parts === null) throw notAPattern(text);
  const [, scheme, host, port, path] = parts;
  const wildcard = host === "*" ? "*" : host!.startsWith("*.") ? "*." : "";
  const name = host!.slice(wildcard.length);
  const probe = `${scheme}://${name === "" ? "any" : name}${port === undefined || port === "*" ? "" : `:${port}`}${path ?? ""}`;
  if (!URL.canParse(probe)) throw notAPattern(text);
  const url = new URL(probe);
  return {
    text,
    protocol: url.protocol,
    host: wildcard === "*" ? "*" : wildcard + withoutDot(url.hostname),
    port: port === "*" ? null : portOf(url),
    path: path === undefined ? null : url.pathname,
  };
}

function notAPattern(text: string): TypeError {
  return new TypeError(
    `http({ allow }): ${JSON.stringify(text)} is not a pattern; write scheme://host[:port][/path], ` +
      `for example "https://*.example.com", "https://api.example.com/hooks/*" or "http://127.0.0.1:*"`,
  );
}

function parseOwn(text: string): URL {
  if (/^[^\s/@?#\\]+$/.test(text) && URL.canParse(`http://${text}`)) return new URL(`http://${text}`);
  throw new TypeError(
    `http({ self }): ${JSON.stringify(text)} is not a host; write "jobs.example.com" or "127.0.0.1:8787"`,
  );
}
