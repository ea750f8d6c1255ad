/**
 * Live views: what happens to a job or in a queue, as it happens, over a stream that is opened again where it broke.
 *
 * @module
 */
import type { CallOptions } from "./job-handle.ts";
import { delayBefore, type Send, sleep } from "./request.ts";
import { EventParser, readEvents } from "./sse.ts";
import type { FinalState, JobError, JobEvent, JobId, JobState, Json, LogLine, Reason } from "./types.ts";

/** The server says something every 15 s. */
const SILENT_MS = 45_000;
/** A stream that lasted as long was a good one: the next is opened soon. */
const STEADY_MS = 5_000;

/** A line of a job's log; `n` counts the lines of the job from 1. */
export type NumberedLine = LogLine & { n: number };

/** The latest that is known of a watched job. */
export interface JobSight {
  id: JobId;
  task: string;
  state: JobState;
  reason: Reason | null;
  /** Which try it is, or will be: failures + 1. */
  attempt: number;
  fence: number;
  /** 0 to 100, as the handler says; null: it has not said. */
  percent: number | null;
  note: string | null;
}

/** What happened to a job, and beside it the latest that is known of it. `result` is the last. */
export type JobView<Result = Json> = JobSight &
  (
    | { event: "state" | "progress"; log?: undefined; result?: undefined; error?: undefined }
    | { event: "log"; log: NumberedLine; result?: undefined; error?: undefined }
    | { event: "result"; state: "completed"; result: Result; error: JobError | null; log?: undefined }
    | {
        event: "result";
        state: Exclude<FinalState, "completed">;
        result: null;
        error: JobError | null;
        log?: undefined;
      }
  );

/** Where a stream stands: handed in again, it goes on there. */
export interface Place {
  /** Of what was told last. */
  cursor?: string;
  sight?: JobSight;
}

export interface WatchOptions extends CallOptions {
  /** Told when a stream is asked for, and when it stands. */
  onConnection?(open: boolean): void;
}

/** The events of a stream, from its place on. Ends only by being left, or by throwing as a call does that is refused. */
export async function* watch<Event>(
  send: Send,
  path: string,
  { signal, onConnection }: WatchOptions,
  place: Place = {},
): AsyncGenerator<Event, void, void> {
  for (let tries = 1; ; tries++) {
    onConnection?.(false);
    const headers: { [name: string]: string } = { accept: "text/event-stream" };
    if (place.cursor) headers["last-event-id"] = place.cursor;
    const { body } = await send<Response>({ method: "GET", path, headers, signal, stream: true });
    onConnection?.(true);
    const openedAt = Date.now();
    const parser = new EventParser();
    try {
      for await (const { id, data } of readEvents(body!, parser, { silentMs: SILENT_MS, signal })) {
        if (signal?.aborted) break;
        place.cursor = id;
        yield JSON.parse(data);
      }
    } catch {
      // The connection broke: it is opened again, unless nobody wants it any more.
    }
    if (Date.now() - openedAt >= STEADY_MS) tries = 1;
    await sleep(delayBefore(tries, parser.retryMs), signal);
  }
}

/** A job's stream, with what is known beside each event. Ends after `result`. */
export async function* watchJob<Result>(
  send: Send,
  path: string,
  options: WatchOptions,
  place: Place = {},
): AsyncGenerator<JobView<Result>, void, void> {
  let sight = place.sight ?? ({ percent: null, note: null } as JobSight);
  for await (const told of watch<JobEvent>(send, path, options, place)) {
    if (told.event === "log") {
      const { event, id: _, ...log } = told;
      yield { ...sight, event, log };
    } else if (told.event === "result") {
      const { result, error, ...rest } = told;
      yield { ...sight, ...rest, result, error } as JobView<Result>;
      return;
    } else if (told.event === "state" || told.event === "progress") {
      const { event, ...rest } = told;
      place.sight = sight = { ...sight, ...rest };
      yield { ...sight, event };
    }
  }
}
