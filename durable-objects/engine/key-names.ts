/**
 * The names of keys in order, so that a page of them is found without looking at all.
 *
 * Made when somebody asks. Names that come later are kept beside the others, unsorted; when they are many, all is thrown
 * away, to be made anew for who asks next.
 *
 * @module
 */
import type { Books } from "./books.ts";

export interface KeyNames {
  /** Those of gates, closures and buckets when it was made, in order; some may be gone. */
  sorted: string[];
  /** Those that came since. */
  fresh: string[];
}

/** Every page looks at all of them. */
const FRESH_MAX = 1_000;

/** A key has got a gate or a closure. A bucket comes only to what has a gate. */
export function noteKey(books: Books, key: string): void {
  if (books.keyNames && books.keyNames.fresh.push(key) > FRESH_MAX) books.keyNames = null;
}

/** In order, the first `limit` names behind `from` that begin with `prefix` and are to be `shown`. */
export function namesAfter(
  books: Books,
  { from, prefix, limit }: { from: string; prefix: string; limit: number },
  shown: (key: string) => boolean,
): string[] {
  books.keyNames ??= { sorted: sortedNames(books), fresh: [] };
  const { sorted, fresh } = books.keyNames;
  const found = new Set<string>();
  const first = Math.max(firstAfter(sorted, from), firstAfter(sorted, prefix));
  for (let at = first; found.size < limit && sorted[at]?.startsWith(prefix); at += 1)
    if (shown(sorted[at]!)) found.add(sorted[at]!);
  for (const key of fresh) if (key > from && key.startsWith(prefix) && shown(key)) found.add(key);
  return [...found].sort().slice(0, limit);
}

function sortedNames({ gates, closures, buckets }: Books): string[] {
  const names = new Set([...gates.keys(), ...closures.keys(), ...buckets.keys()]);
  return [...names].filter((name) => name.startsWith("key:")).sort();
}

function firstAfter(sorted: string[], from: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! > from) high = middle;
    else low = middle + 1;
  }
  return low;
}
