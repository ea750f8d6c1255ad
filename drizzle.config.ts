import { defineConfig } from "drizzle-kit";

/** `drizzle-kit generate` writes D1's migrations; `wrangler d1 migrations apply` and the tests read the same folder. */
export default defineConfig({ dialect: "sqlite", schema: "./worker/history/schema.ts", out: "./migrations" });
