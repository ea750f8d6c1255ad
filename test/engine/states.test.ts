import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { EDGES } from "../../durable-objects/engine/states.ts";

const SOURCE = new URL("../../durable-objects/engine/states.ts", import.meta.url);
const ARROW = /^ \* {3}(?<from>[\w, ]+?) *──(?<verbs>[\w, ]+)─+► (?<to>[\w, ]+)$/;

it("draws the edges that the table holds, all of them and no other", () => {
  const lines = readFileSync(SOURCE, "utf8").split("\n");
  const drawn = lines.flatMap((line) => {
    const { from, verbs, to } = ARROW.exec(line)?.groups ?? {};
    if (!from || !verbs || !to) return [];
    const list = (text: string): string[] => text.split(", ");
    return list(from).flatMap((state) =>
      list(verbs).flatMap((verb) => list(to).map((next) => `${verb}: ${state} ${next}`)),
    );
  });
  const table = Object.entries(EDGES).flatMap(([verb, edge]) =>
    edge.from.flatMap((state) => edge.to.map((next) => `${verb}: ${state ?? "nothing"} ${next}`)),
  );
  expect(drawn.sort()).toEqual(table.sort());
});
