/**
 * What `millrace work` is told on its command line.
 *
 * @module
 */
import { parseArgs } from "node:util";

export const USAGE = `millrace work <module> --url <url> [options]
  Runs the tasks that a module exports with
  their handlers. Its token is read from
  the environment, MILLRACE_TOKEN.

  --url <url>         of Millrace, with its base path,
                      or MILLRACE_URL
  --slots <n>         jobs side by side; default 6
  --queues <a,b>      default: those of the tasks
  --name <name>       shown with its attempts
  --token-env <NAME>  instead of MILLRACE_TOKEN
  --transport <how>   auto, websocket or poll
  --stop-timeout <t>  for jobs to end; default 30s
  --health-port <n>   answers 200 while connected

  Ctrl-C stops it once its jobs have ended or
  been given back; twice: at once.`;

/** It was asked for in the wrong way. */
export class UsageError extends Error {}

export interface WorkArguments {
  module: string;
  url: string;
  token: string;
  slots?: number;
  queues?: string[];
  name?: string;
  transport?: "auto" | "websocket" | "poll";
  stopTimeout: `${number}s`;
  healthPort?: number;
}

export type Env = { [name: string]: string | undefined };

const OPTIONS = {
  url: { type: "string" },
  slots: { type: "string" },
  queues: { type: "string" },
  name: { type: "string" },
  "token-env": { type: "string", default: "MILLRACE_TOKEN" },
  transport: { type: "string" },
  "stop-timeout": { type: "string", default: "30s" },
  "health-port": { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

/** Null: help was asked for. @throws {UsageError} saying what is wrong, in one line */
export function readArguments(args: string[], env: Env): WorkArguments | null {
  const { values, positionals } = parse(args);
  if (values.help) return null;
  const [module, ...more] = positionals;
  if (module === undefined) throw new UsageError("Name the module with the tasks: millrace work ./tasks.ts --url …");
  if (more.length > 0) throw new UsageError(`Name one module, not ${positionals.length}: ${positionals.join(" ")}`);
  const url = values.url ?? env.MILLRACE_URL;
  if (!url) throw new UsageError("Say where Millrace is: --url https://app.example.com, or MILLRACE_URL");
  const token = env[values["token-env"]];
  if (!token) throw new UsageError(`No token: the environment variable ${values["token-env"]} is not set.`);
  return {
    module,
    url,
    token,
    slots: numberOf("slots", values.slots, 1, 500),
    queues: values.queues?.split(",").map((queue) => queue.trim()),
    name: values.name,
    transport: values.transport as WorkArguments["transport"],
    stopTimeout: values["stop-timeout"] as WorkArguments["stopTimeout"],
    healthPort: numberOf("health-port", values["health-port"], 0, 65_535),
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    const [what] = (error as Error).message.split(/\.\s/);
    throw new UsageError(
      `${what}. Known are ${Object.keys(OPTIONS)
        .map((name) => `--${name}`)
        .join(", ")}.`,
    );
  }
}

function numberOf(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new UsageError(`--${name} is a whole number of ${least} to ${most}, not "${text}".`);
}
