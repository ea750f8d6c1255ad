import type { ModelJob } from "./model.ts";

/** Who may go, of the unfinished jobs with the same ordering key: the first, by acceptance or reopening. */
export class Orderings {
  readonly #lines = new Map<string, ModelJob[]>();
  /** Keys that something happened to in this transaction. */
  readonly #touched = new Set<string>();

  /** A job joins the end of its line. */
  join(job: ModelJob): void {
    const key = job.template.orderingKey ?? null;
    if (key === null) return;
    const line = this.#lines.get(key);
    if (line) line.push(job);
    else this.#lines.set(key, [job]);
    this.#touched.add(key);
  }

  leave(job: ModelJob): void {
    const key = job.template.orderingKey ?? null;
    if (key === null) return;
    const line = this.#lines.get(key)!.filter((other) => other !== job);
    if (line.length > 0) this.#lines.set(key, line);
    else this.#lines.delete(key);
    this.#touched.add(key);
  }

  touch(job: ModelJob): void {
    const key = job.template.orderingKey ?? null;
    if (key !== null) this.#touched.add(key);
  }

  /** What is not as it must be in the lines that were touched; null: nothing. */
  check(): string | null {
    for (const key of this.#touched) {
      const [head, ...others] = this.#lines.get(key) ?? [];
      if (!head) continue;
      if (head.live?.state === "blocked") return `job ${head.seq} is the first of ${key}, and is blocked`;
      const loose = others.find(({ live }) => live?.state !== "blocked" || live.reason !== "ordering");
      if (loose) return `job ${loose.seq} of ${key} is ${loose.live?.state} while job ${head.seq} comes first`;
    }
    this.#touched.clear();
    return null;
  }
}
