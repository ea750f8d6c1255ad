/**
 * Who calls: the bearer of the token that the server was configured with, or of one that it signed.
 *
 * @module
 */
import { sha256, toBase64Url } from "../bytes.ts";
import { type Caller, rootCaller } from "../caller.ts";
import { type Refused, refuse } from "../problem.ts";
import type { Keyring } from "../tokens/keys.ts";
import { MAX_TOKEN_CHARS, readToken } from "../tokens/token.ts";

const MIN_TOKEN_CHARS = 32;

export type Authorized = { ok: true; caller: Caller } | Refused;

/** What a request is checked against. */
export interface Authority {
  /** The token that the server was configured with. */
  token: string | undefined;
  /** Who bears that. */
  root: string;
  keys(): Promise<Keyring | Refused>;
  isRevoked(id: string): Promise<boolean>;
}

/**
 * Makes the check of who bears the token of a request.
 *
 * The configured token and the given one are hashed and the digests compared to their end, so that the time it takes
 * tells nothing. The configured token's digest is kept for the next request.
 */
export function createAuthorizer(): (request: Request, authority: Authority) => Promise<Authorized> {
  let known: { token: string; digest: Uint8Array; scope: string } | null = null;
  return async (request, { token, root, keys, isRevoked }) => {
    if (typeof token !== "string" || token.trim().length < MIN_TOKEN_CHARS) {
      return refuse(
        "not_configured",
        `This server has no token of at least ${MIN_TOKEN_CHARS} characters, and is never open: set MILLRACE_TOKEN.`,
      );
    }
    const given = bearerOf(request);
    if (typeof given !== "string") return given;
    if (known?.token !== token) {
      const digest = await sha256(token);
      known = { token, digest, scope: toBase64Url(digest) };
    }
    if (sameBytes(known.digest, await sha256(given))) return { ok: true, caller: rootCaller(known.scope, root) };
    if (given.split(".").length !== 3) return refuse("unauthorized", "This is not a token of this server.");
    const ring = await keys();
    if (!ring.ok) return ring;
    const read = await readToken(ring, given);
    if (!read.ok || !(await isRevoked(read.caller.tokenId!))) return read;
    return refuse("unauthorized", "The token was revoked: ask for a new one.");
  };
}

function bearerOf(request: Request): string | Refused {
  const header = request.headers.get("authorization");
  const given = header === null ? subprotocolOf(request) : schemeOf(header);
  if (given === null) return refuse("unauthorized", 'No token was given: send "Authorization: Bearer <token>".');
  if (given === "") return refuse("unauthorized", 'The Authorization header should be "Bearer <token>".');
  if (given.length <= MAX_TOKEN_CHARS) return given;
  return refuse("unauthorized", `The token given has ${given.length} characters: none has over ${MAX_TOKEN_CHARS}.`);
}

function schemeOf(header: string): string {
  const [scheme = "", given = "", ...rest] = header.trim().split(/ +/);
  return scheme.toLowerCase() === "bearer" && rest.length === 0 ? given : "";
}

/** A browser cannot give a WebSocket a header, but subprotocols: `bearer.<token>` is one of them. */
function subprotocolOf({ headers }: Request): string | null {
  if (headers.get("upgrade")?.toLowerCase() !== "websocket") return null;
  const offered = (headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());
  return offered.find((one) => one.startsWith("bearer."))?.slice("bearer.".length) ?? null;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let different = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) different |= a[at]! ^ b[at]!;
  return different === 0;
}
