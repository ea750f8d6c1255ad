import { stripVTControlCharacters } from "node:util";

/** What wrangler says about itself, rather than the Worker about its work. */
const CHATTER = [
  /^\s*$/,
  /^\[wrangler:info\]/,
  /^⎔ /,
  /^\s*⛅️ wrangler/,
  /^─+$/,
  /^🪵/u,
  /^Using secrets defined in/,
  /^Your Worker has access to the following bindings/,
  /^Binding\s+Resource/,
  /^env\.\w+ .*\s(local|remote|not supported)\s*$/,
  /^Note that there is a newer version of Wrangler/,
  /Scheduled Workers are not automatically triggered/,
  /^\s*To manually trigger a scheduled event, run:/,
  /^\s*curl "http:\/\/.*\/scheduled"/,
  /^\s*For more details, see .*cron-triggers/,
];

/** One line of wrangler's output as the user should see it; null: not at all. Errors and the Worker's own logs stay. */
export function readable(line: string): string | null {
  const plain = stripVTControlCharacters(line).trimEnd();
  if (CHATTER.some((pattern) => pattern.test(plain))) return null;
  // The Worker logs errors as JSON lines: wrangler's ornament would keep machines from reading them.
  return plain.replace(/^✘ \[ERROR\] (?=\{)/, "");
}
