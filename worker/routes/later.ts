/**
 * Routes of later chapters of the contract: known, and refused.
 *
 * @module
 */

/** Method and path, `{name}` standing for one segment. */
export const LATER_ROUTES: readonly [method: string, path: string][] = [
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
