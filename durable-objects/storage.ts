/**
 * The engine's storage on a Durable Object's SQLite.
 *
 * @module
 */
import type { Row, Storage } from "./engine/ports.ts";

export function durableStorage(storage: DurableObjectStorage): Storage {
  return {
    sql: { exec: (query, ...params) => storage.sql.exec(query, ...params).toArray() as Row[] },
    transaction: (run) => storage.transactionSync(run),
  };
}
