import { afterAll, expect, it } from "vitest";
import { undocumentedExports } from "./docs.ts";
import { openRepository, openSample, ROOT } from "./sources.ts";

const repository = openRepository(["client/index.ts", "worker/millrace.ts", "worker/index.ts"]);
afterAll(() => repository.close());

it.each(["client/index.ts", "worker/millrace.ts", "worker/index.ts"])("describes every export of %s", (module) => {
  expect(undocumentedExports(repository, ROOT, module)).toEqual([]);
});

it("finds exports without a doc comment, through files that pass them on", () => {
  const sample = openSample({
    "index.ts":
      'export * from "./a.ts";\nexport { hidden as shown } from "./b.ts";\n/** Described. */\nexport const here = 1;\nexport default 1;\n',
    "a.ts":
      "/** Described. */\nexport function good() {}\nexport function bad() {}\nexport const worse = 1;\nexport type Worst = 1;\n",
    "b.ts": "// not a doc comment\nexport class hidden {}\n",
  });
  const found = undocumentedExports(sample, "/sample", "index.ts");
  sample.close();
  expect(found.sort()).toEqual(["Worst (a.ts)", "bad (a.ts)", "default (index.ts)", "shown (b.ts)", "worse (a.ts)"]);
});
