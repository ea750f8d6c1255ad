/**
 * By whose token a socket was opened, and until when that is valid. Both stand in tags of the socket, which are set once
 * and stay while the object sleeps.
 *
 * @module
 */

/** The header of an upgrade from Worker to object that carries a `Bearer` as JSON; absent: the server's own token. */
export const BEARER_HEADER = "x-millrace-bearer";

export interface Bearer {
  /** Of the token. */
  id: string;
  /** When it expires. */
  until: number;
}

const UNTIL = "until ";

export const bearerTag = (id: string): string => `token ${id}`;

/**
 * The tags of a socket, which is valid no longer than until `most`.
 *
 * @throws {SyntaxError} when the header is there and no JSON
 */
export function bearerTags(header: string | null, most: number = Number.POSITIVE_INFINITY): string[] {
  if (header === null) return [];
  const { id, until } = JSON.parse(header) as Bearer;
  return [bearerTag(id), UNTIL + Math.min(until, most)];
}

/** When the token of a socket with these tags expires. */
export function validUntil(tags: readonly string[]): number {
  const until = tags.find((tag) => tag.startsWith(UNTIL));
  return until === undefined ? Number.POSITIVE_INFINITY : Number(until.slice(UNTIL.length));
}
