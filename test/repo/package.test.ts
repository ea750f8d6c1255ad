import { expect, it } from "vitest";
import { type Package, packageViolations } from "./package.ts";
import { listFiles, readText } from "./sources.ts";

it("exports files that exist, and pins every dependency", () => {
  const files = new Set(listFiles());
  const pkg: Package = JSON.parse(readText("package.json"));
  expect(Object.keys(pkg.exports)).toEqual(expect.arrayContaining([".", "./worker"]));
  expect(packageViolations(pkg, (path) => files.has(path))).toEqual([]);
});

it("finds exports that point nowhere and versions that float", () => {
  const pkg: Package = {
    exports: { ".": "./here.ts", "./gone": "./gone.ts", "./bare": "here.ts" },
    dependencies: { a: "1.2.3", b: "^1.2.3", c: "1.x", d: "*", e: "latest" },
    devDependencies: { f: "~1.2.3", g: "1.2.3-beta.1", h: "github:x/y", i: ">=1.0.0" },
  };
  const found = packageViolations(pkg, (path) => path === "here.ts").map((violation) =>
    violation.split(" ").slice(0, 3).join(" "),
  );
  const floating = ["b", "c", "d", "e", "f", "h", "i"].map((name) => `${name} has the`);
  expect(found).toEqual(["the export ./gone", "the export ./bare", ...floating]);
});
