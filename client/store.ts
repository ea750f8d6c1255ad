/**
 * A watched job as a store: for React's `useSyncExternalStore`, for signals, and for Svelte, whose contract it keeps.
 *
 * @module
 */
import type { MillraceError } from "./errors.ts";
import { delayBefore, type Send, sleep } from "./request.ts";
import type { JobError, JobId, Json } from "./types.ts";
import { type JobSight, type NumberedLine, type Place, watchJob } from "./watch.ts";

const LINES_MAX = 1_000;
/** As after so many tries: the next is 2.5 to 10 s later. */
const TRIES = 8;

/** What a page shows of a job. Null: not known. A new object when anything of it has changed, and else the same. */
export interface JobSnapshot<Result = Json> extends Readonly<{ [Key in keyof JobSight]: JobSight[Key] | null }> {
  readonly id: JobId;
  /** The latest 1,000 lines. */
  readonly logs: readonly NumberedLine[];
  /** Of a job that has completed. */
  readonly result: Result | null;
  /** Of a job that has ended. */
  readonly error: JobError | null;
  /**
   * `idle`: nobody has subscribed. `connecting`: what is shown may be old. `open`: it is what is. `closed`: nothing more
   * comes, because the job has ended, the server refused (`problem`), or the store was closed.
   */
  readonly connection: "idle" | "connecting" | "open" | "closed";
  /** Why there is no connection: a `MillraceError` unless the URL is none. While `connecting` it is got over by trying again. */
  readonly problem: Error | null;
}

/** Made by {@link JobHandle.store}. Its functions need no `this`. */
export interface JobStore<Result = Json> {
  /**
   * Calls the listener at once, and again after each change, with the snapshot. The first subscription opens the stream,
   * the end of the last closes it; a later one goes on where it was.
   *
   * @returns what ends the subscription
   */
  readonly subscribe: (listener: (snapshot: JobSnapshot<Result>) => void) => () => void;
  readonly getSnapshot: () => JobSnapshot<Result>;
  /** Closes the stream for good. The snapshot stays. */
  readonly close: () => void;
}

export function jobStore<Result>(send: Send, path: string, id: JobId): JobStore<Result> {
  const place: Place = {};
  const held = hold<JobSnapshot<Result>>({
    ...{ id, task: null, state: null, reason: null, attempt: null, fence: null, percent: null, note: null },
    ...{ logs: [], result: null, error: null, connection: "idle", problem: null },
  });
  const { listeners, change } = held;
  let over = false;
  let stop = new AbortController();

  async function run(signal: AbortSignal): Promise<void> {
    const options = {
      signal,
      onConnection(open: boolean) {
        if (!signal.aborted) change(open ? { connection: "open", problem: null } : { connection: "connecting" });
      },
    };
    // React's StrictMode leaves at once and comes back: that asks for one stream, not two.
    await null;
    while (!over) {
      try {
        for await (const { event, log, ...known } of watchJob<Result>(send, path, options, place)) {
          change(
            log ? { logs: [...held.latest.logs, log].slice(-LINES_MAX) } : (known as Partial<JobSnapshot<Result>>),
          );
          over ||= event === "result";
        }
      } catch (problem) {
        if (signal.aborted) return;
        const { retryable } = problem as MillraceError;
        change({ problem: problem as Error, connection: retryable ? "connecting" : "closed" });
        if (!retryable) return;
        await sleep(delayBefore(TRIES, 0), signal).catch(() => {});
      }
    }
    change({ connection: "closed" });
  }

  function close(connection: "idle" | "closed"): void {
    stop.abort();
    if (!over) change({ connection });
  }

  return {
    subscribe(listener) {
      const one = { listener };
      listeners.add(one);
      if (listeners.size === 1 && !over) {
        stop = new AbortController();
        void run(stop.signal);
      }
      listener(held.told);
      return () => {
        if (listeners.delete(one) && listeners.size === 0) close("idle");
      };
    },
    getSnapshot: () => held.told,
    close() {
      close("closed");
      over = true;
    },
  };
}

/** A value and who is told of its changes: once for all that come at the same time, or a long log would be a thousand. */
function hold<Snapshot>(first: Snapshot) {
  const listeners = new Set<{ listener: (snapshot: Snapshot) => void }>();
  let telling = false;
  const held = {
    listeners,
    told: first,
    latest: first,
    change(part: Partial<Snapshot>): void {
      held.latest = { ...held.latest, ...part };
      if (telling) return;
      telling = true;
      setTimeout(() => {
        telling = false;
        held.told = held.latest;
        for (const { listener } of listeners) listener(held.told);
      });
    },
  };
  return held;
}
