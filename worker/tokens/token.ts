/**
 * Tokens: JSON Web Tokens signed with HS256. A token says itself what its bearer may do, so that nothing but a key is
 * needed to believe it.
 *
 * @module
 */
import { errors, type JWTHeaderParameters, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import type { TokenRequest } from "../../client/types.ts";
import type { Caller } from "../caller.ts";
import { glob } from "../config.ts";
import type { TokenAbout, TokenRow } from "../history/tokens.ts";
import { toRate } from "../limit-settings.ts";
import { type Refused, refuse } from "../problem.ts";
import type { Keyring } from "./keys.ts";
import { claimed, LIFETIMES, type Lifetime, newTokenId, readTokenRequest } from "./request.ts";

const NAME = "millrace";
/** No token is longer, and none that is longer is looked into. */
export const MAX_TOKEN_CHARS = 4_096;
/** By how much the clocks of two machines may differ. */
const SKEW_SECONDS = 5;
const LONGEST_SECONDS = LIFETIMES.made.mostMs / 1_000;

/** Strict: a token that says more than this code knows is restricted by something that this code would not hold. */
const claims = z.strictObject({
  ...claimed,
  iss: z.string(),
  aud: z.string(),
  jti: z.string().min(1).max(64),
  iat: z.number(),
  exp: z.number(),
  nbf: z.number().optional(),
});

export interface SignedToken {
  ok: true;
  token: string;
  row: Omit<TokenRow, "revokedAt">;
}

/** Makes a token of what was asked for, or says what is wrong with that. */
export async function makeToken(
  keys: Keyring | Refused,
  request: unknown,
  lifetime: Lifetime,
): Promise<SignedToken | Refused> {
  // In whole seconds, as tokens count.
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  const id = newTokenId(Date.now());
  const asked = readTokenRequest(request, id, lifetime);
  if (!asked.ok) return asked;
  if (!keys.ok) return keys;
  const { about, forMs } = asked;
  const expiresAt = now + Math.ceil(forMs / 1_000) * 1_000;
  const token = await sign(keys, { id, about, createdAt: now, expiresAt });
  if (token.length > MAX_TOKEN_CHARS) {
    const detail = `The token would have ${token.length} characters, and has at most ${MAX_TOKEN_CHARS}: name fewer tasks and jobs, queues by patterns, and less in pin.`;
    return refuse("invalid_request", detail);
  }
  return { ok: true, token, row: { id, about, createdAt: now, expiresAt } };
}

function sign({ current }: Keyring, { id, about, createdAt, expiresAt }: Omit<TokenRow, "revokedAt">): Promise<string> {
  return new SignJWT({ ...about })
    .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: current.id })
    .setIssuer(NAME)
    .setAudience(NAME)
    .setJti(id)
    .setIssuedAt(createdAt / 1_000)
    .setExpirationTime(expiresAt / 1_000)
    .sign(current.key);
}

/** Who bears a token, as far as keys and clock can tell: whether it was revoked is another question. */
export async function readToken(keys: Keyring, token: string): Promise<{ ok: true; caller: Caller } | Refused> {
  try {
    const { payload } = await jwtVerify(token, (header) => keyOf(keys, header), {
      algorithms: ["HS256"],
      issuer: NAME,
      audience: NAME,
      requiredClaims: ["jti", "exp", "name", "role"],
      maxTokenAge: LONGEST_SECONDS,
      clockTolerance: SKEW_SECONDS,
    });
    const checked = claims.safeParse(payload);
    if (checked.success)
      return { ok: true, caller: callerOf(checked.data.jti, checked.data.exp, checked.data as TokenAbout) };
    const [issue] = checked.error.issues;
    const strange = issue?.code === "unrecognized_keys";
    return refused(
      strange ? "says more than this server understands" : `has a "${String(issue?.path[0])}" that is not valid`,
    );
  } catch (error) {
    return refused(wrongWith(error));
  }
}

class UnknownKey extends Error {}

function keyOf({ byId }: Keyring, { kid }: JWTHeaderParameters): CryptoKey {
  const key = kid === undefined ? undefined : byId.get(kid);
  if (key) return key;
  throw new UnknownKey();
}

const refused = (what: string): Refused => refuse("unauthorized", `The token ${what}: ask for a new one.`);

function wrongWith(error: unknown): string {
  if (error instanceof UnknownKey) return "is signed with a key that this server does not have";
  if (error instanceof errors.JWTExpired) return "has expired";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "is forged: its signature is not that of its text";
  if (error instanceof errors.JOSEAlgNotAllowed) return "is not signed with HS256, as all of Millrace are";
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error;
    if (reason === "missing") return `has no "${claim}"`;
    if (claim === "nbf" || claim === "iat") return "is not valid yet";
    return `is not one of Millrace: its "${claim}" is another`;
  }
  return "is not one of Millrace";
}

function callerOf(id: string, expiresAt: number, about: TokenAbout): Caller {
  const { name, role, queues, tasks, jobs, pin, options, rate, actor }: Omit<TokenRequest, "expiresIn"> = about;
  const patterns = queues?.map(glob) ?? null;
  const producer = role === "producer";
  return {
    role,
    name,
    tokenId: id,
    expiresAt: (expiresAt + SKEW_SECONDS) * 1_000,
    scope: `token ${id}`,
    queues: queues ?? null,
    queue: (queue) => patterns === null || patterns.some((pattern) => pattern.test(queue)),
    tasks: tasks ? new Set(tasks) : null,
    jobs: jobs ? new Set(jobs) : null,
    pin: pin ?? null,
    options: options || producer ? new Set(options) : null,
    rate: rate ? toRate(rate) : null,
    actor: actor ?? (producer ? id : null),
  };
}
