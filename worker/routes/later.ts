/**
 * Routes of later chapters of the contract: known, and refused.
 *
 * @module
 */

/** Method and path, `{name}` standing for one segment. */
export const LATER_ROUTES: readonly [method: string, path: string][] = [["POST", "/v1/hooks/{name}"]];
