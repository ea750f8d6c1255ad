/**
 * The keys that sign tokens, from what the server was configured with.
 *
 * @module
 */
import { sha256Text } from "../bytes.ts";
import { type Refused, refuse } from "../problem.ts";

const MIN_CHARS = 32;
const INFO = new TextEncoder().encode("millrace tokens 1");

/** As they stand in the environment. */
export interface SigningSecrets {
  /** `MILLRACE_TOKEN`: signs by a key derived from it, where no signing key is given. */
  token: string | undefined;
  /** `MILLRACE_SIGNING_KEY` */
  signing: string | undefined;
  /** `MILLRACE_SIGNING_KEY_PREVIOUS`: signs nothing, and what it signed is still valid. */
  previous: string | undefined;
}

/** A key with the id by which tokens name it (`kid`), which tells nothing of it. */
interface SigningKey {
  id: string;
  key: CryptoKey;
}

/** The keys by which tokens are valid. */
export interface Keyring {
  ok: true;
  current: SigningKey;
  byId: ReadonlyMap<string, CryptoKey>;
}

/** Makes the reading of keys; those that were read last are kept for the next request. */
export function createKeyring(): (secrets: SigningSecrets) => Promise<Keyring | Refused> {
  let known: { of: string; ring: Keyring } | null = null;
  return async (secrets) => {
    const wrong = wrongSecret(secrets);
    if (wrong !== null) return refuse("not_configured", wrong);
    const of = JSON.stringify([secrets.token, secrets.signing, secrets.previous]);
    if (known?.of === of) return known.ring;
    const ring = await readKeys(secrets);
    known = { of, ring };
    return ring;
  };
}

function wrongSecret({ token, signing, previous }: SigningSecrets): string | null {
  const short = Object.entries({ MILLRACE_SIGNING_KEY: signing, MILLRACE_SIGNING_KEY_PREVIOUS: previous }).find(
    ([, text]) => text !== undefined && text.trim().length < MIN_CHARS,
  );
  if (short)
    return `${short[0]} has fewer than ${MIN_CHARS} characters, so no token is signed or taken: set a longer one.`;
  if (signing !== undefined || (token !== undefined && token.trim().length >= MIN_CHARS)) return null;
  return `This server has nothing to sign tokens with: set MILLRACE_TOKEN or MILLRACE_SIGNING_KEY, of at least ${MIN_CHARS} characters.`;
}

/** What was configured as the admin's token before may stand as the previous key, so both readings of that are tried. */
async function readKeys({ token, signing, previous }: SigningSecrets): Promise<Keyring> {
  const current = signing === undefined ? await derived(token!) : await toKey(bytesOf(signing));
  const before = previous === undefined ? [] : [await toKey(bytesOf(previous)), await derived(previous)];
  return { ok: true, current, byId: new Map([...before, current].map(({ id, key }) => [id, key])) };
}

async function derived(text: string): Promise<SigningKey> {
  const from = await crypto.subtle.importKey("raw", bytesOf(text), "HKDF", false, ["deriveBits"]);
  const about = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: INFO };
  return toKey(new Uint8Array(await crypto.subtle.deriveBits(about, from, 256)));
}

async function toKey(bytes: Uint8Array<ArrayBuffer>): Promise<SigningKey> {
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes, hmac, false, ["sign", "verify"]);
  return { id: (await sha256Text(bytes)).slice(0, 8), key };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
