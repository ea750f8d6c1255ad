/**
 * Ids that sort by time.
 *
 * @module
 */

/** The beginning of all ids of that instant. */
export function idsFrom(at: number): string {
  return at.toString(36).padStart(9, "0");
}

/** After the instant `chars` (at most 32) that are random. */
export function newId(at: number, chars: number): string {
  return `${idsFrom(at)}-${crypto.randomUUID().replaceAll("-", "").slice(0, chars)}`;
}
