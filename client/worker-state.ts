/**
 * What a worker does, for those who show it.
 *
 * @module
 */
import type { Transport } from "./line.ts";
import type { JobId, LeasedJob, Outcome, OutcomeName } from "./types.ts";
import type { Timer } from "./waiter.ts";

/** A worker as it is. Never changed: each change makes another. */
export interface WorkerState {
  readonly status: "new" | "running" | "stopping" | "stopped";
  /** `transport`: how the queue is reached; null: not at the moment. */
  readonly queues: readonly { readonly queue: string; readonly transport: Transport | null }[];
  /** The jobs that run. `startedAt` is in milliseconds since 1970. */
  readonly running: readonly { readonly id: JobId; readonly task: string; readonly startedAt: number }[];
  /** How many attempts have ended since the worker was started, by how; `lost`: those that were taken away. */
  readonly ended: Readonly<Partial<Record<OutcomeName | "lost", number>>>;
}

/** Listeners are called at most so often. */
const TELL_MS = 50;

export class Watched {
  readonly #timer: Timer;
  readonly #listeners = new Set<() => void>();
  readonly #running = new Map<JobId, WorkerState["running"][number]>();
  readonly #ended: { [outcome in OutcomeName | "lost"]?: number } = {};
  #status: WorkerState["status"] = "new";
  #queues: WorkerState["queues"];
  #snapshot: WorkerState | null = null;
  #telling = false;

  constructor(queues: readonly string[], timer: Timer) {
    this.#timer = timer;
    this.#queues = queues.map((queue) => ({ queue, transport: null }));
  }

  snapshot(): WorkerState {
    this.#snapshot ??= {
      status: this.#status,
      queues: this.#queues,
      running: [...this.#running.values()],
      ended: { ...this.#ended },
    };
    return this.#snapshot;
  }

  subscribe(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  become(status: WorkerState["status"]): void {
    if (this.#status === "stopped") return;
    this.#status = status;
    this.#changed();
  }

  contact(queues: Iterable<WorkerState["queues"][number]>): void {
    this.#queues = [...queues].map(({ queue, transport }) => ({ queue, transport }));
    this.#changed();
  }

  started({ id, task }: LeasedJob): void {
    this.#running.set(id, { id, task, startedAt: Date.now() });
    this.#changed();
  }

  ended(job: LeasedJob, { outcome }: Outcome): void {
    this.#leave(job, outcome);
  }

  lost(job: LeasedJob): void {
    this.#leave(job, "lost");
  }

  #leave({ id }: LeasedJob, how: OutcomeName | "lost"): void {
    this.#running.delete(id);
    this.#ended[how] = (this.#ended[how] ?? 0) + 1;
    this.#changed();
  }

  #changed(): void {
    this.#snapshot = null;
    if (this.#telling || this.#listeners.size === 0) return;
    this.#telling = true;
    this.#timer(TELL_MS, () => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}
