import { type Node, SyntaxKind } from "typescript/unstable/ast";
import { type Sources, walk } from "./sources.ts";

export const MAX_FILE_LINES = 300;
export const MAX_FUNCTION_LINES = 70;

const FUNCTIONS = new Set([
  SyntaxKind.FunctionDeclaration,
  SyntaxKind.FunctionExpression,
  SyntaxKind.ArrowFunction,
  SyntaxKind.MethodDeclaration,
  SyntaxKind.Constructor,
  SyntaxKind.GetAccessor,
  SyntaxKind.SetAccessor,
]);

/** Files and functions that may be longer, exactly as long as they are; each with its reason. */
export interface Exceptions {
  [fileOrFunction: string]: { lines: number; why: string };
}

/** Files and functions over the limits, and exceptions that are no longer what they say. */
export function sizeViolations({ files }: Sources, exceptions: Exceptions): string[] {
  const sizes = new Map<string, { lines: number; max: number }>();
  for (const { path, tree } of files) {
    sizes.set(path, { lines: tree.text.trimEnd().split("\n").length, max: MAX_FILE_LINES });
    walk(tree, (node) => {
      if (!FUNCTIONS.has(node.kind)) return;
      const name = `${path}#${nameOf(node)}`;
      const lines = tree.text.slice(node.getStart(tree), node.end).split("\n").length;
      if (lines > (sizes.get(name)?.lines ?? 0)) sizes.set(name, { lines, max: MAX_FUNCTION_LINES });
    });
  }
  const tooLong = [...sizes]
    .filter(([name, { lines, max }]) => lines > max && exceptions[name]?.lines !== lines)
    .map(([name, { lines, max }]) => `${name} has ${lines} lines; ${exceptions[name]?.lines ?? max} are allowed`);
  const stale = Object.entries(exceptions)
    .filter(([name]) => (sizes.get(name)?.lines ?? 0) <= (sizes.get(name)?.max ?? 0))
    .map(([name]) => `${name} needs no exception any more; take it off the list`);
  return [...tooLong, ...stale];
}

/** A function's own name, or that of what it is assigned to; else its place. */
function nameOf(node: Node): string {
  const own = (node as { name?: Node }).name ?? (node.parent as { name?: Node } | undefined)?.name;
  return own?.getText() ?? `line ${node.getSourceFile().text.slice(0, node.getStart()).split("\n").length}`;
}
