/**
 * A queue by its name: look at it, pause it, change its settings.
 *
 * @module
 */
import type { CallOptions } from "./job-handle.ts";
import type { Send } from "./request.ts";
import type { EffectiveConfig, HistoryConfig, Queue, QueueConfig } from "./types.ts";

type Nullable<Settings> = { [Key in keyof Settings]: Settings[Key] | null };

/** Settings to change; `null` takes a change back, what is not named stays. */
export type QueueConfigPatch = Nullable<Omit<QueueConfig, "history">> & { history?: Nullable<HistoryConfig> | null };

/** One queue. Every method rejects with a {@link MillraceError} when the server refuses or cannot be reached. */
export class QueueHandle {
  readonly name: string;
  readonly #send: Send;

  constructor(send: Send, name: string) {
    this.#send = send;
    this.name = name;
  }

  /** The queue with its counts, sessions and settings. Never used: `not_found`. */
  get({ signal }: CallOptions = {}): Promise<Queue> {
    return this.#send({ method: "GET", path: this.#path(), signal });
  }

  /** From now on no job of this queue starts; what runs goes on. */
  pause({ reason, signal }: CallOptions & { reason?: string } = {}): Promise<Queue> {
    return this.#send({ method: "POST", path: this.#path("/pause"), body: JSON.stringify({ reason }), signal });
  }

  resume({ signal }: CallOptions = {}): Promise<Queue> {
    return this.#send({ method: "POST", path: this.#path("/resume"), signal });
  }

  /**
   * Changes the settings that are named. Resolves to the settings in force.
   *
   * @example
   * await client.queue("mail").configure({ concurrency: 20, lease: null });
   */
  configure(patch: QueueConfigPatch, { signal }: CallOptions = {}): Promise<EffectiveConfig> {
    return this.#send({ method: "PATCH", path: this.#path("/config"), body: JSON.stringify(patch), signal });
  }

  #path(rest = ""): string {
    return `/v1/queues/${encodeURIComponent(this.name)}${rest}`;
  }
}
