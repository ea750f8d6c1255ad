import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { startServer } from "./faulty-server.ts";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

async function bundle(contents: string): Promise<{ gzipped: number; text: string }> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: path("../../client"), loader: "ts" },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    write: false,
  });
  const { contents: bytes, text } = outputFiles[0]!;
  return { gzipped: gzipSync(bytes).length, text };
}

it("holds createClient in 6 KB, minified and gzipped", async () => {
  const alone = await bundle('export { createClient } from "./client.ts";');
  expect(alone.gzipped).toBeLessThanOrEqual(6 * 1024);
  const fromIndex = await bundle('export { createClient } from "./index.ts";');
  expect(fromIndex.gzipped).toBeLessThanOrEqual(6 * 1024);
});

it("bundles the whole SDK without a package, and needs nothing but web standards", async () => {
  // On the neutral platform an import of a package or of `node:` does not resolve.
  const { text } = await bundle('export * from "./index.ts";');
  expect(text).not.toMatch(/\b(Buffer|process|require)\b[.(]/);
});

it("runs unchanged in Deno", async () => {
  await using server = await startServer();
  server.faults.push("lose-answer");
  const { host } = new URL(server.url);
  const args = ["run", "--no-config", "--no-prompt", `--allow-net=${host}`, path("./deno.ts"), server.url];
  const { stdout } = await promisify(execFile)(path("../../node_modules/.bin/deno"), args);
  expect(JSON.parse(stdout)).toEqual({
    ids: ["q:0:1", "q:0:2"],
    failed: "cancelled",
    listed: ["q:0:1", "q:0:2"],
    refused: "not_found",
    controls: [
      { outcome: "snoozed", forMs: 60_000 },
      { outcome: "cancelled", reason: "no" },
    ],
    error: "\ufffd",
  });
});
