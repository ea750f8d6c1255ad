/**
 * A queue by its name: look at it, watch it, pause it, change its settings, empty it.
 *
 * @module
 */
import type { CallOptions } from "./job-handle.ts";
import { begin, type DrainOptions, type OperationHandle, type PurgeOptions } from "./operation-handle.ts";
import { list } from "./pages.ts";
import type { Send } from "./request.ts";
import { ScheduleHandle } from "./schedule-handle.ts";
import type {
  Duration,
  EffectiveConfig,
  HistoryConfig,
  KeyState,
  Limit,
  Queue,
  QueueConfig,
  QueueEvent,
  Schedule,
} from "./types.ts";
import { watch } from "./watch.ts";

type Nullable<Settings> = { [Key in keyof Settings]: Settings[Key] | null };
type NamedPatch<Value> = { [name: string]: Value | null };
type Maps = "history" | "tasks" | "limits" | "fairness";

/**
 * Settings to change; `null` takes a change back: of one value, of all that a name holds, or of a whole map. What is
 * not named stays; a rate limit is one value, and given whole.
 */
export type QueueConfigPatch = Nullable<Omit<QueueConfig, Maps>> & {
  history?: Nullable<HistoryConfig> | null;
  tasks?: NamedPatch<Nullable<Limit>> | null;
  limits?: NamedPatch<Nullable<Limit> & { values?: NamedPatch<Nullable<Limit>> | null }> | null;
  fairness?: { weights?: NamedPatch<number> | null } | null;
};

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
   * await client.queue("hooks").configure({ limits: { customer: { values: { "big-co": { concurrency: 50 } } } } });
   */
  configure(patch: QueueConfigPatch, { signal }: CallOptions = {}): Promise<EffectiveConfig> {
    return this.#send({ method: "PATCH", path: this.#path("/config"), body: JSON.stringify(patch), signal });
  }

  /**
   * Keys whose jobs run or wait, and those that are closed or have spent of their rate, by name: holders, waiters, tokens.
   *
   * @param options.kind keys of this kind only
   * @example
   * for (const { value, waiters } of await client.queue("hooks").keys({ kind: "customer" })) console.log(value, waiters);
   */
  async keys({ kind, signal }: CallOptions & { kind?: string } = {}): Promise<KeyState[]> {
    const only = kind === undefined ? "" : `&kind=${encodeURIComponent(kind)}`;
    const keys: KeyState[] = [];
    for await (const key of list<KeyState>(this.#send, this.#path(`/limits?limit=200${only}`), signal)) keys.push(key);
    return keys;
  }

  /**
   * Closes a key: none of its jobs starts, those of other keys do. Resolves to the key as it then is.
   *
   * @param options.for at most 31 days, counted anew at each call
   * @example
   * await client.queue("hooks").pauseKey("customer", "acme", { for: "30m", reason: "their server is down" });
   */
  pauseKey(
    kind: string,
    value: string,
    { signal, ...close }: CallOptions & { for: Duration; reason?: string },
  ): Promise<KeyState> {
    return this.#send({ method: "PUT", path: this.#keyPath(kind, value), body: JSON.stringify(close), signal });
  }

  /** Opens a key that `pauseKey` or a handler's `ctx.rateLimited` closed. */
  resumeKey(kind: string, value: string, { signal }: CallOptions = {}): Promise<KeyState> {
    return this.#send({ method: "DELETE", path: this.#keyPath(kind, value), signal });
  }

  /** A schedule of this queue by its name. Makes no request. */
  schedule(name: string): ScheduleHandle {
    return new ScheduleHandle(this.#send, this.name, name);
  }

  /** All schedules of this queue, page by page as you go. */
  schedules({ signal }: CallOptions = {}): AsyncIterableIterator<Schedule> {
    return list(this.#send, this.#path("/schedules?"), signal);
  }

  /**
   * Cancels all jobs that wait; those that run go on.
   *
   * @param options.confirm the queue's name
   * @param options.states only those. Default all that wait
   */
  drain({ signal, ...body }: DrainOptions): Promise<OperationHandle> {
    return begin(this.#send, { method: "POST", path: this.#path("/drain") }, body, signal);
  }

  /**
   * Deletes all jobs that do not run, history too. Their ids are not given again.
   *
   * @param options.confirm the queue's name
   * @param options.states only those. Default all but running
   */
  purge({ signal, ...body }: PurgeOptions): Promise<OperationHandle> {
    return begin(this.#send, { method: "POST", path: this.#path("/purge") }, body, signal);
  }

  /**
   * Deletes the queue: its history, and what was changed of it through the API. While jobs run or wait: `conflict`. A
   * queue that code declares comes back with its next use; ids go on where they were.
   *
   * @param options.confirm the queue's name
   */
  delete({ signal, ...body }: CallOptions & { confirm: string }): Promise<OperationHandle> {
    return begin(this.#send, { method: "DELETE", path: this.#path() }, body, signal);
  }

  /**
   * What happens to the queue's jobs, as it happens, and from time to time how many there are. It has no end of its own.
   * Lost connections are made again; what was missed is told by `gap`. To leave the loop closes the stream.
   *
   * @throws {MillraceError} when the server refuses, or cannot be reached for two minutes
   * @example
   * for await (const e of client.queue("mail").watch()) if (e.event === "counts") show(e.counts);
   */
  watch(options: CallOptions = {}): AsyncIterableIterator<QueueEvent> {
    return watch(this.#send, this.#path("/events"), options);
  }

  #keyPath(kind: string, value: string): string {
    return this.#path(`/limits/${encodeURIComponent(kind)}/${encodeURIComponent(value)}/pause`);
  }

  #path(rest = ""): string {
    return `/v1/queues/${encodeURIComponent(this.name)}${rest}`;
  }
}
