import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { readText } from "../repo/sources.ts";
import { blocksOf, listPages, makeFolder, snippetsOf, typeErrors, writeSnippets } from "./snippets.ts";

const folder = makeFolder();
afterAll(() => rmSync(folder, { recursive: true }));

it("compiles the code of all documents against the sources", () => {
  const snippets = listPages()
    .flatMap(snippetsOf)
    .filter(({ file }) => file.endsWith(".ts"));
  expect(new Set(snippets.map(({ page }) => page))).toContain("README.md");
  expect(snippets.length).toBeGreaterThan(5);
  writeSnippets(snippets, ({ page, file }) => join(folder, page, file));
  expect(typeErrors(folder)).toEqual([]);
});

it("leaves no TypeScript out", () => {
  const unnamed = listPages().flatMap((page) =>
    blocksOf(readText(page))
      .filter(({ language, file }) => language === "ts" && file === null)
      .map(({ line }) => `${page}:${line}`),
  );
  expect(unnamed).toEqual([]);
});

it("finds what does not compile, and where", () => {
  const wrong = makeFolder();
  const text = '// a.ts\nimport { snooze } from "millrace";\nexport const a = snooze(5);\n';
  writeSnippets([{ page: "x.md", line: 10, file: "a.ts", text }], () => join(wrong, "a.ts"));
  const errors = typeErrors(wrong);
  rmSync(wrong, { recursive: true });
  expect(errors[0]).toMatch(/^a\.ts\(12,25\): error TS2345/);
});
