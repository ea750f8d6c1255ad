/**
 * A binary heap: the first of many by an order, without keeping them all sorted.
 *
 * Items that ceased to count are dropped when they come to the front, by who looks there, or all at once when they may
 * be more than those that count: a heap takes about as much memory as these.
 *
 * @module
 */
const SPARE = 64;

export class Heap<Item> {
  #items: Item[] = [];
  readonly #before: (a: Item, b: Item) => boolean;
  readonly #counts: (item: Item) => boolean;
  #most = SPARE;

  constructor(before: (a: Item, b: Item) => boolean, counts: (item: Item) => boolean) {
    this.#before = before;
    this.#counts = counts;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): Item | undefined {
    return this.#items[0];
  }

  /** Some of the items, the first among them, in no order. */
  some(most: number): Item[] {
    return this.#items.slice(0, most);
  }

  push(item: Item): void {
    if (this.#items.length >= this.#most) this.#tidy();
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(item, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  #tidy(): void {
    // What is sorted is a heap.
    this.#items = this.#items.filter(this.#counts).sort((a, b) => (this.#before(a, b) ? -1 : 1));
    this.#most = 2 * this.#items.length + SPARE;
  }

  pop(): Item | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1]!, items[child]!)) child += 1;
      if (!this.#before(items[child]!, last)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return first;
  }
}
