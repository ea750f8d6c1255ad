/**
 * Whether D1 answers, holds the tables that this code needs, and how full it is.
 *
 * @module
 */
import { getTableColumns } from "drizzle-orm";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { fullnessOf, MAX_BYTES } from "./fullness.ts";
import { LACKS_MIGRATIONS, lacksMigrations } from "./migrations.ts";
import { audit, history, operations, queues, rollups, tokens } from "./schema.ts";

export type HistoryHealth = { ok: true; fullness: number } | { ok: false; lacksMigrations: boolean; detail: string };

/** Names every column and reads no row. Never rejects. */
export async function checkHistory(db: D1Database, options: { maxBytes?: number } = {}): Promise<HistoryHealth> {
  try {
    const results = await db.batch(PROBES.map((probe) => db.prepare(probe)));
    return { ok: true, fullness: fullnessOf(results[0]!.meta.size_after, options.maxBytes ?? MAX_BYTES) };
  } catch (error) {
    const lacks = lacksMigrations(error);
    const what = lacks ? LACKS_MIGRATIONS : "D1 should answer, and does not.";
    return { ok: false, lacksMigrations: lacks, detail: `${what} ${String(error)}` };
  }
}

const PROBES = [history, rollups, queues, operations, tokens, audit].map((table) => {
  const columns = Object.values(getTableColumns(table)).map((column) => column.name);
  return `SELECT ${columns.join(", ")} FROM ${getTableConfig(table).name} LIMIT 0`;
});
