/**
 * `npm run build`: the package as it is published, in `dist/`: plain JavaScript with its types, the command `millrace`,
 * the migrations of D1, and the SDK as one file for pages.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { CannotGoOn, exitWith } from "./local/error.ts";
import { ROOT } from "./root.ts";

const DIST = join(ROOT, "dist");
const CONFIG = join(ROOT, "tsconfig.build.json");

interface Source {
  [field: string]: unknown;
  dependencies: { [name: string]: string };
}

/** What the published package says of itself: that of the repository, but for what points into it. */
function packageOf({ name, version, description, license, type, engines, dependencies }: Source) {
  const entry = (path: string) => ({ types: `./${path}.d.ts`, default: `./${path}.js` });
  return {
    name,
    version,
    description,
    license,
    type,
    engines,
    exports: {
      ".": entry("client/index"),
      "./worker": entry("worker/millrace"),
      "./browser": { types: "./client/index.d.ts", default: "./browser/millrace.js" },
      "./migrations/*": "./migrations/*",
    },
    bin: { millrace: "./cli/main.js" },
    dependencies,
  };
}

async function main(): Promise<void> {
  rmSync(DIST, { recursive: true, force: true });
  const compiled = spawnSync(join(ROOT, "node_modules/.bin/tsc"), ["-p", CONFIG], { cwd: ROOT, stdio: "inherit" });
  if (compiled.status !== 0) throw new CannotGoOn("The sources do not compile: nothing was built. Mend them first.");
  await build({
    entryPoints: [join(ROOT, "client/index.ts")],
    outfile: join(DIST, "browser/millrace.js"),
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    sourcemap: true,
  });
  for (const path of ["README.md", "LICENSE", "migrations"])
    cpSync(join(ROOT, path), join(DIST, path), { recursive: true });
  const source: Source = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  writeFileSync(join(DIST, "package.json"), `${JSON.stringify(packageOf(source), null, 2)}\n`);
  chmodSync(join(DIST, "cli/main.js"), 0o755);
  console.log("Built dist: npm pack ./dist, npm publish ./dist");
}

await main().catch(exitWith);
