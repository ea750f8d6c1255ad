import type { Send } from "./request.ts";
import type { Page } from "./types.ts";

/** All items of a list, page by page as you go. `path` ends where parameters may follow: `?` or `?a=b`. */
export async function* list<Item>(
  send: Send,
  path: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Item, void, void> {
  let cursor: string | null = null;
  do {
    const from: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page: Page<Item> = await send({ method: "GET", path: path + from, signal });
    yield* page.items;
    cursor = page.nextCursor;
  } while (cursor !== null);
}
