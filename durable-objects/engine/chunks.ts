/**
 * Cuts lists so that each part travels in one value of SQL.
 *
 * @module
 */
import { CHUNK_BYTES } from "./limits.ts";

/** Parts of at most `most` items and, where one item alone is not over, at most CHUNK_BYTES as `bytesOf` counts. */
export function* chunks<Item>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  most = Number.POSITIVE_INFINITY,
): Generator<Item[]> {
  let chunk: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    // UTF-16 length will do: at most three bytes a unit, and the cut only has to stay far below the value limit.
    const size = bytesOf(item);
    if (chunk.length === most || (chunk.length > 0 && bytes + size > CHUNK_BYTES)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(item);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}
