/**
 * Carries finished jobs from the outbox to the history: one flush at a time, deleting exactly what was sent. When the
 * history fails, everything is kept and tried again later; work goes on meanwhile.
 *
 * @module
 */
import type { Engine } from "./engine/engine.ts";
import { beginFlush, confirmFlush, nextFlush } from "./engine/outbox.ts";
import type { Tx } from "./engine/ports.ts";
import type { ShellPorts } from "./ports.ts";

const FLUSH_TIMEOUT_MS = 30_000;
const RETRY_MS_MIN = 2_000;
const RETRY_MS_MAX = 5 * 60_000;

export class Flusher {
  readonly #ports: ShellPorts;
  readonly #engine: Engine;
  readonly #commit: (verb: (tx: Tx) => void) => boolean;
  readonly #arm: (at: number) => void;
  #running: Promise<void> | null = null;
  #failures = 0;

  /** `commit` runs a verb with its effects and says whether more is to be flushed. */
  constructor(
    ports: ShellPorts,
    engine: Engine,
    commit: (verb: (tx: Tx) => void) => boolean,
    arm: (at: number) => void,
  ) {
    this.#ports = ports;
    this.#engine = engine;
    this.#commit = commit;
    this.#arm = arm;
  }

  /** Flushes what is due, or joins the flush that is under way. Never rejects. */
  flush(): Promise<void> {
    this.#running ??= this.#flushAll().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #flushAll(): Promise<void> {
    try {
      while (await this.#flushOnce());
      this.#failures = 0;
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Sends the next rows; true when more are due. */
  async #flushOnce(): Promise<boolean> {
    const { history, queue, partition, within } = this.#ports;
    const known = this.#engine.read(this.#ports.now(), beginFlush);
    const rolledUpto = known ?? (await within(FLUSH_TIMEOUT_MS, history.rollupUpto(queue, partition)));
    const next = this.#engine.read(this.#ports.now(), (tx) => {
      tx.books.outbox.rolledUpto = rolledUpto;
      return nextFlush(tx);
    });
    if (!next) return false;
    const { upto, records, deletes, rollup } = next;
    await within(FLUSH_TIMEOUT_MS, history.write({ queue, partition, records, deletes, rollup }));
    return this.#commit((tx) => {
      confirmFlush(tx, upto, rollup ? rollup.upto : rolledUpto);
      tx.books.metrics.flushes += 1;
    });
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    const delayMs = Math.min(RETRY_MS_MIN * 2 ** (this.#failures - 1), RETRY_MS_MAX);
    const now = this.#ports.now();
    this.#engine.read(now, (tx) => {
      tx.books.outbox.retryAt = tx.now + delayMs;
      // It may have been applied with only the answer lost: what the rollups hold must be asked anew.
      tx.books.outbox.rolledUpto = null;
      tx.books.metrics.flushFailures += 1;
    });
    this.#arm(now + delayMs);
    this.#ports.log("warn", "history_failed", {
      queue: this.#ports.queue,
      failures: this.#failures,
      retryInMs: delayMs,
      error: String(error),
    });
  }
}
