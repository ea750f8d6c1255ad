import { describe, expect, it } from "vitest";
import { listFiles, readText } from "./sources.ts";
import { textViolations } from "./text.ts";

const BINARY = /\.(sqlite|db|png|jpg|ico|woff2?|gz|wasm)$/;
/** Holds the samples below. */
const SAMPLES = "test/repo/text.test.ts";

it("has no left-over notes, focused or silently skipped tests, or registry hosts", () => {
  const paths = listFiles().filter((path) => !BINARY.test(path) && path !== SAMPLES);
  expect(paths).toContain("package-lock.json");
  expect(paths.flatMap((path) => textViolations(path, readText(path)))).toEqual([]);
});

describe("the check finds", () => {
  it.each([
    ["// TODO later", "leaves a note"],
    ["/* FIXME */", "leaves a note"],
    ["it.only('x', () => {});", "runs one test only"],
    ["describe.concurrent.only('x', () => {});", "runs one test only"],
    ["it.skip('x', () => {});", "skips a test"],
    ["test.concurrent.skip('x');", "skips a test"],
    ["xit('x', () => {});", "skips a test"],
    ["it.todo('x');", "skips a test"],
    [`"resolved": "https://registry.${"npmjs"}.org/hono"`, "names the package registry"],
    [`import "https://${"JSR"}.io/@x/y";`, "names the package registry"],
  ])("%s", (line, expected) => {
    expect(textViolations("a.ts", `fine\n${line}\n`)).toEqual([
      expect.stringMatching(new RegExp(`^a.ts:2 ${expected}`)),
    ]);
  });

  it.each([
    "it.skip('x', () => {}); // needs a network",
    "// needs a network\nit.skip('x', () => {});",
    "it('only one', () => {});",
    "readonly = 1; mastodon.add();",
    "it.skipIf(noDeno)('x', () => {});",
  ])("nothing in %s", (text) => {
    expect(textViolations("a.ts", text)).toEqual([]);
  });
});
