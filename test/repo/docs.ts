import { join } from "node:path";
import { SyntaxKind } from "typescript/unstable/ast";
import { SymbolFlags } from "typescript/unstable/sync";
import type { Sources } from "./sources.ts";

/** Exports of a module, its own and those it passes on, that no doc comment describes: `name (file)`. */
export function undocumentedExports({ project }: Sources, root: string, module: string): string[] {
  const { program, checker } = project;
  const tree = program.getSourceFile(join(root, module));
  const symbol = tree && checker.getSymbolAtLocation(tree);
  if (!symbol) throw new Error(`${module} is not a module of this project`);
  return checker.getExportsOfModule(symbol).flatMap((exported) => {
    const target = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const nodes = target.declarations.map((handle) => handle.resolve(project));
    const documented = nodes.some((node) => {
      // A variable's comment stands on its statement, two levels up.
      const holder = node?.kind === SyntaxKind.VariableDeclaration ? node.parent.parent : node;
      return (holder?.jsDoc?.length ?? 0) > 0;
    });
    const file = nodes[0]?.getSourceFile().fileName.slice(root.length + 1) ?? "nowhere";
    return documented ? [] : [`${exported.name} (${file})`];
  });
}
