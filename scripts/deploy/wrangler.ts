import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { stripVTControlCharacters } from "node:util";

export interface Answer {
  ok: boolean;
  status: number | string;
  stdout: string;
  /** What went wrong, in wrangler's words, without ornament. Empty where it said nothing. */
  complaint: string;
}

/** Runs wrangler once on a configuration and an environment of it; `input` goes to its standard input. */
export type Wrangler = (args: string[], input?: string) => Promise<Answer>;

/** No questions, no banner, no statistics: what remains on standard output is the answer. */
const PLAIN = {
  CI: "1",
  NO_COLOR: "1",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

/** `env` names the environment in the configuration; "" is the top level. `MILLRACE_WRANGLER` replaces the program. */
export function createWrangler(root: string, env: string): Wrangler {
  const program = process.env.MILLRACE_WRANGLER ?? "wrangler";
  const path = [process.env.PATH, join(root, "node_modules", ".bin")].join(delimiter);
  return (args, input = "") =>
    new Promise((resolve, reject) => {
      const child = spawn(program, [...args, "--config", join(root, "wrangler.toml"), `--env=${env}`], {
        cwd: root,
        env: { ...process.env, ...PLAIN, PATH: path },
      });
      let stdout = "";
      let stderr = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      child.stdin.on("error", () => {}); // it need not read what it does not want
      child.stdin.end(input);
      child.once("error", reject);
      child.once("close", (code, signal) => {
        resolve({ ok: code === 0, status: code ?? signal ?? 1, stdout, complaint: complaintOf(stderr || stdout) });
      });
    });
}

/** From the first error on; without one, the last lines. */
function complaintOf(output: string): string {
  const lines = stripVTControlCharacters(output)
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "" && !line.startsWith("🪵"));
  const at = lines.findIndex((line) => line.includes("[ERROR]"));
  return (at < 0 ? lines.slice(-8) : lines.slice(at, at + 12)).join("\n").replace("✘ [ERROR] ", "");
}
