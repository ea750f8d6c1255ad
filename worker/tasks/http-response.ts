/**
 * What the `http` task keeps of an answer.
 *
 * @module
 */

const MAX_HEADER_CHARS = 8 * 1024;
const MIN_RETRY_MS = 1_000;
const MAX_RETRY_MS = 24 * 3_600_000;

/** Cookies and credentials: a job's result is shown to whoever may see the job. */
const WITHHELD = /^(set-cookie2?|cookie|www-authenticate|(proxy-)?(authenticate|authorization|authentication-info))$/;

/** The headers to keep, names in lower case; those past 8 KiB are left out. */
export function keptHeaders(headers: Headers): { [name: string]: string } {
  const kept: { [name: string]: string } = {};
  let chars = 0;
  for (const [name, value] of headers) {
    chars += name.length + value.length;
    if (chars > MAX_HEADER_CHARS) break;
    if (!WITHHELD.test(name)) kept[name] = value;
  }
  return kept;
}

/**
 * The beginning of a body as text: at most `maxBytes` of UTF-8, never half a character. Reads no more than it needs
 * and cancels the rest. What is not UTF-8 becomes U+FFFD.
 *
 * @throws whatever the stream fails with
 */
export async function readText(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  while (bytes < maxBytes) {
    const { value, done } = await reader.read();
    if (done) return cut(text + decoder.decode(), maxBytes);
    const wanted = value.subarray(0, maxBytes - bytes);
    bytes += wanted.byteLength;
    text += decoder.decode(wanted, { stream: true });
  }
  await reader.cancel();
  return cut(text, maxBytes);
}

/** Milliseconds to wait by a `Retry-After` header: seconds or an HTTP date. Null where it says neither; at least 1 s, at most 24 h. */
export function retryAfterOf(header: string | null, now: number): number | null {
  const text = header?.trim() ?? "";
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : / GMT$/.test(text) ? Date.parse(text) - now : Number.NaN;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, MIN_RETRY_MS), MAX_RETRY_MS);
}

function cut(text: string, maxBytes: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(maxBytes));
  return text.slice(0, read);
}
