import { type ParseArgsConfig, parseArgs } from "node:util";
import { CannotGoOn } from "./error.ts";

/**
 * What a script was given on its command line. `--help` shows `usage`, one line, and ends the process; what is not
 * known throws {@link CannotGoOn}.
 */
export function readArguments<T extends ParseArgsConfig>(usage: string, config: T): ReturnType<typeof parseArgs<T>> {
  if (process.argv.slice(2).some((argument) => argument === "--help" || argument === "-h")) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    const [what] = (error as Error).message.split(/\.\s/);
    throw new CannotGoOn(`${what}. Usage: ${usage}`);
  }
}
