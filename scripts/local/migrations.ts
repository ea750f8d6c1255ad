import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * A digest of all migrations in a folder, in order. Null: there are none.
 * Asking wrangler takes seconds, so what was applied is remembered beside the data.
 */
export function digestOfMigrations(folder: string): string | null {
  const hash = createHash("sha256");
  const names = readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .sort();
  for (const name of names)
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(folder, name)))
      .update("\0");
  return names.length === 0 ? null : hash.digest("hex");
}

export function readStamp(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

export function writeStamp(file: string, digest: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, digest);
}
