import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ROOT } from "../../scripts/root.ts";

const FILES = 40;
let folder: string;
let temporary: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-demo-files-"));
  temporary = mkdtempSync(join(tmpdir(), "millrace-demo-tmp-"));
  for (let n = 0; n < FILES; n++) writeFileSync(join(folder, `${n}.txt`), `file ${n}\n`.repeat(n * 100));
  writeFileSync(join(folder, "large.txt"), "\n".repeat(200_000));
  writeFileSync(join(folder, "binary.bin"), Buffer.from([0xff, 0xfe, 0x00]));
});

afterAll(() => {
  for (const each of [folder, temporary]) rmSync(each, { recursive: true, force: true });
});

async function demo(...args: string[]): Promise<{ code: number | null; told: string }> {
  const child = spawn(process.execPath, [join(ROOT, "scripts", "demo.ts"), ...args], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [out, error] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, told: out + error };
}

it("delivers every file, killed with -9 in the middle, and cleans up behind itself", async () => {
  const { code, told } = await demo(folder);
  expect(told).toMatch(/Nothing is missing \(\d+ s, killed once with -9\)\./);
  expect(told).toContain("killed with -9, starting again");
  expect(told).toMatch(new RegExp(`accepted +${FILES + 2}\\n +delivered +${FILES + 1}\\n`));
  expect(told).toMatch(new RegExp(`dead +1 .*\\n +in history +${FILES + 2}\\n`));
  expect(code).toBe(0);
  expect(readdirSync(temporary)).toEqual([]);
}, 120_000);

it("says in one line what is wrong with its arguments", async () => {
  for (const nowhere of [join(folder, "nowhere"), join(folder, "1.txt")]) {
    expect(await demo(nowhere)).toEqual({ code: 1, told: `There is no folder ${nowhere}.\n` });
  }
  const empty = mkdtempSync(join(temporary, "empty-"));
  expect(await demo(empty)).toEqual({ code: 1, told: `Cannot show anything: ${empty} has no files.\n` });
  const usage = "npm run demo -- [folder] [--no-crash]\n";
  expect(await demo("--no-crsh")).toEqual({ code: 1, told: `Unknown option '--no-crsh'. Usage: ${usage}` });
  expect(await demo("a", "b")).toEqual({ code: 1, told: `More than one folder: a b. Usage: ${usage}` });
  expect(await demo("--help")).toEqual({ code: 0, told: usage });
});
