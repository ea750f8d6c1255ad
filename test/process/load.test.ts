import { execFile } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ROOT } from "../../scripts/root.ts";
import { makeFolder } from "../docs/snippets.ts";

let folder: string;
beforeEach(() => {
  folder = makeFolder();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What the command says of a module that it cannot load. */
async function saidOf(file: string, text: string, type = "module"): Promise<string> {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type }));
  writeFileSync(join(folder, file), text);
  const args = ["--no-warnings", join(ROOT, "cli/main.ts"), "work", file, "--url", "http://localhost"];
  const ended = promisify(execFile)(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, MILLRACE_TOKEN: "t" },
  });
  return ended.then(
    () => "",
    (error) => error.stderr,
  );
}

it("points at the line of the module that is wrong, not into Millrace", async () => {
  const client = JSON.stringify(join(ROOT, "client/index.ts"));
  const text = `import { defineTask } from ${client};\ndefineTask({ name: "tally", maxAtempts: 2 });\n`;
  expect(await saidOf("tasks.mjs", text)).toMatch(
    new RegExp(
      `^The module tasks.mjs could not be loaded, at ${pathToFileURL(join(folder, "tasks.mjs"))}:2: ` +
        'TypeError: Task "tally" has no option "maxAtempts"\\. There are: .*, take\\.\\n$',
    ),
  );
});

it.each(['import "node:fs";\n', "export const answer = 42;\n"])(
  "says what makes a module of a project that is CommonJS: %j",
  async (text) => {
    expect(await saidOf("tasks.js", text, "commonjs")).toMatch(
      /^The module tasks\.js could not be loaded: SyntaxError: .*\. Node takes it for CommonJS: run "npm pkg set type=module" in its project\.\n$/,
    );
  },
);

it("is the command of a clone as well", async () => {
  const { bin } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const { stdout } = await promisify(execFile)(join(ROOT, bin.millrace), ["--help"]);
  expect(stdout).toMatch(/^millrace work <module>/);
});
