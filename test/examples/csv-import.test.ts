import { join } from "node:path";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ROOT } from "../../scripts/root.ts";
import { hasChromium, type Running, startChromium, WITHOUT } from "../remote/chromium.ts";
import type { RunningWorker } from "../support/harness.ts";
import { startExample } from "./example.ts";

let example: RunningWorker;
let chromium: Running;

beforeAll(async () => {
  if (!hasChromium) return;
  // What `npm run build` makes of the SDK for pages.
  const outfile = join(ROOT, "examples/csv-import/public/millrace.js");
  await build({
    entryPoints: [join(ROOT, "client/index.ts")],
    bundle: true,
    format: "esm",
    outfile,
    logLevel: "error",
  });
  example = await startExample("csv-import");
  chromium = await startChromium();
}, 120_000);
afterAll(async () => {
  await chromium?.kill9();
  await example?.stop();
});

const csv = (rows: number): string =>
  ["name,mail", ...Array.from({ length: rows }, (_, n) => (n % 300 === 299 ? "broken" : `n${n},m${n}`))].join("\n");

async function choose(page: Page, rows: number): Promise<void> {
  const file = { name: "people.csv", mimeType: "text/csv", buffer: Buffer.from(csv(rows)) };
  await page.locator("#file").setInputFiles(file);
}

const percent = (page: Page): Promise<number> =>
  page.locator("#bar").evaluate((bar) => (bar as unknown as { value: number }).value);

// Without a browser there is no page to try, and the name of the test says so.
it.skipIf(!hasChromium)(
  hasChromium ? "imports a file, shows how far it is, survives a reload, and ends with the result" : WITHOUT,
  async () => {
    const page = await chromium.browser.contexts()[0]!.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(example.url);
    await choose(page, 60_000);
    await page.locator("#status").filter({ hasText: "400,000 bytes are the most" }).waitFor();
    await choose(page, 6_000);
    await page.waitForFunction("document.getElementById('bar').value > 5");
    expect(await percent(page)).toBeLessThan(100);
    await page.reload();
    await page.waitForFunction("document.getElementById('bar').value > 5");
    const status = page.locator("#status");
    await status.filter({ hasText: "5980 rows imported, 20 skipped." }).waitFor({ timeout: 60_000 });
    expect(await percent(page)).toBe(100);
    expect(await page.locator("#log li").count()).toBe(20);
    expect(errors).toEqual([]);
  },
  120_000,
);

// As above.
it.skipIf(!hasChromium)(
  hasChromium ? "lets a visitor see the imports of no other" : WITHOUT,
  async () => {
    const tokens = await Promise.all(
      [0, 1].map(async () => {
        const response = await fetch(`${example.url}/session`, { method: "POST" });
        return ((await response.json()) as { token: string }).token;
      }),
    );
    const ask = (method: string, path: string, token: string, body?: object) =>
      fetch(`${example.url}/jobs/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    const upload = { task: "import-csv", payload: { file: "a.csv", text: "a,b" } };
    const made = await ask("POST", "/queues/imports/jobs", tokens[0]!, upload);
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: string };
    expect((await ask("GET", `/jobs/${id}`, tokens[0]!)).status).toBe(200);
    expect((await ask("GET", `/jobs/${id}`, tokens[1]!)).status).toBe(404);
    expect((await ask("GET", `/jobs/${id}/events`, tokens[1]!)).status).toBe(404);
    expect((await ask("POST", `/jobs/${id}/cancel`, tokens[0]!)).status).toBe(403);
    const forged = { ...upload, payload: { ...upload.payload, user: "somebody else" } };
    expect((await ask("POST", "/queues/imports/jobs", tokens[1]!, forged)).status).toBe(403);
  },
  60_000,
);
