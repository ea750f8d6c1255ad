/**
 * Routes of later chapters of the contract: known, and refused.
 *
 * @module
 */

/** Method and path, `{name}` standing for one segment. */
export const LATER_ROUTES: readonly [method: string, path: string][] = [
  ["GET", "/v1/queues/{queue}/schedules"],
  ["PUT", "/v1/queues/{queue}/schedules/{name}"],
  ["GET", "/v1/queues/{queue}/schedules/{name}"],
  ["DELETE", "/v1/queues/{queue}/schedules/{name}"],
  ["POST", "/v1/queues/{queue}/schedules/{name}/run"],
  ["POST", "/v1/queues/{queue}/schedules/{name}/pause"],
  ["POST", "/v1/queues/{queue}/schedules/{name}/resume"],
  ["POST", "/v1/queues/{queue}/schedules/{name}/backfill"],
  ["POST", "/v1/queues/{queue}/exchange"],
  ["GET", "/v1/queues/{queue}/connect"],
  ["GET", "/v1/jobs/{id}/events"],
  ["GET", "/v1/queues/{queue}/events"],
  ["GET", "/v1/tokens"],
  ["POST", "/v1/tokens"],
  ["DELETE", "/v1/tokens/{id}"],
  ["GET", "/v1/audit"],
  ["POST", "/v1/hooks/{name}"],
];
