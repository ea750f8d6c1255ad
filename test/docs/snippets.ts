import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { listFiles, ROOT, readText } from "../repo/sources.ts";

/** A code block of a document that says which file it is: its first line is a comment with nothing but a file name. */
export interface Snippet {
  /** The document, by its path from the root. */
  page: string;
  /** The line of the document on which the code begins, from 1. */
  line: number;
  file: string;
  text: string;
}

/** The documents whose code is checked. */
export function listPages(): string[] {
  return listFiles().filter((path) => /^[A-Z]+\.md$/.test(path) || /^docs\/.*\.md$/.test(path));
}

/** Fenced blocks of a document, in order; `file` is null for one that does not name a file. */
export function blocksOf(markdown: string): { language: string; line: number; file: string | null; text: string }[] {
  return [...markdown.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(({ 1: language, 2: text, index }) => ({
    language: language!,
    line: markdown.slice(0, index).split("\n").length + 1,
    file: /^(?:\/\/|#) ([\w.-]+\.\w+)\n/.exec(text!)?.[1] ?? null,
    text: text!,
  }));
}

/** The named blocks of one document. */
export function snippetsOf(page: string): Snippet[] {
  return blocksOf(readText(page)).flatMap(({ line, file, text }) =>
    file === null ? [] : [{ page, line, file, text }],
  );
}

/** An empty folder inside of the project, so that `millrace` and the dependencies are found from it. */
export function makeFolder(): string {
  mkdirSync(join(ROOT, ".wrangler"), { recursive: true });
  return mkdtempSync(join(ROOT, ".wrangler/docs-"));
}

/** Writes each snippet to its file; those of one document stand side by side. */
export function writeSnippets(snippets: Snippet[], fileOf: (snippet: Snippet) => string): void {
  for (const snippet of snippets) {
    const file = fileOf(snippet);
    mkdirSync(dirname(file), { recursive: true });
    // As many empty lines before it as in the document: an error then names the document's line.
    writeFileSync(file, `${"\n".repeat(snippet.line - 1)}${snippet.text}`);
  }
}

/** The compiler's complaints about the TypeScript of a folder, under the project's own settings. */
export function typeErrors(folder: string): string[] {
  const config = { extends: join(ROOT, "tsconfig.json"), include: ["**/*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const tsc = join(ROOT, "node_modules/.bin/tsc");
  const { status, stdout, stderr } = spawnSync(tsc, ["-p", folder, "--pretty", "false"], {
    cwd: folder,
    encoding: "utf8",
  });
  const lines = `${stdout}${stderr}`.split("\n").filter((line) => line !== "");
  return status === 0 ? [] : lines;
}
