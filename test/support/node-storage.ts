import { DatabaseSync } from "node:sqlite";
import type { Row, SqlValue, Storage } from "../../durable-objects/engine/ports.ts";

/** The engine's storage on `node:sqlite`, in memory unless a file is named. `rowsChanged` counts like `changes()`. */
export function nodeStorage(file = ":memory:"): Storage & { db: DatabaseSync } {
  const db = new DatabaseSync(file);
  db.exec("PRAGMA foreign_keys = ON");
  const statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();
  const exec = (query: string, ...params: SqlValue[]): Row[] => {
    if (params.length === 0 && query.includes(";")) {
      db.exec(query);
      return [];
    }
    let statement = statements.get(query);
    if (!statement) {
      statement = db.prepare(query);
      statements.set(query, statement);
    }
    return statement.all(...params) as Row[];
  };
  return {
    db,
    sql: { exec },
    transaction(run) {
      db.exec("BEGIN");
      try {
        const result = run();
        db.exec("COMMIT");
        return result;
      } catch (error) {
        db.exec("ROLLBACK");
        throw error;
      }
    },
  };
}
