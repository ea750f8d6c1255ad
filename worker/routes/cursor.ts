/**
 * Cursors: where the next page begins, opaque to those who carry them.
 *
 * @module
 */
import { z } from "zod";
import { fromBase64Url, toBase64Url } from "../bytes.ts";
import { keyText, kindName, queueName } from "../fields.ts";

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
