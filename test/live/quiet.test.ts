import { expect, it } from "vitest";
import { watchQuietly } from "./quiet.ts";

it("lets the object sleep while many watch and nothing happens, and wakes it for what does", async () => {
  expect(await watchQuietly(10, 10, 18_000)).toEqual({
    ...{ madeWhileQuiet: 0, madeByChange: 1 },
    ...{ told: 20, toldResult: 10, watchers: 20 },
  });
}, 120_000);
