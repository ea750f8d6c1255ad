import { expect, it } from "vitest";
import { EDGES } from "../../durable-objects/engine/states.ts";
import { ARROWS } from "../repo/imports.ts";
import { listFiles, readText } from "../repo/sources.ts";

const page = readText("ARCHITECTURE.md");

/** The cells of the table under this head, row by row. */
function tableOf(head: string): string[][] {
  const [, rest] = page.split(`\n${head}\n`);
  if (rest === undefined) throw new Error(`ARCHITECTURE.md has no table with the head ${head}`);
  const lines = rest.split("\n").slice(1);
  const end = lines.findIndex((line) => !line.startsWith("|"));
  return lines.slice(0, end).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

it("shows the states and edges that the code has", () => {
  const edges = Object.entries(EDGES).map(([verb, { from, to }]) => [
    verb,
    from.map((state) => state ?? "(none)").join(", "),
    to.join(", "),
  ]);
  expect(tableOf("| verb | from | to |")).toEqual(edges);
});

it("shows the import arrows that the check holds, of folders that are there", () => {
  const files = listFiles();
  const standing = ARROWS.filter(({ folder }) => files.some((path) => path.startsWith(folder)));
  const arrows = standing.map(({ folder, paths, packages }) => [
    `\`${folder}\``,
    [...paths, ...packages].map((name) => `\`${name}\``).join(", "),
  ]);
  expect(tableOf("| files | may import |")).toEqual(arrows);
});

it("says where every invariant of the simulation is held", () => {
  const names = [...readText("test/sim/violation.ts").matchAll(/^ {2}\| "([\w-]+)"/gm)].map(
    ([, name]) => `\`${name}\``,
  );
  const shown = tableOf("| what always holds | held by | checked as |").flatMap(([, , checks]) => checks!.split(", "));
  expect(shown.sort()).toEqual(names.sort());
});

it("has the diagram of states.ts", () => {
  const drawing = (text: string, mark: RegExp) =>
    text
      .split("\n")
      .map((line) => line.replace(mark, "").trim())
      .filter((line) => line !== "");
  const shown = page.split("## States")[1]!.split("```")[1]!;
  const source = readText("durable-objects/engine/states.ts").split("```")[1]!;
  expect(drawing(shown, /^/)).toEqual(drawing(source, /^ \*/));
});
