/**
 * Who may call: the bearer of the token that the server was configured with.
 *
 * @module
 */
import { sha256, toBase64Url } from "../bytes.ts";
import { type Caller, rootCaller } from "../caller.ts";
import { type Refused, refuse } from "../problem.ts";

const MIN_TOKEN_CHARS = 32;
const MAX_GIVEN_CHARS = 4_096;

export type Authorized = { ok: true; caller: Caller } | Refused;

/**
 * Makes the check of whether a request bears the token; on success it names the token's scope without telling it.
 *
 * Both sides are hashed and the digests compared to their end, so that the time it takes tells nothing. The
 * configured token's digest is kept for the next request.
 */
export function createAuthorizer(): (request: Request, token: string | undefined) => Promise<Authorized> {
  let known: { token: string; digest: Uint8Array; scope: string } | null = null;
  return async (request, token) => {
    if (typeof token !== "string" || token.length < MIN_TOKEN_CHARS) {
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
    if (sameBytes(known.digest, await sha256(given))) return { ok: true, caller: rootCaller(known.scope) };
    return refuse("unauthorized", "This is not the token of this server.");
  };
}

function bearerOf(request: Request): string | Refused {
  const header = request.headers.get("authorization");
  if (header === null) return refuse("unauthorized", 'No token was given: send "Authorization: Bearer <token>".');
  const [scheme = "", given = "", ...rest] = header.trim().split(/ +/);
  if (scheme.toLowerCase() === "bearer" && given !== "" && rest.length === 0 && given.length <= MAX_GIVEN_CHARS) {
    return given;
  }
  return refuse("unauthorized", 'The Authorization header should be "Bearer <token>".');
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let different = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) different |= a[at]! ^ b[at]!;
  return different === 0;
}
