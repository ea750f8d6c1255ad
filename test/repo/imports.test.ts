import { afterAll, describe, expect, it } from "vitest";
import { ARROWS, importViolations } from "./imports.ts";
import { openRepository, openSample } from "./sources.ts";

const repository = openRepository();
afterAll(() => repository.close());

it("holds the arrows of the design, and the extension of relative imports", () => {
  const guarded = repository.files.filter(({ path }) => ARROWS.some(({ folder }) => path.startsWith(folder)));
  expect(guarded.length).toBeGreaterThan(5);
  expect(importViolations(repository)).toEqual([]);
});

/** One file for each case, all in one made-up repository: starting the compiler once is enough. */
type Case = [folder: string, text: string];

function openCases(cases: Case[]) {
  const pathOf = (n: number) => `${cases[n]![0]}case-${n}.ts`;
  const sample = openSample(Object.fromEntries(cases.map(([, text], n) => [pathOf(n), text])));
  const violations = importViolations(sample);
  sample.close();
  return { cases, of: (n: number) => violations.filter((violation) => violation.startsWith(`${pathOf(n)} `)) };
}

const BAD: Case[] = [
  ["client/", 'import { Hono } from "hono";'],
  ["client/", 'import "node:fs";'],
  ["client/", 'import { env } from "cloudflare:workers";'],
  ["client/", 'import type { X } from "../worker/app.ts";'],
  ["client/", 'export * from "../durable-objects/storage.ts";'],
  ["client/", 'export async function f() { return await import("zod"); }'],
  ["client/", 'export type T = import("zod").ZodType;'],
  ["client/", 'const name = "zod"; export const m = import(name);'],
  ["durable-objects/engine/", 'import { x } from "../storage.ts";'],
  ["durable-objects/engine/", 'import { x } from "../../client/duration.ts";'],
  ["durable-objects/engine/", 'import "cloudflare:workers";'],
  ["durable-objects/", 'import { x } from "../worker/app.ts";'],
  ["durable-objects/", 'import { x } from "../client/task.ts";'],
  ["durable-objects/", 'import { drizzle } from "drizzle-orm/d1";'],
  ["worker/", 'import { drizzle } from "drizzle-orm/d1";'],
  ["worker/", 'import { x } from "../durable-objects/engine/claim.ts";'],
  ["worker/", 'import { x } from "../durable-objects/storage.ts";'],
  ["worker/", 'import { x } from "../test/support/x.ts";'],
  ["worker/", 'import { x } from "honolulu";'],
  ["worker/", 'import { env } from "cloudflare:workers";'],
  ["worker/history/", 'import { x } from "../app.ts";'],
  ["worker/history/", 'import { x } from "../../client/task.ts";'],
  ["dashboard/", 'import { x } from "../worker/app.ts";'],
  ["examples/", 'import { x } from "../worker/app.ts";'],
];

const WITHOUT_EXTENSION: Case[] = [
  ["client/", 'import "./b";'],
  ["client/", 'import "./b.js";'],
  ["client/", 'import data from "./b.json";'],
];

const GOOD: Case[] = [
  ["client/", 'import "./b.ts"; export type * from "./deep/c.ts";'],
  ["client/", '// import "hono";\nexport const text = `import "hono"`;'],
  ["durable-objects/engine/", 'import "./b.ts"; import type { Job } from "../../client/types.ts";'],
  ["durable-objects/", 'import "cloudflare:workers"; import "./engine/b.ts"; import "../client/wire.ts";'],
  [
    "worker/",
    'import "hono/cors"; import "zod"; import "../durable-objects/queue-object.ts"; import "./history/b.ts";',
  ],
  ["worker/history/", 'import "drizzle-orm/d1"; import "../../client/wire.ts";'],
  ["test/", 'import "../worker/app.ts"; import "vitest";'],
];

describe("the check", () => {
  const sample = openCases([...BAD, ...WITHOUT_EXTENSION, ...GOOD]);
  it.each(sample.cases.map(([folder, text], n) => [folder, text, n] as const))("%s: %s", (folder, _, n) => {
    if (n < BAD.length) expect(sample.of(n)).toEqual([expect.stringContaining(`; ${folder} may import: `)]);
    else if (n < BAD.length + WITHOUT_EXTENSION.length)
      expect(sample.of(n)).toEqual([expect.stringMatching(/end in \.ts$/)]);
    else expect(sample.of(n)).toEqual([]);
  });
});
