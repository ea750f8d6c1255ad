/**
 * How it stands with the connection to a queue, and how long to wait before it is tried again.
 *
 * @module
 */
import type { Transport } from "./line.ts";
import type { ExchangeResponse, LogLevel } from "./types.ts";

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 30_000;
/** A connection that lasted so long was a good one: the next is tried for soon. */
const LASTING_MS = 1_000;

export interface ContactPorts {
  now(): number;
  /** 0 to 1, 1 excluded. */
  random(): number;
  /** The queue was reached, is lost, is reached another way, or does not know a task. */
  told(level: LogLevel, event: string, fields: { [key: string]: unknown }): void;
}

export class Contact {
  /** Null: the queue is out of reach, or has not been reached yet. */
  transport: Transport | null = null;
  /** Not tried again before. */
  backAt = 0;
  readonly #queue: string;
  readonly #ports: ContactPorts;
  #madeAt = 0;
  #failures = 0;
  /** That it is out of reach has been told. */
  #told = false;
  /** Tasks of which it has been told that the server does not know them. */
  readonly #unknown = new Set<string>();

  constructor(queue: string, ports: ContactPorts) {
    this.#queue = queue;
    this.#ports = ports;
  }

  made(transport: Transport): void {
    this.#told = false;
    if (transport === "poll") this.#failures = 0;
    if (this.transport === transport) return;
    this.transport = transport;
    this.#madeAt = this.#ports.now();
    this.#ports.told("info", "connected", { queue: this.#queue, transport });
  }

  /** Answers how long to wait, longer each time, with jitter: workers that lost the same server do not all come back at once. */
  lost(why: unknown): number {
    const now = this.#ports.now();
    if (this.transport !== null && now - this.#madeAt >= LASTING_MS) this.#failures = 0;
    const most = Math.min(BACKOFF_MS_MIN * 2 ** this.#failures, BACKOFF_MS_MAX);
    this.#failures += 1;
    const pauseMs = Math.round(most * (0.5 + this.#ports.random() / 2));
    this.backAt = now + pauseMs;
    this.transport = null;
    if (this.#told) return pauseMs;
    this.#told = true;
    const error = why instanceof Error ? why.message : String(why);
    this.#ports.told("warn", "disconnected", { queue: this.#queue, error, retryInMs: pauseMs });
    return pauseMs;
  }

  /** Each is told once, not again by later sessions. */
  unknown(tasks: NonNullable<ExchangeResponse["unknownTasks"]>): void {
    for (const { task, didYouMean } of tasks) {
      if (this.#unknown.has(task)) continue;
      this.#unknown.add(task);
      this.#ports.told("warn", "unknown_task", { queue: this.#queue, task, didYouMean });
    }
  }

  /** The worker leaves. */
  end(): void {
    if (this.transport === null) return;
    this.transport = null;
    this.#ports.told("info", "disconnected", { queue: this.#queue });
  }
}
