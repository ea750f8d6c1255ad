import { randomBytes } from "node:crypto";
import { chmodSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { CannotGoOn } from "./error.ts";

/** The server refuses to run with a shorter one. */
const MIN_CHARACTERS = 32;

/** A new admin token: 43 characters, 256 bits. */
export function makeToken(): string {
  return randomBytes(32).toString("base64url");
}

/** Returns the token, or throws {@link CannotGoOn} where the server would not take it. `source` says where it stands. */
export function checkToken(token: string, source: string): string {
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw new CannotGoOn(`Cannot use MILLRACE_TOKEN from ${source}: it has spaces or characters outside ASCII.`);
  }
  if (token.length < MIN_CHARACTERS) {
    throw new CannotGoOn(
      `Cannot use MILLRACE_TOKEN from ${source}: it has ${token.length} characters, and needs ${MIN_CHARACTERS} or more.`,
    );
  }
  return token;
}

/**
 * The admin token: from the environment if it is set there (and then written nowhere), otherwise from the file,
 * otherwise made at random and added to the file, which is then readable by its owner only.
 *
 * Throws {@link CannotGoOn} for a token that the server would refuse.
 */
export function adminToken(
  env: { MILLRACE_TOKEN?: string | undefined },
  file: string,
): { token: string; made: boolean } {
  if (env.MILLRACE_TOKEN !== undefined)
    return { token: checkToken(env.MILLRACE_TOKEN, "the environment"), made: false };
  const text = readIfThere(file);
  const kept = parseEnv(text).MILLRACE_TOKEN;
  if (kept !== undefined && kept !== "") return { token: checkToken(kept, file), made: false };
  const token = makeToken();
  writePrivately(file, `${text === "" || text.endsWith("\n") ? text : `${text}\n`}MILLRACE_TOKEN=${token}\n`);
  return { token, made: true };
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** Whole or not at all: a kill in the middle leaves the old file. */
function writePrivately(file: string, text: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  chmodSync(draft, 0o600);
  renameSync(draft, file);
}
