/**
 * JSON from outside: bounded before it is parsed, and checked for what JSON's grammar lets through but nothing else
 * can hold.
 *
 * @module
 */
import { type Refused, refuse } from "./problem.ts";

/** A body takes so many bytes. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** Arrays and objects inside each other, in a payload. */
export const MAX_DEPTH = 128;
/** `{"jobs":[{"payload":…}]}` stands around a payload. */
const MAX_BODY_DEPTH = MAX_DEPTH + 3;

const encoder = new TextEncoder();

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

/** A body as it came, and what it says. `value` is undefined where an optional body was left out. */
export type Body = { ok: true; value: unknown; bytes: Uint8Array } | Refused;

/** Reads and parses the body of a request. Never throws, whatever was sent. */
export async function readJson(request: Request, options: { optional: boolean }): Promise<Body> {
  const read = await readText(request, options);
  if (!read.ok) return read;
  const { value: text, bytes } = read;
  return text === "" && options.optional ? { ok: true, value: undefined, bytes } : parseBody(text, bytes);
}

/** The body as text, for those who parse it by rules of their own. */
export async function readText(
  request: Request,
  { optional }: { optional: boolean },
): Promise<{ ok: true; value: string; bytes: Uint8Array } | Refused> {
  const wrongType = checkMediaType(request, optional);
  if (wrongType) return wrongType;
  const bytes = await readBytes(request);
  if (!(bytes instanceof Uint8Array)) return bytes;
  try {
    return { ok: true, value: new TextDecoder("utf-8", { fatal: true }).decode(bytes), bytes };
  } catch {
    return refuse("invalid_request", "The body is not UTF-8: some of its bytes are no characters.");
  }
}

function checkMediaType(request: Request, optional: boolean): Refused | null {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    return refuse("unsupported_media_type", `The body is encoded as "${encoding.slice(0, 40)}": send it as it is.`);
  }
  const type = request.headers.get("content-type");
  if (type === null && optional) return null;
  const [media, ...parameters] = (type ?? "").toLowerCase().split(";");
  const charset = parameters.map((part) => part.trim()).find((part) => part.startsWith("charset="));
  if (!/^application\/([a-z0-9.-]+\+)?json$/.test(media!.trim())) {
    const is = type === null ? (request.body ? "has no Content-Type" : "is missing") : `is "${type.slice(0, 80)}"`;
    return refuse("unsupported_media_type", `The body ${is}: send JSON as "application/json".`);
  }
  if (charset === undefined || /^charset="?utf-?8"?$/.test(charset)) return null;
  return refuse("unsupported_media_type", `The body is in ${charset.slice(0, 40)}: JSON is sent in UTF-8.`);
}

async function readBytes(request: Request): Promise<Uint8Array | Refused> {
  const said = request.headers.get("content-length");
  if (said !== null && Number(said) > MAX_BODY_BYTES) return tooLarge(`${said.slice(0, 20)} bytes`);
  if (!request.body) return new Uint8Array();
  try {
    // Reading at once costs half as much, and a connection brings no more than it said.
    const bytes = said === null ? await readChunks(request.body) : new Uint8Array(await request.arrayBuffer());
    return bytes !== null && bytes.length <= MAX_BODY_BYTES ? bytes : tooLarge("larger than that");
  } catch {
    return refuse("invalid_request", "The body ended before it was complete. Nothing was changed: send it again.");
  }
}

/** All bytes of a stream; null as soon as there are too many. */
async function readChunks(body: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return chunks.length === 1 ? chunks[0]! : joined(chunks, length);
    length += value.length;
    if (length > MAX_BODY_BYTES) {
      reader.cancel().catch(() => {});
      return null;
    }
    chunks.push(value);
  }
}

function tooLarge(size: string): Refused {
  return refuse(
    "payload_too_large",
    `A body holds at most ${MAX_BODY_BYTES} bytes (8 MiB), and this one is ${size}: send it in several calls.`,
  );
}

function joined(chunks: Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

function parseBody(text: string, bytes: Uint8Array): Body {
  if (isDeeperThan(text, MAX_BODY_DEPTH)) {
    return refuse("invalid_request", `The body nests more than ${MAX_BODY_DEPTH} arrays and objects into each other.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const what = bytes.length === 0 ? "is empty" : `is not JSON: ${(error as Error).message.slice(0, 200)}`;
    return refuse("invalid_request", `The body ${what}`);
  }
  if (SUSPECT.test(text)) {
    const wrong = unholdable(value, "");
    if (wrong) return refuse("invalid_request", "The body holds what no text or number can be.", [wrong]);
  }
  return { ok: true, value, bytes };
}

/** The escape of half a surrogate pair, or a number that may be too large to count with: worth a closer look. */
const SUSPECT = /\\u[dD][89a-fA-F]|[eE]\+?\d{3}|(?<!\d)\d{309}/;

/** The first string with a lone surrogate, or number that became infinite. Bounded by the depth of the text. */
function unholdable(value: unknown, path: string): { path: string; message: string } | null {
  if (typeof value === "string" && !value.isWellFormed()) {
    return { path, message: "holds half of a surrogate pair, which is no character" };
  }
  if (typeof value === "number" && !Number.isFinite(value)) {
    return { path, message: "is a number beyond 1.8e308: send it as a string" };
  }
  if (typeof value !== "object" || value === null) return null;
  for (const [key, member] of Object.entries(value)) {
    const at = Array.isArray(value) ? `${path}[${key}]` : joinPath(path, key);
    if (!key.isWellFormed()) return { path: at, message: "its name holds half of a surrogate pair" };
    const wrong = unholdable(member, at);
    if (wrong) return wrong;
  }
  return null;
}

/** A number that may be too large to count with. */
const LARGE = /[eE]\+?\d{3}|\d{309}/;

/** Whether a number of `value`, which `text` says, became infinite: written again, it would be null. */
export function holdsInfinity(text: string, value: unknown): boolean {
  if (!LARGE.test(text)) return false;
  let infinite = false;
  try {
    JSON.stringify(value, (_key, member) => {
      infinite ||= member === Number.POSITIVE_INFINITY || member === Number.NEGATIVE_INFINITY;
      return member;
    });
  } catch {
    // Too deep to be written: whoever takes it finds out.
  }
  return infinite;
}

const MAX_KEY_CHARS = 100;

/** `a.b`, or `b` where there is no `a`. Long names are cut: paths are for people. */
export function joinPath(path: string, key: string): string {
  const shown = key.slice(0, MAX_KEY_CHARS).toWellFormed();
  return path === "" ? shown : `${path}.${shown}`;
}

/** The escape of half a surrogate pair, after an even number of backslashes. */
const LONE_SURROGATE = /(?<!\\)(?:\\\\)*\\ud[89a-f]/;

/** Whether a value holds half of a surrogate pair: `JSON.stringify` writes those as escapes, and whole pairs as they are. */
export function holdsLoneSurrogate(json: string): boolean {
  return json.includes("\\ud") && LONE_SURROGATE.test(json);
}

/** Whether more than `max` arrays and objects stand inside each other. Looks at the text only, so nothing recurses. */
export function isDeeperThan(text: string, max: number): boolean {
  if (text.length <= max) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) {
      at = endOfString(text, at);
    } else if (unit === OPEN_ARRAY || unit === OPEN_OBJECT) {
      depth += 1;
      if (depth > max) return true;
    } else if (unit === CLOSE_ARRAY || unit === CLOSE_OBJECT) {
      depth -= 1;
    }
  }
  return false;
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Where the string that begins at `at` ends; the end of the text when it does not. */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  for (; end < text.length; end++) {
    const unit = text.charCodeAt(end);
    if (unit === BACKSLASH) end += 1;
    else if (unit === QUOTE) break;
  }
  return end;
}
