/**
 * The tasks of a module.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { RunsIn } from "../client/index.ts";
import { type Env, UsageError } from "./options.ts";

/** What stands there in a stack is Millrace itself. */
const OWN = ["../cli/", "../client/"].map((folder) => new URL(folder, import.meta.url).href);
/** So Node refuses a module's syntax where the package.json beside it says CommonJS, as `npm init` writes. */
const NO_MODULE = /^(Cannot use import statement outside a module|Unexpected token 'export')$/;

/**
 * All that it exports with a handler, also in an exported array; each once.
 *
 * @throws {UsageError} when there is no such module, or none in it
 */
export async function loadTasks(path: string): Promise<RunsIn<Env>[]> {
  const file = resolve(path);
  if (!existsSync(file)) throw new UsageError(`There is no module ${path}.`);
  const exported = await importModule(path, file);
  const found = Object.values(exported).flat();
  const declared = found.filter((value) => typeof value?.name === "string" && typeof value?.handler === "function");
  const tasks = [...new Set(declared)].filter((value) => typeof value.run === "function");
  if (tasks.length > 0) return tasks;
  const without = declared.map(({ name }) => name).join(", ");
  const why = without ? `none of its tasks has a handler (${without})` : "it exports no tasks";
  throw new UsageError(`Nothing to work on in ${path}: ${why}. Export what defineTask(…).handler(…) makes.`);
}

// biome-ignore lint/suspicious/noExplicitAny: a module of somebody else's
async function importModule(path: string, file: string): Promise<{ [name: string]: any }> {
  try {
    return await import(pathToFileURL(file).href);
  } catch (error) {
    throw new Error(`The module ${path} could not be loaded${placeOf(error)}: ${reasonOf(error)}`);
  }
}

/** The line of somebody else's from which it was thrown. */
function placeOf(thrown: unknown): string {
  const frames = (thrown instanceof Error && thrown.stack?.match(/file:\/\/\S+?:\d+/g)) || [];
  const at = frames.find((frame) => !OWN.some((folder) => frame.startsWith(folder)));
  return at === undefined ? "" : `, at ${at}`;
}

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const [message = ""] = thrown.message.split("\n");
  const what = `${thrown.name}: ${message}`;
  if ((thrown as { code?: unknown }).code === "ERR_UNKNOWN_FILE_EXTENSION") {
    return `${what}. Node ${process.versions.node} runs no TypeScript: use Node 22.18 or newer, or Deno, or compile it.`;
  }
  if (NO_MODULE.test(message)) {
    return `${what}. Node takes it for CommonJS: run "npm pkg set type=module" in its project.`;
  }
  return what;
}
