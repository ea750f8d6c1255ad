/**
 * Many calls to others, a few under way at once.
 *
 * @module
 */

/** An invocation may wait for six connections. */
const AT_ONCE = 6;

/** The next six begin when the last of these has ended. */
export async function inTurns<Item>(items: readonly Item[], run: (item: Item) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += AT_ONCE) {
    await Promise.all(items.slice(from, from + AT_ONCE).map(run));
  }
}
