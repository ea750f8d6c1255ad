/**
 * Which pages of other origins may call (CORS): those that the config names, none by default. Tokens travel in a header,
 * never in a cookie, so credentials are not allowed.
 *
 * Not Hono's middleware: that sets headers on finished responses, which doubles the cost of a small request.
 *
 * @module
 */

/** What `createMillrace` takes as `cors`. */
export interface CorsConfig {
  /** Exact origins, such as `"https://app.example.com"`; or `"*"` alone for any. */
  origins: readonly string[];
}

/** A scheme and a host, perhaps a port, as browsers write them. */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._[\]:-]+$/;
const ALLOWED = {
  "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers":
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Millrace-Request-Id, X-Request-Id",
  // Chromium keeps no answer for longer.
  "access-control-max-age": "7200",
};
const EXPOSED = "X-Request-Id, Retry-After, Idempotency-Replayed";

/**
 * Checks the config.
 *
 * @throws {TypeError} naming what is wrong and what it should be
 */
export function readCors(cors: CorsConfig | undefined): ReadonlySet<string> {
  if (cors === undefined) return new Set();
  const { origins, ...rest } = cors;
  const [strange] = Object.keys(rest);
  if (strange !== undefined)
    throw new TypeError(`cors was given "${strange}", which is not known. There are: origins.`);
  if (!Array.isArray(origins)) throw new TypeError(`cors.origins is a list of origins, not ${typeof origins}.`);
  if (origins.length > 1 && origins.includes("*")) {
    throw new TypeError('cors.origins holds "*" beside others: "*" alone lets pages of any origin call.');
  }
  for (const origin of origins) {
    if (origin === "*" || (typeof origin === "string" && ORIGIN.test(origin) && isExact(origin))) continue;
    throw new TypeError(
      `cors.origins: ${JSON.stringify(origin)} is no origin: write "https://app.example.com", in lower case, without a path or a slash at its end, and without the scheme's own port.`,
    );
  }
  return new Set(origins);
}

/** Of http and https the URL parser knows the one way to write an origin; of others it knows nothing. */
function isExact(origin: string): boolean {
  return !/^https?:/.test(origin) || (URL.canParse(origin) && new URL(origin).origin === origin);
}

/** Headers for the answer to any request. */
export function corsHeaders(origins: ReadonlySet<string>, request: Request): Record<string, string> {
  if (origins.size === 0) return {};
  if (origins.has("*")) return { "access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED };
  const origin = request.headers.get("origin");
  if (origin === null || !origins.has(origin)) return { vary: "Origin" };
  return { vary: "Origin", "access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED };
}

/**
 * The answer to a browser that asks before it calls; null for any other request. It bears no token, and learns nothing
 * but whether its origin may.
 */
export function preflight(origins: ReadonlySet<string>, request: Request, requestId: string): Response | null {
  const { method, headers } = request;
  if (origins.size === 0 || method !== "OPTIONS" || !headers.has("access-control-request-method")) return null;
  const answer = corsHeaders(origins, request);
  const allowed = "access-control-allow-origin" in answer ? ALLOWED : {};
  return new Response(null, { status: 204, headers: { "x-request-id": requestId, ...answer, ...allowed } });
}
