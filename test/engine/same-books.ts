import { expect } from "vitest";
import { describe } from "../../durable-objects/engine/inspect.ts";
import { openBooks } from "../../durable-objects/engine/open.ts";
import type { TestQueue } from "./queue.ts";

/** What the engine knows by heart of keys is what the tables say. */
export function sameBooks(queue: TestQueue): void {
  const of = (books: NonNullable<ReturnType<typeof openBooks>>) => ({
    ordered: books.ordered,
    uniques: books.uniques,
    ready: [...books.lanes.values()].filter(({ ready }) => ready > 0).map(({ id, ready }) => [id, ready]),
  });
  const fresh = openBooks(queue.storage.sql, {})!;
  expect(queue.read((tx) => of(tx.books))).toEqual(of(fresh));
  const counts = { ...queue.read((tx) => describe(tx, null)).counts };
  queue.restart();
  expect(queue.read((tx) => describe(tx, null)).counts).toEqual(counts);
}
