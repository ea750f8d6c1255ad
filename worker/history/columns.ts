/**
 * How the fields of a `JobRecord` and the columns of `history` name each other.
 *
 * @module
 */
import { type JobRecord, RECORD_FIELDS } from "../../client/wire.ts";

/** The column of each field, in the order of `RECORD_FIELDS`. */
export const RECORD_COLUMNS: readonly string[] = RECORD_FIELDS.map(columnOf);

/** What to select for rows to come out as `JobRecord`. */
export const SELECT_RECORD: string = RECORD_FIELDS.map((field) => `${columnOf(field)} AS "${field}"`).join(", ");

function columnOf(field: keyof JobRecord): string {
  return field.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`);
}
