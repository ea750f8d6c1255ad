/**
 * Millrace's SDK: declare tasks, enqueue jobs, look at them and run them. Web standards only, no dependency.
 *
 * @module
 */
export {
  type AuditFilter,
  type Client,
  type ClientOptions,
  createClient,
  type ErrorFilter,
  type JobFilter,
} from "./client.ts";
export type { Ctx, EnqueueFollowUp, JobInfo, Log } from "./context.ts";
export { type Cancel, cancel, type Snooze, snooze } from "./control.ts";
export { formatDuration, parseDuration } from "./duration.ts";
export type { EnqueueOptions } from "./enqueue.ts";
export {
  type ClientErrorCode,
  isJobFailed,
  isMillraceError,
  JobFailedError,
  MillraceError,
} from "./errors.ts";
export type { FollowUpOptions } from "./follow-ups.ts";
export type { CallOptions, EnqueuedJobHandle, JobHandle, JobLog } from "./job-handle.ts";
export type {
  DrainOptions,
  OperationFilter,
  OperationHandle,
  OperationOptions,
  OperationRequest,
  PurgeOptions,
  RedriveOptions,
} from "./operation-handle.ts";
export type { QueueConfigPatch, QueueHandle } from "./queue-handle.ts";
export type { Fetch } from "./request.ts";
export type { Backfilled, ScheduleHandle, ScheduleRequest } from "./schedule-handle.ts";
export type { StandardIssue, StandardResult, StandardSchemaV1 } from "./standard-schema.ts";
export type { JobSnapshot, JobStore } from "./store.ts";
export type { Take, TakeCtx, Taken, TakenJob } from "./take.ts";
export {
  type AnyTask,
  type AnyTaskDeclaration,
  type BackoffFunction,
  defineTask,
  type OfPayload,
  type TakeDeclaration,
  type TakeOptions,
  type TakeTask,
  type Task,
  type TaskDeclaration,
  type TaskOptions,
} from "./task.ts";
export type { InputOf, ResultOf, TaskName, TaskNamed } from "./task-types.ts";
export { isNonRetryable, NonRetryableError, RetryAfterError, retryAfterMs } from "./thrown.ts";
export type { CreatedToken, Tokens } from "./tokens.ts";
export type * from "./types.ts";
export type { JobSight, JobView, NumberedLine } from "./watch.ts";
export { createWorker, type Worker, type WorkerLog, type WorkerOptions, type WorkerSettings } from "./worker.ts";
export type { RunsIn } from "./worker-check.ts";
export type { WorkerState } from "./worker-state.ts";
