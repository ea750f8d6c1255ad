/**
 * A real Chromium, and pages for it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const PATH = process.env.CHROMIUM ?? PATHS.find((path) => existsSync(path));

/** What tests without a browser are called. */
export const WITHOUT = "SKIPPED: THERE IS NO CHROMIUM ON THIS MACHINE. Install it, or name one in CHROMIUM";
export const hasChromium = PATH !== undefined;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--remote-debugging-port=0",
];

export interface Running {
  browser: Browser;
  /** The whole browser is gone in the middle of whatever it does. */
  kill9(): Promise<void>;
}

/** A browser of its own, started as a process so that it can be killed. */
export async function startChromium(): Promise<Running> {
  const profile = mkdtempSync(join(tmpdir(), "millrace-chromium-"));
  const child = spawn(PATH!, [...FLAGS, `--user-data-dir=${profile}`], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  const endpoint = await new Promise<string>((resolve, reject) => {
    let told = "";
    child.stderr.on("data", (chunk) => {
      told += String(chunk);
      const found = /DevTools listening on (ws:\S+)/.exec(told);
      if (found) resolve(found[1]!);
    });
    child.once("exit", () => reject(new Error(`Chromium ended at once: ${told}`)));
  });
  const browser = await chromium.connectOverCDP(endpoint);
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    browser,
    async kill9() {
      // With its children: each page is a process.
      if (child.exitCode === null) process.kill(-child.pid!, "SIGKILL");
      await gone;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Serves one page with one script, from another origin than the API. */
export async function servePage(script: string): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? script : '<!doctype html><script type="module" src="/page.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => server.close() };
}
