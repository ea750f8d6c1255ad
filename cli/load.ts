/**
 * The tasks of a module.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { RunsIn } from "../client/index.ts";
import { UsageError } from "./options.ts";

type Env = { [name: string]: string | undefined };

/**
 * All that it exports with a handler, also in an exported array; each once.
 *
 * @throws {UsageError} when there is no such module, or none in it
 */
export async function loadTasks(path: string): Promise<RunsIn<Env>[]> {
  const file = resolve(path);
  if (!existsSync(file)) throw new UsageError(`There is no module ${path}.`);
  const exported = await importModule(path, file);
  const found = Object.values(exported).flatMap((value) => (Array.isArray(value) ? value : [value]));
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
    const what = error instanceof Error ? `${error.name}: ${error.message.split("\n")[0]}` : String(error);
    throw new Error(`The module ${path} could not be loaded: ${what}`);
  }
}
