/**
 * Errors that callers see.
 *
 * The classes carry a `Symbol.for` brand: where two copies of this package meet, `instanceof` fails, the
 * `is…` functions do not.
 *
 * @module
 */
import type { ErrorCode, Job } from "./types.ts";

const MILLRACE = Symbol.for("millrace.error");
const JOB_FAILED = Symbol.for("millrace.jobFailed");

/**
 * The API's codes, and three of the client's own: `network` (no answer came), `timeout` (an answer did not come in
 * the time given), `invalid_response` (what answered is not Millrace).
 */
export type ClientErrorCode = ErrorCode | "network" | "timeout" | "invalid_response";

/** A call to Millrace that did not succeed. */
export class MillraceError extends Error {
  static {
    MillraceError.prototype.name = "MillraceError";
  }
  readonly code: ClientErrorCode;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Whether the same call may succeed later. The client has then already tried for a while. */
  readonly retryable: boolean;
  /** `X-Request-Id` of the answer, for the server's logs. */
  readonly requestId: string | null;

  constructor(
    message: string,
    about: { code: ClientErrorCode; status?: number; retryable?: boolean; requestId?: string | null; cause?: unknown },
  ) {
    super(message, about.cause === undefined ? undefined : { cause: about.cause });
    this.code = about.code;
    this.status = about.status ?? 0;
    this.retryable = about.retryable ?? false;
    this.requestId = about.requestId ?? null;
    brand(this, MILLRACE, true);
  }
}

/** The job whose result was asked for is dead or cancelled. */
export class JobFailedError extends Error {
  static {
    JobFailedError.prototype.name = "JobFailedError";
  }
  /** The job as it ended; `job.error` is the error of its latest attempt that failed. */
  readonly job: Job;

  constructor(job: Job) {
    const why = job.error ? `${job.error.name}: ${job.error.message}` : job.reason;
    super(`Job ${job.id} (${job.task}) is ${job.state}${why ? `: ${why}` : ""}`);
    this.job = job;
    brand(this, JOB_FAILED, true);
  }
}

/** Whether `e` is a {@link MillraceError}, from whichever copy of this package. Never throws. */
export function isMillraceError(e: unknown): e is MillraceError {
  return read(e, MILLRACE) === true;
}

/** Whether `e` is a {@link JobFailedError}, from whichever copy of this package. Never throws. */
export function isJobFailed(e: unknown): e is JobFailedError {
  return read(e, JOB_FAILED) === true;
}

/** A property of any value; undefined where there is none or reading it throws. */
export function read(value: unknown, key: string | symbol): unknown {
  try {
    return (value as { [key: string | symbol]: unknown } | null | undefined)?.[key];
  } catch {
    return undefined;
  }
}

/** Hidden from enumeration, so that an error logs and serialises as before. */
export function brand(error: Error, key: symbol, value: unknown): void {
  Object.defineProperty(error, key, { value });
}
