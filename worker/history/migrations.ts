/**
 * Whether D1 has the tables and columns that this code asks for.
 *
 * @module
 */

/** Only of D1: the SQLite of an object says the same without this prefix, and there no command mends it. */
const LACKING = /^(Error: )?D1_ERROR: .*(no such (table|column)|has no column named)/;

/** In words, with what to do. */
export const LACKS_MIGRATIONS =
  "D1 lacks migrations: run `npx wrangler d1 migrations apply <database>` with --local, or with --remote for what is deployed.";

/** Whether an error, or what caused it, says that a table or a column is not there. */
export function lacksMigrations(error: unknown): boolean {
  const { cause } = (error ?? {}) as { cause?: unknown };
  return LACKING.test(String(error)) || (cause !== undefined && lacksMigrations(cause));
}
