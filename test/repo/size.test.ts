import { afterAll, describe, expect, it } from "vitest";
import { type Exceptions, sizeViolations } from "./size.ts";
import { openRepository, openSample } from "./sources.ts";

/** Shorten, do not lengthen: every entry states today's size. Leave the list empty if you can. */
const EXCEPTIONS: Exceptions = {
  "client/types.ts": { lines: 675, why: "the wire types, one list to read in one place; nothing in it runs" },
  "client/wire.ts": { lines: 678, why: "the same for what Worker and object say to each other" },
};

const repository = openRepository(["cli/", "client/", "durable-objects/", "worker/"]);
afterAll(() => repository.close());

it("keeps files to 300 lines and functions to 70", () => {
  expect(repository.files.length).toBeGreaterThan(5);
  expect(sizeViolations(repository, EXCEPTIONS)).toEqual([]);
});

describe("the check", () => {
  const lines = (count: number) => Array(count).fill("  void 0;").join("\n");
  const sample = openSample({
    "client/long.ts": `${lines(301)}\n`,
    "client/fits.ts": `${lines(300)}\n`,
    "client/function.ts": `export function f() {\n${lines(69)}\n}\nexport function g() {\n${lines(68)}\n}\n`,
    "client/arrow.ts": `export const h = () => {\n${lines(80)}\n};\nexport class C {\n  m() {\n${lines(90)}\n  }\n}\n`,
  });
  afterAll(() => sample.close());

  it("finds long files and functions", () => {
    expect(sizeViolations(sample, {}).sort()).toEqual([
      "client/arrow.ts#h has 82 lines; 70 are allowed",
      "client/arrow.ts#m has 92 lines; 70 are allowed",
      "client/function.ts#f has 71 lines; 70 are allowed",
      "client/long.ts has 301 lines; 300 are allowed",
    ]);
  });

  it("holds exceptions to the line", () => {
    const all = {
      "client/arrow.ts#h": { lines: 82, why: "sample" },
      "client/arrow.ts#m": { lines: 92, why: "sample" },
      "client/function.ts#f": { lines: 71, why: "sample" },
      "client/long.ts": { lines: 301, why: "sample" },
    };
    expect(sizeViolations(sample, all)).toEqual([]);
    const grown = { ...all, "client/long.ts": { lines: 300, why: "sample" } };
    expect(sizeViolations(sample, grown)).toEqual(["client/long.ts has 301 lines; 300 are allowed"]);
    const stale = {
      ...all,
      "client/fits.ts": { lines: 310, why: "sample" },
      "client/gone.ts": { lines: 310, why: "sample" },
    };
    expect(sizeViolations(sample, stale)).toEqual([
      "client/fits.ts needs no exception any more; take it off the list",
      "client/gone.ts needs no exception any more; take it off the list",
    ]);
  });
});
