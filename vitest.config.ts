import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** A project whose tests run inside workerd, in the isolate of the Worker `main`. */
function workerd(name: string, include: string[], main: string, exclude: string[] = []) {
  const plugin = cloudflareTest(async () => ({
    main,
    wrangler: { configPath: "./wrangler.toml" },
    miniflare: {
      compatibilityFlags: ["queue_consumer_no_wait_for_wait_until"],
      bindings: {
        MIGRATIONS: await readD1Migrations("./migrations"),
        MILLRACE_TOKEN: "test-token-of-more-than-32-characters",
        MILLRACE_LOCAL: "1",
      },
      ...(main === RUNTIME_WORKER && { durableObjects: { FAULTY: { className: "FaultyQueue", useSQLite: true } } }),
    },
  }));
  return { plugins: [plugin], test: { name, include, exclude, testTimeout: 30_000 } };
}

/** Millrace with tasks that misbehave; see there. */
const RUNTIME_WORKER = "./test/support/runtime-worker.ts";
const ON_RUNTIME_WORKER = [
  "test/object/**/*.test.ts",
  "test/worker/{consumer,scheduled,millrace,remote}*.test.ts",
  "test/worker/{operations,live}/*.test.ts",
];

/** Tests that need no Workers runtime run in Node; the others run inside workerd. */
export default defineConfig({
  test: {
    // Most of their time tests wait for a runtime to start or an alarm to fire: more of them than cores go side by side.
    maxWorkers: 3,
    projects: [
      {
        test: {
          name: "node",
          include: [
            "test/{engine,sim,client,scripts,repo,tasks,process,upgrade,docs,remote,examples,live}/**/*.test.ts",
          ],
          environment: "node",
          testTimeout: 60_000,
        },
      },
      workerd("workerd", ["test/worker/**/*.test.ts"], "./worker/index.ts", ON_RUNTIME_WORKER),
      workerd("runtime", ON_RUNTIME_WORKER, RUNTIME_WORKER),
    ],
  },
});
