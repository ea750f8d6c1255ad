/**
 * Who may call: the bearer of the token that the server was configured with.
 *
 * @module
 */
import { sha256, toBase64Url } from "../bytes.ts";
import { type Refused, refuse } from "../problem.ts";

const MIN_TOKEN_CHARS = 32;
const MAX_GIVEN_CHARS = 4_096;

/**
 * Whether a request bears the token; on success a name for the token's scope that does not tell it.
 *
 * Both sides are hashed and the digests compared to their end, so that the time it takes tells nothing.
 *
 * @param token as configured: none, or fewer than 32 characters, and nobody may call
 */
export async function authorize(
  request: Request,
  token: string | undefined,
): Promise<{ ok: true; scope: string } | Refused> {
  if (typeof token !== "string" || token.length < MIN_TOKEN_CHARS) {
    return refuse(
      "not_configured",
      `This server has no token of at least ${MIN_TOKEN_CHARS} characters, and is never open: set MILLRACE_TOKEN.`,
    );
  }
  const header = request.headers.get("authorization");
  if (header === null) return refuse("unauthorized", 'No token was given: send "Authorization: Bearer <token>".');
  const [scheme = "", given = "", ...rest] = header.trim().split(/ +/);
  if (scheme.toLowerCase() !== "bearer" || given === "" || rest.length > 0 || given.length > MAX_GIVEN_CHARS) {
    return refuse("unauthorized", 'The Authorization header should be "Bearer <token>".');
  }
  const [wanted, actual] = await Promise.all([sha256(token), sha256(given)]);
  if (!sameBytes(wanted, actual)) return refuse("unauthorized", "This is not the token of this server.");
  return { ok: true, scope: toBase64Url(wanted) };
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let different = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) different |= a[at]! ^ b[at]!;
  return different === 0;
}
