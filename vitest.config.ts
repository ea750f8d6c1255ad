import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Tests that need no Workers runtime run in Node; the others run inside workerd, on the default deployment. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: ["test/{engine,sim,client,scripts,repo,tasks}/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest(async () => ({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              compatibilityFlags: ["queue_consumer_no_wait_for_wait_until"],
              bindings: {
                MIGRATIONS: await readD1Migrations("./migrations"),
                MILLRACE_TOKEN: "test-token-of-more-than-32-characters",
                MILLRACE_LOCAL: "1",
              },
            },
          })),
        ],
        test: { name: "workerd", include: ["test/{object,worker}/**/*.test.ts"], testTimeout: 30_000 },
      },
    ],
  },
});
