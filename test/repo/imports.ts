import { posix } from "node:path";
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isStringLiteral,
  type Node,
  type SourceFile,
  SyntaxKind,
} from "typescript/unstable/ast";
import { type Sources, walk } from "./sources.ts";

/** What files of a folder may import: path prefixes or whole paths from the root, and packages with their subpaths. */
interface Arrow {
  folder: string;
  paths: string[];
  packages: string[];
}

/** Of Node's own, those that Deno has too. */
const NODE = ["node:fs", "node:http", "node:path", "node:process", "node:url", "node:util"];
const WIRE_TYPES = ["client/types.ts", "client/wire.ts"];

/** DESIGN 8, most special folder first: the first that a file lies in is its rule. */
export const ARROWS: Arrow[] = [
  { folder: "client/", paths: ["client/"], packages: [] },
  // The module that a user names is loaded here, and nowhere else.
  {
    folder: "cli/load.ts",
    paths: ["cli/", "client/index.ts"],
    packages: [...NODE, "<computed: pathToFileURL(file).href>"],
  },
  { folder: "cli/", paths: ["cli/", "client/index.ts"], packages: NODE },
  { folder: "durable-objects/engine/", paths: ["durable-objects/engine/", ...WIRE_TYPES], packages: ["croner"] },
  { folder: "durable-objects/", paths: ["durable-objects/", ...WIRE_TYPES], packages: ["cloudflare:workers"] },
  { folder: "worker/history/", paths: ["worker/history/", ...WIRE_TYPES], packages: ["drizzle-orm"] },
  // How tokens are signed and read is their business alone.
  { folder: "worker/tokens/", paths: ["worker/", "client/"], packages: ["jose", "zod", "@hono/zod-openapi"] },
  // The one file that needs a fact of the environment before any handler is called: docs/decisions/008.
  { folder: "worker/index.ts", paths: ["worker/", "client/"], packages: ["cloudflare:workers"] },
  {
    folder: "worker/",
    // What a schedule's times mean, and what a job's watcher is told, is one piece of code, asked here and by the object.
    paths: [
      ...["worker/", "client/", "durable-objects/queue-object.ts"],
      ...["durable-objects/engine/timing.ts", "durable-objects/engine/events.ts"],
    ],
    packages: ["hono", "zod", "@hono/zod-openapi"],
  },
  { folder: "dashboard/", paths: ["dashboard/", "client/"], packages: [] },
  {
    folder: "examples/",
    paths: ["examples/", "client/", "worker/millrace.ts"],
    packages: ["millrace", "hono", "zod", "node:process", "node:timers"],
  },
];

/** Imports against the arrows, and relative imports that do not end in `.ts`. */
export function importViolations({ files }: Sources): string[] {
  return files.flatMap(({ path, tree }) =>
    importsOf(tree).flatMap((specifier) => [
      ...arrowViolation(path, specifier),
      ...extensionViolation(path, specifier),
    ]),
  );
}

function arrowViolation(path: string, specifier: string): string[] {
  const arrow = ARROWS.find(({ folder }) => path.startsWith(folder));
  if (arrow === undefined) return [];
  const relative = specifier.startsWith(".");
  const target = relative ? posix.join(posix.dirname(path), specifier) : specifier;
  const allowed = relative
    ? arrow.paths.some((prefix) => target === prefix || (prefix.endsWith("/") && target.startsWith(prefix)))
    : arrow.packages.some((name) => target === name || target.startsWith(`${name}/`));
  const may = [...arrow.paths, ...arrow.packages].join(", ");
  return allowed ? [] : [`${path} imports ${target}; ${arrow.folder} may import: ${may}`];
}

function extensionViolation(path: string, specifier: string): string[] {
  if (!specifier.startsWith(".") || specifier.endsWith(".ts")) return [];
  return [`${path} imports ${specifier}; relative imports end in .ts`];
}

/** Every module that a file names: `import`, `export … from`, `import()` and `import("…").Type`. */
export function importsOf(tree: SourceFile): string[] {
  const found: string[] = [];
  walk(tree, (node) => {
    const specifier = specifierOf(node);
    if (specifier !== undefined)
      found.push(isStringLiteral(specifier) ? specifier.text : `<computed: ${specifier.getText()}>`);
  });
  return found;
}

function specifierOf(node: Node): Node | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) return node.moduleSpecifier;
  if (isCallExpression(node) && node.expression.kind === SyntaxKind.ImportKeyword) return node.arguments[0];
  if (isImportTypeNode(node)) return isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument;
  return undefined;
}
