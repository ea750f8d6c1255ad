import { SignJWT } from "jose";
import type { AuditEntry, Page, TokenRequest } from "../../../client/types.ts";
import { readConfig } from "../../../worker/config.ts";
import { createKeyring, type Keyring, type SigningSecrets } from "../../../worker/tokens/keys.ts";
import { type Ask, answer, appWith, ask, CONFIG, TOKEN } from "../api/support.ts";

/** An app whose queues take remote workers too. */
export const fetchBoth = appWith({
  config: readConfig({ ...CONFIG, queues: { ...CONFIG.queues, "q-*": { delivery: "both" } } }),
});

/** Makes a token over the API. */
export async function made(request: Omit<TokenRequest, "name"> & { name?: string }, about: Ask = {}) {
  const body = { name: "test", ...request };
  return answer<{ token: string; id: string; expiresAt: string }>(await ask("/v1/tokens", { ...about, body }), 201);
}

/** Asks with a token, instead of the admin's. */
export const askAs = (token: string, path: string, about: Ask = {}): Promise<Response> =>
  ask(path, { ...about, headers: { ...about.headers, authorization: `Bearer ${token}` } });

/** What the audit log has, newest first. */
export const entries = async (query = ""): Promise<AuditEntry[]> =>
  (await answer<Page<AuditEntry>>(await ask(`/v1/audit?limit=200${query}`))).items;

export const latest = async (): Promise<AuditEntry | undefined> => (await entries())[0];

const SECRETS: SigningSecrets = { token: TOKEN, signing: undefined, previous: undefined };

export async function keyringOf(secrets: Partial<SigningSecrets> = {}): Promise<Keyring> {
  const ring = await createKeyring()({ ...SECRETS, ...secrets });
  if (!ring.ok) throw new Error(ring.detail);
  return ring;
}

export const now = () => Math.floor(Date.now() / 1_000);

/** Signs claims as they are, with the key of the tests' own app; a claim or header that is undefined is left out. */
export async function signed(
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
  ring?: Keyring,
): Promise<string> {
  const { current } = ring ?? (await keyringOf());
  const whole = {
    ...{ iss: "millrace", aud: "millrace", jti: "tok-000000000-0123456789abcdef", iat: now(), exp: now() + 600 },
    ...{ name: "test", role: "viewer" },
    ...claims,
  };
  return new SignJWT(whole)
    .setProtectedHeader({ alg: "HS256", typ: "JWT", kid: current.id, ...header })
    .sign(current.key);
}
