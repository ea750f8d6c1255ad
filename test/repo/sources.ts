import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Node, SourceFile } from "typescript/unstable/ast";
import { createVirtualFileSystem } from "typescript/unstable/fs";
import { API, type Project } from "typescript/unstable/sync";

export const ROOT = join(import.meta.dirname, "../..");

const NOT_OURS = new Set(["node_modules", ".git", ".wrangler", "coverage", "dist"]);

/** Every file of the repository that people write, by its path from the root. */
export function listFiles(root = ROOT): string[] {
  const entries = readdirSync(root, { withFileTypes: true }).filter(({ name }) => !NOT_OURS.has(name));
  return entries
    .flatMap((entry) => {
      const path = join(root, entry.name);
      return entry.isDirectory() ? listFiles(path) : [relative(ROOT, path)];
    })
    .sort();
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Parsed TypeScript: the repository's own, or a sample made to break a rule. */
export interface Sources {
  /** Paths from the root, with their syntax trees. */
  files: { path: string; tree: SourceFile }[];
  project: Project;
  close(): void;
}

/** The repository's TypeScript, or that of some folders. */
export function openRepository(folders = [""]): Sources {
  const paths = listFiles().filter((path) => path.endsWith(".ts") && folders.some((folder) => path.startsWith(folder)));
  return open(new API({ cwd: ROOT }), ROOT, paths);
}

/** A made-up repository. @example openSample({ "client/a.ts": 'import "hono";' }) */
export function openSample(files: { [path: string]: string }): Sources {
  const root = "/sample";
  const config = JSON.stringify({
    compilerOptions: { allowImportingTsExtensions: true, noEmit: true, noLib: true },
    include: ["**/*.ts"],
  });
  const entries = Object.entries(files).map(([path, text]) => [`${root}/${path}`, text]);
  const fs = createVirtualFileSystem(Object.fromEntries([...entries, [`${root}/tsconfig.json`, config]]));
  return open(new API({ cwd: root, fs }), root, Object.keys(files));
}

function open(api: API, root: string, paths: string[]): Sources {
  const config = join(root, "tsconfig.json");
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
  if (project === undefined) throw new Error(`no project at ${config}`);
  const files = paths.map((path) => {
    const tree = project.program.getSourceFile(join(root, path));
    if (tree === undefined) throw new Error(`${path} is not part of ${config}: add its folder to "include"`);
    return { path, tree };
  });
  return { files, project, close: () => api.close() };
}

/** Calls `visit` for every node under and including `node`. */
export function walk(node: Node, visit: (node: Node) => void): void {
  visit(node);
  node.forEachChild((child) => walk(child, visit));
}
