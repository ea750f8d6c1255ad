/** Everything that happens later, in order of a time that only goes forward; and a wall clock that may step back. */
export class Clock {
  /** Milliseconds that have really passed. */
  time = 0;
  /** What the wall clock is off by. */
  skew = 0;
  readonly #start = Date.UTC(2026, 0, 1);
  readonly #heap: Event[] = [];
  #order = 0;

  wall(): number {
    return this.#start + Math.floor(this.time) + this.skew;
  }

  /** Calls `fire` after `ms`, unless what is returned is called before. */
  in(ms: number, fire: () => void): () => void {
    const event: Event = { at: this.time + Math.max(0, ms), order: this.#order++, fire };
    this.#push(event);
    return () => {
      event.fire = null;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.in(ms, resolve);
    });
  }

  /** Goes to the next event and lets everything that follows from it run, up to its next wait; false: there is none. */
  async step(): Promise<boolean> {
    let event = this.#pop();
    while (event && event.fire === null) event = this.#pop();
    if (!event) return false;
    this.time = Math.max(this.time, event.at);
    event.fire!();
    await new Promise<void>((resolve) => setImmediate(resolve));
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last!)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last!;
    return first;
  }
}

interface Event {
  at: number;
  order: number;
  fire: (() => void) | null;
}

function before(a: Event, b: Event): boolean {
  return a.at !== b.at ? a.at < b.at : a.order < b.order;
}
