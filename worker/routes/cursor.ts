/**
 * Cursors: where the next page begins, opaque to those who carry them.
 *
 * @module
 */
import { z } from "zod";
import { fromBase64Url, toBase64Url } from "../bytes.ts";
import { keyText, kindName, queueName } from "../fields.ts";
import { type Refused, refuse } from "../problem.ts";

/** Items of a page, where nobody says. */
export const DEFAULT_LIMIT = 50;

const seq = z.int().min(0);
const partition = z.int().min(0);

/** Jobs of one queue below a seq; finished jobs of all queues beyond a place; queues, schedules and keys after a name; operations, tokens and the audit log below an id. */
const SHAPES = {
  queue: z.tuple([queueName, seq]),
  finished: z.tuple([z.int().min(0), queueName, partition, seq]),
  queues: z.tuple([queueName]),
  schedules: z.tuple([queueName]),
  keys: z.tuple([kindName, keyText]),
  operations: z.tuple([z.string().max(64)]),
  tokens: z.tuple([z.string().max(64)]),
  audit: z.tuple([z.string().max(64)]),
};
type Kind = keyof typeof SHAPES;
type CursorOf<K extends Kind> = z.infer<(typeof SHAPES)[K]>;

export function writeCursor<K extends Kind>(kind: K, place: CursorOf<K>): string {
  return toBase64Url(new TextEncoder().encode(JSON.stringify([kind, ...place])));
}

/** The place that `writeCursor` wrote; null for anything else. */
export function readCursor<K extends Kind>(kind: K, cursor: string): CursorOf<K> | null {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(fromBase64Url(cursor));
    const [said, ...place] = JSON.parse(text) as unknown[];
    const checked = SHAPES[kind].safeParse(place);
    return said === kind && checked.success ? (checked.data as CursorOf<K>) : null;
  } catch {
    return null;
  }
}

export function badCursor(): Refused {
  return refuse("invalid_request", "This cursor is none that a page of this list was answered with: begin without.", [
    { path: "cursor", message: "is no cursor of this list" },
  ]);
}

interface Asked {
  cursor?: string | undefined;
  limit?: string | undefined;
}

/** A page as a checked query asks for it; `place` null: the first. */
export function pageAsked<K extends Kind>(
  kind: K,
  { cursor, limit }: Asked,
): { ok: true; place: CursorOf<K> | null; limit: number } | Refused {
  const place = cursor === undefined ? null : readCursor(kind, cursor);
  if (cursor !== undefined && place === null) return badCursor();
  return { ok: true, place, limit: limit === undefined ? DEFAULT_LIMIT : Number(limit) };
}

/** Where the page after `rows` begins; null: they are the last. */
export function afterIds(
  kind: "operations" | "tokens" | "audit",
  rows: readonly { id: string }[],
  limit: number,
): string | null {
  return rows.length < limit ? null : writeCursor(kind, [rows.at(-1)!.id]);
}
