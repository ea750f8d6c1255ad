/**
 * A schedule by its name: set it, look at it, pause it, run it now, make up for the past.
 *
 * @module
 */
import { type CallOptions, JobHandle } from "./job-handle.ts";
import type { Send } from "./request.ts";
import type { JobId, Schedule, ScheduleSpec } from "./types.ts";

/** A schedule as the client takes it: instants may be Dates. */
export type ScheduleRequest = Omit<ScheduleSpec, "startAt" | "endAt"> & {
  startAt?: string | Date | null;
  endAt?: string | Date | null;
};

/** What a backfill came to. */
export interface Backfilled {
  jobs: JobId[];
  /** Instants that had had their job before. */
  already: number;
}

/** One schedule of a queue. Every method rejects with a {@link MillraceError} when the server refuses or cannot be reached. */
export class ScheduleHandle {
  readonly queue: string;
  readonly name: string;
  readonly #send: Send;

  constructor(send: Send, queue: string, name: string) {
    this.#send = send;
    this.queue = queue;
    this.name = name;
  }

  /**
   * Makes the schedule, or what it is from now on; the same again changes nothing. Declared in code: `conflict`.
   *
   * @example
   * await client.queue("reports").schedule("nightly").put({ cron: "30 2 * * *", timezone: "Europe/Berlin", task: "report" });
   */
  put(spec: ScheduleRequest, { signal }: CallOptions = {}): Promise<Schedule> {
    return this.#send({ method: "PUT", path: this.#path(), body: JSON.stringify(spec), signal });
  }

  /** The schedule with its next five instants, and what became of the latest. */
  get({ signal }: CallOptions = {}): Promise<Schedule> {
    return this.#send({ method: "GET", path: this.#path(), signal });
  }

  /** It makes no more jobs; those that it made stay. Declared in code: `conflict`. */
  async delete({ signal }: CallOptions = {}): Promise<void> {
    await this.#send({ method: "DELETE", path: this.#path(), goneIsDone: true, signal });
  }

  /** From now on nothing of it is due. */
  pause({ reason, signal }: CallOptions & { reason?: string } = {}): Promise<Schedule> {
    return this.#send({ method: "POST", path: this.#path("/pause"), body: JSON.stringify({ reason }), signal });
  }

  /** It goes on; what it missed is made up for as far as its `catchUp` says. */
  resume({ signal }: CallOptions = {}): Promise<Schedule> {
    return this.#send({ method: "POST", path: this.#path("/resume"), signal });
  }

  /** Makes a job of it at once, paused or not, whatever is running. */
  async run({ signal }: CallOptions = {}): Promise<JobHandle> {
    // Carried out twice, it would make two.
    const call = { method: "POST", path: this.#path("/run"), idempotent: false, signal } as const;
    const { id } = await this.#send<{ id: JobId }>(call);
    return new JobHandle(this.#send, id);
  }

  /**
   * Makes a job for each instant from `from` to before `to` that has had none; at most 1,000 at once, in the past only.
   * Asked again it makes nothing twice.
   */
  backfill({ from, to, signal }: CallOptions & { from: string | Date; to: string | Date }): Promise<Backfilled> {
    return this.#send({ method: "POST", path: this.#path("/backfill"), body: JSON.stringify({ from, to }), signal });
  }

  #path(rest = ""): string {
    return `/v1/queues/${encodeURIComponent(this.queue)}/schedules/${encodeURIComponent(this.name)}${rest}`;
  }
}
